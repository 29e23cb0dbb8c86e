"""Bugs to plant in the engine: each is a text of a file of core/ that becomes another.

The text must be there exactly once, or the run ends: who changes the engine keeps this list true.
`by` names the programs that are known to find it, the first ones to be run. `quick` ones belong to
every run of the tests.

Left out, because nothing could tell them from the engine:
- A checkpoint that starts behind pending batches (`written` for `applied`): what it waits for puts
  them in place, and its own sync of data comes after.
- A recovery that makes two segments without a sync between: it makes one at most, since a start that
  finds no segment is refused, and a sync comes behind.
- Recycling that keeps no segment: the floor in those that are there says the same, and a segment that
  is missing before others is refused without any floor.
- Notes for undoing that stay in a batch after a part was taken back: doing them twice changes nothing.
- That a batch moves blobs, where that was taken back: it is one sync more.
- A data file that is not synced when it is made: the first start syncs it before it is used.
- A segment's zeros and header with one sync: its length comes first, and what is not written reads
  as zeros.
- A segment that has its new name before its new header, in a crash: neither is used before both are
  durable. Only damage of the newest checkpoint on top of the crash would tell.
- A reservation that syncs data by the file of the commits: what it is not told has failed a commit.
- Segments that an attempt of a migration left: the next attempt's begin behind them, and recovery uses
  them again.
"""

ALL = []


class Mutant:
    def __init__(self, name, sentence, file, edits, found_by, quick):
        self.name, self.sentence, self.file = name, sentence, file
        self.edits, self.found_by, self.quick = edits, found_by, quick


def mutant(name, sentence, file, *edits, by='', quick=False):
    assert edits and all(other.name != name for other in ALL), name
    ALL.append(Mutant(name, sentence, file, edits, by.split(), quick))


# ---- The commit lane ----

mutant('commit-direct-unsynced',
       'a record names bytes of a large blob before they are on the disk', 'region_commit.c',
       ('''    if (code == 0 && job->sync_data)
        code = sync_data(job, err);
    return''', '''    return'''), by='crash/large')
mutant('commit-unsynced', 'a record is acknowledged without a sync', 'region_commit.c',
       ('sync_segments(job, err) : sync_written(job, err);',
        'sync_segments(job, err) : 0;'), by='region_failure crash/small', quick=True)
mutant('commit-unsynced-behind-flush',
       'a record behind a flush in the same job is acknowledged without a sync', 'region_commit.c',
       ('code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);',
        'code = job->flush_first ? 0 : sync_written(job, err);'), by='crash/interval')
mutant('commit-acknowledged-early', 'a change is acknowledged when its job begins',
       'region_commit.c', ('    job->batch = batch;\n',
                           '    job->batch = batch;\n    region->done_ticket = batch->ticket;\n'),
       by='region_commit crash/small')
mutant('commit-applied-early', 'live bytes are overwritten before the record is durable',
       'region_commit.c',
       ('''        code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);
''', '''        code = batch_apply(job->batch, &job->files, err);
    if (code == 0)
        code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);
'''), by='crash/small')
mutant('commit-told-early', 'the loop is told of a batch before it is durable', 'region_commit.c',
       ('''    if (code == 0)
        code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);
    job->is_synced = code == 0;
    return code;
''', '''    job->is_synced = code == 0;
    return code;
'''), ('    int code = job->flush_first ? 0 : apply_pending(job, err);',
       '''    int code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);
    if (code == 0 && !job->flush_first)
        code = apply_pending(job, err);'''), by='crash/small')
mutant('commit-told-applied', 'a batch that is durable counts as put in place', 'region_commit.c',
       ('''    batch_done(region, job->batch);
    region->journal''', '''    batch_done(region, job->batch);
    region->applied_ticket = job->batch->ticket;
    region->journal'''), by='region_commit')
mutant('commit-durable-taken-back', 'what was acknowledged is taken back when it cannot be put in place',
       'region.c', ('    if (region->commit.is_synced)\n        leave(region, &committing);\n', ''),
       by='region_failure')
mutant('flush-durable-taken-back',
       'pending changes that are durable are taken back when they cannot be put in place',
       'region.c', ('    if (region->commit.is_flushed)\n        leave(region, &region->pending);\n', ''),
       by='region_failure')
mutant('interval-past-cache', 'records wait for the disk whatever the durability', 'region_commit.c',
       ('job->past_cache = !is_patient(region);', 'job->past_cache = true;'), by='region_durability')
mutant('sync-through-cache', 'with sync records go through the page cache', 'region_commit.c',
       ('job->past_cache = !is_patient(region);', 'job->past_cache = false;'),
       by='region_durability')
mutant('flush-unsynced', 'pending batches are put in place without a sync of the journal',
       'region_commit.c',
       ('''    int code = job->sync_direct ? sync_data(job, err) : 0;
    if (code == 0)
        code = sync_segments(job, err);
''', '''    int code = job->sync_direct ? sync_data(job, err) : 0;
'''), by='crash/interval')
mutant('flush-direct-unsynced',
       'with durability none records become durable before the bytes that they name',
       'region_commit.c', ('int code = job->sync_direct ? sync_data(job, err) : 0;', 'int code = 0;'),
       by='region_durability')
mutant('flush-direct-forgotten', 'that a pending batch has unsynced bytes in data is forgotten',
       'region_commit.c',
       ('    region->has_direct_unsynced = region->has_direct_unsynced || batch_is_direct(batch);\n',
        ''), by='region_durability')
mutant('commit-no-flush-first',
       'space is written straight into before the record that freed it is durable',
       'region_commit.c', ('job->flush_first = is_direct && is_unsynced && synced < region->written;',
                           'job->flush_first = false;'), by='region_durability crash/interval')
mutant('commit-last-free-forgotten', 'which record was the last to free something is forgotten',
       'region_commit.c', ('''    if (!extentset_is_empty(&batch->frees))
        region->last_free = batch->end;
''', ''), by='region_discard')
mutant('commit-moves-ignored',
       'with durability none a blob takes the place of another without a sync of data',
       'region_commit.c', ('job->sync_data = batch->moves || (is_direct && job->sync_journal);',
                           'job->sync_data = is_direct && job->sync_journal;'),
       by='region_durability')
mutant('commit-pins-ignored', 'bytes that are being read are overwritten', 'region_commit.c',
       ('''    if (((job->sync_journal || is_direct) && region_is_pinned(region, batch)) ||
        (has_pending''', '    if ((has_pending'), by='region_commit')
mutant('flush-pins-ignored', 'pending bytes are put in place while others are read there',
       'region_commit.c', ('        if (region_is_pinned(region, batch))\n            return true;\n',
                           ''), by='region_durability crash/interval')
mutant('record-claims-synced', 'a record says that what is before it is durable, whatever was synced',
       'region_commit.c', ('job->flush_first ? batch->lsn : job->synced);', 'batch->lsn);'),
       by='crash/interval')
mutant('record-claims-nothing', 'no record says what was durable before it', 'region_commit.c',
       ('job->flush_first ? batch->lsn : job->synced);', '0);'), by='region_failure')
mutant('commit-failure-ignored', 'after a commit that failed the region goes on', 'region_commit.c',
       ('        if (!region->is_failing)\n            region_fail(region, &base->err);\n', ''),
       by='region_failure')
mutant('batch-own-frees', 'a blob goes straight into space that its own batch frees',
       'region_stage.c', ('(extentset_overlaps(&batch->reads, dirty) || '
                          'extentset_overlaps(&batch->frees, direct));',
                          'extentset_overlaps(&batch->reads, dirty);'), by='region_commit crash/large')
mutant('batch-own-reads', 'a later change gets into the batch that a load waits for',
       'region_stage.c', ('(extentset_overlaps(&batch->reads, dirty) || '
                          'extentset_overlaps(&batch->frees, direct));',
                          'extentset_overlaps(&batch->frees, direct);'), by='region_commit')
mutant('ahead-own-frees', 'a page that its own batch freed is written before the record',
       'batch_ahead.c', (' && !extentset_overlaps(&batch->frees, bytes_of(run->run));', ';'),
       by='region_ahead crash/small', quick=True)
mutant('ahead-live-pages', 'a page with live bytes is written before the record', 'batch_ahead.c',
       ('return run->kind == EFFECT_FRESH && ',
        'return (run->kind == EFFECT_FRESH || run->kind == EFFECT_CHANGED) && '),
       by='crash/small', quick=True)
mutant('ahead-unsynced', 'a record names pages that were written before it and are not synced',
       'region_commit.c', ('job->sync_data = batch->moves || (is_direct && job->sync_journal);',
                           'job->sync_data = batch->ahead_pages == 0 &&\n'
                           '                     (batch->moves || (is_direct && job->sync_journal));'),
       by='region_ahead crash/small')
mutant('ahead-ragged-part', 'what lies behind the pages of a run is in no record', 'batch_ahead.c',
       ('return code == 0 ? add_part(batch, put, from, end) : code;', 'return code;'),
       by='region_ahead crash/small')
mutant('replace-not-a-move', 'with durability none a replacement may take both blobs',
       'region_overwrite.c', ('''    if (direct.size > 0)
        region->gathering->moves = true; /* one or the other */
''', ''), by='region_durability')
mutant('commit-syncs-its-own-only', 'a commit does not sync the segments of those before it',
       'region_commit.c', ('take_segments(region, min_u64(synced, batch->lsn), batch->end) != 0)',
                           'take_segments(region, batch->lsn, batch->end) != 0)'), by='crash/interval')
mutant('segment-closed-unsynced', 'a segment that is full is closed before it was synced',
       'region_commit.c', ('(live->seq + 1) * JOURNAL_PAYLOAD <= journal->synced)',
                           '(live->seq + 1) * JOURNAL_PAYLOAD <= journal->next)'), by='crash/interval')
