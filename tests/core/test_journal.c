#include "core/journal.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/journal_reader.h"
#include "core/record.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

static const uint8_t secret[16] = "sixteen bytes ok", other[16] = "another region's";
static struct simdisk *disk;
static struct io *io;
static struct journal journal;
static struct record record;
static bool past_cache;
static struct err err;

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    past_cache = true;
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
    journal_init(&journal, io, "r", secret);
    record_init(&record);
}

static void tear_down(void)
{
    record_release(&record);
    journal_release(&journal);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static void create(uint64_t seq)
{
    ck_assert_int_eq(journal_create_segment(io, "r", secret, seq, 0, &err), 0);
    ck_assert_int_eq(journal_reserve(&journal, 1), 0);
    journal_add(&journal, seq);
}

/* Appends a record with so many bytes; *ret_count segments from the one that is returned on have
 * it. */
static struct journal_segment *append_unsynced(uint64_t size, uint64_t synced, size_t *ret_count)
{
    uint64_t lsn = journal.next;
    record_reset(&record);
    ck_assert_int_eq(record_reserve(&record, size + RECORD_EXTENT_EFFECT), 0);
    size_t offset = record_add_put(&record, (struct extent){1, size});
    memset(record.bytes + offset, (int)(lsn / DISK_BLOCK % 251), size);
    record_seal(&record, journal.seed, lsn, synced);
    uint64_t padded = record_padded(record.length);
    struct journal_segment *segments = journal_segments(&journal, lsn, lsn + padded, ret_count);
    int code =
        journal_write(io, "r", segments, *ret_count, lsn, record.bytes, padded, past_cache, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    journal.next = lsn + padded;
    return segments;
}

/* The same with a sync; returns its lsn. */
static uint64_t append(uint64_t size, uint64_t synced)
{
    size_t count;
    uint64_t lsn = journal.next;
    struct journal_segment *segments = append_unsynced(size, synced, &count);
    ck_assert_int_eq(journal_sync(io, "r", segments, count, &err), 0);
    journal.synced = journal.next;
    return lsn;
}

static void open_reader(struct journal_reader *reader)
{
    int code = journal_reader_open(reader, io, "r", secret, &err);
    ck_assert_msg(code == 0, "%s", err.text);
}

static bool is_record(struct journal_reader *reader, uint64_t lsn)
{
    struct journal_record found = {0};
    bool is_valid;
    ck_assert_int_eq(journal_reader_record(reader, lsn, &found, &is_valid, &err), 0);
    free(found.bytes);
    return is_valid;
}

START_TEST(names)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t seq = 5;
    ck_assert_str_eq(journal_name(name, 0x1af), "journal-00000000000001af");
    ck_assert(journal_parse_name("journal-00000000000001af", &seq));
    ck_assert_uint_eq(seq, 0x1af);
    ck_assert(!journal_parse_name("journal-00000000000001AF", &seq));
    ck_assert(!journal_parse_name("journal-1af", &seq));
    ck_assert(!journal_parse_name("journal-00000000000001af0", &seq));
    ck_assert(!journal_parse_name("journal-00000000000001ag", &seq));
    ck_assert(!journal_parse_name("journal- 0000000000001af", &seq));
    ck_assert(!journal_parse_name("journal-ffffffffffffffff", &seq)); /* past any position */
    ck_assert(!journal_parse_name("meta", &seq));
    ck_assert_uint_eq(seq, 0x1af);
}
END_TEST

START_TEST(positions)
{
    ck_assert_uint_eq(journal_seq(0), 0);
    ck_assert_uint_eq(journal_offset(0), DISK_BLOCK);
    ck_assert_uint_eq(journal_seq(JOURNAL_PAYLOAD - 1), 0);
    ck_assert_uint_eq(journal_seq(JOURNAL_PAYLOAD), 1);
    ck_assert_uint_eq(journal_offset(JOURNAL_PAYLOAD), DISK_BLOCK);
    ck_assert_uint_eq(journal_offset(JOURNAL_PAYLOAD - DISK_BLOCK), JOURNAL_SEGMENT - DISK_BLOCK);
}
END_TEST

START_TEST(records_are_found_where_they_are)
{
    struct journal_reader reader;
    create(0);
    create(1);
    uint64_t one = append(100, 0), two = append(10000, 0), three = append(1, 0);
    open_reader(&reader);
    ck_assert(is_record(&reader, one));
    ck_assert(is_record(&reader, two));
    ck_assert(is_record(&reader, three));
    ck_assert(!is_record(&reader, two + DISK_BLOCK));
    ck_assert(!is_record(&reader, journal.next));
    ck_assert(!is_record(&reader, 2 * JOURNAL_PAYLOAD));
    journal_reader_release(&reader);
}
END_TEST

START_TEST(a_record_spans_segments)
{
    struct journal_reader reader;
    struct journal_record found = {0};
    bool is_valid;
    for (uint64_t seq = 0; seq < 4; seq++)
        create(seq);
    append(JOURNAL_PAYLOAD - 3 * DISK_BLOCK, 0);
    uint64_t lsn = append(2 * JOURNAL_PAYLOAD, 0);
    ck_assert_uint_eq(journal_seq(lsn), 0);
    ck_assert_uint_eq(journal_seq(journal.next), 2);
    open_reader(&reader);
    ck_assert_int_eq(journal_reader_record(&reader, lsn, &found, &is_valid, &err), 0);
    ck_assert(is_valid);
    ck_assert_uint_eq(found.header.length, record.length);
    ck_assert_mem_eq(found.bytes, record.bytes, record.length);
    free(found.bytes);
    journal_reader_release(&reader);
}
END_TEST

/* What was read of one segment is not what the other has there. */
START_TEST(the_same_place_of_two_segments)
{
    struct journal_reader reader;
    create(0);
    create(1);
    uint64_t one = append(100, 0);
    append(JOURNAL_PAYLOAD - 2 * DISK_BLOCK, 0);
    uint64_t two = append(100, 0);
    ck_assert_uint_eq(two, one + JOURNAL_PAYLOAD);
    open_reader(&reader);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(is_record(&reader, one));
        ck_assert(is_record(&reader, two));
    }
    journal_reader_release(&reader);
}
END_TEST

