/*
 * The ground: the texels of the tiles around the camera.
 *
 * The world has no end, so its ground is kept on a torus: each tile has its
 * place in a square of 16 by 16 tiles, which it shares with those that are 16
 * tiles away. A texel is one metre; it has a colour and a height.
 */
#ifndef GROUND_H
#define GROUND_H

#include <SDL.h>

enum {
  TILE_SIZE = 128,   /* texels along an edge of a tile */
  GROUND_TILES = 16, /* tiles along an edge of the ground */
  GROUND_SIZE = TILE_SIZE * GROUND_TILES,
  TILE_BYTES = TILE_SIZE * TILE_SIZE * 4
};

/* Heights look larger than they are, as on any model of a landscape. */
#define RELIEF 1.5f

struct ground {
  uint32_t *texels;     /* rows of GROUND_SIZE: height, red, green, blue */
  SDL_Texture *texture; /* the same for the renderer */
  float shown[GROUND_TILES * GROUND_TILES]; /* of each tile: 0 not at all, 1 */
};

/* Returns 0, or -1 when memory is exhausted or SDL has an error. */
int ground_open(struct ground *ground, SDL_Renderer *renderer);
void ground_close(struct ground *ground);

/* The place of a tile in `shown`. */
int ground_place(int x, int y);

/* Copies the TILE_BYTES of a tile into its place. */
void ground_put(struct ground *ground, int x, int y, const char *bytes);

/* The height at a point of the world, with RELIEF; 0 where no tile is. */
float ground_height(const struct ground *ground, float x, float y);

#endif
