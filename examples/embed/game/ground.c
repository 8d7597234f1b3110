#include "ground.h"

#include <stdlib.h>
#include <string.h>

/* Where no tile has been yet. Its colour is seen along the edges of others. */
static const uint32_t nothing = 0x00bccad4;

int ground_open(struct ground *ground, SDL_Renderer *renderer) {
  memset(ground, 0, sizeof *ground);
  ground->texels = malloc((size_t)GROUND_SIZE * GROUND_SIZE * 4);
  ground->texture =
      SDL_CreateTexture(renderer, SDL_PIXELFORMAT_RGB888,
                        SDL_TEXTUREACCESS_STATIC, GROUND_SIZE, GROUND_SIZE);
  if (!ground->texels || !ground->texture)
    return -1;
  SDL_memset4(ground->texels, nothing, (size_t)GROUND_SIZE * GROUND_SIZE);
  return 0;
}

void ground_close(struct ground *ground) {
  free(ground->texels);
  if (ground->texture)
    SDL_DestroyTexture(ground->texture);
}

int ground_place(int x, int y) {
  return (y & (GROUND_TILES - 1)) * GROUND_TILES + (x & (GROUND_TILES - 1));
}

void ground_put(struct ground *ground, int x, int y, const char *bytes) {
  SDL_Rect at = {(x & (GROUND_TILES - 1)) * TILE_SIZE,
                 (y & (GROUND_TILES - 1)) * TILE_SIZE, TILE_SIZE, TILE_SIZE};
  for (int row = 0; row < TILE_SIZE; row++)
    memcpy(ground->texels + (size_t)(at.y + row) * GROUND_SIZE + at.x,
           bytes + row * TILE_SIZE * 4, TILE_SIZE * 4);
  SDL_UpdateTexture(ground->texture, &at, bytes, TILE_SIZE * 4);
}

float ground_height(const struct ground *ground, float x, float y) {
  int column = (int)SDL_floorf(x) & (GROUND_SIZE - 1);
  int row = (int)SDL_floorf(y) & (GROUND_SIZE - 1);
  int place = row / TILE_SIZE * GROUND_TILES + column / TILE_SIZE;
  uint32_t texel = ground->texels[(size_t)row * GROUND_SIZE + column];
  return (float)(texel >> 24) * RELIEF * ground->shown[place];
}