/* A sector of it may be bad that nobody needs. */
START_TEST(a_piece_that_cannot_be_read_is_read_in_blocks)
{
    struct journal_reader reader;
    create(0);
    append(100, 0);
    uint64_t two = append(DISK_BLOCK, 0);
    open_reader(&reader);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_READ), .nth = 1, .error = EIO});
    ck_assert(is_record(&reader, two));
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    journal_reader_release(&reader);
}
END_TEST

/* A segment is written in one way until it is full, whatever is wanted meanwhile. */
START_TEST(the_way_of_writing_changes_with_the_segment)
{
    struct journal_reader reader;
    uint64_t lsns[5];
    for (uint64_t seq = 0; seq < 3; seq++)
        create(seq);
    uint64_t before = simdisk_aligned_writes(disk);
    lsns[0] = append(100, 0); /* past the cache, as the next one */
    past_cache = false;
    lsns[1] = append(JOURNAL_PAYLOAD - 3 * DISK_BLOCK, 0);
    ck_assert_uint_eq(simdisk_aligned_writes(disk), before + 2);
    lsns[2] = append(2 * DISK_BLOCK, 0); /* in two segments */
    ck_assert_uint_eq(journal_seq(lsns[2]), 0);
    ck_assert_uint_eq(journal_seq(journal.next), 1);
    ck_assert_uint_eq(simdisk_aligned_writes(disk), before + 3);
    past_cache = true;
    lsns[3] = append(JOURNAL_PAYLOAD - 4 * DISK_BLOCK, 0);
    ck_assert_uint_eq(simdisk_aligned_writes(disk), before + 3);
    lsns[4] = append(2 * DISK_BLOCK, 0);
    ck_assert_uint_eq(journal_seq(journal.next), 2);
    ck_assert_uint_eq(simdisk_aligned_writes(disk), before + 4);
    open_reader(&reader);
    for (size_t i = 0; i < sizeof lsns / sizeof lsns[0]; i++)
        ck_assert(is_record(&reader, lsns[i]));
    journal_reader_release(&reader);
}
END_TEST

/* The first of two records, alone or with the second, as the reader sees them. */
static unsigned records_seen(uint64_t one, uint64_t two)
{
    struct journal_reader reader;
    open_reader(&reader);
    unsigned seen = (is_record(&reader, one) ? 1u : 0u) | (is_record(&reader, two) ? 2u : 0u);
    journal_reader_release(&reader);
    return seen;
}

