/* Backups: a copy of the region as it is at one moment, made while everything goes on.
 *
 * The copy is a region's folder with data, sums, a checkpoint and an empty journal (copy.h). Its
 * moment is the *cut*: a ticket near the end, up to which all batches are in it and behind which
 * none is. The way there:
 *
 *   1. A pass over all pages in use copies each of them once, or both files are cloned. Nothing is
 *      pinned and nobody waits, so a page may be copied while it changes, before, or before it
 *      has anything on the disk.
 *   2. Whatever a batch writes is *marked* when it has been applied. Rounds copy what is marked,
 *      until few pages are or there were rounds enough.
 *   3. The cut, in one turn of the loop: what gathers is sealed; free blocks and tokens are taken
 *      as they are (checkpoint_image.h), which is what the batches up to here make of them; and the
 *      pages to be copied still are written down, the *rest*: those that are marked, and those that
 *      batches up to the cut have yet to write. The cut is hurried.
 *   4. When all batches up to the cut are applied the rest is copied. Until a page of it is, no
 *      later batch may write there, which waits meanwhile with those behind it; and no upload and
 *      no discard. What somebody waits for is copied first.
 *   5. The files are synced, and the folder gets its name.
 *
 * Why each page in use at the cut is right in the end, with its sum:
 *   - A batch changes pages, from its job's beginning on, and is marked on the loop after its job's
 *     end. A copy that began on the loop before the marking may have seen anything of it; so the
 *     page is marked, and copied again by a later round or with the rest. One that began after the
 *     marking has seen all of it. So a page that has no mark when the rest is written down was
 *     copied last when it was as it is now, whole, and page and sum fitted together.
 *   - The pass may step over a page that is wholly free, or not in any file yet: whatever takes it
 *     into use has it in batch->dirty, from its first byte to its last, uploads and zeros too, and
 *     so it is marked, for the pass was there before; or the pass comes there later.
 *   - Marks in front of the pass may be left out: the pass will begin a copy of that page later.
 *     The position is moved when a piece begins and not when it ends.
 *   - After the cut: commits go in order, and by the hurry every batch up to the cut is applied
 *     before a later one is begun (region_next_commit). The rest is copied between the two, as it
 *     is, and must match its sums. What is not of the rest was copied before and may change.
 *   - The free space of the copy is the tree's at the cut. All that was staged by then has a ticket
 *     up to the cut, as the gathering batch was sealed with it.
 * How long anybody waits: writers that outrun the copying leave a rest as large as the region,
 * however many rounds there were. All of it is kept, but only what a batch changes is in its way,
 * and that is copied next: a batch waits for the piece that is being copied, and then for as many
 * pages as it changes itself, as if each old page were saved by who overwrites it. So what a rest
 * costs them is spread over the batches that meet it, and none waits for the size of it. The backup
 * comes to its end all the same, since each piece leaves fewer pages; when nobody waits it goes
 * through the rest in order.
 *
 * A page that does not match its sum may just be changing; it is marked by hand, and so is looked
 * at again when nothing changes it. If it does not match then, it is damaged, and there is no
 * backup. A page that was cloned and not copied is not looked at.
 *
 * A crash, or any failure, leaves a folder with a name that no backup has; without a meta file
 * until it is complete. The region's own files are only read. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/backups.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

#define DATA_FILE "data"

/* ---- Worker ---- */

static int visit_nothing(void *context, const char *name, bool is_directory)
{
    (void)context, (void)name, (void)is_directory;
    return 0;
}

static int check_absent(struct io *io, const char *name, struct err *err)
{
    int result = io->ops->list(io, name, visit_nothing, NULL);
    if (result == -ENOENT)
        return 0;
    if (result == 0 || result == -ENOTDIR)
        return err_set(err, ERR_EXISTS, "there is a backup named '%s' already", name);
    return err_io(err, result, "list", name);
}

