/* The program keeps its own functions to itself, so this library has base64
 * again. */
#include "host/base64.c"
