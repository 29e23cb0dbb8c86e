/* The reader of regions in format 1.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#ifndef MREGION_CORE_FORMAT1_H
#define MREGION_CORE_FORMAT1_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/freespace.h"
#include "core/io.h"

struct format1_inside;

/* ---- The file meta ---- */

#define FORMAT1_NAME_MAX 64

/* The numbers that format 1 writes for the options. */
enum format1_durability { FORMAT1_SYNC, FORMAT1_INTERVAL, FORMAT1_NONE };
enum format1_fit { FORMAT1_TIGHT, FORMAT1_LOWEST, FORMAT1_LARGEST };

struct format1_meta {
    uint64_t id;
    uint8_t uuid[16];
    uint8_t secret[16];
    char name[FORMAT1_NAME_MAX + 1];
    enum format1_durability durability;
    enum format1_fit fit;
    uint64_t flush_interval_ms;
    uint64_t max_size;
    uint64_t journal_size;
};

/* Decodes a meta file whose magic and version are known to be right. ERR_CORRUPT names the folder
 * and what is wrong. */
int format1_meta_decode(const uint8_t *bytes, size_t size, const char *folder,
                        struct format1_meta *ret_meta, struct err *err);

/* ---- A region ---- */

struct format1 {
    /* Set by the caller, the rest zero. */
    struct io *io;
    const char *folder; /* borrowed */
    uint8_t secret[16];
    uint64_t data_size; /* of the data file */
    /* Results. */
    struct freespace space;
    uint64_t pages;
    uint64_t checkpoint_sequence;
    uint64_t records;   /* in the journal since the checkpoint */
    uint64_t cut_bytes; /* torn tail; where it begins in the stream is in cut_at */
    uint64_t cut_at;
    uint64_t journal_end; /* no record was ever written here or behind */
    struct format1_inside *inside;
};

/* Finds out what a region holds; changes nothing. ERR_CORRUPT names file and offset; ERR_IO_ERROR,
 * ERR_INTERNAL without memory. Release it also after a failure. May block. */
int format1_read(struct format1 *format1, struct err *err);

/* After format1_read: puts the bytes that are only in the journal into the data file, and syncs it.
 * A crash leaves a region of format 1 that is as good as before, and doing it again does no harm.
 * ERR_IO_ERROR, ERR_NO_SPACE, ERR_INTERNAL. May block. */
int format1_settle(struct format1 *format1, struct io_file *data, struct err *err);

void format1_release(struct format1 *format1);

#endif