static int open_backup(struct region_job *base, struct err *err)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    struct region *region = job->region;
    int code = check_absent(job->io, job->name, err);
    if (code == 0)
        code = io_open_at(region->io, region->folder, DATA_FILE, 0, &job->data, err);
    if (code == 0)
        code = io_make_room(job->io, job->fresh, ".", BACKUPS, err);
    job->is_ours = code == 0;
    if (code == 0)
        code = region_copy_begin(&job->copy, job->io, job->fresh, err);
    return code == 0 ? region_copy_open(&job->copy, region->meta.secret, region->io, region->folder,
                                        job->data, region->sums, err)
                     : code;
}

static int copy_piece(struct region_job *base, struct err *err)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    struct region *region = job->region;
    const struct copy_source source = {
        .io = region->io,
        .folder = region->folder,
        .data = job->is_again ? job->data : region->data_for_scrub,
        .sums = region->sums,
        .seed = region->sum_seed,
        .is_verified = job->is_verified,
    };
    return region_copy_pages(&job->copy, &source, &job->piece, &job->findings, err);
}

static void close_files(struct backup_job *job)
{
    region_copy_release(&job->copy);
    if (job->data != NULL)
        job->region->io->ops->close(job->region->io, job->data);
    job->data = NULL;
}

static int close_backup(struct region_job *base, struct err *err)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    struct io *io = job->io;
    int code = region_copy_finish(&job->copy, &job->meta, &job->image, err);
    if (code != 0)
        return code;
    close_files(job);
    int result = io->ops->rename(io, job->fresh, job->name);
    if (result == -ENOTEMPTY || result == -EEXIST || result == -ENOTDIR)
        return err_set(err, ERR_EXISTS, "there is a backup named '%s' already", job->name);
    if (result != 0)
        return err_io(err, result, "rename", job->fresh);
    result = io->ops->sync_directory(io, ".");
    if (result == 0)
        return 0;
    /* It may be there after a power cut, or may not: better it is not. */
    code = err_io(err, result, "sync", BACKUPS);
    struct err reason = *err;
    bool is_back = io->ops->rename(io, job->name, job->fresh) == 0;
    job->is_ours = is_back && io->ops->sync_directory(io, ".") == 0;
    if (job->is_ours)
        return code;
    return err_set(err, (enum err_code)code,
                   "%s: the backup '%s' is %s until the next start, which may find it %s",
                   reason.text, job->name, is_back ? "not there" : "there",
                   is_back ? "there" : "gone");
}

static int undo_backup(struct region_job *base, struct err *err)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    struct err ignored;
    (void)err;
    close_files(job);
    /* What is left costs space and nothing else: it goes when the directory is opened next. */
    if (job->is_ours)
        (void)io_remove_folder(job->io, job->fresh, &ignored);
    return 0;
}

/* ---- Marks ---- */

static void fail(struct region *region, const struct err *err)
{
    struct backup *backup = &region->backup;
    if (backup->has_failed)
        return;
    backup->has_failed = true;
    backup->failure = *err;
}

static void fail_without_memory(struct region *region)
{
    struct err err;
    (void)err_no_memory(&err);
    fail(region, &err);
}

/* Adds the pages of a set of bytes, as far as they lie before the position. */
static int add_pages(struct extentset *pages, const struct extentset *set, uint64_t position)
{
    struct extent block = {0, 0};
    if (set->everything)
        return -ENOMEM;
    while (maxtree_seek(&set->tree, extent_end(block), &block)) {
        struct extent whole = bytes_of(pages_around(block));
        if (whole.address >= position)
            return 0;
        whole.size = min_u64(extent_end(whole), position) - whole.address;
        if (extentset_add(pages, whole) != 0)
            return -ENOMEM;
    }
    return 0;
}

void region_backup_applied(struct region *region, const struct batch *batch)
{
    struct backup *backup = &region->backup;
    if (backup->state != BACKUP_OPENING && backup->state != BACKUP_PASS &&
        backup->state != BACKUP_ROUNDS)
        return;
    if (add_pages(&backup->marks, &batch->dirty, backup->position) != 0)
        fail_without_memory(region);
}

