#include "core/migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/checkpoint.h"
#include "core/format1.h"
#include "core/iofile.h"
#include "core/journal_reader.h"
#include "core/recover.h"
#include "core/replay.h"
#include "core/sums.h"

typedef int meta_reader(const uint8_t *bytes, size_t size, const char *folder,
                        struct meta *ret_meta, struct err *err);

/* What format 1 does not know gets its default. */
static int read_meta_v1(const uint8_t *bytes, size_t size, const char *folder,
                        struct meta *ret_meta, struct err *err)
{
    static const enum durability durabilities[] = {
        [FORMAT1_SYNC] = DURABILITY_SYNC,
        [FORMAT1_INTERVAL] = DURABILITY_INTERVAL,
        [FORMAT1_NONE] = DURABILITY_NONE,
    };
    static const enum fit fits[] = {
        [FORMAT1_TIGHT] = FIT_TIGHT,
        [FORMAT1_LOWEST] = FIT_LOWEST,
        [FORMAT1_LARGEST] = FIT_LARGEST,
    };
    struct format1_meta old;
    int code = format1_meta_decode(bytes, size, folder, &old, err);
    if (code != 0)
        return code;
    struct meta meta = {.id = old.id, .options = region_options_default()};
    memcpy(meta.uuid, old.uuid, sizeof meta.uuid);
    memcpy(meta.secret, old.secret, sizeof meta.secret);
    memcpy(meta.name, old.name, sizeof meta.name);
    meta.options.durability = durabilities[old.durability];
    meta.options.fit = fits[old.fit];
    meta.options.flush_interval_ms = old.flush_interval_ms;
    meta.options.max_size = old.max_size;
    meta.options.journal_size = old.journal_size;
    code = meta_check_name(meta.name, folder, err);
    if (code == 0)
        *ret_meta = meta;
    return code;
}

/* By version. */
static meta_reader *const readers[] = {
    [1] = read_meta_v1,
    [2] = meta_decode_v2,
};

_Static_assert(sizeof readers / sizeof readers[0] == REGION_FORMAT + 1,
               "every format version has a reader");

int migrate_read_meta(struct io *io, const char *folder, struct meta *ret_meta,
                      uint32_t *ret_version, struct err *err)
{
    uint8_t bytes[META_SIZE_MAX];
    size_t size = 0;
    uint32_t version = 0;
    int code = io_read_small(io, folder, META_FILE, bytes, sizeof bytes, &size, err);
    if (code == 0)
        code = meta_version(bytes, size, folder, &version, err);
    if (code != 0)
        return code;
    if (version > REGION_FORMAT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s/" META_FILE
                       " has format version %u, and this program knows versions up to %u: "
                       "use a newer mregiond",
                       folder, version, REGION_FORMAT);
    if (readers[version] == NULL)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " has format version %u, which never was",
                       folder, version);
    code = readers[version](bytes, size, folder, ret_meta, err);
    if (code == 0)
        *ret_version = version;
    return code;
}

/* ---- From format 1 ----
 *
 * Format 2 has other names for its checkpoints, and its journal begins behind all of the old one,
 * so the files of both stand side by side until meta says which ones count. */

#define DATA_FILE "data"
#define PAGES_AT_ONCE 256
#define PROGRESS_STEP (64 * MIB)
/* What a file system may need to write down about the new files. */
#define SPACE_ASIDE (1 * MIB)

static const char *const old_checkpoints[] = {"checkpoint-0", "checkpoint-1"};

struct migration {
    struct io *io;
    const char *folder;
    migrate_progress *progress;
    void *context;
    struct meta meta;
    struct migrate_plan plan;
    struct format1 old;
    struct io_file *data, *sums;
    uint64_t data_size; /* in whole pages */
    uint8_t *pages;     /* PAGES_AT_ONCE of them */
    uint64_t read, told;
    struct err *err;
};

