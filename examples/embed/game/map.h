/*
 * The map: the tiles from above, north at the top, and what becomes of them.
 */
#ifndef MAP_H
#define MAP_H

#include "tiles.h"

/* What a rectangle of the screen shows of the world. */
struct map {
  SDL_Rect at;
  int tile;    /* pixels along the edge of a tile */
  int x, y;    /* pixels from the origin of the world to the left, top */
  int symbols; /* whether tasks and the camera are marked */
};

/* A map around the middle of the tiles that are wanted. */
struct map map_around(const struct camera *camera, SDL_Rect at, int tile,
                      int symbols);

void map_draw(SDL_Renderer *renderer, const struct map *map,
              const struct tiles *tiles, const struct camera *camera);

#endif
