/* The program that is process 1 of a sandbox.
 *
 * It is made on the spot, of an ELF header and the code below, because what
 * stays in every sandbox should be small: a copy of the host would be as large
 * as the host, hold on to every page that the host changes later, and put the
 * host's secrets into the sandbox. This is two pages, and starts faster than
 * anything with a C library. */
#define _GNU_SOURCE
#include "sandbox_parts.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3: says what was the rule before */
#endif

extern const char lp__init_code[], lp__init_code_end[];

/* for (;;) {
 *   pid = wait4(-1, &status, __WALL, NULL);
 *   if (pid == LP__SANDBOX_CHILD)
 *     break;
 *   if (pid < 0 && pid != -EINTR)
 *     exit_group(status);
 * }
 * write(LP__VERDICT_FD, &status, sizeof status);
 * exit_group(status >> 8); */
#define BEGIN                                                                  \
  ".pushsection .rodata\n"                                                     \
  ".balign 4\n"                                                                \
  ".globl lp__init_code, lp__init_code_end\n"                                  \
  ".hidden lp__init_code, lp__init_code_end\n"                                 \
  "lp__init_code:\n"
#define END                                                                    \
  "lp__init_code_end:\n"                                                       \
  ".popsection\n"

#if defined __x86_64__
#define MACHINE EM_X86_64
__asm__(BEGIN "1: movl $61, %eax\n" /* wait4 */
              "   movq $-1, %rdi\n"
              "   leaq -16(%rsp), %rsi\n"
              "   movl $0x40000000, %edx\n"
              "   xorl %r10d, %r10d\n"
              "   syscall\n"
              "   cmpq $2, %rax\n"
              "   je 2f\n"
              "   testq %rax, %rax\n"
              "   jns 1b\n"
              "   cmpq $-4, %rax\n"
              "   je 1b\n"
              "   jmp 3f\n"
              "2: movl $1, %eax\n" /* write */
              "   movl $3, %edi\n"
              "   movl $4, %edx\n"
              "   syscall\n"
              "3: movl (%rsi), %edi\n"
              "   shrl $8, %edi\n"
              "   movl $231, %eax\n" /* exit_group */
              "   syscall\n" END);
#elif defined __aarch64__
#define MACHINE EM_AARCH64
__asm__(BEGIN "1: mov x8, #260\n" /* wait4 */
              "   mov x0, #-1\n"
              "   sub x1, sp, #16\n"
              "   mov x2, #0x40000000\n"
              "   mov x3, #0\n"
              "   svc #0\n"
              "   cmp x0, #2\n"
              "   b.eq 2f\n"
              "   tbz x0, #63, 1b\n"
              "   cmn x0, #4\n"
              "   b.eq 1b\n"
              "   b 3f\n"
              "2: mov x8, #64\n" /* write */
              "   mov x0, #3\n"
              "   sub x1, sp, #16\n"
              "   mov x2, #4\n"
              "   svc #0\n"
              "3: ldr w0, [sp, #-16]\n"
              "   lsr w0, w0, #8\n"
              "   mov x8, #94\n" /* exit_group */
              "   svc #0\n" END);
#else /* a program that cannot be run: there is no isolation */
#define MACHINE EM_NONE
__asm__(BEGIN END);
#endif

enum { ADDRESS = 0x400000, PAGE = 0x10000 };

struct headers {
  Elf64_Ehdr file;
  Elf64_Phdr segment;
};

static struct headers make_headers(size_t code_size) {
  size_t size = sizeof(struct headers) + code_size;
  return (struct headers){
      {
          .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                      ELFDATA2LSB, EV_CURRENT},
          .e_type = ET_EXEC,
          .e_machine = MACHINE,
          .e_version = EV_CURRENT,
          .e_entry = ADDRESS + sizeof(struct headers),
          .e_phoff = offsetof(struct headers, segment),
          .e_ehsize = sizeof(Elf64_Ehdr),
          .e_phentsize = sizeof(Elf64_Phdr),
          .e_phnum = 1,
      },
      {
          .p_type = PT_LOAD,
          .p_flags = PF_R | PF_X,
          .p_vaddr = ADDRESS,
          .p_paddr = ADDRESS,
          .p_filesz = size,
          .p_memsz = size,
          .p_align = PAGE,
      },
  };
}

static int create_file(void) {
  int fd = memfd_create("init", MFD_CLOEXEC | MFD_EXEC);
  return fd < 0 && errno == EINVAL ? memfd_create("init", MFD_CLOEXEC) : fd;
}

int lp__sandbox_become_init(void) {
  static char *const arguments[] = {(char *)"init", NULL};
  static char *const environment[] = {NULL};
  size_t code_size = (size_t)(lp__init_code_end - lp__init_code);
  struct headers headers = make_headers(code_size);
  const struct iovec parts[] = {{&headers, sizeof headers},
                                {(void *)lp__init_code, code_size}};
  int fd = create_file();
  if (fd >= 0 && writev(fd, parts, 2) >= 0)
    execveat(fd, "", arguments, environment, AT_EMPTY_PATH);
  return -errno;
}