mutant('flush-put-off', 'every commit begins the flush interval anew', 'region_commit.c',
       ('''    if (region->pending.first == NULL)
        region->pending_since_ms = region->now_ms;
''', '''    region->pending_since_ms = region->now_ms;
'''), by='region_durability')
mutant('load-not-noted', 'a load does not say what its batch must leave as it is', 'region_load.c',
       ('        (void)extentset_add(&gathering->reads, block);\n', ''), by='region_commit')
mutant('load-not-hurried', 'a load waits until the flush interval is over', 'region_load.c',
       ('    region->hurry_ticket = max_u64(region->hurry_ticket, after);\n', ''), by='region_commit')
mutant('pin-of-bytes', 'of a page that is read in part the rest may be changed', 'region_load.c',
       ('    pin->block = whole_pages(block);\n', '    pin->block = block;\n'), by='region_commit')
mutant('own-batch-size', 'a batch of its own takes the region back to a size that it has then',
       'region_stage.c', ('    batch->size_before = region->size_before_change;\n', ''), by='region_failure')
mutant('refusal-keeps-size', 'a change that was refused leaves the region larger', 'region_stage.c',
       ('if (result == 0 && space->size > before) {', 'if (result == 0 && space->size < before) {'), by='region_discard')
mutant('range-undone-partly', 'a range of many blocks is taken back in part', 'region_stage.c',
       ('    } while (count == RANGE_EXTENTS);\n', '    } while (count > RANGE_EXTENTS);\n'), by='region_failure')

# ---- Pages and sums ----

mutant('sum-before-patch', 'a page gets the sum of what it was before the put', 'batch_build.c',
       ('''    slot->bytes = image;
    slot->is_image = true;
''', '''    slot->bytes = image;
    slot->is_image = true;
    slot->sum = sum_of(b->files->sum_seed, page, image);
'''), ('            else if (slot->bytes != NULL)\n',
       '            else if (slot->bytes != NULL && !slot->is_image)\n'),
       ('            else if (run->kind != EFFECT_DIRECT)\n',
        '            else if (run->kind != EFFECT_DIRECT && !slot->is_image)\n'),
       by='region_verify', quick=True)
mutant('sum-of-first-page', 'all pages of a run get sums with the number of its first',
       'batch_build.c', ('slot_sum(b, run->run.first + j, slot)', 'slot_sum(b, run->run.first, slot)'),
       by='region_verify')
mutant('sum-without-number', 'a page in the wrong place matches', 'sums.c',
       ('crc32c(crc32c(seed, number, sizeof number), bytes, DATA_PAGE)',
        'crc32c(seed, bytes, DATA_PAGE)'), by='sums')
mutant('sum-compared-partly', 'half of a sum is compared', 'sums.c',
       ('sum == sum_of(seed, page, bytes);', '(uint16_t)sum == (uint16_t)sum_of(seed, page, bytes);'),
       by='sums bitrot')
mutant('sum-unverified-shortcut', 'a checksum may look like unverified', 'sums.c',
       ('return bits < 2 || bits > 30 ? sum ^ 0x00ffff00u : sum;', 'return sum;'), by='sums')
mutant('spoiled-zeros-pass', 'a damaged page whose new bytes are zeros is certified', 'sums.c',
       ('return sum == SUM_ZEROS ? 0x00ffff00u : ~sum;', 'return sum == SUM_ZEROS ? 0 : ~sum;'),
       by='sums')
mutant('sums-not-applied', 'sums stay in the journal', 'batch_build.c',
       ('''        if (code == 0)
            code = write_sums(batch, run, files, err);
''', ''), by='region_verify', quick=True)
mutant('sums-not-extended', 'data grows without sums for it', 'region_room.c',
       ('''    int code = sums_extend(job->io, job->folder, job->sums, length, err);
    if (code == ERR_NO_SPACE &&''', '''    int code = 0;
    if (code == ERR_NO_SPACE &&'''), by='region_room')
mutant('sums-extended-late', 'data is durable with pages that have no sums yet', 'region_room.c',
       ('    int code = sums_extend(job->io, job->folder, job->sums, length, err);\n'
        '    if (code == ERR_NO_SPACE &&', '    int code = 0;\n    if (code == ERR_NO_SPACE &&'),
       ('    job->got = length;\n    return 0;',
        '    job->got = length;\n    return sums_extend(job->io, job->folder, job->sums, length, err);'),
       by='region_room')
mutant('sums-extended-unsynced', 'new sums are not durable before the pages are', 'sums.c',
       ('''    result = io->ops->sync(io, file);
    return result == 0 ? 0 : err_io_at(err, result, "sync", folder, SUMS_FILE);
}

void sums_cut''', '''    return 0;
}

void sums_cut'''), by='region_room')
mutant('sums-kept-by-refusal', 'a refusal to grow keeps the space of the sums', 'region_room.c',
       ('        sums_cut(job->io, job->sums, job->from); /* a refusal keeps no space */\n', ''),
       by='region_room')
mutant('fresh-page-not-zeroed', 'a fresh page begins with what was in memory', 'batch_build.c',
       ('        memset(image, 0, DATA_PAGE);\n', '        memset(image, 0x5a, DATA_PAGE);\n'),
       by='region_commit')
mutant('zero-page-not-zeroed', 'allocated space shows what was freed there', 'batch_build.c',
       ('code = write_zeros(files, bytes_of(run->run), err);', 'code = 0;'), by='region_verify')
mutant('pending-page-ignored', 'a put goes over the page as it was before batches that wait',
       'batch_build.c', ('page_table_find(b->files->pages, page);\n    uint32_t sum = 0;',
                         'NULL;\n    uint32_t sum = 0;'), by='region_durability crash/interval')
mutant('put-certifies-damage', 'a damaged page is certified by a change of a part of it',
       'batch_build.c', ('slot->is_spoiled = !base.matches;', 'slot->is_spoiled = false;'),
       by='region_verify')
mutant('pending-put-certifies-damage', 'a damaged page is certified by the second change of it',
       'batch_build.c', ('{!pending->is_spoiled, pending->is_unverified};',
                         '{true, pending->is_unverified};'), by='region_verify')
mutant('put-certifies-unverified', 'an unverified page is certified by a change of a part of it',
       'batch_build.c', ('slot->is_unverified = base.is_unverified;', 'slot->is_unverified = false;'),
       by='region_verify')
mutant('copy-certifies-damage', 'a moving resize gives damaged bytes a fresh sum', 'batch_build.c',
       ('    if (code != 0 || base.matches)\n        return code;\n',
        '    if (code != 0 || base.matches || !b->is_copy_own)\n        return code;\n'),
       by='region_verify')
mutant('copy-not-verified', 'a moving resize does not look before it copies', 'region_verify.c',
       ('region->meta.options.checksum == CHECKSUM_OFF || !find_unverified(region, &block)', 'true'),
       by='region_verify')
mutant('load-not-verified', 'a load on a worker shows a damaged page', 'region_load.c',
       ('''        if (sum_matches(region->sum_seed, first + i, pages + i * DATA_PAGE, sums[i]))
            continue;
''', '''        if (sums[i] + 1 > 0 || i < SIZE_MAX)
            continue;
'''), by='region_verify', quick=True)
mutant('load-now-not-verified', 'a load on the loop shows a damaged page', 'region_load.c',
       ('''            if (!sum_matches(region->sum_seed, first + good, pages + good * DATA_PAGE, sums[i]))
                return good;
''', ''), by='bitrot')
mutant('load-does-not-wait', 'a load reads pages that are being put in place', 'region_load.c',
       ('''    if (after == 0)
        after = moving_ticket(region, block);
''', ''), by='oracle crash/oracle crash/small')
mutant('load-moving-by-bytes', 'a load waits only where its own bytes are put in place',
       'region_load.c', ('    struct extent pages = whole_pages(block);\n', '    struct extent pages = block;\n'),
       by='region_commit oracle')
mutant('load-cached-too-early', 'the page cache shows bytes that a load has to wait for',
       'region_load.c', ('if (*ret_after != 0 && newest_dirty_ticket(region, block) == 0 && is_cached',
                         'if (*ret_after != 0 && is_cached'), by='region_commit')
mutant('damage-forgotten', 'a page that was changed in part is damaged no more', 'region_load.c',
       ('            if (run->slot == SIZE_MAX || !batch->slots[run->slot + j].is_spoiled)\n', ''), by='region_verify')
mutant('damage-of-freed-kept', 'a page that was freed stays in the report', 'region_load.c',
       ('        region_forget_freed(region, &batch->frees);\n', '        return;\n'), by='region_scrub')
mutant('damage-of-start-forgotten', 'what a start found damaged is not known', 'region_open.c',
       ('        (void)region_note_damage(region, recovery.damages[i]);\n', '        (void)region;\n'), by='region_verify')
mutant('open-part-of-page', 'a part of a page at the end of data counts', 'region_open.c',
       ('region->data_size = round_down(length, DATA_PAGE);', 'region->data_size = length;'), by='region_failure')
mutant('page-cache-not-dropped', 'the page cache shows what a page was', 'region_load.c',
       ('        pagecache_drop(&region->cache, run->run);\n', ''), by='region_load region_verify')
mutant('held-not-verified', 'a page is held, and kept, that does not match its checksum', 'region_load.c',
       ('        if (!sum_matches(region->sum_seed, first + i, holds[i].bytes, sums[i]))\n'
        '            return false;\n', '        (void)sums[i];\n'), by='region_load')
mutant('held-evicted', 'a held page makes room for another', 'pagecache.c',
       ('if (!slot->is_used || slot->holds > 0)', 'if (!slot->is_used)'), by='pagecache')
mutant('held-given-back', 'the slot of a held page that changes is free for others', 'pagecache.c',
       ('    if (cache->slots[slot].holds == 0)\n        give_back', '    give_back'), by='pagecache')
mutant('held-freed-with-cache', 'what is held goes with the cache', 'pagecache.c',
       ('        if (cache->chunks[i]->holds == 0)\n            free_chunk(cache->chunks[i]);\n'
        '        else\n            part_from_chunk(cache, cache->chunks[i]);\n',
        '        free_chunk(cache->chunks[i]);\n'), by='pagecache region_load')
