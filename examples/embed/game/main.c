/*
 * A game that keeps its frame: a camera flies over a terrain without end,
 * whose tiles are baked in Lua, 40 ms each, by a pool of lambdapool, while the
 * picture goes on sixty times a second.
 *
 * Build and run it, in this folder:
 *
 *   cc -O2 -o game *.c $(pkg-config --cflags --libs lambdapool sdl2) -lm
 *   ./game
 *
 * The arrow keys steer, M is the map, Escape ends; ./game --help lists more.
 * Where there is no screen:
 *
 *   SDL_VIDEODRIVER=dummy ./game --frames 600 --screenshot flight.bmp --stats
 *
 * Where to read on: tiles.c is the part that uses lambdapool, terrain.lua what
 * its workers run. This file is the loop. ground.c, camera.c and view.c make
 * the picture; map.c, graph.c, times.c and text.c what is drawn over it.
 */
#include "graph.h"
#include "map.h"
#include "options.h"
#include "text.h"
#include "view.h"

#include <stdio.h>
#include <time.h>

enum { BUDGET_US = 300 }; /* what lambdapool may take of a frame */
static const double frame_ms = 1000.0 / 60;

struct game {
  struct options options;
  SDL_Window *window;
  SDL_Surface *screen;    /* what is drawn, and then shown in the window */
  SDL_Renderer *renderer; /* draws on it */
  struct ground ground;
  struct tiles tiles;
  struct camera camera;
  struct times times;
  int frames;        /* drawn */
  int frames_baking; /* of these, drawn while tiles were being baked */
  int over, failed;
};

/* --- one frame ------------------------------------------------------------ */

static void take_events(struct game *game) {
  SDL_Event event;
  while (SDL_PollEvent(&event)) {
    if (event.type == SDL_QUIT)
      game->over = 1;
    if (event.type == SDL_KEYDOWN && event.key.keysym.sym == SDLK_ESCAPE)
      game->over = 1;
    if (event.type == SDL_KEYDOWN && event.key.keysym.sym == SDLK_m)
      game->options.map = !game->options.map;
  }
}

static int is_flying(const struct game *game) {
  return !game->options.frames || game->frames < game->options.frames;
}

static void fly(struct game *game) {
  const uint8_t *keys = SDL_GetKeyboardState(NULL);
  int steer = keys[SDL_SCANCODE_RIGHT] - keys[SDL_SCANCODE_LEFT];
  if (is_flying(game))
    camera_fly(&game->camera, &game->ground, (float)frame_ms / 1000, steer);
}

static struct map large_map(const struct game *game) {
  SDL_Rect all = {0, 0, VIEW_WIDTH, VIEW_HEIGHT};
  return map_around(&game->camera, all, TILE_SIZE, 0);
}

static struct map small_map(const struct game *game) {
  SDL_Rect corner = {VIEW_WIDTH - 181, VIEW_HEIGHT - 181, 165, 165};
  return map_around(&game->camera, corner, 15, 1);
}

static void draw_world(struct game *game) {
  struct map map = game->options.map ? large_map(game) : small_map(game);
  if (game->options.map)
    SDL_FillRect(game->screen, NULL, 0);
  else
    view_draw(game->screen, &game->ground, &game->camera);
  map_draw(game->renderer, &map, &game->tiles, &game->camera);
}

static void draw(struct game *game) {
  const struct tiles *tiles = &game->tiles;
  draw_world(game);
  graph_draw(game->renderer, VIEW_HEIGHT, &game->times, BUDGET_US / 1000.0);
  SDL_SetRenderDrawColor(game->renderer, 16, 24, 32, 176);
  SDL_RenderFillRect(game->renderer, &(SDL_Rect){16, 12, 386, 18});
  SDL_SetRenderDrawColor(game->renderer, 232, 238, 244, 255);
  text_draw(game->renderer, 26, 17,
            "%d of %d tiles   %d tasks   %d baked   %d cancelled",
            tiles->wanted - tiles->missing, tiles->wanted, tiles->in_flight,
            tiles->baked, tiles->cancelled);
  text_draw(game->renderer, 26, 34, "%s", tiles->error);
}

/* Whether no frame is to follow. */
static int is_last(const struct game *game) {
  int settled = !game->options.settle || tiles_settled(&game->tiles);
  return game->over || (!is_flying(game) && settled);
}

