/*
 * The view out of the camera: draws the ground column by column, from near to
 * far, each texel as high as it rises over those before it. Tiles that are not
 * baked yet are mist.
 */
#ifndef VIEW_H
#define VIEW_H

#include "camera.h"

enum { VIEW_WIDTH = 960, VIEW_HEIGHT = 540 };

/* Fills `screen`, a surface of that size in SDL_PIXELFORMAT_RGB888. */
void view_draw(SDL_Surface *screen, const struct ground *ground,
               const struct camera *camera);

#endif
