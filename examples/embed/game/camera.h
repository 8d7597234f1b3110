/*
 * The camera: flies ahead by itself, follows the hills, and can be steered.
 */
#ifndef CAMERA_H
#define CAMERA_H

#include "ground.h"

struct camera {
  float x, y;    /* metres from the origin of the world, to the east, south */
  float height;  /* metres above the sea */
  float heading; /* radians; 0 looks to the east, to the right on the map */
  float turn;    /* radians a second */
  float speed;   /* metres a second */
  float time;    /* seconds that it has flown */
};

void camera_init(struct camera *camera, float speed);

/* Flies for `seconds`. `steer` is -1 for left, 0, or 1 for right. */
void camera_fly(struct camera *camera, const struct ground *ground,
                float seconds, int steer);

#endif
