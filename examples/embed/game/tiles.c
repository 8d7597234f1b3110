#include "tiles.h"

#include <math.h>
#include <string.h>

/* The tiles that are wanted lie in a circle, about 64 of them, and most of it
 * is ahead of the camera. */
static const float middle = 2.6f, radius = 4.6f; /* tiles */

/* Those are asked for first that are near a point in the view. */
static const float focus = 1.3f;

static const float fade_in = 1 / 45.0f; /* a frame */

static void complain(struct tiles *tiles, const char *message) {
  SDL_strlcpy(tiles->error, message, sizeof tiles->error);
}

/* Loads the module before the first frame, which would have to wait for it. */
static int load_module(struct tiles *tiles) {
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.source = "require 'terrain'";
  return lp_run(tiles->host, &task, NULL);
}

int tiles_open(struct tiles *tiles, struct ground *ground, const char *folder,
               int workers, int seed) {
  struct lp_config config;
  int code;
  memset(tiles, 0, sizeof *tiles);
  tiles->ground = ground;
  tiles->seed = seed;
  lp_config_init(&config, sizeof config);
  config.path = folder;
  config.workers = workers;
  config.retries = 2;
  config.nice = 10; /* the frame comes first */
  code = lp_open(&config, &tiles->host);
  if (code == LP_OK)
    code = load_module(tiles);
  if (code != LP_OK)
    complain(tiles, lp_error(tiles->host));
  return code;
}

void tiles_close(struct tiles *tiles) {
  lp_close(tiles->host);
}

/* --- what is baked -------------------------------------------------------- */

/* The tile that waits for a task, NULL when the camera has left it behind. */
static struct tile *tile_of(struct tiles *tiles, lp_id task) {
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++)
    if (tiles->tile[i].task == task)
      return &tiles->tile[i];
  return NULL;
}

static int is_tile(const struct lp_result *result) {
  return result->kind == LP_DONE && result->count == 1 &&
         result->values[0].type == LP_STRING &&
         result->values[0].size == TILE_BYTES;
}

/* Called by lp_poll, when a task has ended in whatever way. */
static void on_end(lp_host *host, const struct lp_result *result, void *data) {
  struct tiles *tiles = data;
  struct tile *tile = tile_of(tiles, result->task);
  (void)host;
  tiles->in_flight--;
  tiles->cancelled += result->kind == LP_CANCELLED;
  if (!tile)
    return;
  tile->task = 0;
  if (is_tile(result)) {
    ground_put(tiles->ground, tile->x, tile->y, result->values[0].bytes);
    tile->state = TILE_BAKED;
    tiles->baked++;
  } else {
    complain(tiles, result->message);
    tile->state = TILE_FAILED;
    tiles->failed++;
  }
}

/* --- what is wanted ------------------------------------------------------- */

/* How far the middle of a tile is from a point, in tiles. */
static float distance(int x, int y, float from_x, float from_y) {
  return hypotf((float)x + 0.5f - from_x, (float)y + 0.5f - from_y);
}

/* The point that is some tiles ahead of the camera. */
static void find_ahead(const struct camera *camera, float tiles, float *x,
                       float *y) {
  *x = camera->x / TILE_SIZE + tiles * cosf(camera->heading);
  *y = camera->y / TILE_SIZE + tiles * sinf(camera->heading);
}

void tiles_middle(const struct camera *camera, float *x, float *y) {
  find_ahead(camera, middle, x, y);
}

/* Only a task that waits is worth stopping: one that runs is done in no time,
 * and to stop it would cost its worker. */
static void give_up(struct tiles *tiles, struct tile *tile) {
  if (tile->state == TILE_WAITS)
    lp_cancel(tiles->host, tile->task);
  tile->task = 0;
  tile->state = TILE_EMPTY;
}

/* Gives up tiles that are outside of the circle; a little farther than where
 * they are wanted, lest a camera at the edge asks again and again. */
static void give_up_far(struct tiles *tiles, const struct camera *camera) {
  float x, y;
  tiles_middle(camera, &x, &y);
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++) {
    struct tile *tile = &tiles->tile[i];
    if (tile->task && distance(tile->x, tile->y, x, y) > radius + 0.3f)
      give_up(tiles, tile);
  }
}

