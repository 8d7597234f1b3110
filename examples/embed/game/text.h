/*
 * Text on the screen: printable ASCII, five by seven pixels a character.
 */
#ifndef TEXT_H
#define TEXT_H

#include <SDL.h>

enum { TEXT_WIDTH = 6, TEXT_HEIGHT = 8 }; /* with the gap to the next one */

/* Draws a line of text in the renderer's draw colour, as printf makes it, at
 * most 100 characters. */
void text_draw(SDL_Renderer *renderer, int x, int y, const char *format, ...)
    SDL_PRINTF_VARARG_FUNC(4);

#endif
