#include "view.h"

#include <math.h>

static const float focal = 620;    /* pixels; 75 degrees from left to right */
static const float horizon = 190;  /* row of the picture */
static const float nearest = 30;   /* metres */
static const float farthest = 710; /* metres; all is mist there */
static const float sun = -2.3562f; /* heading to the sun: north-west */
static const uint32_t sky = 0x3f74b4, mist = 0xbccad4, glow = 0xffe2b0;

/* How far rays look, the same for all: a step that is a row or less, about. */
struct step {
  float metres, nearness; /* 1 / metres */
  uint32_t clear;         /* how well things are seen there, of 256 */
};

enum { MOST_STEPS = 500 };

/* A column of the picture. */
struct ray {
  float x, y;       /* metres to the east and south for each metre of way */
  float focal;      /* pixels, of this column */
  uint32_t mist;    /* what it looks like in that direction */
  uint32_t *pixels; /* the topmost */
  size_t pitch;     /* pixels from row to row */
};

/* Two colours, `part` of 256 of the second. Two channels at a time. */
static uint32_t mix(uint32_t a, uint32_t b, uint32_t part) {
  uint32_t odd = (a & 0xff00ff) * (256 - part) + (b & 0xff00ff) * part;
  uint32_t even =
      ((a >> 8) & 0xff00ff) * (256 - part) + ((b >> 8) & 0xff00ff) * part;
  return ((odd >> 8) & 0xff00ff) | (even & 0xff00ff00);
}

/* What the air looks like at a row: mist up to the horizon, then sky. */
static uint32_t air(const struct ray *ray, int row) {
  float up = SDL_max(0, 1 - (float)row / horizon);
  return mix(ray->mist, sky, (uint32_t)(256 * up * (1.6f - 0.6f * up)));
}

static void draw_sky(const struct ray *ray, int rows) {
  for (int row = 0; row < rows; row++)
    ray->pixels[(size_t)row * ray->pitch] = air(ray, row);
}

/* --- the ground ----------------------------------------------------------- */

/* A coordinate on the torus: all of 32 bits are once around it, so that it
 * wraps by itself. The upper bits are the texel, the next 8 where in it. */
enum { FRACTION = 21 };

static uint32_t on_torus(float metres) {
  return (uint32_t)(int64_t)(metres * (1 << FRACTION));
}

static uint32_t fraction(uint32_t coordinate) {
  return coordinate >> (FRACTION - 8) & 255;
}

/* The four texels around a point. */
struct corners {
  uint32_t a, b, c, d;
  float shown;
};

static struct corners look_up(const struct ground *ground, uint32_t x,
                              uint32_t y) {
  uint32_t left = x >> FRACTION, right = (left + 1) % GROUND_SIZE;
  uint32_t top = y >> FRACTION, bottom = (top + 1) % GROUND_SIZE;
  const uint32_t *upper = ground->texels + (size_t)top * GROUND_SIZE;
  const uint32_t *lower = ground->texels + (size_t)bottom * GROUND_SIZE;
  uint32_t place = top / TILE_SIZE * GROUND_TILES + left / TILE_SIZE;
  return (struct corners){upper[left], upper[right], lower[left], lower[right],
                          ground->shown[place]};
}

static float height_at(const struct corners *at, uint32_t u, uint32_t v) {
  uint32_t upper = (at->a >> 24) * (256 - u) + (at->b >> 24) * u;
  uint32_t lower = (at->c >> 24) * (256 - u) + (at->d >> 24) * u;
  float height = (float)(int)(upper * (256 - v) + lower * v) / 65536;
  return height * RELIEF * at->shown;
}

static uint32_t color_at(const struct corners *at, uint32_t u, uint32_t v) {
  return mix(mix(at->a, at->b, u), mix(at->c, at->d, u), v);
}

/* Draws the ground and returns the row where the sky begins. */
static int draw_ground(const struct ray *ray, const struct step *step,
                       const struct ground *ground,
                       const struct camera *camera) {
  int top = VIEW_HEIGHT;
  for (; step->metres < farthest && top > 0; step++) {
    uint32_t x = on_torus(camera->x + ray->x * step->metres);
    uint32_t y = on_torus(camera->y + ray->y * step->metres);
    uint32_t u = fraction(x), v = fraction(y);
    struct corners at = look_up(ground, x, y);
    float fall = (camera->height - height_at(&at, u, v)) * step->nearness;
    int row = (int)(horizon + fall * ray->focal);
    if (row >= top)
      continue;
    uint32_t clear = (uint32_t)((float)step->clear * at.shown);
    uint32_t color = mix(air(ray, row), color_at(&at, u, v), clear);
    for (row = SDL_max(row, 0); top > row;)
      ray->pixels[(size_t)--top * ray->pitch] = color;
  }
  return top;
}

/* --- the picture ---------------------------------------------------------- */

/* The last step is `farthest` or beyond it. */
static void plan_steps(struct step *steps) {
  float metres = nearest;
  for (int i = 0; i < MOST_STEPS; i++) {
    float part = SDL_min(1, metres / farthest);
    steps[i] = (struct step){metres, 1 / metres,
                             (uint32_t)(256 * (1 - part * part * part))};
    metres += SDL_max(0.9f, metres * 0.007f);
  }
}

static struct ray ray_of(int column, const struct camera *camera) {
  float aside = atan2f((float)(column - VIEW_WIDTH / 2), focal);
  float heading = camera->heading + aside;
  float facing = SDL_max(0, cosf(heading - sun));
  return (struct ray){
      .x = cosf(heading),
      .y = sinf(heading),
      .focal = focal / cosf(aside),
      .mist = mix(mist, glow, (uint32_t)(220 * facing * facing * facing)),
  };
}

void view_draw(SDL_Surface *screen, const struct ground *ground,
               const struct camera *camera) {
  static struct step steps[MOST_STEPS];
  if (!steps[0].metres)
    plan_steps(steps);
  for (int column = 0; column < VIEW_WIDTH; column++) {
    struct ray ray = ray_of(column, camera);
    ray.pixels = (uint32_t *)screen->pixels + column;
    ray.pitch = (size_t)screen->pitch / 4;
    draw_sky(&ray, draw_ground(&ray, steps, ground, camera));
  }
}
