/* Creating, opening and closing a region. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/migrate.h"
#include "core/recover.h"
#include "core/region_private.h"

#define DATA_FILE "data"

/* ---- Creating ---- */

static int create_data(struct io *io, const char *folder, struct err *err)
{
    struct io_file *file;
    int code = io_open_at(io, folder, DATA_FILE, IO_CREATE | IO_EXCLUSIVE, &file, err);
    if (code != 0)
        return code;
    const char *verb = "reserve space for";
    int result = io->ops->allocate(io, file, 0, DATA_CHUNK_MIN);
    if (result == 0) {
        verb = "sync";
        result = io->ops->sync(io, file);
    }
    io->ops->close(io, file);
    return result == 0 ? 0 : err_io_at(err, result, verb, folder, DATA_FILE);
}

static int create_files(struct io *io, const char *folder, const struct meta *meta, struct err *err)
{
    struct checkpoint checkpoint = {.sequence = 1};
    struct maxtree empty;
    struct tokens none;
    maxtree_init(&empty);
    tokens_init(&none, meta->secret, 0);
    int code = create_data(io, folder, err);
    if (code == 0)
        code = sums_create(io, folder, SUMS_FILE, meta->secret, DATA_CHUNK_MIN, err);
    for (unsigned slot = 0; code == 0 && slot < CHECKPOINT_SLOTS; slot++)
        code = checkpoint_reserve(io, folder, slot, recover_slot_room(0, 0), err);
    for (uint64_t seq = 0; code == 0 && seq < JOURNAL_SEGMENTS_MIN; seq++)
        code = journal_create_segment(io, folder, meta->secret, seq, 0, err);
    if (code == 0)
        code = checkpoint_write(io, folder, meta->secret, &checkpoint, &empty, &none, err);
    /* Last, with a sync of the folder and all its names: a folder with a meta file is whole. */
    if (code == 0)
        code = meta_write(io, folder, meta, err);
    return code;
}

int region_create(struct io *io, const char *path, const char *name, uint64_t id,
                  const struct region_options *options, struct err *err)
{
    struct meta meta = {.id = id, .options = *options};
    int code = region_options_check(options, err);
    if (code != 0)
        return code;
    if (!region_name_is_valid(name, strlen(name)))
        return err_set(
            err, ERR_INVALID_ARGUMENT,
            "'%.80s' is not a region name: 1 to %d letters, digits, dots, underscores and "
            "hyphens, the first one a letter or digit",
            name, REGION_NAME_MAX);
    memcpy(meta.name, name, strlen(name));
    int result = io->ops->random(io, meta.uuid, sizeof meta.uuid);
    if (result == 0)
        result = io->ops->random(io, meta.secret, sizeof meta.secret);
    if (result != 0)
        return err_io(err, result, "get random bytes for", path);
    result = io->ops->make_directory(io, path);
    if (result == -EEXIST)
        return err_set(err, ERR_EXISTS, "%s exists already", path);
    if (result != 0)
        return err_io(err, result, "create", path);
    return create_files(io, path, &meta, err);
}

/* ---- Opening ---- */

static int open_data(struct region *region, struct err *err)
{
    struct io *io = region->io;
    unsigned flags = region->read_only ? IO_READ_ONLY : 0;
    int code = io_open_at(io, region->folder, DATA_FILE, flags, &region->data, err);
    if (code == 0)
        code = io_open_at(io, region->folder, DATA_FILE, flags, &region->data_for_sync, err);
    if (code != 0)
        return code;
    uint64_t length;
    int result = io->ops->size(io, region->data, &length);
    if (result != 0)
        return err_io_at(err, result, "open", region->folder, DATA_FILE);
    /* A power cut may leave a part of a page where the file was being extended. */
    region->data_size = round_down(length, DATA_PAGE);
    region->sum_seed = record_seed(region->meta.secret);
    code = sums_open(io, region->folder, region->meta.secret, region->data_size, region->read_only,
                     &region->sums, err);
    if (code == 0)
        code = io_open_at(io, region->folder, SUMS_FILE, flags, &region->sums_for_sync, err);
    if (code == 0)
        code = io_open_at(io, region->folder, DATA_FILE, IO_READ_ONLY | IO_ALIGNED,
                          &region->data_for_scrub, err);
    if (code == 0 && !region->read_only)
        code = io_open_at(io, region->folder, DATA_FILE, 0, &region->data_for_uploads, err);
    return code;
}

static int start_journal(struct region *region, const struct recovery *recovery, struct err *err)
{
    struct journal *journal = &region->journal;
    if (journal_reserve(journal, recovery->segment_count + 1) != 0)
        return err_no_memory(err);
    for (size_t i = 0; i < recovery->segment_count; i++)
        journal_add(journal, recovery->first_segment + i);
    journal->next = journal->synced = recovery->journal_start;
    region->written = region->applied = region->written_back = recovery->journal_start;
    region->written_at_open = region->written;
    return 0;
}

