/*
 * The tiles around the camera: which of them are wanted, and how the pool of
 * lambdapool bakes them while the game draws frames.
 */
#ifndef TILES_H
#define TILES_H

#include "camera.h"
#include "ground.h"

#include <lambdapool.h>

enum tile_state {
  TILE_EMPTY,
  TILE_WAITS, /* for a worker */
  TILE_RUNS,
  TILE_BAKED,
  TILE_FAILED
};

struct tile {
  int x, y; /* which tile of the world this is */
  enum tile_state state;
  lp_id task; /* of TILE_WAITS and TILE_RUNS, else 0 */
};

struct tiles {
  lp_host *host;
  struct ground *ground;
  struct tile tile[GROUND_TILES * GROUND_TILES];
  int seed;
  int in_flight;       /* tasks that have not ended */
  int left;            /* of these, those that lp_poll has left for later */
  int wanted, missing; /* tiles around the camera */
  int asked, baked, cancelled, failed;
  char error[200]; /* why a tile failed, the last time */
};

/* Opens a host with `workers` workers, 0: one for each processor, which bake
 * with the module terrain.lua of `folder`. Returns LP_OK; else `error` says
 * why, and tiles_close is due all the same. */
int tiles_open(struct tiles *tiles, struct ground *ground, const char *folder,
               int workers, int seed);
void tiles_close(struct tiles *tiles);

/* The middle of what is wanted, in tiles. */
void tiles_middle(const struct camera *camera, float *x, float *y);

/* Once a frame: takes in what has been baked, for `budget_us` microseconds,
 * gives up what the camera has left behind, and asks for what comes near. */
void tiles_update(struct tiles *tiles, const struct camera *camera,
                  int64_t budget_us);

/* Whether all that is wanted is baked and to be seen. */
int tiles_settled(const struct tiles *tiles);

#endif
