/* A copy of a region in the making: a folder, maybe below another io, that becomes a region of its
 * own with an empty journal. Backups are made by it, and regions out of backups.
 *
 * Pages are copied with their sums, so the copy has the secret of what it was made from: what was
 * damaged stays so, whoever looks at it. Free pages are left out, and so are pages of zeros: they
 * take no disk space in the copy. Or all of both files is cloned, where that is allowed
 * (io->shares_space), the file system can, and has room for all that may be overwritten.
 *
 * Until region_copy_finish has answered 0 there is no meta file, so nobody can take the folder for
 * a region. Everything here may block. */
#ifndef MREGION_CORE_COPY_H
#define MREGION_CORE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/checkpoint_image.h"
#include "core/err.h"
#include "core/extent.h"
#include "core/io.h"
#include "core/iofile.h"
#include "core/limits.h"
#include "core/meta.h"
#include "core/record.h"
#include "core/replay.h"

/* What is copied in one go. */
struct copy_piece {
    struct page_run runs[COPY_RUNS]; /* ascending, disjoint */
    size_t run_count;
    uint64_t pages; /* of them together */
};

static inline bool copy_piece_has_room(const struct copy_piece *piece)
{
    return piece->run_count < COPY_RUNS && piece->pages < COPY_PAGES;
}
/* Adds the run's pages from page `first` on, which it has, as far as there is room; the end of what
 * was added. */
uint64_t copy_piece_add(struct copy_piece *piece, struct page_run run, uint64_t first);

/* Where pages come from. */
struct copy_source {
    struct io *io;
    const char *folder;
    struct io_file *data; /* read in whole pages, into aligned memory */
    struct io_file *sums;
    const struct overlay *overlay; /* over both, or NULL */
    uint32_t seed;
    bool is_verified; /* pages are compared with their sums */
};

/* What copying a piece has found. */
struct copy_findings {
    uint64_t pages[COPY_PAGES]; /* that do not match their sums; their copies mean nothing */
    size_t count;
    uint64_t unreadable; /* an address, where the code is ERR_IO_ERROR for it; else UINT64_MAX */
};

struct region_copy {
    struct io *io;
    char folder[IO_PATH_SIZE];
    struct io_file *data, *data_aligned, *sums;
    uint8_t *buffer;  /* of COPY_PAGES */
    uint64_t written; /* bytes since the disk was told to begin */
    uint64_t bytes;   /* copied or cloned */
    bool is_cloned;
    bool has_lost_source; /* a sync of the file that was to be cloned failed: who writes it must
                             know */
    bool has_data;        /* pages may have been copied before; the owner says so */
};

/* Makes the folder, with an empty data file. ERR_EXISTS; ERR_NO_SPACE and the like. Release in any
 * case. */
int region_copy_begin(struct region_copy *copy, struct io *io, const char *folder, struct err *err);
/* Closes the files. */
void region_copy_release(struct region_copy *copy);

/* Clones both files, as they are at two moments, where the file system can (copy->is_cloned); else
 * makes the other one, and the pages are to be copied. The data file is synced before: who writes
 * to it waits while it is cloned, which is to be short. Where data is NULL there is nothing to be
 * cloned. Both are in that folder, for what errors say. */
int region_copy_open(struct region_copy *copy, const uint8_t secret[16], struct io *from,
                     const char *folder, struct io_file *data, struct io_file *sums,
                     struct err *err);
/* Copies the pages of a piece. 0 also where some do not match: see *ret_findings. */
int region_copy_pages(struct region_copy *copy, const struct copy_source *source,
                      const struct copy_piece *piece, struct copy_findings *ret_findings,
                      struct err *err);
/* All pages in use are there: makes the rest and syncs everything but the folder's own name. */
int region_copy_finish(struct region_copy *copy, const struct meta *meta,
                       const struct checkpoint_image *image, struct err *err);

#endif
