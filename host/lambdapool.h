/*
 * lambdapool: Lua functions on many workers.
 *
 * This is the public interface of the host library, and the only header that
 * a program which embeds lambdapool includes. A host owns one Lua 5.4 state
 * with the standard libraries, lua-cjson and `require "lambdapool"` in it.
 * Scripts that run in it ship their functions to workers: local processes
 * that run the `bootstrap` program, each behind its own Lambda Runtime API
 * on the loopback interface.
 *
 *   struct lp_config config;
 *   lp_host *host;
 *   lp_config_init(&config);
 *   if (lp_open(&config, &host) == LP_OK)
 *     status = lp_command(host, argc, argv);
 *   lp_close(host);
 *
 * Threads: a host belongs to the thread that opened it, and every call on it
 * is made there. Several hosts in one process are independent of each other.
 * The library starts no thread that calls Lua, installs no signal handler
 * and has no global state.
 *
 * Ownership: in the comments below, a function *borrows* an argument (until
 * it returns, unless a longer time is given) or *copies* it; what it
 * *returns owned* is the caller's to free. Functions that return an int give
 * LP_OK or a negative LP_E... code unless they say otherwise.
 */
#ifndef LAMBDAPOOL_H
#define LAMBDAPOOL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LP_VERSION_MAJOR 0
#define LP_VERSION_MINOR 1
#define LP_VERSION_PATCH 0
#define LP_VERSION       "0.1.0"

#define LP_OK     0
#define LP_ENOMEM (-1) /* memory is exhausted */
#define LP_ELUA   (-2) /* Lua raised an error: see lp_error */
#define LP_EINVAL (-3) /* an argument makes no sense */

/* A host: one Lua state and everything that it started. */
typedef struct lp_host lp_host;

struct lp_config {
  /* sizeof(struct lp_config), set by lp_config_init: it tells the library
   * which fields the program was compiled with. */
  size_t size;

  /* The folder to read the Lua part of lambdapool from, as
   * `<modules>/lambdapool/pool.lua`, instead of the copy that is compiled
   * in. For work on lambdapool itself. Borrowed by lp_open. Default: the
   * environment variable LAMBDAPOOL_LUA, or NULL for the copy inside. */
  const char *modules;
};

/* The version of the library at run time, as "major.minor.patch". */
const char *lp_version(void);

/* Fills in `config` with the defaults. */
void lp_config_init(struct lp_config *config);

/* Opens a host and stores it in *host: returned owned, to be closed with
 * lp_close. `config` is borrowed; NULL stands for the defaults. With LP_ELUA
 * *host is a host that can do nothing but tell its lp_error; with any other
 * error it is NULL. */
int lp_open(const struct lp_config *config, lp_host **host);

/* What the last call on `host` that returned LP_ELUA complained about.
 * Valid until the next call on the host; "" when there was none. */
const char *lp_error(const lp_host *host);

/* Runs a command line of the `lambdapool` program: argv[0] is the name of
 * the program, argv[1] the command. Reads and writes the standard streams as
 * the command does. Returns the exit code of the command, 0 to 255, or
 * LP_ELUA when the command itself broke down. A script that calls os.exit
 * ends the process, as it does in `lua`. `argv` is borrowed. */
int lp_command(lp_host *host, int argc, char **argv);

/* Closes the host: ends its workers, finalises its Lua objects and frees it.
 * Closing NULL is fine. */
void lp_close(lp_host *host);

#ifdef __cplusplus
}
#endif

#endif
