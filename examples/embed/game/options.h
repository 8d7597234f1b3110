/*
 * The options of the command line.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

struct options {
  int frames;             /* how many to fly; 0: until the window is closed */
  int seed;               /* of the terrain */
  int speed;              /* of the camera, metres a second */
  int workers;            /* 0: one for each processor */
  int map;                /* shows the map from the start */
  int settle;             /* after the last frame waits for the tiles around */
  int stats;              /* prints what it was like */
  const char *screenshot; /* a file for the last frame, or NULL */
};

/* Fills in `options`. Returns 0; 1 when the program is to end because help was
 * asked for, and printed; 2 when something is wrong, and it said what. */
int options_read(struct options *options, int argc, char **argv);

#endif