static void show(struct game *game) {
  const char *file = game->options.screenshot;
  SDL_RenderPresent(game->renderer);
  SDL_BlitSurface(game->screen, NULL, SDL_GetWindowSurface(game->window), NULL);
  SDL_UpdateWindowSurface(game->window);
  game->frames++;
  game->over = is_last(game);
  game->failed = game->over && file && SDL_SaveBMP(game->screen, file) != 0;
  if (game->failed)
    fprintf(stderr, "game: cannot write %s: %s\n", file, SDL_GetError());
}

/* --- the loop ------------------------------------------------------------- */

static double now_ms(void) {
  return (double)SDL_GetPerformanceCounter() * 1000 /
         (double)SDL_GetPerformanceFrequency();
}

static void sleep_until(double ms) {
  double left = ms - now_ms();
  struct timespec time = {0, (long)(left * 1e6)};
  if (left > 0)
    nanosleep(&time, NULL);
}

/* `due` is when this frame was to begin. Returns when the next one is. */
static double run_frame(struct game *game, double due) {
  struct frame_times took;
  double start = now_ms();
  take_events(game);
  fly(game);
  double before = now_ms();
  tiles_update(&game->tiles, &game->camera, BUDGET_US);
  took.library = (float)(now_ms() - before);
  game->frames_baking += game->tiles.left > 0;
  draw(game);
  show(game);
  took.work = (float)(now_ms() - start);
  due = SDL_max(due + frame_ms, now_ms()); /* a frame that is late shifts all */
  sleep_until(due);
  took.frame = (float)(now_ms() - start);
  times_add(&game->times, took);
  return due;
}

static void print_times(const struct times *times, double percent) {
  struct frame_times at = times_percentile(times, TIMES_MOST, percent);
  printf("p%-6g frame %6.2f ms   work %6.2f ms   lambdapool %6.3f ms\n",
         percent, at.frame, at.work, at.library);
}

static void print_stats(const struct game *game) {
  const struct tiles *tiles = &game->tiles;
  struct map map = large_map(game);
  printf("frames %d, of them %d while tiles were baked\n", game->frames,
         game->frames_baking);
  print_times(&game->times, 50);
  print_times(&game->times, 99);
  print_times(&game->times, 99.9);
  print_times(&game->times, 100);
  printf("tiles %d wanted, %d missing, %d baked, %d cancelled, %d failed\n",
         tiles->wanted, tiles->missing, tiles->baked, tiles->cancelled,
         tiles->failed);
  printf("map from %d %d, seed %d\n", map.x, map.y, game->options.seed);
}

static int open_window(struct game *game) {
  const int anywhere = SDL_WINDOWPOS_UNDEFINED;
  SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0"); /* a copy is quicker */
  if (SDL_Init(SDL_INIT_VIDEO) != 0)
    return -1;
  game->window = SDL_CreateWindow("lambdapool: a terrain without end", anywhere,
                                  anywhere, VIEW_WIDTH, VIEW_HEIGHT, 0);
  game->screen = SDL_CreateRGBSurfaceWithFormat(0, VIEW_WIDTH, VIEW_HEIGHT, 32,
                                                SDL_PIXELFORMAT_RGB888);
  if (!game->window || !game->screen)
    return -1;
  game->renderer = SDL_CreateSoftwareRenderer(game->screen);
  if (!game->renderer)
    return -1;
  SDL_SetRenderDrawBlendMode(game->renderer, SDL_BLENDMODE_BLEND);
  return ground_open(&game->ground, game->renderer);
}

static void close_window(struct game *game) {
  ground_close(&game->ground);
  if (game->renderer)
    SDL_DestroyRenderer(game->renderer);
  SDL_FreeSurface(game->screen);
  SDL_Quit();
}

static void play(struct game *game) {
  double due = now_ms();
  camera_init(&game->camera, (float)game->options.speed);
  while (!game->over)
    due = run_frame(game, due);
  if (game->options.stats)
    print_stats(game);
}

/* Plays with a pool whose module lies beside the program. */
static int open_and_play(struct game *game) {
  char *folder = SDL_GetBasePath();
  int code = tiles_open(&game->tiles, &game->ground, folder,
                        game->options.workers, game->options.seed);
  SDL_free(folder);
  if (code == LP_OK)
    play(game);
  else
    fprintf(stderr, "game: %s\n", game->tiles.error);
  tiles_close(&game->tiles);
  return code;
}

int main(int argc, char **argv) {
  static struct game game; /* too large for the stack */
  int code = options_read(&game.options, argc, argv);
  if (code != 0)
    return code == 1 ? 0 : 2;
  code = open_window(&game);
  if (code == 0)
    code = open_and_play(&game);
  else
    fprintf(stderr, "game: cannot open a window: %s\n", SDL_GetError());
  close_window(&game);
  return code != 0 || game.failed;
}