/* A sync fails, and some of what was to be synced is on no disk, though the page cache has it. */
START_TEST(what_a_failed_sync_lost_is_not_read)
{
    unsigned lost = 0, kept = 0;
    simdisk_bypass_cache(disk);
    for (uint64_t seed = 1; seed <= 32; seed++) {
        size_t count;
        past_cache = seed % 2 == 0;
        create(journal_seq(journal.next));
        uint64_t one = append(100, 0), two = journal.next;
        struct journal_segment *segments = append_unsynced(5000, 0, &count);
        simdisk_set_fault(disk,
                          (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC), .nth = 1, .error = EIO});
        ck_assert_int_eq(journal_sync(io, "r", segments, count, &err), ERR_IO_ERROR);
        unsigned seen = records_seen(one, two);
        ck_assert_uint_eq(seen & 1, 1);
        ck_assert_int_eq(io->ops->sync_directory(io, "r"), 0);
        ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
        struct simdisk *crashed = simdisk_crash_none(disk);
        io = simdisk_io(crashed);
        ck_assert_uint_eq(records_seen(one, two), seen);
        io = simdisk_io(disk);
        simdisk_free(crashed);
        lost += seen == 1;
        kept += seen == 3;
        journal.next = journal.synced = (journal_seq(two) + 1) * JOURNAL_PAYLOAD;
    }
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_gt(kept, 0);
}
END_TEST

/* Where the cache cannot be bypassed it is read, and so is what was never synced. */
START_TEST(what_is_not_synced_is_read)
{
    size_t count;
    create(0);
    past_cache = false;
    uint64_t one = append(100, 0), two = journal.next;
    append_unsynced(5000, 0, &count);
    ck_assert_uint_eq(records_seen(one, two), 3);
    simdisk_bypass_cache(disk);
    ck_assert_uint_eq(records_seen(one, two), 3);
}
END_TEST

/* From wherever it looks, and however it divides what it reads. */
START_TEST(looking_far_behind)
{
    struct journal_reader reader;
    uint64_t end, synced;
    create(0);
    append(300 * KIB, 0);
    append(100, DISK_BLOCK);
    append(200 * KIB, 0);
    uint64_t last = append(100, 2 * DISK_BLOCK);
    open_reader(&reader);
    for (uint64_t from = 0; from <= last; from += DISK_BLOCK) {
        ck_assert_int_eq(journal_reader_look_behind(&reader, from, &end, &synced, &err), 0);
        ck_assert_uint_eq(end, journal.next);
        ck_assert_uint_eq(synced, 2 * DISK_BLOCK);
    }
    journal_reader_release(&reader);
}
END_TEST

/* A segment that is used again holds nothing at its new place. */
START_TEST(recycling_makes_stale)
{
    struct journal_reader reader;
    create(0);
    create(1);
    uint64_t one = append(100, 0);
    ck_assert_int_eq(journal_recycle_segment(io, "r", secret, 0, 7, 12345, &err), 0);
    open_reader(&reader);
    ck_assert_uint_eq(reader.count, 2);
    ck_assert_ptr_null(journal_reader_find(&reader, one));
    ck_assert(journal_reader_find(&reader, 7 * JOURNAL_PAYLOAD)->has_header);
    ck_assert(!is_record(&reader, 7 * JOURNAL_PAYLOAD));
    ck_assert_uint_eq(reader.floor, 12345);
    ck_assert_uint_eq(journal_reader_reach(&reader, 0), 0);
    ck_assert_uint_eq(journal_reader_reach(&reader, JOURNAL_PAYLOAD), 2 * JOURNAL_PAYLOAD);
    journal_reader_release(&reader);
}
END_TEST

/* The renaming failed after the header was written: the segment is none, but the floor counts. */
START_TEST(a_header_of_another_place_has_a_floor)
{
    struct journal_reader reader;
    create(0);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_RENAME), .nth = 1, .error = EIO});
    ck_assert_int_eq(journal_recycle_segment(io, "r", secret, 0, 7, 12345, &err), ERR_IO_ERROR);
    open_reader(&reader);
    ck_assert_uint_eq(reader.count, 1);
    ck_assert(!reader.files[0].has_header);
    ck_assert_uint_eq(reader.files[0].named, 7);
    ck_assert_uint_eq(reader.floor, 12345);
    journal_reader_release(&reader);
}
END_TEST

