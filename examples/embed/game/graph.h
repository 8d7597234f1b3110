/*
 * The graph of frame times, at the bottom left: what each of the last frames
 * took in all, and below, enlarged, what lambdapool took of it.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "times.h"

#include <SDL.h>

/* Draws above the bottom of a screen that is `height` pixels high. `budget_ms`
 * is what lambdapool may take of a frame. */
void graph_draw(SDL_Renderer *renderer, int height, const struct times *times,
                double budget_ms);

#endif