mutant('held-without-bound', 'all of the cache may be held', 'pagecache.c',
       ('cache->held + count <= cache->limit / 2', 'cache->held + count <= cache->limit'),
       by='pagecache region_load')
mutant('sum-blocks-not-updated', 'the cached sums stay what they were', 'region_load.c',
       ('        region_sums_applied(region, run, run->slot == SIZE_MAX ? NULL : '
        '&batch->slots[run->slot]);\n', ''), by='region_load region_verify')
mutant('overlay-bytes-ignored', 'read-only, the bytes of the journal are not shown', 'region_load.c',
       ('''                       size);
    overlay_read(&region->overlay, address, buffer, size);
''', '''                       size);
'''), by='region_durability')
mutant('overlay-sums-ignored', 'read-only, the sums of the journal do not count', 'region_load.c',
       ('''        return code;
    overlay_sums(&region->overlay, first, count, sums);
''', '''        return code;
'''), by='region_durability')
mutant('overlay-now-ignored', 'read-only, a load on the loop does not see the journal',
       'region_load.c', ('    overlay_read(&region->overlay, address, buffer, (size_t)got);\n', ''),
       by='region_durability')

# ---- Tokens ----

mutant('token-window', 'one token less than the window is remembered', 'tokens.c',
       ('tokens->done - tokens->first > tokens->window', 'tokens->done - tokens->first >= tokens->window'),
       by='tokens')
mutant('token-window-unsettled', 'a token that is not acknowledged yet pushes out others',
       'tokens.c', ('entry_at(tokens, tokens->done)->ticket <= done_ticket', 'done_ticket < UINT64_MAX'),
       by='tokens')
mutant('token-answers-kept', 'answers are kept beyond their limit', 'tokens.c',
       ('tokens->result_bytes > TOKEN_RESULTS_MAX &&', 'tokens->result_bytes > UINT64_MAX - 1 &&'),
       by='tokens')
mutant('token-index-gap', 'a token taken out of the index hides those behind it', 'tokenindex.c',
       ('if (((next - home) & mask) >= ((next - at) & mask)) {', 'if (((next - home) & mask) > mask) {'),
       by='tokens')
mutant('page-kept-unverified', 'a page that could not be read well is kept as if it were',
       'region_load.c', ("""    if (read_pages_now(region, page, 1, bytes) != 1)
        return NULL;
    if (spare != NULL)
        pagecache_keep(&region->cache, page);
""", """    bool is_good = read_pages_now(region, page, 1, bytes) == 1;
    if (spare != NULL)
        pagecache_keep(&region->cache, page);
    if (!is_good)
        return NULL;
"""), by='region_load region_verify bitrot')
mutant('token-fingerprint-ignored', 'a token answers for another change', 'region_token.c',
       ('if (entry->fingerprint != fingerprint)', 'if (entry->fingerprint + 1 == fingerprint - 1)'),
       by='region_token', quick=True)
mutant('token-dropped-answer', 'an answer that is no longer kept is given as an empty one',
       'region_token.c', ('if (entry->result_size == TOKEN_RESULT_DROPPED)', 'if (fingerprint == 1)'),
       by='region_token')
mutant('token-not-recorded', 'a token is not in the journal', 'region_token.c',
       ('    record_add_token(&batch->record, &token);\n', ''), by='region_token')
mutant('token-not-checkpointed', 'a checkpoint leaves out the newest token', 'checkpoint_write.c',
       ('writer->checkpoint.token_sequence = tokens->next;',
        'writer->checkpoint.token_sequence = tokens->next - (tokens->next > tokens->first);'),
       by='region_token checkpoint')
mutant('token-not-replayed', 'a recovery forgets the tokens in the journal', 'recover.c',
       ('return tokens_replay(&out->tokens, &effect->token);', 'return 0;'), by='region_token')
mutant('token-not-loaded', 'a recovery forgets the tokens of the checkpoint', 'checkpoint_load.c',
       ('int result = tokens_load(loading->tokens, &token);', 'int result = 0;'), by='checkpoint')
mutant('token-replay-unchecked', 'a token that contradicts another is taken', 'tokens.c',
       ('return is_same ? 0 : -EINVAL;', 'return 0;'), by='tokens')
mutant('token-kept-by-failure', 'a change that was taken back is said to have been done', 'region.c',
       ('        tokens_take_back(&region->tokens, batch->tokens_before);\n', ''),
       by='region_token region_failure')
mutant('token-kept-by-undo', 'an atomic batch that was taken back keeps its token',
       'region_atomic.c', ('    tokens_take_back(&region->tokens, atomic->tokens);\n', ''),
       by='region_atomic')
mutant('token-room-ignored', 'tokens are taken that no checkpoint has room for', 'region_room.c',
       ('    if (region->token_answer == 0)\n        return 0;\n    uint64_t need',
        '    if (region->token_answer < UINT64_MAX)\n        return 0;\n    uint64_t need'),
       by='region_token region_room')
mutant('token-room-for-frees-taken', 'the room for tokens of frees is used by others',
       'region_room.c', ('''    if (!is_free || region->token_answer > FREE_ANSWER_MAX)
        need += SLOT_RESERVE;
''', ''), by='region_token region_room')
mutant('token-answered-early', 'who comes again with a token is answered before it is durable',
       'region_token.c', ('    *ret_ticket = entry->ticket;\n', '    *ret_ticket = 0;\n'), by='region_token')
mutant('token-of-nothing-unawaited', 'a token of a change that changes nothing is not waited for',
       'region_token.c', ('''    region->change_ticket = batch->ticket;
    region->token_answer = 0;
''', '''    region->token_answer = 0;
'''), by='region_token')

# ---- All or nothing ----

mutant('atomic-split', 'an atomic batch goes on in a batch of its own', 'region_stage.c',
       ('    return !region->atomic.is_open &&\n           (extentset', '    return\n           (extentset'),
       ('    assert(!region->atomic.is_open);\n', ''),
       ('if (region->atomic.is_open && extentset_overlaps(&region->gathering->frees, *direct)) {',
        'if (err == NULL) {'), by='region_atomic')
mutant('atomic-own-frees', 'an atomic batch goes straight into what it freed', 'region_stage.c',
       ('if (region->atomic.is_open && extentset_overlaps(&region->gathering->frees, *direct)) {',
        'if (err == NULL) {'), by='region_atomic')
mutant('atomic-moves-forgotten', 'with durability none a power cut splits an atomic batch',
       'region_atomic.c', ('''    else if (batch_is_direct(region->gathering))
        region->gathering->moves = true;
''', ''), by='region_durability')
mutant('atomic-own-reads', 'an atomic batch gets into the batch that a load waits for',
       'region_atomic.c', ('        if (!extentset_is_empty(&batch->reads))\n            region_seal(region);\n'
                           '        else if', '        if'), by='region_atomic')
mutant('atomic-ticket-kept', 'who asks next waits for what was taken back', 'region_atomic.c',
       ('    region->change_ticket = atomic->change_ticket;\n', ''), by='region_atomic')
for _field, _what in (('put_count', 'puts'), ('direct_count', 'large blobs'),
                      ('sums_room', 'room for sums')):
    mutant(f'atomic-undo-{_field.replace("_", "-")}', f'{_what} stay in a batch that was taken back',
           'batch_undo.c', (f'    batch->{_field} = mark->{_field};\n', ''), by='region_atomic')
mutant('atomic-undo-record', 'effects stay in a batch that was taken back', 'batch_undo.c',
       ('    batch->record.length = mark->length;\n    batch->record.effects = mark->effects;\n', ''),
       by='region_atomic')
mutant('atomic-undo-fresh', 'fresh pages stay in a batch that was taken back', 'batch_undo.c',
       ('    restore_runs(&batch->fresh, &mark->fresh);\n', ''), by='region_atomic')
mutant('atomic-undo-touched', 'a run of pages that was joined stays joined', 'batch_undo.c',
       ('    if (mark->count > 0)\n        runs->items[mark->count - 1] = mark->last;\n', ''),
       by='region_atomic')
mutant('atomic-undo-dirty', 'what was taken back counts as written', 'batch_undo.c',
       ('        find_dirty(batch);\n', ''), by='region_atomic')
mutant('atomic-undo-frees', 'what was taken back counts as freed', 'batch_undo.c',
       ('        find_frees(batch);\n', ''), by='region_atomic')
mutant('atomic-undo-size', 'the region keeps the size that was taken back', 'batch_undo.c',
       ('        else\n            space->size = size;\n', ''), by='region_atomic')
mutant('atomic-undo-pages', 'the region keeps the pages that were taken back', 'region_atomic.c',
       ('    region->pages = atomic->pages;\n', ''), by='region_atomic')

# ---- Space ahead, and given back ----

mutant('room-data-unsynced', 'a longer data file is counted on before it is durable', 'region_room.c',
       ('''    result = job->io->ops->sync(job->io, job->data);
    if (result != 0)
        return err_io_at(err, result, "sync", job->folder, "data");
    job->got''', '    job->got'), by='region_room')
mutant('room-all-or-none', 'a change is refused that the disk has room for, but not for more ahead',
       'region_room.c', ('''        length = job->settle;
        result = job->io->ops->allocate(job->io, job->data, job->from, length - job->from);
''', '''        length = job->settle;
'''), by='region_room')
mutant('journal-unbounded', 'the journal grows while no checkpoint can be taken', 'region_room.c',
       ('bool is_long = !region->atomic.is_open && end - region->checkpoint.start > limit;',
        'bool is_long = limit == 0;'), by='region_room')
mutant('checkpoint-not-retried', 'a region whose journal is full stays so when there is space again',
       'region_room.c', ('    region->checkpoint_retry = 0;\n', '    (void)region;\n'), by='region_room')
mutant('hole-all-or-none', 'a hole is refused that the disk has room for, but not for more ahead',
       'region_room.c', ('if (code == ERR_NO_SPACE && job->least.size < job->holes.size) {',
                         'if (code == ERR_NO_SPACE && job->least.size > job->holes.size) {'), by='region_discard')
