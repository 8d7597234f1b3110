/*
 * What libraries inside of liblambdapool have in place of something of the C
 * library's. They are compiled for programs: in a shared library their code
 * cannot reach variables that are elsewhere, so the Makefile renames those.
 *
 * pthread_atfork is a choice: libuv would make descriptors in every child that
 * the program forks, to go on in it. So is what is renamed and not here, the
 * weak names of zstd that a program may define to follow its work.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

extern FILE *lp__foreign_stdin, *lp__foreign_stdout, *lp__foreign_stderr;
extern char **lp__foreign_environ;
extern const struct in6_addr lp__foreign_in6addr_any;
int lp__foreign_pthread_atfork(void (*prepare)(void), void (*parent)(void),
                               void (*child)(void));

FILE *lp__foreign_stdin, *lp__foreign_stdout, *lp__foreign_stderr;

/* Of libuv, for processes that it starts: ours are started by process.c. */
char **lp__foreign_environ;

const struct in6_addr lp__foreign_in6addr_any = IN6ADDR_ANY_INIT;

__attribute__((constructor)) static void take_standard_files(void) {
  lp__foreign_stdin = stdin;
  lp__foreign_stdout = stdout;
  lp__foreign_stderr = stderr;
}

int lp__foreign_pthread_atfork(void (*prepare)(void), void (*parent)(void),
                               void (*child)(void)) {
  (void)prepare;
  (void)parent;
  (void)child;
  return 0;
}

#ifdef __SANITIZE_THREAD__
/* Libuv closes descriptors by system calls, of which ThreadSanitizer knows
 * nothing: it would take the next one of that number for the old one. */
long lp__foreign_syscall(long number, long a, long b, long c, long d, long e,
                         long f);

long lp__foreign_syscall(long number, long a, long b, long c, long d, long e,
                         long f) {
  return number == SYS_close ? close((int)a)
                             : syscall(number, a, b, c, d, e, f);
}
#endif