bool region_backup_keeps_extent(const struct region *region, struct extent extent)
{
    const struct backup *backup = &region->backup;
    struct extent kept;
    return (backup->state == BACKUP_CUT || backup->state == BACKUP_REST) &&
           maxtree_seek(&backup->todo, extent.address, &kept) && kept.address < extent_end(extent);
}

bool region_backup_keeps(const struct region *region, const struct batch *batch)
{
    const struct backup *backup = &region->backup;
    struct extent block = {0, 0};
    if ((backup->state != BACKUP_CUT && backup->state != BACKUP_REST) ||
        batch->ticket <= backup->cut || backup->todo.blocks == 0)
        return false;
    if (batch->dirty.everything)
        return true;
    while (maxtree_seek(&batch->dirty.tree, extent_end(block), &block))
        if (region_backup_keeps_extent(region, block))
            return true;
    return false;
}

/* ---- Pieces ---- */

/* The next pages in use, from the position on, which moves behind them. */
static void pass_piece(struct region *region, struct copy_piece *piece)
{
    struct backup *backup = &region->backup;
    struct extent used;
    while (copy_piece_has_room(piece) && region_next_used(region, backup->position, &used))
        backup->position =
            DATA_PAGE * copy_piece_add(piece, pages_around(used), backup->position / DATA_PAGE);
}

/* The next pages of the round, which are taken out of it; those that are free by now are not in the
 * piece. Looks at a bounded number of blocks. */
static void round_piece(struct region *region, struct copy_piece *piece)
{
    struct maxtree *todo = &region->backup.todo;
    struct extent block, used;
    for (unsigned looks = 0; looks < 4 * COPY_RUNS; looks++) {
        if (!copy_piece_has_room(piece) || !maxtree_seek(todo, 0, &block))
            return;
        uint64_t end = extent_end(block);
        if (region_next_used(region, block.address, &used) && used.address < end) {
            struct page_run run = pages_around(used);
            run.count = min_u64(run_end(run), end / DATA_PAGE) - run.first;
            end = DATA_PAGE * copy_piece_add(piece, run, block.address / DATA_PAGE);
        }
        /* The low end of a block: it takes no memory. */
        (void)maxtree_remove(todo, (struct extent){block.address, end - block.address});
    }
}

/* What the rest has of an extent behind what is in the piece already. */
static void add_kept(const struct region *region, struct extent extent, struct copy_piece *piece)
{
    struct extent whole = bytes_of(pages_around(extent)), kept;
    uint64_t at = whole.address;
    if (piece->run_count > 0)
        at = max_u64(at, DATA_PAGE * run_end(piece->runs[piece->run_count - 1]));
    while (copy_piece_has_room(piece) && at < extent_end(whole) &&
           maxtree_seek(&region->backup.todo, at, &kept) && kept.address < extent_end(whole)) {
        uint64_t end = min_u64(extent_end(kept), extent_end(whole));
        at = max_u64(at, kept.address);
        at = DATA_PAGE *
             copy_piece_add(piece, pages_around((struct extent){at, end - at}), at / DATA_PAGE);
    }
}

/* What the first batch of the list waits for that waits for anything. */
static void wanted_by_batches(const struct region *region, const struct batch_list *list,
                              struct copy_piece *piece)
{
    for (const struct batch *batch = list->first; batch != NULL && piece->run_count == 0;
         batch = batch->next) {
        struct extent block = {0, 0};
        if (batch->ticket <= region->backup.cut || batch->dirty.everything)
            continue;
        while (copy_piece_has_room(piece) &&
               maxtree_seek(&batch->dirty.tree, extent_end(block), &block))
            add_kept(region, block, piece);
    }
}