mutant('room-folder-unsynced', 'a segment is used before its name is durable', 'region_room.c',
       ('''        int result = job->io->ops->sync_directory(job->io, job->folder);
        if (result != 0)
            return err_io(err, result, "sync", job->folder);
''', ''), by='crash/small crash/growing')
mutant('segment-header-unsynced', 'a segment is used before its header is durable', 'journal.c',
       ('    *ret_verb = "sync";\n    return io->ops->sync(io, file);\n', '    return 0;\n'),
       by='crash/small crash/growing')
mutant('slot-unsynced', 'the room of a checkpoint is not durable', 'checkpoint.c',
       ('''            verb = "sync";
            result = io->ops->sync(io, file);
''', ''), by='checkpoint')
mutant('slot-name-unsynced', 'the name of a checkpoint that was made anew is not durable',
       'checkpoint.c', ('    result = io->ops->sync_directory(io, folder);\n    if (result == 0)\n',
                        '    if (result != 1)\n'), by='checkpoint')
mutant('journal-reserve-ignored', 'changes use the journal that frees need', 'region_room.c',
       ('end + (is_free ? 0 : JOURNAL_RESERVE)', 'end'), by='region_failure')
mutant('hole-not-reserved', 'space that was given back is used without asking the disk',
       'region_stage.c', ('''    int code = region_need_holes(region, taken, err);
    if (code == 0)
        *ret''', '''    int code = 0;
    if (code == 0)
        *ret'''), by='region_discard', quick=True)
mutant('hole-behind-not-reserved', 'a blob grows into space that was given back', 'region_stage.c',
       ('    int code = region_need_holes(region, behind, err);\n', '    int code = 0;\n'),
       by='region_discard')
mutant('hole-unsynced', 'a reservation is not durable when the space is used', 'region_room.c',
       ('''    result = ops->sync(job->io, job->data);
    return result == 0 ? 0 : err_io_at(err, result, "sync", job->folder, "data");
}

static int run_room''', '''    return 0;
}

static int run_room'''), by='region_discard')
mutant('punch-before-durable', 'bytes are punched out before their free is durable',
       'region_discard.c', ('           region->last_free > region->journal.synced || ',
                            '           '), by='region_discard')
mutant('punch-beside-gathering', 'bytes are punched out while a batch gathers',
       'region_discard.c', ('           (gathering != NULL && !batch_is_empty(gathering)) ||\n', ''),
       by='region_discard')
mutant('punch-while-reserving', 'what is being reserved is punched out', 'region_discard.c',
       (' || region_is_reserving_holes(region);', ';'), by='region_discard')
mutant('reserve-while-punching', 'what is being punched out is reserved', 'region_room.c',
       ('    if (region_is_discarding(region, holes))\n        return NULL;\n', ''), by='region_discard')
mutant('punch-pins-ignored', 'bytes that are being read are punched out', 'region_discard.c',
       ('if (is_pinned(region, piece) || unite', 'if (unite'), by='region_discard')
mutant('punch-in-use', 'what was taken again is punched out', 'region_discard.c',
       ('uint64_t to = min_u64(extent_end(candidate), extent_end(block));',
        'uint64_t to = extent_end(candidate);'), by='region_discard')
mutant('punch-small', 'what was taken in part since is punched out, however small it is now',
       'region_discard.c', ('if (block.size < region->meta.options.discard || piece.size == 0)',
                            'if (piece.size == 0)'), by='region_discard')
mutant('punch-part-of-page', 'parts of pages are punched out', 'region_discard.c',
       ('piece = whole_pages((struct extent){from, to - from});',
        'piece = (struct extent){from, to - from};'), by='region_discard')
mutant('punch-candidate-part-of-page', 'pages that are in use in part are punched out',
       'region_discard.c', ('    struct extent rest = whole_pages(block), gap;\n',
                            '    struct extent rest = bytes_of(pages_around(block)), gap;\n'),
       ('piece = whole_pages((struct extent){from, to - from});',
        'piece = (struct extent){candidate.address, candidate.size};'), by='region_discard')
mutant('punch-not-noted', 'what was punched out does not count as a hole', 'region_discard.c',
       ('is_pinned(region, piece) || unite(&discard->holes, piece) != 0', 'is_pinned(region, piece)'),
       by='region_discard')
mutant('punch-too-fast', 'the rate of giving back is not kept', 'region_discard.c',
       ('region->now_ms + (job->freed * 1000 + DISCARD_RATE - 1) / DISCARD_RATE;',
        'region->now_ms;'), by='region_discard')
mutant('punch-error-ignored', 'a punch that failed is no failure', 'region_discard.c',
       ('    } else if (base->code == ERR_IO_ERROR) {\n        region_fail(region, &base->err);\n', ''),
       by='region_discard')
mutant('open-reserves-nothing', 'a start does not reserve what a copy has lost', 'region_discard.c',
       ('    if (from >= to)\n        return 0;\n', '    if (from >= to || err != NULL)\n        return 0;\n'),
       by='region_discard')
mutant('open-knows-no-holes', 'after a start holes are used without asking the disk',
       'region_discard.c', ('maxtree_add(&region->discard.holes, hole) != 0 ||\n', 'false ||\n'),
       by='region_discard')
mutant('open-punches-nothing', 'what a power cut brought back of a punch stays', 'region_discard.c',
       ('''        if (code == 0 && (maxtree_add(&region->discard.holes, hole) != 0 ||
                          maxtree_add(&region->discard.candidates, hole) != 0))
''', '''        if (code == 0 && maxtree_add(&region->discard.holes, hole) != 0)
'''), by='region_discard')
mutant('open-reserves-no-end', 'a start does not reserve what is behind the last hole',
       'region_discard.c', ('    return code == 0 ? reserve(region, reserved, region->data_size, err) : code;\n',
                            '    return code;\n'), by='region_discard')
mutant('punch-beside-queued', 'bytes are punched out while the batch that frees them waits',
       'region_discard.c', ('region->is_failed || region->queue.first != NULL ||',
                            'region->is_failed ||'), by='region_discard')

# ---- Checkpoints and recycling ----

mutant('checkpoint-data-unsynced', 'puts before a checkpoint are not on the disk',
       'region_checkpoint.c', ('    int result = writer->io->ops->sync(writer->io, job->data);\n',
                               '    int result = 0;\n'), by='crash/small')
mutant('checkpoint-sums-unsynced', 'sums before a checkpoint are not on the disk',
       'region_checkpoint.c', ('    result = writer->io->ops->sync(writer->io, job->sums);\n', ''),
       by='region_durability crash/small', quick=True)
mutant('checkpoint-own-files', 'a failed write-back is told to the commits only',
       'region_checkpoint.c', ('job->data = region->data_for_sync;', 'job->data = region->data;'),
       by='region_failure')
mutant('checkpoint-body-unsynced', 'a header stands before its body', 'checkpoint_write.c',
       ('''    int result = io->ops->sync(io, writer->file);
    if (result != 0)
        return write_error(writer, result, "sync", err);
    return write_header''', '    return write_header'), by='crash/small')
mutant('checkpoint-header-unsynced', 'segments are recycled before the header is durable',
       'checkpoint_write.c', ('''    result = io->ops->sync(io, writer->file);
    return result == 0 ? 0 : write_error''', '    return result == 0 ? 0 : write_error'),
       by='crash/small')
mutant('checkpoint-does-not-wait', 'a checkpoint tells what is not durable',
       'region_checkpoint.c', ('''    if (region->checkpoint_state == CHECKPOINT_WAITS &&
        region->journal.synced >= region->writer.checkpoint.end)
''', '    if (region->checkpoint_state == CHECKPOINT_WAITS)\n'), by='crash/small')
mutant('checkpoint-without-gathering', 'a checkpoint tells what is still gathering, and does not wait for it',
       'region_checkpoint.c', ('    region_seal(region);\n    region_get_info(region, &info);\n',
                               '    region_get_info(region, &info);\n'), by='region_failure')
mutant('write-back-first', 'under load no checkpoint begins before the journal is full', 'region.c',
       ('bool has_had_turn = region->was_write_back;', 'bool has_had_turn = false;'),
       by='region_checkpoint')
mutant('checkpoint-request-joins', 'who asks for a checkpoint gets the one that is under way',
       'region_checkpoint.c', ('''    region->checkpoint_wanted = region->checkpoint_started + 1;
    *ret_ticket''', '''    region->checkpoint_wanted =
        region->checkpoint_started + (region->checkpoint_state == CHECKPOINT_IDLE);
    *ret_ticket'''), by='region_checkpoint')
mutant('checkpoint-over-the-newest', 'a checkpoint overwrites the newest one',
       'region_checkpoint.c', ('uint64_t sequence = region->checkpoint.sequence + 1;',
                               'uint64_t sequence = region->checkpoint.sequence + 2;'),
       by='crash/small')
mutant('checkpoint-sequence-again', 'an attempt has the sequence of one that failed, and may be mixed with it',
       'region_checkpoint.c', ('        sequence = region->checkpoint_sequence + CHECKPOINT_SLOTS;\n',
                               '        sequence = region->checkpoint_sequence;\n'),
       by='region_room')
mutant('checkpoint-slices-overlap', 'a block that grew across two slices is told twice',
       'checkpoint_write.c', ('uint64_t address = max_u64(extent.address, writer->cursor);',
                              'uint64_t address = extent.address;'),
       by='checkpoint crash/small')
mutant('retire-too-much', 'the segment in which replay begins is recycled', 'journal.c',
       ('journal->live[count].seq < journal_seq(lsn)', 'journal->live[count].seq <= journal_seq(lsn)'),
       by='journal')
mutant('retire-to-end', 'segments that replay needs are recycled', 'region_checkpoint.c',
       ('journal_retire(&region->journal, region->checkpoint.start);',
        'journal_retire(&region->journal, region->checkpoint.end);'), by='crash/small')