static int recover_region(struct region *region, struct err *err)
{
    struct recovery recovery = {
        .io = region->io,
        .folder = region->folder,
        .meta = &region->meta,
        .data = region->data,
        .sums = region->sums,
        .data_size = region->data_size,
        .read_only = region->read_only,
    };
    freespace_init(&recovery.space, region->meta.options.fit);
    tokens_init(&recovery.tokens, region->meta.secret, region->meta.options.token_window);
    int code = recover(&recovery, err);
    /* The region's from here on, whether it went well or not. */
    region->space = recovery.space;
    region->tokens = recovery.tokens;
    region->overlay = recovery.overlay;
    for (size_t i = 0; i < recovery.damage_count; i++)
        (void)region_note_damage(region, recovery.damages[i]);
    free(recovery.damages);
    if (code != 0)
        return code;
    region->pages = recovery.pages;
    region->checkpoint = recovery.checkpoint;
    memcpy(region->slot_room, recovery.slot_room, sizeof region->slot_room);
    region->report = recovery.report;
    region->report.format = region->format;
    return start_journal(region, &recovery, err);
}

static int read_meta(struct region *region, const struct region_options *options, struct err *err)
{
    int code = migrate_read_meta(region->io, region->folder, &region->meta, &region->format, err);
    if (code == 0 && region->format != REGION_FORMAT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s/" META_FILE " has format version %u instead of %u: it must be migrated",
                       region->folder, region->format, REGION_FORMAT);
    if (code != 0 || options == NULL || region_options_equal(options, &region->meta.options))
        return code;
    code = region_options_check(options, err);
    if (code != 0)
        return code;
    region->meta.options = *options;
    return region->read_only ? 0 : meta_write(region->io, region->folder, &region->meta, err);
}

int region_open(struct io *io, const char *path, const struct region_options *options,
                bool read_only, struct region **ret_region, struct region_report *ret_report,
                struct err *err)
{
    struct region *region = calloc(1, sizeof *region);
    if (region == NULL)
        return err_no_memory(err);
    region->io = io;
    region->read_only = read_only;
    region->pins.next = region->pins.previous = &region->pins;
    freespace_init(&region->space, FIT_TIGHT);
    extentset_init(&region->lost);
    extentset_init(&region->torn);
    extentset_init(&region->atomic.fresh);
    extentset_init(&region->verified);
    extentset_init(&region->backup.marks);
    maxtree_init(&region->backup.todo);
    pagecache_init(&region->cache);
    pagecache_init(&region->sum_blocks);
    maxtree_init(&region->discard.holes);
    maxtree_init(&region->discard.candidates);
    struct region_label *label = region_label_new(path, "", err);
    if (label == NULL) {
        region_close(region);
        return ERR_INTERNAL;
    }
    region->label = label;
    region->folder = label->folder;
    int code = read_meta(region, options, err);
    if (code == 0) {
        memcpy(label->name, region->meta.name, sizeof label->name);
        journal_init(&region->journal, io, region->folder, region->meta.secret);
        code = open_data(region, err);
    }
    if (code == 0)
        code = recover_region(region, err);
    if (code == 0 && !region->read_only)
        code = migrate_tidy(region->io, region->folder, err);
    if (code == 0)
        code = region_discard_open(region, err);
    if (code != 0) {
        region_close(region);
        return code;
    }
    pagecache_set_limit(&region->cache, region->meta.options.page_cache);
    region_sums_set_limit(region, region->meta.options.page_cache);
    if (ret_report != NULL)
        *ret_report = region->report;
    *ret_region = region;
    return 0;
}

/* ---- Closing ---- */

void region_close(struct region *region)
{
    if (region == NULL)
        return;
    for (unsigned lane = 0; lane < LANES; lane++)
        assert(region->under_way[lane] == NULL);
    assert(region->is_failed || region_idle(region));
    assert(region->pins.next == &region->pins);
    region_abandon_checkpoint(region);
    region_scrub_release(region);
    region_backup_release(region);
    region_uploads_release(region);
    batch_free(region->gathering);
    for (size_t i = 0; i < region->spare_count; i++)
        batch_free(region->spares[i]);
    journal_release(&region->journal);
    if (region->data != NULL)
        region->io->ops->close(region->io, region->data);
    if (region->data_for_sync != NULL)
        region->io->ops->close(region->io, region->data_for_sync);
    if (region->sums != NULL)
        region->io->ops->close(region->io, region->sums);
    if (region->sums_for_sync != NULL)
        region->io->ops->close(region->io, region->sums_for_sync);
    if (region->data_for_scrub != NULL)
        region->io->ops->close(region->io, region->data_for_scrub);
    if (region->data_for_uploads != NULL)
        region->io->ops->close(region->io, region->data_for_uploads);
    freespace_release(&region->space);
    tokens_release(&region->tokens);
    extentset_release(&region->atomic.fresh);
    extentset_release(&region->lost);
    extentset_release(&region->torn);
    extentset_release(&region->verified);
    page_table_release(&region->pending_pages);
    pagecache_release(&region->cache);
    pagecache_release(&region->sum_blocks);
    free(region->loads_seen);
    free(region->damages);
    free(region->fresh.items);
    maxtree_release(&region->discard.holes);
    maxtree_release(&region->discard.candidates);
    overlay_release(&region->overlay);
    free(region->commit.segments);
    region_free_old_labels(region);
    region_label_free(region->label);
    free(region);
}