static int file_error(struct migration *m, int error, const char *verb, const char *name)
{
    return err_io_at(m->err, error, verb, m->folder, name);
}

static int sync_folder(struct migration *m)
{
    int result = m->io->ops->sync_directory(m->io, m->folder);
    return result == 0 ? 0 : err_io(m->err, result, "sync", m->folder);
}

/* Whether it was there is all the same. */
static int remove_file(struct io *io, const char *folder, const char *name, struct err *err)
{
    char path[IO_PATH_SIZE];
    int code = io_join(path, folder, name, err);
    int result = code == 0 ? io->ops->remove(io, path) : 0;
    return result == 0 || result == -ENOENT ? code : err_io(err, result, "remove", path);
}

static int open_data(struct migration *m, bool read_only)
{
    int code =
        io_open_at(m->io, m->folder, DATA_FILE, read_only ? IO_READ_ONLY : 0, &m->data, m->err);
    if (code != 0)
        return code;
    int result = m->io->ops->size(m->io, m->data, &m->old.data_size);
    if (result != 0)
        return file_error(m, result, "open", DATA_FILE);
    m->data_size = round_up(m->old.data_size, DATA_PAGE);
    return 0;
}

static uint64_t used_bytes(const struct migration *m)
{
    struct extent rest = {0, m->old.space.size}, part;
    uint64_t bytes = 0;
    while (rest.size > 0 && replay_needed(&m->old.space, rest, &part)) {
        bytes += round_up(extent_end(part), DATA_PAGE) - round_down(part.address, DATA_PAGE);
        rest = (struct extent){extent_end(part), extent_end(rest) - extent_end(part)};
    }
    return bytes;
}

/* No region got this far, and the numbers of the next format go on from here: they are to be well
 * below the end at which a recovery refuses them. */
#define SEQUENCE_MAX (RECOVER_END - (UINT64_C(1) << 32))
#define JOURNAL_MAX (RECOVER_END - (UINT64_C(1) << 56))

static int check_numbers(struct migration *m)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t sequence = m->old.checkpoint_sequence, end = m->old.journal_end;
    if (sequence > SEQUENCE_MAX)
        return err_set(m->err, ERR_CORRUPT,
                       "%s/%s is not of this region: it says that there were so many checkpoints "
                       "as there can never be",
                       m->folder, old_checkpoints[sequence % 2]);
    if (end > JOURNAL_MAX)
        return err_set(
            m->err, ERR_CORRUPT,
            "%s/%s is not of this region, or a checkpoint is not: no journal gets so far",
            m->folder, journal_name(name, journal_seq(end) - 1));
    return 0;
}

/* Reads what the folder has, of version 1. */
static int look(struct migration *m, bool read_only)
{
    m->old.io = m->io;
    m->old.folder = m->folder;
    memcpy(m->old.secret, m->meta.secret, sizeof m->old.secret);
    freespace_init(&m->old.space, m->meta.options.fit);
    int code = open_data(m, read_only);
    if (code == 0)
        code = format1_read(&m->old, m->err);
    if (code == 0)
        code = check_numbers(m);
    if (code != 0)
        return code;
    m->plan.records = m->old.records;
    m->plan.cut_bytes = m->old.cut_bytes;
    m->plan.read_bytes = used_bytes(m);
    m->plan.space_needed = sums_length(m->data_size) + (m->data_size - m->old.data_size) +
                           CHECKPOINT_SLOTS * checkpoint_room(m->old.space.tree.blocks, 0) +
                           (uint64_t)JOURNAL_SEGMENTS_MIN * JOURNAL_SEGMENT + SPACE_ASIDE;
    int result = m->io->ops->free_space(m->io, &m->plan.space_free);
    return result == 0 ? 0 : file_error(m, result, "find the free space for", SUMS_FILE);
}

static void release(struct migration *m)
{
    format1_release(&m->old);
    if (m->data != NULL)
        m->io->ops->close(m->io, m->data);
    if (m->sums != NULL)
        m->io->ops->close(m->io, m->sums);
    free(m->pages);
}