mutant('recycle-folder-unsynced', 'a recycled segment is used before its name is durable',
       'region_checkpoint.c',
       ('    int result = job->io->ops->sync_directory(job->io, job->folder);\n',
        '    int result = 0;\n'), by='crash/small')
mutant('recycle-no-witness', 'no header says that the old journal is gone', 'region_checkpoint.c',
       ('    job->floor = region->checkpoint.start;\n', '    job->floor = 0;\n'),
       by='region_failure')
# ---- Recovery ----

mutant('floor-ignored', 'an older checkpoint is used although journal behind it is gone', 'recover.c',
       ('return journal_seq(r->reader.floor) <= journal_seq(checkpoint->start);', 'return true;'),
       by='region_failure')
mutant('floor-of-recycled-ignored', 'the floor of a header that names another segment is ignored',
       'journal_reader.c', ('        reader->floor = max_u64(reader->floor, header.floor);\n',
                            '        if (file->has_header)\n'
                            '            reader->floor = max_u64(reader->floor, header.floor);\n'),
       by='journal')
mutant('journal-read-from-cache', 'a start takes what the page cache has of the journal for durable',
       'journal_reader.c', ('IO_READ_ONLY | IO_ALIGNED | IO_FROM_DISK', 'IO_READ_ONLY | IO_ALIGNED'),
       by='journal crash/killed', quick=True)
mutant('journal-piece-of-another', 'what was read of one segment is taken for another\'s',
       'journal_reader.c', ('reader->piece_seq == seq && ', ''), by='journal')
mutant('stale-record-replayed', 'a record of an earlier use of the segment is replayed', 'record.c',
       ('header.lsn != lsn ||', ''), by='record')
mutant('stale-tail-replayed', 'the journal goes on where it was cut, before what stands there',
       'recover.c', ('    return (last + 1) * JOURNAL_PAYLOAD;\n',
                     '    return (journal_seq(r->end) + (last > REGION_SIZE_MAX ? 2 : 1)) * '
                     'JOURNAL_PAYLOAD;\n'), by='recover crash/small')
mutant('foreign-record-replayed', 'a record that a blob brought is replayed', 'record.c',
       ('    return crc32c(0, secret, 16);\n', '    return crc32c(0, secret, 0);\n'), by='record')
mutant('record-unchecked', 'a torn record is replayed', 'record.c',
       ('return crc32c(seed, bytes + AT_LSN, header->length - AT_LSN) == header->crc;',
        'return seed == seed;'), by='record')
mutant('record-compared-partly', 'half of a record\'s crc is compared', 'record.c',
       ('return crc32c(seed, bytes + AT_LSN, header->length - AT_LSN) == header->crc;',
        'return (uint16_t)crc32c(seed, bytes + AT_LSN, header->length - AT_LSN) == '
        '(uint16_t)header->crc;'), by='record')
mutant('record-header-unchecked', 'the length of a torn header is believed', 'record.c',
       ('        get_u32(bytes + AT_HEADER_CRC) != header_checksum(bytes, seed) ||\n', ''),
       by='record')
mutant('record-header-compared-partly', 'half of the crc of a record\'s header is compared',
       'record.c', ('get_u32(bytes + AT_HEADER_CRC) != header_checksum(bytes, seed)',
                    '(uint16_t)get_u32(bytes + AT_HEADER_CRC) != '
                    '(uint16_t)header_checksum(bytes, seed)'), by='record')
mutant('synced-ignored', 'a damaged record that was durable is cut like a torn tail', 'recover.c',
       ('if (r->durable > r->end || synced > r->end)', 'if (r->durable > r->end)'),
       by='region_failure', quick=True)
mutant('astray-record-ignored', 'a record that went astray over the one before it tells nothing',
       'journal_reader.c', ('at += SECTOR)', 'at += DISK_BLOCK)'), by='journal')
mutant('astray-over-header-ignored', 'nobody looks for records in the block of a segment\'s header',
       'journal_reader.c', ('for (size_t at = 0; at < size; at += SECTOR)',
                            'for (size_t at = DISK_BLOCK; at < size; at += SECTOR)'), by='journal')
mutant('checkpoint-end-ignored', 'journal that a checkpoint calls durable is cut', 'recover.c',
       ('if (r->durable > r->end || synced > r->end)', 'if (synced > r->end)'), by='region_failure')
mutant('missing-segment-ignored', 'a segment that was deleted is taken for the end', 'recover.c',
       ('        code = check_missing(r, err);\n', '        code = 0;\n'), by='recover bitrot')
mutant('cut-segment-ignored', 'a segment that was cut is taken for the end', 'recover.c',
       ('    int code = check_lengths(r, err);\n', '    int code = 0;\n'), by='crash/bitrot')
mutant('segment-header-ignored', 'a segment with a damaged header is replayed', 'recover.c',
       ('        code = check_headers(r, lsn, end, err);\n', '        code = 0;\n'),
       by='region_failure')
mutant('recovery-journal-unsettled', 'records in a cache only are put over live bytes', 'recover.c',
       ('        code = settle_journal(&r, err);\n', '        code = 0;\n'), by='killed crash/killed')
mutant('recovery-checkpoint-unsettled', 'a checkpoint in a cache only is counted on', 'recover.c',
       ('        code = settle_checkpoint(r, err);\n', '        code = 0;\n'),
       by='killed crash/killed')
mutant('recovery-names-unsettled',
       'segments whose names are in a cache only are renamed again', 'recover.c',
       ('''        code = sync_folder(out, err);
    if (code == 0)
        code = settle_checkpoint(r, err);
''', '''        code = settle_checkpoint(r, err);
'''), by='killed')
mutant('recovery-data-unsynced', 'what was replayed is not on the disk when the journal goes',
       'recover.c', ('    int result = out->io->ops->sync(out->io, out->data);\n    if (result',
                     '    int result = 0;\n    if (result'), by='crash/small')
mutant('recovery-sums-unsynced', 'the sums of what was replayed are not on the disk', 'recover.c',
       ('    result = out->io->ops->sync(out->io, out->sums);\n', ''), by='crash/small')
mutant('recovery-renames-unsynced', 'the new names of segments are not durable', 'recover.c',
       ('    return code == 0 ? sync_folder(out, err) : code;\n', '    return code;\n'),
       by='crash/small')
mutant('recovery-renews-first', 'the old journal goes before the new checkpoint is there', 'recover.c',
       ('''    if (code == 0)
        code = write_checkpoint(r, err);
    /* Only now may the old segments go. */
    if (code == 0)
        code = renew_segments(r, err);
''', '''    if (code == 0)
        code = renew_segments(r, err);
    if (code == 0)
        code = write_checkpoint(r, err);
'''), by='crash/small')
mutant('recovery-over-the-newest', 'a start writes its checkpoint over the one that it loaded',
       'recover.c', ('.sequence = out->checkpoint.sequence + 1,',
                     '.sequence = out->checkpoint.sequence + 2,'), by='region_failure')
mutant('recovery-slots-unreserved', 'a start leaves its checkpoints without room', 'recover.c',
       ('int code = reserve_slots(out, err);', 'int code = err == NULL ? reserve_slots(out, err) : 0;'),
       by='region_room')
mutant('recovery-recycles-short', 'a start uses a segment again that is not whole', 'recover.c',
       ('if (file->size == JOURNAL_SEGMENT && out->segment_count < keep)',
        'if (out->segment_count < keep)'), by='killed')
mutant('recovery-no-witness', 'no header says that the journal before a start is gone', 'recover.c',
       ('''out->first_segment + out->segment_count,
                                           out->journal_start, err);''', '''out->first_segment + out->segment_count,
                                           0, err);'''), by='region_failure')
mutant('recovery-numbers-unchecked', 'numbers that no region gets to are gone on from', 'recover.c',
       ('        code = check_numbers(&r, err);\n', '        code = 0;\n'), by='recover')
mutant('recovery-sums-not-written', 'the sums of what was replayed stay in the journal', 'recover.c',
       ('return code == 0 && !out->read_only ? write_sums(out, err) : code;', 'return code;'),
       by='region_durability')
mutant('recovery-proves-nothing', 'pages that the disk lost are not found by a start', 'recover.c',
       ('        code = prove(recovery, err);\n', '        code = 0;\n'), by='region_verify')
mutant('replay-mask', 'an older put goes over a newer one', 'replay.c',
       ('    return extentset_add(&replay->mask, extent);\n', '    return 0;\n'), by='replay')
mutant('replay-page-mask', 'an older sum takes the place of a newer one', 'replay.c',
       ('    return extentset_add(&replay->page_mask, pages);\n', '    return 0;\n'), by='replay')
mutant('replay-direct-mask', 'an older put goes over a large blob', 'replay.c',
       ('        result = extentset_add(&replay->mask, extent);\n    return result;',
        '        result = 0;\n    return result;'), by='replay')
mutant('replay-fresh-rest', 'the rest of a fresh page keeps what was there', 'replay.c',
       ('if (result == 0 && (is_zero || effect->kind == EFFECT_FRESH))', 'if (result == 0 && is_zero)'),
       by='replay')
mutant('replay-zero-rest', 'a page of zeros keeps what was there', 'replay.c',
       ('if (result == 0 && (is_zero || effect->kind == EFFECT_FRESH))',
        'if (result == 0 && effect->kind == EFFECT_FRESH)'), by='replay')
mutant('replay-free-pages', 'bytes are put where a large blob may have gone since', 'replay.c',
       ('    while (from < end && maxtree_seek(&space->tree, at, &block) && block.address < end) {',
        '    while (false) {\n        block = extent;'), by='replay')
mutant('replay-frees-ignored', 'what was freed is in use after a restart', 'recover.c',
       ('return freespace_mark_free(&out->space, effect->extent);', 'return 0;'), by='region')
mutant('replay-beyond-data', 'a record may use what data does not have', 'recover.c',
       ('        if (extent_end(effect->extent) > out->data_size)\n            return -ENODATA;\n', ''),
       by='region_failure')
