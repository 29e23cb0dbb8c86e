/* The group commit of bench_raw: the least that makes bytes durable. A batch is written past the
 * page cache into blocks that were written before, round and round in one file, on the caller's
 * thread or on one of its own. Not safe against two callers. */
#ifndef MREGION_BENCH_RAW_COMMIT_H
#define MREGION_BENCH_RAW_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAW_LARGE 16384 /* blobs from this size on are received into a buffer of their own */

/* Creates the file, writes all its blocks once. With is_threaded, event_fd becomes readable when
 * a batch is done, else it is -1. Ends the program with a sentence where it cannot. */
void commit_open(const char *path, bool is_threaded, int *ret_event_fd);

/* ---- The batch that gathers ---- */

/* Copies bytes into the batch; false when it is full. */
bool commit_add(const void *bytes, size_t size);
/* A buffer for a large blob, NULL when all are in use until a batch is done. */
uint8_t *commit_buffer(void);
void commit_give_back(uint8_t *buffer);
/* The buffer is full and belongs to the batch from now on; false when that is full. */
bool commit_add_buffer(uint8_t *buffer, size_t size);
bool commit_is_empty(void);

/* ---- Writing it ---- */

/* Inline: the batch is durable on return. Threaded: the thread has it; not while it has one. */
void commit_start(void);
bool commit_is_busy(void);
/* Threaded: waits for the batch that the thread has. It is done then, and event_fd was read. */
void commit_wait(void);

#endif
