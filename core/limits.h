/* Every fixed bound of the system, with its reason. What a user may change is a setting instead
 * (conf/settings.def). */
#ifndef MREGION_CORE_LIMITS_H
#define MREGION_CORE_LIMITS_H

#include <stdint.h>

/* Those within #ifndef are made small by the crash tests, so that a short run passes each of them
 * often. */

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

/* The unit in which a region's capacity grows and is reported: a page of the Motoko world. */
#define REGION_PAGE (64 * KIB)

/* Addresses stay clear of the sign bit of off_t, so that address + size never wraps. */
#define REGION_SIZE_MAX ((uint64_t)1 << 62)

/* A region's name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}, which is a safe file name everywhere. */
#define REGION_NAME_MAX 64

/* The unit of the disk: what a journal record is padded to, so that a block that was once
 * acknowledged is never written again, and what "whole page" means for a large blob. */
#define DISK_BLOCK 4096

/* The unit of checksums: so many bytes of the data file have one sum. A large blob's whole pages
 * and its whole blocks are the same. */
#define DATA_PAGE DISK_BLOCK

/* From this size on, the whole blocks of a new blob go straight to the data file, at the price of
 * one more sync; below it, writing the bytes twice is cheaper than that sync. */
#ifndef LARGE_BLOB
#define LARGE_BLOB (64 * KIB)
#endif

/* From so many bytes on, the pages of fresh space that the small blobs of a batch fill are written
 * before its record, too, at the same price; but not where fewer pages than a run's least lie
 * behind one another, since each run costs a write of its own. */
#ifndef AHEAD_BYTES
#define AHEAD_BYTES (256 * KIB)
#endif
#ifndef AHEAD_RUN
#define AHEAD_RUN 8
#endif

/* One journal segment file. Large enough that a busy commit seldom spans two (each costs a
 * sync of its own), small enough that an idle region stays small. */
#ifndef JOURNAL_SEGMENT
#define JOURNAL_SEGMENT (4 * MIB)
#endif

/* A commit gathers at most this much journal, and requests wait beyond it: bounds memory. One
 * larger request still passes alone. */
#ifndef BATCH_BYTES
#define BATCH_BYTES (16 * MIB)
#endif

/* What a start reads of a segment in one call: few calls, since each waits for the disk. */
#ifndef JOURNAL_PIECE
#define JOURNAL_PIECE (256 * KIB)
#endif

/* The data file begins with the smaller and grows by an eighth, within these bounds: few
 * reservations while it grows fast, and little space held idle. */
#ifndef DATA_CHUNK_MIN
#define DATA_CHUNK_MIN (1 * MIB)
#endif
#ifndef DATA_CHUNK_MAX
#define DATA_CHUNK_MAX (256 * MIB)
#endif

/* After so many bytes of the journal what was put in the data file begins to go to the disk: few
 * system calls, and yet no burst of writes, in which commits would wait, when a checkpoint syncs
 * it. */
#ifndef WRITE_BACK
#define WRITE_BACK (4 * MIB)
#endif

/* A commit changes at most this many pages of which it must keep an image in memory (16 MiB), and
 * requests wait beyond it. One larger request still passes alone. */
#ifndef BATCH_IMAGES
#define BATCH_IMAGES 4096
#endif
/* The same for changes that are made all or nothing, which cannot be spread over commits. */
#define ATOMIC_IMAGES (16 * BATCH_IMAGES)

/* With durability interval and none so many commits may wait to be flushed: each holds memory
 * beside its record, and every load looks through them all. */
#ifndef BATCHES_PENDING
#define BATCHES_PENDING 1024
#endif

/* The answer that a token keeps, and all of them together: bounds memory and checkpoints. */
#ifndef TOKEN_RESULT_MAX
#define TOKEN_RESULT_MAX (1 * MIB)
#endif
#ifndef TOKEN_RESULTS_MAX
#define TOKEN_RESULTS_MAX (16 * MIB)
#endif
/* The largest answer, with what encodes it around a result of TOKEN_RESULT_MAX. */
#define TOKEN_ANSWER_MAX (TOKEN_RESULT_MAX + KIB)

/* Uploads of one region at a time: each holds some 80 KiB. */
#define UPLOADS_MAX 256
/* What one job of the upload lane writes at most: some milliseconds of disk. */
#ifndef UPLOAD_STEP
#define UPLOAD_STEP (4 * MIB)
#endif
/* An upload keeps the sums of so many bytes in memory. Then these are synced, and a record has
 * their sums: so neither memory nor the last record, nor its sync, grows with the blob. */
#ifndef UPLOAD_CHUNK
#define UPLOAD_CHUNK (64 * MIB)
#endif

/* Space is given back to the file system in pieces of at most this size, and at most so many bytes
 * a second: a file system's journal is shared by everybody. */
#ifndef DISCARD_PIECE
#define DISCARD_PIECE (16 * MIB)
#endif
#ifndef DISCARD_RATE
#define DISCARD_RATE (256 * MIB)
#endif

/* From a free to giving its space back: what is used again at once keeps it, and neighbors that are
 * freed one after the other go back together. */
#ifndef DISCARD_DELAY_MS
#define DISCARD_DELAY_MS ((uint64_t)1000)
#endif
/* What was given back is reserved again in pieces of at least this size: one sync for many small
 * blobs. */
#ifndef DISCARD_UNDO
#define DISCARD_UNDO (1 * MIB)
#endif

/* What a scrub reads at a time, pinned meanwhile: some 200 microseconds of disk. */
#ifndef SCRUB_PIECE
#define SCRUB_PIECE (1 * MIB)
#endif

/* What a backup copies at a time, without keeping anybody from anything: pages, and runs of them.
 */
#ifndef COPY_PAGES
#define COPY_PAGES 256
#endif
#ifndef COPY_RUNS
#define COPY_RUNS 64
#endif
/* The pages that it copies in the end, which nobody may change meanwhile: some milliseconds. There
 * are more of them where so many rounds were not enough. */
#ifndef BACKUP_REST_PAGES
#define BACKUP_REST_PAGES 1024
#endif
#ifndef BACKUP_TURNS
#define BACKUP_TURNS 8
#endif

/* Damaged pages that are remembered by address; all are counted. */
#define DAMAGES_KEPT 1000

/* Entries a checkpoint encodes on the loop at a stretch: some 20 microseconds. */
#ifndef CHECKPOINT_SLICE
#define CHECKPOINT_SLICE 8192
#endif

#endif
