/*
 * How long frames took: a record of the last ones, and percentiles of them.
 */
#ifndef TIMES_H
#define TIMES_H

/* Milliseconds of one frame. */
struct frame_times {
  float frame;   /* from its beginning to that of the next */
  float work;    /* without the wait for the next */
  float library; /* of the work: inside of lambdapool */
};

enum { TIMES_MOST = 1 << 16 }; /* 18 minutes */

struct times {
  struct frame_times ring[TIMES_MOST];
  int count; /* of all frames so far */
};

void times_add(struct times *times, struct frame_times frame);

/* The frame `back` frames before the last one: 0 is the last. NULL when there
 * was no such frame, or long ago. */
const struct frame_times *times_get(const struct times *times, int back);

/* A percentile of the last `frames` frames, or of those that there are. */
struct frame_times times_percentile(const struct times *times, int frames,
                                    double percent);

#endif
