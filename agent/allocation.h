/*
 * Allocations of C libraries that fail.
 *
 * When memory is short a C library may say so in words of its own, or abort.
 * So malloc and its kin note what they could not give (malloc.c): then the task
 * that ends in an error, or with the process, has run out of memory. There is
 * one malloc in a process, hence one note, for all threads.
 *
 * Lua's own allocations are not among them: limits.c sees to those, and Lua
 * itself tries again after it has collected garbage.
 */
#ifndef LP__ALLOCATION_H
#define LP__ALLOCATION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* From now on the note stands at `place`, which the caller keeps. */
void lp__allocation_note_at(_Atomic uint64_t *place);

/* An allocation of so many bytes has failed. Async-signal-safe. */
void lp__allocation_failed(size_t size);

/* The note: the size that failed last, in bytes; 0: none did. */
const _Atomic uint64_t *lp__allocation_note(void);

/* Begins anew. */
void lp__allocation_forget(void);

/* realloc that notes nothing, for Lua. */
void *lp__allocation_realloc(void *block, size_t size);

#endif