START_TEST(every_flipped_bit_of_a_header_is_noticed)
{
    uint8_t block[DISK_BLOCK];
    char path[64] = "r/";
    struct journal_header header;
    struct io_file *file;
    create(3);
    journal_name(path + 2, 3);
    ck_assert_int_eq(io->ops->open(io, path, IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, block, sizeof block, 0), sizeof block);
    io->ops->close(io, file);
    ck_assert(journal_decode_header(block, secret, &header));
    for (size_t bit = 0; bit < sizeof block * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!journal_decode_header(block, secret, &header), "bit %zu", bit);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(another_regions_header_is_none)
{
    struct journal_reader reader;
    ck_assert_int_eq(journal_create_segment(io, "r", other, 3, 9, &err), 0);
    open_reader(&reader);
    ck_assert_uint_eq(reader.count, 1);
    ck_assert(!reader.files[0].has_header);
    ck_assert_uint_eq(reader.floor, 0);
    journal_reader_release(&reader);
}
END_TEST

START_TEST(looking_behind)
{
    struct journal_reader reader;
    uint64_t end, synced;
    create(0);
    create(1);
    append(100, 0);
    uint64_t two = append(100, 0);
    append(JOURNAL_PAYLOAD, two);
    open_reader(&reader);
    ck_assert_int_eq(journal_reader_look_behind(&reader, two, &end, &synced, &err), 0);
    ck_assert_uint_eq(end, journal.next);
    ck_assert_uint_eq(synced, two);
    ck_assert_int_eq(journal_reader_look_behind(&reader, journal.next, &end, &synced, &err), 0);
    ck_assert_uint_eq(end, journal.next);
    ck_assert_uint_eq(synced, 0);
    journal_reader_release(&reader);
}
END_TEST

/* A record that a disk wrote to another place of the file, over the one before it, or over the
 * file's header: it is none, and still it tells that the one before it was durable. */
START_TEST(a_record_in_the_wrong_place_tells_what_was_durable)
{
    static const uint64_t places[] = {DISK_BLOCK, DISK_BLOCK + 512, 3 * 512};
    uint64_t end, synced;
    create(0);
    uint64_t one = append(2 * DISK_BLOCK, 0), two = append(100, one);
    record_seal(&record, journal.seed, two, two);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct journal_reader reader;
        struct io_file *file;
        static uint8_t zeros[DISK_BLOCK];
        struct iovec astray = {record.bytes, DISK_BLOCK}, lost = {zeros, DISK_BLOCK};
        ck_assert_int_eq(io->ops->open(io, "r/journal-0000000000000000", 0, &file), 0);
        ck_assert_int_eq(io->ops->write(io, file, &lost, 1, journal_offset(two)), 0);
        lost = (struct iovec){zeros, DISK_BLOCK};
        ck_assert_int_eq(io->ops->write(io, file, &lost, 1, journal_offset(one)), 0);
        ck_assert_int_eq(io->ops->write(io, file, &astray, 1, places[i]), 0);
        io->ops->close(io, file);
        open_reader(&reader);
        ck_assert(!is_record(&reader, one));
        ck_assert(!is_record(&reader, two));
        ck_assert_int_eq(journal_reader_look_behind(&reader, one, &end, &synced, &err), 0);
        ck_assert_uint_eq(end, one);
        ck_assert_uint_eq(synced, two);
        journal_reader_release(&reader);
    }
}
END_TEST

/* The length in a torn header is believed only as far as there is journal. */
START_TEST(a_claimed_length_costs_nothing)
{
    struct journal_reader reader;
    struct journal_record found = {0};
    struct io_file *file;
    uint8_t claim[8];
    bool is_valid;
    create(0);
    append(100, 0);
    put_u64(claim, (uint64_t)1 << 61);
    struct iovec vector = {claim, sizeof claim};
    ck_assert_int_eq(io->ops->open(io, "r/journal-0000000000000000", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, DISK_BLOCK + 16), 0);
    io->ops->close(io, file);
    open_reader(&reader);
    ck_assert_int_eq(journal_reader_record(&reader, 0, &found, &is_valid, &err), 0);
    ck_assert(!is_valid);
    ck_assert_uint_le(found.capacity, JOURNAL_SEGMENT);
    free(found.bytes);
    journal_reader_release(&reader);
}
END_TEST

START_TEST(retiring_keeps_the_last)
{
    for (uint64_t seq = 3; seq < 6; seq++)
        create(seq);
    journal.next = journal.synced = 6 * JOURNAL_PAYLOAD;
    journal_retire(&journal, 4 * JOURNAL_PAYLOAD + DISK_BLOCK);
    ck_assert_uint_eq(journal.live_count, 2);
    ck_assert_uint_eq(journal.old_count, 1);
    ck_assert_uint_eq(journal.old[0], 3);
    ck_assert_uint_eq(journal_prepared(&journal), 6 * JOURNAL_PAYLOAD);
    journal_retire(&journal, 6 * JOURNAL_PAYLOAD);
    ck_assert_uint_eq(journal.live_count, 1);
    ck_assert_uint_eq(journal_prepared(&journal), 6 * JOURNAL_PAYLOAD);
}
END_TEST

