#include "warnings.h"

#include <stdio.h>
#include <string.h>

static void warn(void *user, const char *text, int goes_on) {
  struct lp__stderr_warnings *warnings = user;
  bool is_first = !warnings->goes_on;
  warnings->goes_on = goes_on;
  if (is_first && !goes_on && *text == '@') {
    if (strcmp(text, "@on") == 0)
      warnings->on = true;
    else if (strcmp(text, "@off") == 0)
      warnings->on = false;
  } else if (warnings->on) {
    fprintf(stderr, "%s%s%s", is_first ? "Lua warning: " : "", text,
            goes_on ? "" : "\n");
  }
}

void lp__stderr_warnings_install(lua_State *L,
                                 struct lp__stderr_warnings *warnings) {
  lua_setwarnf(L, warn, warnings);
}
