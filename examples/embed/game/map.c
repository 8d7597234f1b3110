#include "map.h"

#include <math.h>

struct map map_around(const struct camera *camera, SDL_Rect at, int tile,
                      int symbols) {
  float x, y;
  tiles_middle(camera, &x, &y);
  return (struct map){at, tile, (int)floorf(x * (float)tile) - at.w / 2,
                      (int)floorf(y * (float)tile) - at.h / 2, symbols};
}

static void draw_baked(SDL_Renderer *renderer, const SDL_Rect *to,
                       const struct ground *ground, const struct tile *tile) {
  int place = ground_place(tile->x, tile->y);
  SDL_Rect from = {place % GROUND_TILES * TILE_SIZE,
                   place / GROUND_TILES * TILE_SIZE, TILE_SIZE, TILE_SIZE};
  float shown = ground->shown[place];
  SDL_SetTextureBlendMode(ground->texture,
                          shown < 1 ? SDL_BLENDMODE_BLEND : SDL_BLENDMODE_NONE);
  SDL_SetTextureAlphaMod(ground->texture, (uint8_t)(255 * shown));
  SDL_RenderCopy(renderer, ground->texture, &from, to);
}

/* A tile whose task waits for a worker is a dot, one that is being baked a
 * square; one that failed is red. */
static void draw_task(SDL_Renderer *renderer, const SDL_Rect *at,
                      const struct tile *tile) {
  int inset = tile->state == TILE_WAITS ? at->w * 3 / 8 : at->w / 8;
  SDL_Rect square = {at->x + inset, at->y + inset, at->w - 2 * inset,
                     at->h - 2 * inset};
  if (tile->state == TILE_FAILED)
    SDL_SetRenderDrawColor(renderer, 230, 50, 40, 255);
  else
    SDL_SetRenderDrawColor(renderer, 255, 154, 60, 255);
  SDL_RenderFillRect(renderer, &square);
}

static void draw_tile(SDL_Renderer *renderer, const struct map *map,
                      const struct ground *ground, const struct tile *tile) {
  SDL_Rect at = {map->at.x + tile->x * map->tile - map->x,
                 map->at.y + tile->y * map->tile - map->y, map->tile,
                 map->tile};
  if (!SDL_HasIntersection(&at, &map->at))
    return;
  if (tile->state == TILE_BAKED)
    draw_baked(renderer, &at, ground, tile);
  else if (tile->state != TILE_EMPTY && map->symbols)
    draw_task(renderer, &at, tile);
}

/* What is seen from the camera: a wedge. */
static void draw_camera(SDL_Renderer *renderer, const struct map *map,
                        const struct camera *camera) {
  float scale = (float)map->tile / TILE_SIZE, size = (float)map->tile * 5.5f;
  float x = (float)(map->at.x - map->x) + camera->x * scale;
  float y = (float)(map->at.y - map->y) + camera->y * scale;
  SDL_SetRenderDrawColor(renderer, 255, 255, 255, 200);
  for (int side = -1; side <= 1; side += 2) {
    float heading = camera->heading + (float)side * 0.65f;
    SDL_RenderDrawLineF(renderer, x, y, x + size * cosf(heading),
                        y + size * sinf(heading));
  }
}

void map_draw(SDL_Renderer *renderer, const struct map *map,
              const struct tiles *tiles, const struct camera *camera) {
  SDL_SetRenderDrawColor(renderer, 16, 24, 32, 176);
  SDL_RenderFillRect(renderer, &map->at);
  SDL_RenderSetClipRect(renderer, &map->at);
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++)
    draw_tile(renderer, map, tiles->ground, &tiles->tile[i]);
  if (map->symbols)
    draw_camera(renderer, map, camera);
  SDL_RenderSetClipRect(renderer, NULL);
}