/* Whose file is still open, too. */
START_TEST(retiring_closes)
{
    ck_assert_uint_eq(journal_prepared(&journal), 0);
    for (uint64_t seq = 0; seq < 3; seq++)
        create(seq);
    append(JOURNAL_PAYLOAD + DISK_BLOCK, 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 2);
    journal_retire(&journal, JOURNAL_PAYLOAD);
    ck_assert_uint_eq(simdisk_open_files(disk), 1);
    ck_assert_uint_eq(journal.old_count, 1);
}
END_TEST

START_TEST(a_path_that_is_too_long)
{
    char folder[300];
    memset(folder, 'f', sizeof folder);
    folder[sizeof folder - 1] = '\0';
    ck_assert_int_eq(journal_create_segment(io, folder, secret, 0, 0, &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(journal_recycle_segment(io, folder, secret, 0, 1, 0, &err),
                     ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "a path has more than"));
}
END_TEST

/* The file was longer when the reader looked. */
START_TEST(a_segment_that_is_cut_meanwhile)
{
    struct journal_reader reader;
    struct journal_record found = {0};
    struct io_file *file;
    uint64_t end, synced;
    bool is_valid;
    create(0);
    uint64_t lsn = append(3 * DISK_BLOCK, 0);
    open_reader(&reader);
    ck_assert_int_eq(io->ops->open(io, "r/journal-0000000000000000", 0, &file), 0);
    for (uint64_t blocks = 1; blocks <= 2; blocks++) {
        ck_assert_int_eq(io->ops->truncate(io, file, (3 - blocks) * DISK_BLOCK), 0);
        ck_assert_int_eq(journal_reader_record(&reader, lsn, &found, &is_valid, &err),
                         ERR_IO_ERROR);
        ck_assert(!is_valid);
        ck_assert_int_eq(journal_reader_look_behind(&reader, lsn, &end, &synced, &err),
                         ERR_IO_ERROR);
    }
    io->ops->close(io, file);
    free(found.bytes);
    journal_reader_release(&reader);
}
END_TEST

/* A record behind others spoils nothing when it cannot be read a second time. */
START_TEST(looking_behind_fails)
{
    struct journal_reader reader;
    uint64_t end, synced;
    create(0);
    append(100, 0);
    append(JOURNAL_PIECE, 0);
    open_reader(&reader);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        simdisk_set_fault(disk,
                          (struct simdisk_fault){
                              .ops = SIM_BIT(SIM_READ), .nth = nth, .error = EIO, .forever = true});
        ck_assert_int_eq(journal_reader_look_behind(&reader, 0, &end, &synced, &err), ERR_IO_ERROR);
    }
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    journal_reader_release(&reader);
}
END_TEST

START_TEST(no_half_segment_is_left_on_a_full_disk)
{
    struct journal_reader reader;
    simdisk_set_capacity(disk, JOURNAL_SEGMENT / 2);
    ck_assert_int_eq(journal_create_segment(io, "r", secret, 0, 0, &err), ERR_NO_SPACE);
    open_reader(&reader);
    ck_assert_uint_eq(reader.count, 0);
    journal_reader_release(&reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tests = tcase_create("journal");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, names);
    tcase_add_test(tests, positions);
    tcase_add_test(tests, records_are_found_where_they_are);
    tcase_add_test(tests, a_record_spans_segments);
    tcase_add_test(tests, the_same_place_of_two_segments);
    tcase_add_test(tests, a_piece_that_cannot_be_read_is_read_in_blocks);
    tcase_add_test(tests, the_way_of_writing_changes_with_the_segment);
    tcase_add_test(tests, what_a_failed_sync_lost_is_not_read);
    tcase_add_test(tests, what_is_not_synced_is_read);
    tcase_add_test(tests, recycling_makes_stale);
    tcase_add_test(tests, a_header_of_another_place_has_a_floor);
    tcase_add_test(tests, every_flipped_bit_of_a_header_is_noticed);
    tcase_add_test(tests, another_regions_header_is_none);
    tcase_add_test(tests, looking_behind);
    tcase_add_test(tests, looking_far_behind);
    tcase_add_test(tests, a_record_in_the_wrong_place_tells_what_was_durable);
    tcase_add_test(tests, a_claimed_length_costs_nothing);
    tcase_add_test(tests, retiring_keeps_the_last);
    tcase_add_test(tests, retiring_closes);
    tcase_add_test(tests, a_path_that_is_too_long);
    tcase_add_test(tests, a_segment_that_is_cut_meanwhile);
    tcase_add_test(tests, looking_behind_fails);
    tcase_add_test(tests, no_half_segment_is_left_on_a_full_disk);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