static void wanted_by_uploads(const struct region *region, struct copy_piece *piece)
{
    for (const struct region_upload *upload = region->uploads;
         upload != NULL && piece->run_count == 0; upload = upload->next)
        if (upload->part_count > 0 || upload->is_moving)
            add_kept(region, region_upload_pages(upload), piece);
}

/* The next pages of the rest: those that somebody waits for, or else from its beginning on. They
 * stay in it until they are copied. */
static void rest_piece(struct region *region, struct copy_piece *piece)
{
    struct extent block = {0, 0};
    wanted_by_batches(region, &region->pending, piece);
    if (piece->run_count == 0)
        wanted_by_batches(region, &region->queue, piece);
    if (piece->run_count == 0)
        wanted_by_uploads(region, piece);
    if (piece->run_count > 0)
        return;
    while (copy_piece_has_room(piece) &&
           maxtree_seek(&region->backup.todo, extent_end(block), &block))
        (void)copy_piece_add(piece, pages_around(block), 0);
}

static void drop_rest(struct region *region, const struct copy_piece *piece)
{
    for (size_t i = 0; i < piece->run_count; i++)
        (void)maxtree_remove(&region->backup.todo, bytes_of(piece->runs[i]));
}

/* ---- The cut ---- */

/* The pages of a set that have a byte in use now. */
static int keep_used(struct region *region, const struct extentset *pages)
{
    struct extent block = {0, 0}, used;
    while (maxtree_seek(&pages->tree, extent_end(block), &block)) {
        uint64_t at = block.address, end = extent_end(block);
        while (at < end && region_next_used(region, at, &used) && used.address < end) {
            struct extent whole = bytes_of(pages_around(used));
            uint64_t from = max_u64(whole.address, at);
            at = min_u64(extent_end(whole), end);
            if (maxtree_add(&region->backup.todo, (struct extent){from, at - from}) != 0)
                return -ENOMEM;
        }
    }
    return 0;
}

static int add_list(struct extentset *pages, const struct batch *batch)
{
    int result = 0;
    for (; result == 0 && batch != NULL; batch = batch->next)
        result = add_pages(pages, &batch->dirty, UINT64_MAX);
    return result;
}

/* Everything that is still to be copied, in todo. */
static int write_down_rest(struct region *region)
{
    struct extentset *marks = &region->backup.marks;
    int result = marks->everything ? -ENOMEM : 0;
    if (result == 0)
        result = add_list(marks, region->pending.first);
    if (result == 0 && region->commit.batch != NULL)
        result = add_pages(marks, &region->commit.batch->dirty, UINT64_MAX);
    if (result == 0)
        result = add_list(marks, region->queue.first);
    if (result == 0)
        result = keep_used(region, marks);
    extentset_clear(marks);
    return result;
}

static void cut(struct region *region)
{
    struct backup *backup = &region->backup;
    struct backup_job *job = region->backing_up;
    struct region_info info;
    assert(!region->atomic.is_open && backup->todo.blocks == 0);
    region_seal(region);
    /* One that was not sealed has nothing in it. */
    backup->cut = region->newest_ticket - (region->gathering != NULL);
    region->hurry_ticket = max_u64(region->hurry_ticket, backup->cut);
    tokens_settle(&region->tokens, region->done_ticket);
    region_get_info_now(region, &info);
    job->meta = region->meta;
    job->size = info.size;
    backup->state = BACKUP_CUT;
    if (checkpoint_image_take(&job->image, &region->space.tree, &region->reserved, &region->tokens,
                              info.size, info.pages) != 0 ||
        write_down_rest(region) != 0)
        fail_without_memory(region);
}

/* ---- From one state to the next ---- */

static void begin_round(struct region *region)
{
    struct backup *backup = &region->backup;
    struct maxtree tree = backup->todo;
    backup->todo = backup->marks.tree;
    backup->marks.tree = tree;
    extentset_clear(&backup->marks);
    backup->rounds++;
}

