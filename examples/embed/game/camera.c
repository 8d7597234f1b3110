#include "camera.h"

#include <math.h>

static const float clearance = 52; /* metres above the hills */

void camera_init(struct camera *camera, float speed) {
  *camera = (struct camera){
      .x = 512, .y = 512, .height = 120, .heading = -1.0f, .speed = speed};
}

/* The highest ground near the camera and where it will be soon. */
static float highest_ahead(const struct camera *camera,
                           const struct ground *ground) {
  float highest = 0;
  for (int metres = 0; metres <= 180; metres += 12) {
    float x = camera->x + (float)metres * cosf(camera->heading);
    float y = camera->y + (float)metres * sinf(camera->heading);
    highest = fmaxf(highest, ground_height(ground, x, y));
  }
  return highest;
}

void camera_fly(struct camera *camera, const struct ground *ground,
                float seconds, int steer) {
  float aim = (float)steer * 0.8f;
  if (!steer) /* a winding path that does not repeat itself */
    aim =
        0.12f * sinf(camera->time * 0.31f) + 0.08f * sinf(camera->time * 0.7f);
  camera->turn += (aim - camera->turn) * fminf(1, seconds * 2);
  camera->heading += camera->turn * seconds;
  camera->x += camera->speed * seconds * cosf(camera->heading);
  camera->y += camera->speed * seconds * sinf(camera->heading);
  float height = highest_ahead(camera, ground) + clearance;
  camera->height += (height - camera->height) * fminf(1, seconds * 0.9f);
  camera->time += seconds;
}