/* The place of a wanted tile, taken from the tile that had it before. */
static struct tile *claim(struct tiles *tiles, int x, int y) {
  int place = ground_place(x, y);
  struct tile *tile = &tiles->tile[place];
  if (tile->x != x || tile->y != y) {
    if (tile->task)
      give_up(tiles, tile);
    *tile = (struct tile){.x = x, .y = y};
    tiles->ground->shown[place] = 0;
  }
  return tile;
}

/* Counts what is wanted, and returns the empty tile that is to be baked next,
 * or NULL. */
static struct tile *find_nearest(struct tiles *tiles,
                                 const struct camera *camera) {
  struct tile *nearest = NULL;
  float best = 1e9f, middle_x, middle_y, focus_x, focus_y;
  tiles_middle(camera, &middle_x, &middle_y);
  find_ahead(camera, focus, &focus_x, &focus_y);
  tiles->wanted = tiles->missing = 0;
  for (int y = (int)(middle_y - radius) - 1; y <= middle_y + radius; y++)
    for (int x = (int)(middle_x - radius) - 1; x <= middle_x + radius; x++) {
      if (distance(x, y, middle_x, middle_y) > radius)
        continue;
      struct tile *tile = claim(tiles, x, y);
      float far = distance(x, y, focus_x, focus_y);
      tiles->wanted++;
      tiles->missing += tile->state < TILE_BAKED;
      if (tile->state == TILE_EMPTY && far < best) {
        best = far;
        nearest = tile;
      }
    }
  return nearest;
}

static void ask(struct tiles *tiles, struct tile *tile) {
  struct lp_value args[] = {lp_integer(tile->x), lp_integer(tile->y),
                            lp_integer(tiles->seed)};
  struct lp_task task;
  lp_task_init(&task, sizeof task);
  task.function = "terrain.bake";
  task.args = args;
  task.count = 3;
  task.on_end = on_end;
  task.data = tiles;
  if (lp_submit(tiles->host, &task, &tile->task) == LP_OK) {
    tile->state = TILE_WAITS;
    tiles->in_flight++;
    tiles->asked++;
  } else {
    complain(tiles, lp_error(tiles->host));
    tile->state = TILE_FAILED;
    tiles->failed++;
  }
}

/* --- once a frame --------------------------------------------------------- */

static void look_after_tasks(struct tiles *tiles) {
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++) {
    struct tile *tile = &tiles->tile[i];
    if (tile->task && lp_state(tiles->host, tile->task) == 1)
      tile->state = TILE_RUNS;
  }
}

static void fade(struct tiles *tiles) {
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++) {
    float *shown = &tiles->ground->shown[i];
    if (tiles->tile[i].state == TILE_BAKED)
      *shown = fminf(1, *shown + fade_in);
  }
}

static uint64_t now_us(void) {
  return SDL_GetPerformanceCounter() * 1000000 / SDL_GetPerformanceFrequency();
}

/* Asks for one tile, and for more while there is time. */
static void ask_nearest(struct tiles *tiles, const struct camera *camera,
                        uint64_t until_us) {
  struct tile *tile = find_nearest(tiles, camera);
  while (tile) {
    ask(tiles, tile);
    tile = now_us() < until_us ? find_nearest(tiles, camera) : NULL;
  }
}

void tiles_update(struct tiles *tiles, const struct camera *camera,
                  int64_t budget_us) {
  uint64_t until_us = now_us() + (uint64_t)budget_us;
  if (lp_poll(tiles->host, budget_us) < 0)
    complain(tiles, lp_error(tiles->host));
  tiles->left = tiles->in_flight;
  give_up_far(tiles, camera);
  ask_nearest(tiles, camera, until_us);
  look_after_tasks(tiles);
  fade(tiles);
}

int tiles_settled(const struct tiles *tiles) {
  for (int i = 0; i < GROUND_TILES * GROUND_TILES; i++)
    if (tiles->tile[i].state == TILE_BAKED && tiles->ground->shown[i] < 1)
      return 0;
  return tiles->missing == 0;
}