/* A job is done: what comes next. */
static void go_on(struct region *region)
{
    struct backup *backup = &region->backup;
    struct backup_job *job = region->backing_up;
    struct extent used;
    if (backup->state == BACKUP_OPENING) {
        backup->state = job->copy.is_cloned ? BACKUP_ROUNDS : BACKUP_PASS;
        if (!job->copy.is_cloned) {
            backup->position = 0;
            extentset_clear(&backup->marks);
        }
    }
    if (backup->state == BACKUP_PASS && !region_next_used(region, backup->position, &used)) {
        backup->state = BACKUP_ROUNDS;
        backup->position = UINT64_MAX;
        job->copy.has_data = true;
    }
    if (backup->state == BACKUP_ROUNDS && backup->todo.blocks == 0) {
        if (backup->marks.everything)
            fail_without_memory(region);
        else if (backup->marks.tree.bytes > BACKUP_REST_PAGES * (uint64_t)DATA_PAGE &&
                 backup->rounds < BACKUP_TURNS)
            begin_round(region);
        else
            cut(region);
    }
}

static void end(struct region *region)
{
    struct backup *backup = &region->backup;
    checkpoint_image_release(&region->backing_up->image);
    extentset_clear(&backup->marks);
    maxtree_release(&backup->todo);
    backup->state = BACKUP_ENDED;
}

/* What a pass or round finds may be on its way just now. */
static void judge(struct region *region, struct backup_job *job)
{
    struct err err;
    for (size_t i = 0; i < job->findings.count; i++) {
        uint64_t address = job->findings.pages[i] * DATA_PAGE;
        if (!job->is_strict) {
            if (extentset_add(&region->backup.marks, (struct extent){address, DATA_PAGE}) != 0)
                fail_without_memory(region);
            continue;
        }
        (void)region_note_damage(region, address);
        (void)err_set(&err, ERR_CORRUPT,
                      "%s/" DATA_FILE ": the page at %llu does not match its checksum, so that a "
                      "backup of the region would be damaged, too",
                      region->folder, (unsigned long long)address);
        fail(region, &err);
    }
}

static void piece_done(struct region *region, struct region_job *base)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    if (base->code != 0) {
        (void)region_note_finding(region, job->findings.unreadable, true);
        fail(region, &base->err);
        return;
    }
    judge(region, job);
    if (job->is_strict)
        drop_rest(region, &job->piece);
    if (!region->backup.has_failed)
        go_on(region);
}

static void opened(struct region *region, struct region_job *base)
{
    struct backup_job *job = (struct backup_job *)(void *)base;
    if (job->copy.has_lost_source)
        region_fail(region, &base->err);
    if (base->code != 0)
        fail(region, &base->err);
    else if (!region->backup.has_failed)
        go_on(region);
}

static void closed(struct region *region, struct region_job *base)
{
    const struct backup_job *job = (const struct backup_job *)(const void *)base;
    if (base->code != 0) {
        /* What the disk may have is said in any case. */
        region->backup.has_failed &= job->is_ours;
        fail(region, &base->err);
        return;
    }
    region->backup.has_failed = false; /* too late */
    end(region);
}

static void undone(struct region *region, struct region_job *base)
{
    (void)base;
    end(region);
}

/* ---- Jobs ---- */

static struct region_job *job_of(struct region *region,
                                 int (*run)(struct region_job *job, struct err *err),
                                 void (*done)(struct region *region, struct region_job *job))
{
    struct region_job *job = &region->backing_up->job;
    job->run = run;
    job->done = done;
    return job;
}

/* There is always a job, even of no pages: what comes after it is found out when it is done. */
static struct region_job *piece_job(struct region *region)
{
    struct backup_job *job = region->backing_up;
    enum backup_state state = region->backup.state;
    job->piece.run_count = 0;
    job->piece.pages = 0;
    job->is_strict = state == BACKUP_REST;
    job->is_again = state != BACKUP_PASS;
    job->is_verified = region_is_verified(region);
    if (state == BACKUP_PASS)
        pass_piece(region, &job->piece);
    else if (state == BACKUP_ROUNDS)
        round_piece(region, &job->piece);
    else
        rest_piece(region, &job->piece);
    return job_of(region, copy_piece, piece_done);
}