mutant('chunk-unchecked', 'a damaged chunk of a checkpoint is believed', 'checkpoint.c',
       (' ||\n        get_u32(bytes + CHUNK_CRC) != crc32c(seed, bytes + CHUNK_COUNT, '
        'length - CHUNK_COUNT))', ')'), by='checkpoint')
mutant('chunk-sequence-unchecked', 'a chunk of another checkpoint is believed', 'checkpoint.c',
       ('get_u64(bytes + CHUNK_SEQUENCE) != sequence ||', ''), by='checkpoint')
mutant('checkpoint-compared-partly', 'half of the crc of a checkpoint\'s header is compared',
       'checkpoint.c', ('get_u32(block + AT_CRC) != header_checksum(block)',
                        '(uint16_t)get_u32(block + AT_CRC) != (uint16_t)header_checksum(block)'),
       by='checkpoint')
mutant('segment-header-compared-partly', 'half of the crc of a segment\'s header is compared',
       'journal.c', ('get_u32(block + AT_CRC) != header_checksum(block)',
                     '(uint16_t)get_u32(block + AT_CRC) != (uint16_t)header_checksum(block)'),
       by='journal')

# ---- Failure ----

mutant('sync-failure-refused', 'a full disk that a sync tells of is a refusal that changed nothing',
       'iofile.c', ('''    if (strcmp(verb, "sync") == 0)
        code = ERR_IO_ERROR;
''', ''), by='region_room')
mutant('failure-loses-nothing', 'what a failed commit may have overwritten is shown', 'region.c',
       ('    note(&region->lost, &batch->dirty, false);\n', ''), by='region_failure')
mutant('failure-tears-nothing', 'pages that a failed commit parted from their sums are shown',
       'region.c', ('        note(&region->torn, &batch->dirty, true);\n', '        return;\n'),
       by='region_failure')
mutant('failure-out-of-order', 'batches are taken back the oldest first', 'region.c',
       ('    reverse(list);\n    for', '    for'), by='region_failure')
mutant('failure-space-kept', 'what a failed batch took stays in use', 'region.c',
       ('if (batch_roll_back(batch, &region->space, &region->pages) != 0)',
        'if (region->space.size == UINT64_MAX)'), by='region_failure')

# ---- Making and dropping ----

mutant('create-sums-unsynced', 'a new region has sums that are not durable', 'sums.c',
       ('''        verb = "sync";
        result = io->ops->sync(io, file);
''', ''), by='crash/store')
mutant('create-meta-first', 'a folder has a meta file before it is whole', 'region_open.c',
       ('    int code = create_data(io, folder, err);\n    if (code == 0)\n        code = sums_create',
        '    int code = meta_write(io, folder, meta, err);\n    if (code == 0)\n'
        '        code = create_data(io, folder, err);\n    if (code == 0)\n        code = sums_create'),
       ('    if (code == 0)\n        code = meta_write(io, folder, meta, err);\n    return code;',
        '    return code;'), by='crash/store')
mutant('create-name-unsynced', 'a region is there before its name is durable', 'store.c',
       ('''        return err_io(err, result, "rename", from);
    result = store->io->ops->sync_directory(store->io, REGIONS);
''', '''        return err_io(err, result, "rename", from);
'''), by='crash/store')
mutant('create-in-place', 'a region is made under its own name', 'store.c',
       ('code = special_path(fresh, NEW_PREFIX, name, err);', 'code = io_join(fresh, REGIONS, name, err);'),
       by='crash/store')
mutant('create-id-late', 'an id is given before it is used up', 'store.c',
       ('''    if (code == 0)
        code = use_id(store, err);
    if (code == 0)
        code = create_folder(store, fresh, name, options, err);
''', '''    store->next_id++;
    if (code == 0)
        code = create_folder(store, fresh, name, options, err);
    if (code == 0)
        code = write_store(store, err);
'''), by='store crash/store')
mutant('drop-unsynced', 'a region is removed before the loss of its name is durable', 'store.c',
       ('''        return err_io(err, result, "rename", path);
    result = store->io->ops->sync_directory(store->io, REGIONS);
''', '''        return err_io(err, result, "rename", path);
'''), by='crash/store')
mutant('drop-in-place', 'a region is removed under its own name', 'store.c',
       ('    code = io_remove_folder(store->io, dropped, &reason);\n',
        '    (void)store->io->ops->rename(store->io, dropped, path);\n'
        '    code = io_remove_folder(store->io, path, &reason);\n'), by='crash/store')
mutant('start-names-unsettled', 'a start counts on names in a cache only', 'store.c',
       ('!store->read_only)\n        code = settle_names(store, err);\n',
        '!store->read_only)\n        code = 0;\n'), by='killed')
mutant('start-leftovers-kept', 'what a crash left of a region stays for ever', 'store.c',
       ('        code = clean_up(store, err);\n', '        code = 0;\n'), by='store')
mutant('store-folder-unsynced', 'the store\'s file is durable before its folder', 'store.c',
       ('    result = io->ops->sync_directory(io, ".");\n    if (result != 0)',
        '    if (result == 1)'), by='crash/store')
mutant('store-unchecked', 'a damaged store file is believed', 'store.c',
       (' || get_u32(bytes + AT_CRC) != checksum(bytes))', ')'), by='store')
mutant('store-version-unchecked', 'a store of a newer version is opened', 'store.c',
       ('    if (version > STORE_FORMAT)\n', '    if (version > STORE_FORMAT + 1000000)\n'), by='store')
mutant('store-missing-made-anew', 'a store whose file is lost begins with id 1 once more', 'store.c',
       ('    if (count > 0)\n', '    if (count > 1000000)\n'), by='store')
mutant('folder-name-unchecked', 'a copied folder is the same region twice', 'rename.c',
       ('if (strcmp(meta.name, name) == 0)', 'if (meta.name[0] != 0)'), by='store')
mutant('rename-of-another-taken', 'a copied folder is a region of that name by what is in it of another',
       'rename.c',
       (' || !is_same_region(&meta, &renamed)', ''), by='store')
mutant('rename-unprepared', 'a folder is renamed before anything says that it may be', 'store.c',
       ('    code = rename_prepare(store->io, from, new_name, err);\n',
        '    code = 0 * (int)sizeof rename_prepare;\n'), by='crash/store store')
mutant('rename-unsynced', 'a folder says its new name before it has it for good', 'store.c',
       ('    *ret_renamed = true;\n    result = io->ops->sync_directory(io, REGIONS);\n',
        '    *ret_renamed = true;\n    result = 0;\n'), by='crash/store')
mutant('rename-not-taken-back', 'a name that may not last is used all the same', 'store.c',
       ('*ret_renamed = io->ops->rename(io, to, from) != 0;', '*ret_renamed = false;'), by='store')
mutant('rename-taken-back-unsynced', 'a name that was taken back is taken for certain', 'store.c',
       ('if (*ret_renamed || io->ops->sync_directory(io, REGIONS) != 0)', 'if (*ret_renamed)'), by='store')
mutant('rename-checkpoint-elsewhere', 'a checkpoint goes on in the folder as it was called before',
       'region_rename.c', ('        region->writer.folder = region->folder;\n', '        ;\n'),
       by='store')
mutant('rename-jobs-elsewhere', 'a renamed region works on in the folder as it was called before',
       'region_rename.c', ('    region->folder = label->folder;\n', ''), by='store crash/store')
mutant('backup-removed-unsynced', 'files of a backup go before its name is gone for good', 'backups_remove.c',
       ('    result = io->ops->sync_directory(io, ".");\n', '    result = 0;\n'), by='backups')
mutant('backup-removed-in-place', 'a backup is removed under its name', 'backups_remove.c',
       ('    code = move_away(io, name, dropped, err);\n',
        '    code = move_away == 0;\n    (void)snprintf(dropped, sizeof dropped, "%s", name);\n'),
       by='backups')
mutant('backup-rests-stay', 'what a crash has left of a removed backup stays', 'backups.c',
       ('strncmp(name, BACKUPS_DROP_PREFIX, strlen(BACKUPS_DROP_PREFIX)) == 0', 'false'), by='backups')
mutant('read-only-old-name', 'a region that is only read has the name that it had before', 'store.c',
       ('    if (code == 0 && store->read_only)\n        region_call(*ret_region, name);\n', ''), by='store')
mutant('replace-file-unsynced', 'a small file gets its name before its bytes', 'iofile.c',
       ('''        verb = "sync";
        result = io->ops->sync(io, file);
''', ''), by='crash/store')
mutant('replace-folder-unsynced', 'a small file is counted on before its name is durable', 'iofile.c',
       ('''    result = io->ops->sync_directory(io, folder);
    return result == 0 ? 0 : err_io(err, result, "sync", folder);
''', '    return 0;\n'), by='crash/store')
mutant('meta-unchecked', 'a damaged meta file is believed', 'meta.c',
       ('if (get_u32(bytes + AT_CRC) != checksum(bytes, META_SIZE))', 'if (size == 0)'), by='meta')
mutant('meta-compared-partly', 'half of the crc of a meta file is compared', 'meta.c',
       ('if (get_u32(bytes + AT_CRC) != checksum(bytes, META_SIZE))',
        'if ((uint16_t)get_u32(bytes + AT_CRC) != (uint16_t)checksum(bytes, META_SIZE))'), by='meta')
mutant('create-id-of-a-backup', 'a store file from a backup gives an id for the second time',
       'store.c', ('    int code = prove_next_id(store, err);\n', '    int code = 0;\n'), by='store')
mutant('create-leftover-kept', 'what could not be made stays until the next start', 'store.c',
       ('options, err);\n    if (code != 0)\n        (void)io_remove_folder(store->io, fresh, &ignored);\n',
        'options, err);\n    (void)ignored;\n'),
       by='store')
mutant('create-failed-stays', 'a region that was made, but not opened, has its name until the next start',
       'store.c', ('    if (code != 0 && is_named)\n', '    if (code == INT_MAX && is_named)\n'),
       ('#include <errno.h>\n', '#include <errno.h>\n#include <limits.h>\n'), by='store_making')
