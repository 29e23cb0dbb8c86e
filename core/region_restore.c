/* A region out of a backup: read as it is, and copied into a folder of its own.
 *
 * The backup is opened read-only, which proves its files, and then its pages are copied and
 * compared with their sums on the way, or cloned. What it has of a journal (a folder that somebody
 * copied by hand may have one) is in the overlay then, and gets into the copy by copying. */
#include <stdlib.h>
#include <string.h>

#include "core/iofile.h"
#include "core/region_private.h"
#include "core/region_restore.h"

#define DATA_FILE "data"

struct restoring {
    struct region *source;
    struct region_copy copy;
    struct copy_piece piece;
    struct copy_findings findings;
};

/* The next pages in use from the address on; returns where the piece ends. */
static uint64_t next_piece(const struct region *source, uint64_t address, struct copy_piece *piece)
{
    struct extent used;
    piece->run_count = 0;
    piece->pages = 0;
    while (copy_piece_has_room(piece) && region_next_used(source, address, &used))
        address = DATA_PAGE * copy_piece_add(piece, pages_around(used), address / DATA_PAGE);
    return address;
}

static int copy_all(struct restoring *r, const struct region_wanted *wanted, struct err *err)
{
    struct region *source = r->source;
    const struct copy_source from = {
        .io = source->io,
        .folder = source->folder,
        .data = source->data_for_scrub,
        .sums = source->sums,
        .overlay = &source->overlay,
        .seed = source->sum_seed,
        /* Whatever it is going to be with: pages without a checksum say so in their sums. */
        .is_verified = region_is_verified(source),
    };
    int code = 0;
    for (uint64_t at = 0; code == 0;) {
        at = next_piece(source, at, &r->piece);
        if (r->piece.run_count == 0)
            return 0;
        if (wanted->is_cancelled != NULL && wanted->is_cancelled(wanted->context))
            return err_set(err, ERR_SHUTTING_DOWN,
                           "the server is stopping, and %s was not made from a backup",
                           wanted->name);
        code = region_copy_pages(&r->copy, &from, &r->piece, &r->findings, err);
        if (code == 0 && r->findings.count > 0) {
            unsigned long long address = r->findings.pages[0] * DATA_PAGE;
            code = err_set(err, ERR_CORRUPT,
                           "%s/" DATA_FILE ": the page at %llu does not match its checksum",
                           source->folder, address);
        }
    }
    return code;
}

static int finish(struct restoring *r, const struct region_wanted *wanted, struct err *err)
{
    struct region *source = r->source;
    struct checkpoint_image image = {.count = 0};
    struct region_info info;
    struct meta meta = {.id = wanted->id, .options = source->meta.options};
    memcpy(meta.secret, source->meta.secret, sizeof meta.secret);
    memcpy(meta.name, wanted->name, strlen(wanted->name));
    /* The one that was backed up may be there still. */
    int result = r->copy.io->ops->random(r->copy.io, meta.uuid, sizeof meta.uuid);
    if (result != 0)
        return err_io(err, result, "get random bytes for", wanted->name);
    region_get_info_now(source, &info);
    int code = checkpoint_image_take(&image, &source->space.tree, &source->reserved,
                                     &source->tokens, info.size, info.pages) != 0
                   ? err_no_memory(err)
                   : region_copy_finish(&r->copy, &meta, &image, err);
    checkpoint_image_release(&image);
    return code;
}

static int restore(struct restoring *r, const struct region_wanted *wanted, struct io *to,
                   const char *folder, struct err *err)
{
    struct region *source = r->source;
    bool has_journal = source->report.records > 0;
    int code = region_copy_begin(&r->copy, to, folder, err);
    if (code == 0)
        code = region_copy_open(&r->copy, source->meta.secret, source->io, source->folder,
                                has_journal ? NULL : source->data, source->sums, err);
    if (code == 0 && !r->copy.is_cloned)
        code = copy_all(r, wanted, err);
    return code == 0 ? finish(r, wanted, err) : code;
}

int region_restore(struct io *from, const char *backup, struct io *to, const char *folder,
                   const struct region_wanted *wanted, struct err *err)
{
    struct restoring *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_no_memory(err);
    int code = region_open(from, backup, NULL, true, &r->source, NULL, err);
    if (code == 0)
        code = restore(r, wanted, to, folder, err);
    region_copy_release(&r->copy);
    region_close(r->source);
    free(r);
    return code;
}
