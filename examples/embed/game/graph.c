#include "graph.h"
#include "text.h"

enum { FRAMES = 300, LEFT = 16, PAD = 10, LINE = 14, BOTTOM = 16 };

/* One of the two charts: bars for frames, the last one at the right. */
struct chart {
  SDL_Rect at;
  float most;  /* milliseconds, at the top */
  float limit; /* milliseconds; bars beyond it are red */
};

static void set_color(SDL_Renderer *renderer, uint32_t argb) {
  SDL_SetRenderDrawColor(renderer, argb >> 16 & 255, argb >> 8 & 255,
                         argb & 255, argb >> 24);
}

/* Bars from `from` to `to` milliseconds. */
static void draw_bar(SDL_Renderer *renderer, const struct chart *chart,
                     int back, float from, float to, uint32_t color) {
  float scale = (float)chart->at.h / chart->most;
  int low = (int)(SDL_min(from, chart->most) * scale);
  int high = (int)(SDL_min(to, chart->most) * scale + 0.999f);
  SDL_Rect bar = {chart->at.x + chart->at.w - 1 - back,
                  chart->at.y + chart->at.h - high, 1, high - low};
  set_color(renderer, color);
  SDL_RenderFillRect(renderer, &bar);
}

/* The line that bars are not to cross, and what it stands for. */
static void draw_limit(SDL_Renderer *renderer, const struct chart *chart,
                       const char *what) {
  int y = chart->at.y + chart->at.h -
          (int)(chart->limit / chart->most * (float)chart->at.h);
  set_color(renderer, 0xffffd24a);
  SDL_RenderDrawLine(renderer, chart->at.x, y, chart->at.x + chart->at.w - 1,
                     y);
  text_draw(renderer, chart->at.x + chart->at.w + 6, y - 3, "%s", what);
}

static void draw_frames(SDL_Renderer *renderer, const struct chart *chart,
                        const struct times *times) {
  const struct frame_times *frame;
  for (int back = 0; back < FRAMES && (frame = times_get(times, back));
       back++) {
    uint32_t color = frame->work > chart->limit ? 0xffff5040 : 0xff7fb2e5;
    draw_bar(renderer, chart, back, 0, frame->library, 0xffff9a3c);
    draw_bar(renderer, chart, back, frame->library, frame->work, color);
  }
  draw_limit(renderer, chart, "16.7 ms");
}

static void draw_library(SDL_Renderer *renderer, const struct chart *chart,
                         const struct times *times) {
  const struct frame_times *frame;
  for (int back = 0; back < FRAMES && (frame = times_get(times, back));
       back++) {
    uint32_t color = frame->library > chart->limit ? 0xffff5040 : 0xffff9a3c;
    draw_bar(renderer, chart, back, 0, frame->library, color);
  }
  draw_limit(renderer, chart, "budget");
}

static void draw_titles(SDL_Renderer *renderer, const struct times *times,
                        int x, int first, int second) {
  struct frame_times median = times_percentile(times, FRAMES, 50);
  struct frame_times high = times_percentile(times, FRAMES, 99);
  set_color(renderer, 0xffe8eef4);
  text_draw(renderer, x, first, "frame       p50 %5.2f ms   p99 %5.2f ms",
            median.work, high.work);
  text_draw(renderer, x, second, "lambdapool  p50 %5.2f ms   p99 %5.2f ms",
            median.library, high.library);
}

void graph_draw(SDL_Renderer *renderer, int height, const struct times *times,
                double budget_ms) {
  const int tall = 60, low = 40;
  SDL_Rect panel = {LEFT, 0, FRAMES + 2 * PAD + 50,
                    tall + low + 2 * LINE + 3 * PAD};
  panel.y = height - BOTTOM - panel.h;
  int first = panel.y + PAD, second = first + LINE + tall + PAD;
  struct chart frames = {{LEFT + PAD, first + LINE, FRAMES, tall}, 20, 16.67f};
  struct chart library = {{LEFT + PAD, second + LINE, FRAMES, low},
                          (float)(2 * budget_ms),
                          (float)budget_ms};
  set_color(renderer, 0xb0101820);
  SDL_RenderFillRect(renderer, &panel);
  draw_frames(renderer, &frames, times);
  draw_library(renderer, &library, times);
  draw_titles(renderer, times, LEFT + PAD, first, second);
}