/* What an attempt left that did not get to meta. */
static int remove_leftovers(struct migration *m)
{
    struct journal_reader reader;
    char name[JOURNAL_NAME_SIZE];
    int code = remove_file(m->io, m->folder, SUMS_FILE, m->err);
    for (unsigned slot = 0; code == 0 && slot < CHECKPOINT_SLOTS; slot++)
        code = remove_file(m->io, m->folder, checkpoint_name(slot), m->err);
    if (code != 0)
        return code;
    code = journal_reader_open(&reader, m->io, m->folder, m->meta.secret, m->err);
    for (size_t i = 0; code == 0 && i < reader.count; i++)
        if (reader.files[i].has_header) /* of the current version */
            code = remove_file(m->io, m->folder, journal_name(name, reader.files[i].seq), m->err);
    journal_reader_release(&reader);
    return code == 0 ? sync_folder(m) : code;
}

static int check_space(struct migration *m)
{
    if (m->plan.space_free >= m->plan.space_needed)
        return 0;
    return err_set(m->err, ERR_NO_SPACE,
                   "bringing %s from format %u to %u takes %llu bytes of disk, and %llu are free: "
                   "make space on its file system",
                   m->folder, m->plan.from, REGION_FORMAT, (unsigned long long)m->plan.space_needed,
                   (unsigned long long)m->plan.space_free);
}

/* Whole pages, durably: their sums count on it. */
static int extend_data(struct migration *m)
{
    if (m->data_size == m->old.data_size)
        return 0;
    int result =
        m->io->ops->allocate(m->io, m->data, m->old.data_size, m->data_size - m->old.data_size);
    if (result != 0)
        return file_error(m, result, "reserve space for", DATA_FILE);
    result = m->io->ops->sync(m->io, m->data);
    return result == 0 ? 0 : file_error(m, result, "sync", DATA_FILE);
}

static void tell(struct migration *m, uint64_t bytes)
{
    m->read += bytes;
    bool is_end = bytes == 0 || m->read == m->plan.read_bytes;
    if (m->progress == NULL || (m->read - m->told < PROGRESS_STEP && !is_end))
        return;
    m->told = m->read;
    m->progress(m->context, m->folder, m->read, m->plan.read_bytes);
}

static int sum_pages(struct migration *m, uint64_t first, size_t count)
{
    uint32_t sums[PAGES_AT_ONCE], seed = record_seed(m->meta.secret);
    size_t size = count * DATA_PAGE;
    ssize_t got = m->io->ops->read(m->io, m->data, m->pages, size, first * DATA_PAGE);
    if (got < 0)
        return file_error(m, (int)got, "read", DATA_FILE);
    if ((size_t)got < size)
        return file_error(m, -EIO, "read past the end of", DATA_FILE);
    for (size_t i = 0; i < count; i++)
        sums[i] = sum_of(seed, first + i, m->pages + i * DATA_PAGE);
    int code = sums_write(m->io, m->folder, m->sums, first, count, sums, m->err);
    if (code == 0)
        tell(m, size);
    return code;
}

static int make_sums(struct migration *m)
{
    struct extent rest = {0, round_up(m->old.space.size, DATA_PAGE)}, part;
    int code = sums_create(m->io, m->folder, SUMS_FILE, m->meta.secret, m->data_size, m->err);
    if (code == 0)
        code = sums_open(m->io, m->folder, m->meta.secret, m->data_size, false, &m->sums, m->err);
    m->pages = malloc((size_t)PAGES_AT_ONCE * DATA_PAGE);
    if (code == 0 && m->pages == NULL)
        code = err_no_memory(m->err);
    while (code == 0 && rest.size > 0 && replay_needed(&m->old.space, rest, &part)) {
        size_t count = (size_t)min_u64(part.size / DATA_PAGE, PAGES_AT_ONCE);
        code = sum_pages(m, page_of(part.address), count);
        uint64_t next = part.address + (uint64_t)count * DATA_PAGE;
        rest = (struct extent){next, extent_end(rest) - next};
    }
    if (code != 0)
        return code;
    int result = m->io->ops->sync(m->io, m->sums);
    return result == 0 ? 0 : file_error(m, result, "sync", SUMS_FILE);
}

