#include "times.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

void times_add(struct times *times, struct frame_times frame) {
  times->ring[times->count++ % TIMES_MOST] = frame;
}

const struct frame_times *times_get(const struct times *times, int back) {
  if (back >= times->count || back >= TIMES_MOST)
    return NULL;
  return &times->ring[(times->count - 1 - back) % TIMES_MOST];
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The smallest of `count` numbers that `percent` of them do not exceed. */
static float pick(float *numbers, int count, double percent) {
  int rank = (int)ceil(count * percent / 100);
  qsort(numbers, (size_t)count, sizeof *numbers, compare);
  return count ? numbers[rank > 0 ? rank - 1 : 0] : 0;
}

struct frame_times times_percentile(const struct times *times, int frames,
                                    double percent) {
  static float frame[TIMES_MOST], work[TIMES_MOST], library[TIMES_MOST];
  const struct frame_times *times_of;
  int count = 0;
  while (count < frames && (times_of = times_get(times, count))) {
    frame[count] = times_of->frame;
    work[count] = times_of->work;
    library[count++] = times_of->library;
  }
  return (struct frame_times){pick(frame, count, percent),
                              pick(work, count, percent),
                              pick(library, count, percent)};
}