mutant('create-taken-back-unsynced', 'files of a region go while the disk may have it by its name', 'store.c',
       ('    if (rename_folder(store, path, fresh, &is_back, &ignored) == 0) {\n',
        '    if (rename_folder(store, path, fresh, &is_back, &ignored) == 0 || is_back) {\n'),
       by='store_making')
mutant('create-over-doubt', 'a new region takes the place of one that the disk may have there', 'store.c',
       ('code == 0 && store->has_doubtful_name)', 'code != 0 && store->has_doubtful_name)'), by='store')
mutant('room-unsettled', 'what the disk may have by another name makes way', 'iofile.c',
       ('    result = io->ops->sync_directory(io, directory);\n    return result == 0 ? io_remove',
        '    result = 0 * (int)sizeof directory;\n    return result == 0 ? io_remove'),
       by='store_making region_backup backups')
mutant('start-read-only-cleans-up', 'a store that is opened to be read is cleaned up', 'store.c',
       ('    if (code == 0 && !store->read_only)\n        code = clean_up(store, err);\n',
        '    if (code == 0)\n        code = clean_up(store, err);\n'), by='store')
mutant('drop-name-taken', 'a region whose name was dropped before, with files of others, stays',
       'store.c', ('i < DROP_NAMES;', 'i < 1;'), by='store')

# ---- Migration ----

mutant('migrate-version-unchecked', 'a folder of a newer version is read as if it were this one',
       'migrate.c', ('    if (version > REGION_FORMAT)\n', '    if (version > REGION_FORMAT + 1)\n'),
       ('    if (readers[version] == NULL)', '    if (version > REGION_FORMAT)\n        version = '
        'REGION_FORMAT;\n    if (readers[version] == NULL)'), by='migrate meta')
mutant('migrate-tidy-before-meta', 'the old checkpoints go before the folder is of the new version',
       'migrate.c', ('''    if (code == 0)
        code = meta_write(m->io, m->folder, &m->meta, m->err);
    if (code == 0)
        code = migrate_tidy(m->io, m->folder, m->err);
''', '''    if (code == 0)
        code = migrate_tidy(m->io, m->folder, m->err);
    if (code == 0)
        code = meta_write(m->io, m->folder, &m->meta, m->err);
'''), by='crash/migration')
mutant('migrate-leftovers-kept', 'what an attempt before has left is built upon', 'migrate.c',
       ('        code = remove_leftovers(m);\n', '        code = 0;\n'), by='crash/migration')
mutant('migrate-removes-first', 'files are removed of a folder that is no whole one', 'migrate.c',
       ('''    int code = look(m, false);
    if (code == 0)
        code = remove_leftovers(m);
''', '''    int code = remove_leftovers(m);
    if (code == 0)
        code = look(m, false);
'''), by='migrate')
mutant('migrate-space-unchecked', 'a migration begins that the disk has no room for', 'migrate.c',
       ('        code = check_space(m);\n', '        code = 0;\n'), by='migrate')
mutant('migrate-meta-before-checkpoint', 'meta is replaced before the new checkpoint is there',
       'migrate.c', ('''    if (code == 0)
        code = make_checkpoint(m, start);
''', ''), ('''        code = migrate_tidy(m->io, m->folder, m->err);
    return code;''', '''        code = make_checkpoint(m, start);
    if (code == 0)
        code = migrate_tidy(m->io, m->folder, m->err);
    return code;'''), by='crash/migration')
mutant('migrate-sums-before-journal', 'sums are made of pages that the journal changes after',
       'migrate.c', ('''    if (code == 0)
        code = format1_settle(&m->old, m->data, m->err);
    if (code == 0)
        code = make_sums(m);
''', '''    if (code == 0)
        code = make_sums(m);
    if (code == 0)
        code = format1_settle(&m->old, m->data, m->err);
'''), by='crash/migration')
mutant('migrate-sums-unsynced', 'meta is replaced before the sums are durable', 'migrate.c',
       ('    int result = m->io->ops->sync(m->io, m->sums);\n', '    int result = 0;\n'),
       by='crash/migration')
mutant('migrate-data-unsynced', 'meta is replaced before what the old journal has is in data',
       'format1.c', ('int result = code == 0 ? format1->io->ops->sync(format1->io, data) : 0;',
                     'int result = 0;'), by='crash/migration')
mutant('migrate-journal-unsettled', 'old records in a cache only are put over live bytes',
       'format1.c', ('    int code = settle_journal(r, err);\n    if (code == 0)\n        code = put',
                     '    int code = 0;\n    if (code == 0)\n        code = put'),
       by='migrate')
mutant('migrate-extend-not', 'data keeps a part of a page', 'migrate.c',
       ('        code = extend_data(m);\n', '        code = 0;\n'), by='migrate')
mutant('migrate-journal-in-place', 'the new journal begins in a segment of the old one', 'migrate.c',
       ('uint64_t start = round_up(m->old.journal_end, JOURNAL_PAYLOAD);',
        'uint64_t start = round_up(m->old.journal_end, JOURNAL_PAYLOAD) - JOURNAL_PAYLOAD;'),
       by='migrate')
mutant('migrate-never-tidied', 'the old checkpoints stay for ever', 'migrate.c',
       ('        code = remove_file(io, folder, old_checkpoints[i], err);\n', '        code = 0;\n'),
       by='migrate')
mutant('migrate-refused-ignored', 'a migration begins that the settings refuse', 'store.c',
       ('    if (migration->is_refused)\n', '    if (migration->is_refused && store->read_only)\n'),
       by='migrate')
mutant('migrate-pages-forgotten', 'a region forgets how many pages it was given', 'migrate.c',
       ('        .pages = m->old.pages,\n', ''), by='migrate')

# ---- Uploads ----

mutant('upload-unsynced', 'an upload is committed before its bytes are on the disk', 'batch.c',
       ('        page_runs_add(&batch->straight, run);\n    batch->moves = true;\n',
        '        page_runs_add(&batch->straight, run);\n'), by='crash/uploads')
mutant('upload-in-checkpoint', 'a checkpoint tells what is reserved as in use', 'region_checkpoint.c',
       ('region->writer.reserved = &region->reserved;', 'region->writer.reserved = NULL;'),
       by='region_upload_space', quick=True)
mutant('upload-not-given-back', 'an upload that is aborted keeps its space', 'region_upload.c',
       ('if (is_under_way(upload) || give_back(region, upload) != 0)', 'if (is_under_way(upload))'),
       by='region_upload_space')
mutant('upload-given-back-early', 'others get the space of an upload that is still written to',
       'region_upload.c',
       ('if (is_under_way(upload) || give_back(region, upload) != 0)',
        'if (give_back(region, upload) != 0 || is_under_way(upload))'), by='region_upload_space')
mutant('upload-written-early', 'an upload writes to space before its freeing is durable',
       'region_upload_job.c', ('region->applied_ticket >= upload->after &&', 'upload->after > 0 &&'),
       by='region_upload crash/uploads')
mutant('upload-pins-ignored', 'an upload writes where somebody reads', 'region_upload_job.c',
       ('           !region_is_extent_pinned(region, region_upload_pages(upload));', '           true;'),
       by='region_upload')
mutant('upload-growth-untold', 'the journal does not know that the region grew', 'region_upload.c',
       ('    if (size > before) {\n        batch_grew', '    if (size < before) {\n        batch_grew'), by='region_upload_space')
mutant('upload-cleared', 'clearing the region gives what is reserved to others', 'region_stage.c',
       ('int result = region_free_around_reserved(region, range);',
        'int result = freespace_mark_free(&region->space, range);'), by='region_upload_space')
mutant('upload-makes-pages-old', 'a page that has only reserved bytes gets no sum when it is used',
       'region_stage.c', ('return from >= end || region_is_free(region, (struct extent){from, end - from});',
                          'return from >= end || freespace_is_free(&region->space, '
                          '(struct extent){from, end - from});'), by='region_upload')
mutant('upload-sums-lost', 'the sums of an upload do not get into the record', 'batch_build.c',
       ('    fill_uploads(&b);\n', ''), by='region_upload')
mutant('upload-told-as-zeros', 'pages whose sums were told are zeros in the last record',
       'region_stage.c', ('    if (written.size > 0) {\n        rest = run_behind',
                          '    if (written.size > 0 && region == NULL) {\n        rest = run_behind'),
       by='crash/region_upload')
mutant('upload-told-for-others', 'the sums that are told next are told for the first pages once more',
       'region_upload.c', ('    upload->first_page += upload->sum_count;\n', ''),
       by='crash/region_upload')
mutant('upload-never-told', 'a batch that has only sums of an upload is never sealed',
       'region_commit.c', ('    if (batch == NULL || batch_is_empty(batch))\n        return;\n    batch_lay_out',
                           '    if (batch == NULL || batch->record.effects == 0)\n        return;\n'
                           '    batch_lay_out'),
       by='crash/region_upload_space')
mutant('upload-moves-damage', 'an upload that moves gives damaged bytes a fresh sum',
       'region_upload_job.c',
       ('        if (!sum_matches(job->seed, page, pages + i * DATA_PAGE, sums[i]))\n',
        '        if (page == UINT64_MAX)\n'), by='region_upload crash/region_upload')
mutant('upload-moves-early', 'an upload is copied before its sums are in the file', 'region_upload.c',
       ('    upload->after = region->change_ticket;\n',
        '    upload->after = upload->is_moving ? 0 : region->change_ticket;\n'),
       by='crash/region_upload')
mutant('upload-loads-early', 'a load behind the commit does not wait for it', 'batch.c',
       ('        page_runs_add(&batch->straight, run);\n    batch->moves = true;\n'
        '    (void)extentset_add(&batch->dirty, extent);\n',
        '        page_runs_add(&batch->straight, run);\n    batch->moves = true;\n'),
       by='region_upload')

# ---- Scrubs ----