static int make_journal(struct migration *m, uint64_t start)
{
    int code = 0;
    for (uint64_t i = 0; code == 0 && i < JOURNAL_SEGMENTS_MIN; i++) {
        code = journal_create_segment(m->io, m->folder, m->meta.secret, journal_seq(start) + i,
                                      start, m->err);
        if (code == 0)
            code = sync_folder(m);
    }
    return code;
}

static int make_checkpoint(struct migration *m, uint64_t start)
{
    struct checkpoint checkpoint = {
        .sequence = m->old.checkpoint_sequence + 1,
        .start = start,
        .end = start,
        .size = m->old.space.size,
        .pages = m->old.pages,
    };
    struct tokens none;
    int code = 0;
    tokens_init(&none, m->meta.secret, 0);
    for (unsigned slot = 0; code == 0 && slot < CHECKPOINT_SLOTS; slot++)
        code = checkpoint_reserve(m->io, m->folder, slot,
                                  checkpoint_room(m->old.space.tree.blocks, 0), m->err);
    if (code == 0)
        code = checkpoint_write(m->io, m->folder, m->meta.secret, &checkpoint, &m->old.space.tree,
                                &none, m->err);
    return code;
}

static int migrate(struct migration *m)
{
    /* First: of a folder that is no whole one of the old version nothing is removed. */
    int code = look(m, false);
    if (code == 0)
        code = remove_leftovers(m);
    if (code == 0)
        code = check_space(m);
    if (code == 0)
        tell(m, 0);
    if (code == 0)
        code = extend_data(m);
    if (code == 0)
        code = format1_settle(&m->old, m->data, m->err);
    if (code == 0)
        code = make_sums(m);
    uint64_t start = round_up(m->old.journal_end, JOURNAL_PAYLOAD);
    if (code == 0)
        code = make_journal(m, start);
    if (code == 0)
        code = make_checkpoint(m, start);
    /* The names of the new files, before meta counts on them. */
    if (code == 0)
        code = sync_folder(m);
    if (code == 0)
        code = meta_write(m->io, m->folder, &m->meta, m->err);
    if (code == 0)
        code = migrate_tidy(m->io, m->folder, m->err);
    return code;
}

/* ---- What there is to do ---- */

static int begin(struct migration *m)
{
    return migrate_read_meta(m->io, m->folder, &m->meta, &m->plan.from, m->err);
}

int migrate_look(struct io *io, const char *folder, struct migrate_plan *ret_plan, struct err *err)
{
    struct migration m = {.io = io, .folder = folder, .err = err};
    int code = begin(&m);
    if (code == 0 && m.plan.from != REGION_FORMAT)
        code = look(&m, true);
    *ret_plan = m.plan;
    release(&m);
    return code;
}

int migrate_region(struct io *io, const char *folder, migrate_progress *progress, void *context,
                   struct migrate_plan *ret_plan, struct err *err)
{
    struct migration m = {
        .io = io, .folder = folder, .progress = progress, .context = context, .err = err};
    int code = begin(&m);
    if (code == 0 && m.plan.from != REGION_FORMAT)
        code = migrate(&m);
    *ret_plan = m.plan;
    release(&m);
    return code;
}

/* The journal's old segments are used again by the recovery that follows: they are like others that
 * no checkpoint needs. */
int migrate_tidy(struct io *io, const char *folder, struct err *err)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof old_checkpoints / sizeof old_checkpoints[0]; i++)
        code = remove_file(io, folder, old_checkpoints[i], err);
    return code;
}