struct region_job *region_next_backup(struct region *region)
{
    struct backup *backup = &region->backup;
    if (backup->state == BACKUP_NONE || backup->state == BACKUP_ENDED)
        return NULL;
    if (region->is_failing || region->is_failed)
        fail(region, &region->failure);
    if (backup->has_failed) {
        /* What waits for the rest may go on. */
        backup->state = BACKUP_UNDOING;
        return job_of(region, undo_backup, undone);
    }
    if (backup->state == BACKUP_OPENING)
        return job_of(region, open_backup, opened);
    if (backup->state == BACKUP_CUT && region->applied_ticket < backup->cut)
        return NULL;
    if (backup->state == BACKUP_CUT)
        backup->state = BACKUP_REST;
    if (backup->state == BACKUP_REST && backup->todo.blocks == 0) {
        backup->state = BACKUP_CLOSING;
        return job_of(region, close_backup, closed);
    }
    return piece_job(region);
}

/* ---- From outside ---- */

static int check(const struct region *region, const char *name, struct err *err)
{
    if (!region_name_is_valid(name, strlen(name)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "'%.80s' is not a name for a backup: 1 to %d letters, digits, dots, "
                       "underscores and hyphens, the first one a letter or digit",
                       name, REGION_NAME_MAX);
    if (region->read_only || region->is_failing || region->is_failed)
        return err_set(err, ERR_READ_ONLY, "region %s is read-only: %s", region->meta.name,
                       region->read_only ? "it was opened so" : region->failure.text);
    if (region->backup.state != BACKUP_NONE)
        return err_set(err, ERR_BUSY, "region %s is being backed up as '%s' already",
                       region->meta.name, region->backing_up->name);
    return 0;
}

int region_backup_begin(struct region *region, struct io *io, const char *name, struct err *err)
{
    struct backup *backup = &region->backup;
    int code = check(region, name, err);
    if (code != 0)
        return code;
    struct backup_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return err_no_memory(err);
    job->region = region;
    job->io = io;
    memcpy(job->name, name, strlen(name) + 1);
    /* Another region may be on its way to the same name. */
    (void)snprintf(job->fresh, sizeof job->fresh, ".new-%s.%llu", name,
                   (unsigned long long)region->meta.id);
    region->backing_up = job;
    backup->state = BACKUP_OPENING;
    backup->position = UINT64_MAX; /* it may be cloned at any moment */
    backup->rounds = 0;
    backup->has_failed = false;
    return 0;
}

void region_backup_cancel(struct region *region, const struct err *why)
{
    if (region->backup.state != BACKUP_NONE && region->backup.state != BACKUP_ENDED)
        fail(region, why);
}

bool region_is_backed_up(const struct region *region)
{
    return region->backup.state != BACKUP_NONE;
}

bool region_take_backup(struct region *region, struct region_backup *ret_backup)
{
    struct backup *backup = &region->backup;
    struct backup_job *job = region->backing_up;
    if (backup->state != BACKUP_ENDED)
        return false;
    *ret_backup = (struct region_backup){
        .bytes = job->copy.bytes,
        .size = job->size,
        .is_cloned = job->copy.is_cloned,
    };
    if (backup->has_failed) {
        ret_backup->code = (int)backup->failure.code;
        ret_backup->err = backup->failure;
    }
    free(job);
    region->backing_up = NULL;
    backup->state = BACKUP_NONE;
    return true;
}

void region_backup_release(struct region *region)
{
    struct backup *backup = &region->backup;
    extentset_release(&backup->marks);
    maxtree_release(&backup->todo);
    if (region->backing_up == NULL)
        return;
    close_files(region->backing_up);
    checkpoint_image_release(&region->backing_up->image);
    free(region->backing_up);
    region->backing_up = NULL;
    backup->state = BACKUP_NONE;
}