mutant('scrub-skips-pages', 'a scrub leaves out a page behind each piece', 'region_scrub.c',
       ('    scrub->position = end_of(piece);\n', '    scrub->position = end_of(piece) + DATA_PAGE;\n'), by='region_scrub')
mutant('scrub-pending-reported', 'a scrub reports pages that wait in memory', 'region_scrub.c',
       ('        cut_at(span, first_changed(batch, *span, is_applying));\n', '        continue;\n'),
       by='region_scrub')
mutant('scrub-queued-reported', 'a scrub reports pages that wait for their commit',
       'region_scrub.c', ('''    for (const struct batch *batch = region->queue.first; batch != NULL; batch = batch->next)
        cut_at(span, first_changed(batch, *span, false));
''', ''), by='region_discard')
mutant('scrub-moving-reported', 'a scrub reports pages that are being put in place',
       'region_scrub.c', ('        cut_at(span, first_changed(job->batch, *span, job->sync_journal));\n',
                          '        (void)0;\n'), by='region_scrub')
mutant('scrub-gathering-reported', 'a scrub reports pages that are about to be in use',
       'region_scrub.c', ('    if (region->gathering != NULL)\n        cut_at_gathering',
                          '    if (region == NULL)\n        cut_at_gathering'), by='region_discard')
mutant('scrub-not-pinned', 'a commit changes pages under a scrub', 'region_scrub.c',
       ('region_pin(region, &job->pin, bytes_of(job->piece.span));',
        'region_pin(region, &job->pin, (struct extent){0, 0});'), by='region_scrub')
mutant('scrub-unverified-counted', 'pages of which nothing is known count as verified',
       'region_scrub.c', ('    if (sum == SUM_UNVERIFIED)\n        *state = PAGE_UNVERIFIED;\n    else\n',
                          ''), by='region_scrub')
mutant('scrub-unreadable-ignored', 'pages that cannot be read are left out', 'region_scrub.c',
       ('            piece->states[at] = PAGE_UNREADABLE;\n',
        '            piece->states[at] = PAGE_LEFT_OUT;\n'), by='region_scrub')
mutant('scrub-overlay-bytes-ignored', 'read-only, a scrub does not see the bytes of the journal',
       'region_scrub.c',
       ('            overlay_read(&region->overlay, first * DATA_PAGE, buffer, size);\n', ''), by='region_durability')
mutant('scrub-overlay-sums-ignored', 'read-only, a scrub does not see the sums of the journal',
       'region_scrub.c',
       ('    overlay_sums(&region->overlay, piece->span.first, count, sums);\n', ''), by='region_durability')
mutant('scrub-freed-reported', 'a scrub reports a page that was freed meanwhile', 'region_scrub.c',
       ('    if (is_damaged && !is_page_used(region, page))\n        return;\n', ''), by='region_scrub')
mutant('scrub-healed-kept', 'a page that is well again stays in the report', 'region_scrub.c',
       ('        region_forget_damage(region, address);\n', '        (void)address;\n'), by='region_scrub')
mutant('scrub-unreadable-hides-others', 'pages beside one that cannot be read count as looked at',
       'region_scrub.c', ('        } else if (part > 1) {\n', '        } else if (part > SCRUB_PAGES) {\n'),
       by='region_scrub')
mutant('scrub-does-not-wait', 'a scrub steps over pages that are on their way', 'region_scrub.c',
       ('        scrub->wait_ticket = region->newest_ticket;\n',
        '        scrub->wait_ticket = region->applied_ticket;\n'), by='region_scrub')
mutant('scrub-rate-ignored', 'a scrub is as fast as the disk', 'region_scrub.c',
       ('    if (rate > 0)\n', '    if (rate > UINT64_MAX - 1)\n'), by='region_scrub')
mutant('scrub-request-joins', 'who asks for a scrub gets the one that is under way', 'region_scrub.c',
       ('    region->scrub.wanted = region->scrub.started + 1;\n',
        '    region->scrub.wanted = region->scrub.started + !region->scrub.is_running;\n'), by='region_scrub')

# ---- Backups ----

mutant('backup-marks-nothing', 'what changes after it was copied is not copied again', 'region_backup.c',
       ('''    if (add_pages(&backup->marks, &batch->dirty, backup->position) != 0)
        fail_without_memory(region);''', '    (void)batch;'), by='region_backup crash/oracle', quick=True)
mutant('backup-rest-not-kept', 'later batches write to pages of the rest', 'region_load.c',
       ('    bool is_pinned = region_backup_keeps(region, batch);', '    bool is_pinned = false;'),
       by='region_backup crash/oracle', quick=True)
mutant('backup-rest-uploaded-to', 'uploads write to pages of the rest', 'region_load.c',
       ('    return is_pinned || region_backup_keeps_extent(region, extent);', '    return is_pinned;'),
       by='region_backup')
mutant('backup-rest-discarded', 'pages of the rest are given back to the file system',
       'region_discard.c', ('    return region_backup_keeps_extent(region, piece);', '    return false;'),
       by='region_backup')
mutant('backup-commit-forgotten', 'the batch that is being committed is not in the rest',
       'region_backup.c', ('''    if (result == 0 && region->commit.batch != NULL)
        result = add_pages(marks, &region->commit.batch->dirty, UINT64_MAX);
''', ''), by='crash/oracle')
mutant('backup-queue-forgotten', 'batches that wait are not in the rest', 'region_backup.c',
       ('        result = add_list(marks, region->queue.first);', '        result = 0;'),
       by='region_backup crash/oracle')
mutant('backup-pending-forgotten', 'batches that are pending are not in the rest', 'region_backup.c',
       ('        result = add_list(marks, region->pending.first);', '        result = 0;'),
       by='region_backup crash/oracle')
mutant('backup-does-not-wait', 'the rest is copied before the cut is applied', 'region_backup.c',
       ('    if (backup->state == BACKUP_CUT && region->applied_ticket < backup->cut)\n        return NULL;\n', ''),
       by='region_backup crash/oracle')
mutant('backup-not-hurried', 'the cut waits for the flush interval', 'region_backup.c',
       ('    region->hurry_ticket = max_u64(region->hurry_ticket, backup->cut);\n', ''),
       by='region_backup crash/oracle')
mutant('backup-cut-too-late', 'the cut is a ticket that nothing may ever have', 'region_backup.c',
       ('region->newest_ticket - (region->gathering != NULL);', 'region->newest_ticket;'),
       by='region_backup crash/oracle')
mutant('backup-not-sealed', 'what gathers is in the free blocks of a backup and not in its pages',
       'region_backup.c', ('    region_seal(region);\n    /* One', '    /* One'),
       by='region_backup crash/oracle')
mutant('backup-clone-not-marked', 'what changes while it is cloned is not copied again',
       'region_backup.c', ('    backup->position = UINT64_MAX; /* it may', '    backup->position = 0; /* it may'),
       by='crash/oracle')
mutant('backup-zeros-left-out', 'a page that has become zeros stays what it was', 'region_backup.c',
       ('        job->copy.has_data = true;\n', ''), by='crash/oracle')
mutant('backup-damage-copied', 'a damaged page is copied', 'region_backup.c',
       ('''            if (extentset_add(&region->backup.marks, (struct extent){address, DATA_PAGE}) != 0)
                fail_without_memory(region);
''', ''), by='region_backup')
mutant('backup-rest-let-go', 'all of the rest may be changed when a piece of it is copied',
       'region_backup.c', ('        drop_rest(region, &job->piece);', '        maxtree_release(&region->backup.todo);'),
       by='crash/oracle')
mutant('backup-rest-in-order', 'a batch waits until all of the rest before its pages is copied', 'region_backup.c',
       ('    wanted_by_batches(region, &region->pending, piece);\n    if (piece->run_count == 0)\n'
        '        wanted_by_batches(region, &region->queue, piece);\n', ''), by='region_backup')
mutant('backup-pending-waits', 'batches that are pending wait for all of the rest', 'region_backup.c',
       ('    wanted_by_batches(region, &region->pending, piece);\n', ''), by='region_backup')
mutant('backup-upload-waits', 'an upload waits until all of the rest is copied', 'region_backup.c',
       ('        wanted_by_uploads(region, piece);', '        {}'), by='region_backup')
mutant('backup-reserved-in-use', 'what uploads have reserved is in use in a backup', 'region_backup.c',
       ('&region->reserved,', 'NULL,'), by='crash/oracle')
mutant('backup-data-unsynced', 'a backup has its name before its data is on the disk', 'copy.c',
       ('        result = io->ops->sync(io, copy->data);', '        result = 0;'), by='crash/uploads')
mutant('backup-sums-unsynced', 'a backup has its name before its sums are on the disk', 'copy.c',
       ('    result = io->ops->sync(io, copy->sums);', '    result = 0;'), by='crash/uploads')
mutant('backup-name-unsynced', 'a backup is made and may be gone after a power cut', 'region_backup.c',
       ('    result = io->ops->sync_directory(io, ".");', '    result = 0;'), by='crash/uploads')
mutant('backup-in-doubt-removed', 'files of a backup go while the disk may have it by its name',
       'region_backup.c', ('    if (job->is_ours)\n        (void)io_remove', '    (void)io_remove'),
       by='region_backup')
mutant('backup-doubt-unsaid', 'one that is cancelled does not say that the disk may have it',
       'region_backup.c', ('        region->backup.has_failed &= job->is_ours;\n', '        (void)job;\n'),
       by='region_backup')
mutant('backups-start-unsettled', 'a start removes what the disk may have as a backup', 'backups.c',
       ('io->ops->sync_directory(io, ".") == 0', 'true'), by='backups')
mutant('restore-journal-ignored', 'a backup with a journal is cloned without it', 'region_restore.c',
       ('has_journal ? NULL : source->data', 'source->data'), by='region_backup')
mutant('restore-damage-copied', 'a region is made out of a backup that is damaged', 'region_restore.c',
       ('if (code == 0 && r->findings.count > 0)', 'if (code == 0 && r->findings.count > COPY_PAGES)'),
       by='region_backup')
