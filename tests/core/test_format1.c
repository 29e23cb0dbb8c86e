/* What a folder of format 1 claims, byte by byte and with checksums that fit: the reader refuses
 * what cannot be, and names it. Whole folders are in test_migrate.c. */
#include "core/format1_private.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/format1.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SEGMENT_0 "r/journal-0000000000000000"
#define SEGMENT_1 "r/journal-0000000000000001"
#define REGION_SIZE ((uint64_t)100000)

static const uint8_t secret[16] = "sixteen bytes ok", other[16] = "another region's";
static struct simdisk *disk;
static struct io *io;
static struct maxtree tree;
static struct err err;
static uint8_t block[FORMAT1_BLOCK];
static uint8_t chunk[FORMAT1_CHECKPOINT_CHUNK_MAX + 16];

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
    maxtree_init(&tree);
}

static void tear_down(void)
{
    maxtree_release(&tree);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static void write_at(const char *path, uint64_t offset, const void *bytes, size_t size)
{
    struct io_file *file;
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    ck_assert_int_eq(io->ops->open(io, path, IO_CREATE, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, offset), 0);
    io->ops->close(io, file);
}

static void resize(const char *path, uint64_t size)
{
    struct io_file *file;
    ck_assert_int_eq(io->ops->open(io, path, IO_CREATE, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, size), 0);
    io->ops->close(io, file);
}

static void expect_words(const char *words)
{
    ck_assert_msg(strstr(err.text, words) != NULL, "no '%s' in: %s", words, err.text);
}

/* Both kinds of header blocks have their checksum at 12. */
static void seal_block(void)
{
    put_u32(block + 12, 0);
    put_u32(block + 12, crc32c(0, block, sizeof block));
}

/* ---- Checkpoints ---- */

enum { SEQUENCE = 32, START = 40, END = 48, SIZE = 56, PAGES = 64, CHUNKS = 80, BODY = 88 };

static void make_checkpoint(uint64_t sequence)
{
    memset(block, 0, sizeof block);
    memcpy(block, "MREGCKPT", 8);
    put_u32(block + 8, 1);
    memcpy(block + 16, secret, 16);
    put_u64(block + SEQUENCE, sequence);
    put_u64(block + SIZE, REGION_SIZE);
    put_u64(block + PAGES, 2);
}

static void write_checkpoint(unsigned slot)
{
    char path[64];
    seal_block();
    (void)snprintf(path, sizeof path, "r/%s", format1_checkpoint_name(slot));
    write_at(path, 0, block, sizeof block);
}

static bool read_header(unsigned slot, struct format1_checkpoint *ret)
{
    bool is_valid = false;
    ck_assert_int_eq(format1_checkpoint_read_header(io, "r", slot, secret, ret, &is_valid, &err),
                     0);
    return is_valid;
}

START_TEST(a_checkpoint_claims_what_can_be)
{
    static const struct {
        size_t at;
        uint64_t value;
        bool is_valid;
    } cases[] = {
        {SEQUENCE, 0, false},
        {SEQUENCE, 2, false}, /* of the other slot */
        {SEQUENCE, 5, true},
        {START, 3 * FORMAT1_BLOCK, false}, /* behind the end */
        {START, 1, false},
        {START, 2 * FORMAT1_BLOCK, true},
        {END, 2 * FORMAT1_BLOCK + 1, false},
        {END, FORMAT1_SIZE_MAX + FORMAT1_BLOCK, false},
        {END, FORMAT1_SIZE_MAX, true},
        {SIZE, FORMAT1_SIZE_MAX + 1, false},
        {SIZE, FORMAT1_SIZE_MAX, true},
        {PAGES, FORMAT1_SIZE_MAX / FORMAT1_REGION_PAGE + 1, false},
        {PAGES, FORMAT1_SIZE_MAX / FORMAT1_REGION_PAGE, true},
    };
    struct format1_checkpoint found;
    for (size_t i = 0; i < COUNT(cases); i++) {
        make_checkpoint(3);
        put_u64(block + END, 2 * FORMAT1_BLOCK);
        put_u64(block + cases[i].at, cases[i].value);
        write_checkpoint(1);
        ck_assert_msg(read_header(1, &found) == cases[i].is_valid, "case %zu", i);
        if (!cases[i].is_valid)
            expect_words("r/checkpoint-1: the header at offset 0");
    }
}
END_TEST

START_TEST(a_checkpoint_is_of_this_region_and_format)
{
    struct format1_checkpoint found;
    make_checkpoint(3);
    block[0] ^= 1;
    write_checkpoint(1);
    ck_assert(!read_header(1, &found));
    make_checkpoint(3);
    put_u32(block + 8, 2);
    write_checkpoint(1);
    ck_assert(!read_header(1, &found));
    make_checkpoint(3);
    memcpy(block + 16, other, 16);
    write_checkpoint(1);
    ck_assert(!read_header(1, &found));
    make_checkpoint(3);
    block[16 + 15] ^= 1; /* the last byte of the secret alone */
    write_checkpoint(1);
    ck_assert(!read_header(1, &found));
    make_checkpoint(3);
    write_checkpoint(1);
    ck_assert(read_header(1, &found));
    write_at("r/checkpoint-1", FORMAT1_BLOCK - 1, "x", 1);
    ck_assert(!read_header(1, &found));
    write_checkpoint(1);
    resize("r/checkpoint-1", FORMAT1_BLOCK - 1);
    ck_assert(!read_header(1, &found));
}
END_TEST

static void set_extent(size_t i, uint64_t address, uint64_t size)
{
    put_u64(chunk + 32 + i * 16, address);
    put_u64(chunk + 40 + i * 16, size);
}

/* Two free blocks: (100, 35) and (200, 50). */
static void make_chunk(uint64_t sequence)
{
    memset(chunk, 0, sizeof chunk);
    put_u32(chunk + 4, 2);
    put_u64(chunk + 8, sequence);
    set_extent(0, 100, 35);
    set_extent(1, 200, 50);
}

static void write_chunk(const char *path, uint64_t offset)
{
    size_t size = 32 + (size_t)get_u32(chunk + 4) * 16;
    if (size > sizeof chunk)
        size = sizeof chunk;
    put_u32(chunk, crc32c(format1_record_seed(secret), chunk + 4, size - 4));
    write_at(path, offset, chunk, size);
}

static int load_body(uint64_t chunks, uint64_t body_size)
{
    struct format1_checkpoint checkpoint = {
        .sequence = 3, .size = REGION_SIZE, .chunks = chunks, .body_size = body_size};
    maxtree_release(&tree);
    maxtree_init(&tree);
    return format1_checkpoint_load(io, "r", secret, &checkpoint, &tree, &err);
}

START_TEST(a_checkpoint_that_cannot_be_read)
{
    struct format1_checkpoint found;
    char folder[300];
    bool is_valid;
    make_chunk(3);
    write_chunk("r/checkpoint-1", FORMAT1_BLOCK);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_READ), .nth = 1, .error = EIO});
    ck_assert_int_eq(load_body(1, 64), ERR_IO_ERROR);
    expect_words("r/checkpoint-1");
    ck_assert_int_eq(load_body(1, 64), 0);
    memset(folder, 'f', sizeof folder);
    folder[sizeof folder - 1] = '\0';
    ck_assert_int_eq(format1_checkpoint_read_header(io, folder, 0, secret, &found, &is_valid, &err),
                     ERR_INVALID_ARGUMENT);
    found = (struct format1_checkpoint){.sequence = 3, .size = REGION_SIZE};
    ck_assert_int_eq(format1_checkpoint_load(io, folder, secret, &found, &tree, &err),
                     ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(free_blocks_are_where_they_can_be)
{
    static const struct {
        struct extent first, second;
        uint64_t blocks; /* 0 = refused */
    } cases[] = {
        {{100, 35}, {200, 50}, 2},
        {{100, 35}, {135, 50}, 1}, /* one that was told in two pieces */
        {{100, 35}, {134, 50}, 0},
        {{200, 50}, {100, 35}, 0},
        {{100, 0}, {200, 50}, 0},
        {{100, 35}, {FORMAT1_SIZE_MAX + 1, 50}, 0},
        {{100, 35}, {200, REGION_SIZE + 1}, 0},
        {{100, 35}, {200, REGION_SIZE - 199}, 0},
        {{100, 35}, {200, REGION_SIZE - 200}, 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        make_chunk(3);
        set_extent(0, cases[i].first.address, cases[i].first.size);
        set_extent(1, cases[i].second.address, cases[i].second.size);
        write_chunk("r/checkpoint-1", FORMAT1_BLOCK);
        int code = load_body(1, 64);
        ck_assert_msg(code == (cases[i].blocks > 0 ? 0 : ERR_CORRUPT), "case %zu: %d", i, code);
        ck_assert_uint_eq(tree.blocks, cases[i].blocks);
        if (cases[i].blocks == 0)
            expect_words("r/checkpoint-1: the free blocks at offset 4096");
    }
}
END_TEST

START_TEST(chunks_are_whole_and_in_order)
{
    static const struct {
        size_t at;
        uint32_t value;
    } cases[] = {{4, 0}, {4, FORMAT1_CHECKPOINT_SLICE + 1}, {4, 3}, {8, 5}, {16, 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        make_chunk(3);
        put_u32(chunk + cases[i].at, cases[i].value);
        write_chunk("r/checkpoint-1", FORMAT1_BLOCK);
        int code = load_body(1, cases[i].value > 3 ? FORMAT1_CHECKPOINT_CHUNK_MAX : 64);
        ck_assert_msg(code == ERR_CORRUPT, "case %zu: %d", i, code);
    }
    make_chunk(3);
    write_chunk("r/checkpoint-1", FORMAT1_BLOCK);
    ck_assert_int_eq(load_body(1, 64), 0);
    ck_assert_int_eq(load_body(0, 0), 0);
    ck_assert_int_eq(load_body(1, 65), ERR_CORRUPT); /* more than its chunks */
    ck_assert_int_eq(load_body(1, 31), ERR_CORRUPT); /* less than a chunk's header */
    ck_assert_int_eq(load_body(2, 64), ERR_CORRUPT); /* a chunk that is not there */
    expect_words("offset 4160");
    chunk[40] ^= 1;
    write_at("r/checkpoint-1", FORMAT1_BLOCK, chunk, 64);
    ck_assert_int_eq(load_body(1, 64), ERR_CORRUPT); /* a checksum that does not fit */
}
END_TEST

/* ---- Records ---- */

static uint8_t record[2 * FORMAT1_BLOCK];

static void begin_record(uint64_t lsn, uint64_t length, uint32_t effects, uint64_t synced)
{
    memset(record, 0, sizeof record);
    put_u32(record, 0x4352474d);
    put_u64(record + 8, lsn);
    put_u64(record + 16, length);
    put_u64(record + 24, synced);
    put_u32(record + 32, effects);
}

static void seal_record(void)
{
    uint32_t seed = format1_record_seed(secret);
    uint64_t length = get_u64(record + 16);
    put_u32(record + 36, crc32c(seed, record + 8, 28));
    if (length > FORMAT1_RECORD_HEADER && length <= sizeof record)
        put_u32(record + 4, crc32c(seed, record + 8, (size_t)length - 8));
}

START_TEST(a_record_claims_what_can_be)
{
    static const struct {
        uint64_t lsn, length, synced;
        bool is_valid;
    } cases[] = {
        {FORMAT1_BLOCK, FORMAT1_RECORD_HEADER, FORMAT1_BLOCK, true},
        {FORMAT1_BLOCK, FORMAT1_SIZE_MAX, 0, true},
        {FORMAT1_BLOCK, FORMAT1_SIZE_MAX + 1, 0, false},
        {FORMAT1_BLOCK, FORMAT1_RECORD_HEADER - 1, 0, false},
        {FORMAT1_BLOCK, 100, FORMAT1_BLOCK + 1, false}, /* synced before it was written */
        {2 * FORMAT1_BLOCK, 100, 0, false},             /* of another place */
    };
    uint32_t seed = format1_record_seed(secret);
    struct format1_record_header header;
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_record(cases[i].lsn, cases[i].length, 0, cases[i].synced);
        seal_record();
        ck_assert_msg(format1_record_peek(record, FORMAT1_BLOCK, seed, &header) ==
                          cases[i].is_valid,
                      "case %zu", i);
    }
    begin_record(FORMAT1_BLOCK, 100, 0, 0);
    seal_record();
    ck_assert(!format1_record_peek(record, FORMAT1_BLOCK, format1_record_seed(other), &header));
    record[0] ^= 1;
    ck_assert(!format1_record_peek(record, FORMAT1_BLOCK, seed, &header));
}
END_TEST

/* The length of the record with this one effect. */
static size_t make_effect(uint8_t kind, uint64_t address, uint64_t size)
{
    size_t at = FORMAT1_RECORD_HEADER;
    record[at] = kind;
    put_u64(record + at + 1, address);
    if (kind == FORMAT1_EFFECT_PAGES)
        return at + FORMAT1_RECORD_PAGES_EFFECT;
    put_u64(record + at + 9, size);
    at += FORMAT1_RECORD_EXTENT_EFFECT;
    return kind == FORMAT1_EFFECT_PUT ? at + size : at;
}

static int next_effect(size_t length, uint32_t effects, struct format1_effect *ret)
{
    struct format1_record_header header = {.length = length, .effects = effects};
    struct format1_effect_cursor cursor;
    format1_effect_begin(&cursor, record, &header);
    return format1_effect_next(&cursor, ret);
}

START_TEST(effects_make_sense)
{
    static const uint64_t max = FORMAT1_SIZE_MAX;
    static const struct {
        uint8_t kind;
        struct extent extent;
        int result;
    } cases[] = {
        {FORMAT1_EFFECT_USE, {0, max}, 1},
        {FORMAT1_EFFECT_USE, {0, max + 1}, -EINVAL},
        {FORMAT1_EFFECT_USE, {0, 0}, -EINVAL},
        {FORMAT1_EFFECT_FREE, {max - 10, 10}, 1},
        {FORMAT1_EFFECT_FREE, {max - 10, 11}, -EINVAL},
        {FORMAT1_EFFECT_PUT, {7, 5}, 1},
        {FORMAT1_EFFECT_PAGES, {max / FORMAT1_REGION_PAGE, 0}, 1},
        {FORMAT1_EFFECT_PAGES, {max / FORMAT1_REGION_PAGE + 1, 0}, -EINVAL},
        {0, {7, 5}, -EINVAL},
        {5, {7, 5}, -EINVAL},
    };
    struct format1_effect effect;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = make_effect(cases[i].kind, cases[i].extent.address, cases[i].extent.size);
        int result = next_effect(length, 1, &effect);
        ck_assert_msg(result == cases[i].result, "case %zu: %d", i, result);
        if (result == 1)
            ck_assert_uint_eq(effect.kind, cases[i].kind);
        /* Cut by a byte none does, whole as it may be. */
        ck_assert_int_eq(next_effect(length - 1, 1, &effect), -EINVAL);
    }
    ck_assert_int_eq(next_effect(FORMAT1_RECORD_HEADER + 8, 1, &effect), -EINVAL);
    ck_assert_int_eq(next_effect(FORMAT1_RECORD_HEADER, 0, &effect), 0);
    ck_assert_int_eq(next_effect(FORMAT1_RECORD_HEADER + 1, 0, &effect), -EINVAL);
}
END_TEST

/* ---- The journal ---- */

START_TEST(names_of_segments)
{
    static const char *const wrong[] = {"journal-000000000000000A", "journal-0000000000000000x",
                                        "journal-000000000000000",  "journal-ffffffffffffffff",
                                        "journal- 00000000000001",  "checkpoint-000000000000"};
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    uint64_t seq = 7;
    for (size_t i = 0; i < COUNT(wrong); i++)
        ck_assert_msg(!format1_journal_parse_name(wrong[i], &seq), "%s", wrong[i]);
    ck_assert_uint_eq(seq, 7);
    ck_assert(format1_journal_parse_name(format1_journal_name(name, 0xabc), &seq));
    ck_assert_uint_eq(seq, 0xabc);
}
END_TEST

static void write_segment(const char *path, uint64_t seq, uint64_t lowest)
{
    memset(block, 0, sizeof block);
    memcpy(block, "MREGJRNL", 8);
    put_u32(block + 8, 1);
    put_u64(block + 16, seq);
    put_u64(block + 24, lowest);
    memcpy(block + 32, secret, 16);
    seal_block();
    write_at(path, 0, block, sizeof block);
    resize(path, FORMAT1_JOURNAL_SEGMENT);
}

static void open_reader(struct format1_journal_reader *reader)
{
    ck_assert_int_eq(format1_journal_reader_open(reader, io, "r", secret, &err), 0);
}

START_TEST(a_segment_is_of_this_region_and_format)
{
    static const size_t spots[] = {0, 8, 32};
    struct format1_journal_reader reader;
    ck_assert_int_eq(io->ops->make_directory(io, SEGMENT_1), 0); /* not a file: passed over */
    for (size_t i = 0; i < COUNT(spots); i++) {
        write_segment(SEGMENT_0, 0, 0);
        block[spots[i]] ^= 1;
        seal_block();
        write_at(SEGMENT_0, 0, block, sizeof block);
        open_reader(&reader);
        ck_assert_uint_eq(reader.count, 1);
        ck_assert_msg(!reader.files[0].has_header, "byte %zu", spots[i]);
        ck_assert_uint_eq(reader.files[0].named, UINT64_MAX);
        format1_journal_reader_release(&reader);
    }
    write_segment(SEGMENT_0, 0, 0);
    open_reader(&reader);
    ck_assert(reader.files[0].has_header);
    format1_journal_reader_release(&reader);
}
END_TEST

/* The file was longer when the reader looked. */
START_TEST(a_segment_that_is_cut_meanwhile)
{
    struct format1_journal_reader reader;
    write_segment(SEGMENT_0, 0, 0);
    open_reader(&reader);
    resize(SEGMENT_0, FORMAT1_BLOCK + 100);
    ck_assert_int_eq(format1_journal_reader_read(&reader, 0, block, sizeof block, &err),
                     ERR_IO_ERROR);
    expect_words(SEGMENT_0);
    format1_journal_reader_release(&reader);
}
END_TEST

START_TEST(how_far_segments_reach)
{
    struct format1_journal_reader reader;
    open_reader(&reader);
    ck_assert_ptr_null(format1_journal_reader_find(&reader, 0));
    ck_assert_uint_eq(format1_journal_reader_reach(&reader, FORMAT1_BLOCK), FORMAT1_BLOCK);
    format1_journal_reader_release(&reader);
    write_segment(SEGMENT_0, 0, 0);
    write_segment(SEGMENT_1, 1, 0);
    open_reader(&reader);
    ck_assert_uint_eq(format1_journal_reader_reach(&reader, 0), 2 * FORMAT1_JOURNAL_PAYLOAD);
    format1_journal_reader_release(&reader);
    /* The second does not follow on a short one; and there is nothing behind its end. */
    resize(SEGMENT_0, 3 * FORMAT1_BLOCK + 5);
    open_reader(&reader);
    ck_assert_uint_eq(format1_journal_reader_reach(&reader, 0), 2 * FORMAT1_BLOCK);
    ck_assert_uint_eq(format1_journal_reader_reach(&reader, 2 * FORMAT1_BLOCK), 2 * FORMAT1_BLOCK);
    format1_journal_reader_release(&reader);
    resize(SEGMENT_0, 10);
    open_reader(&reader);
    ck_assert_uint_eq(format1_journal_reader_reach(&reader, 0), 0);
    ck_assert(!reader.files[0].has_header);
    format1_journal_reader_release(&reader);
}
END_TEST

START_TEST(which_segments_are_missing)
{
    struct format1_journal_reader reader;
    open_reader(&reader);
    ck_assert(format1_journal_reader_is_missing(&reader, 0)); /* a region has one at least */
    format1_journal_reader_release(&reader);
    write_segment(SEGMENT_1, 1, 0);
    open_reader(&reader);
    ck_assert(format1_journal_reader_is_missing(&reader, 0)); /* one that comes later is there */
    ck_assert(!format1_journal_reader_is_missing(&reader, 1));
    ck_assert(!format1_journal_reader_is_missing(&reader, 2));
    format1_journal_reader_release(&reader);
    write_segment(SEGMENT_1, 2, 0); /* made, and not yet renamed */
    open_reader(&reader);
    ck_assert(!format1_journal_reader_is_missing(&reader, 2));
    ck_assert(!format1_journal_reader_is_missing(&reader, 3));
    format1_journal_reader_release(&reader);
    write_segment(SEGMENT_1, 1, 3 * FORMAT1_JOURNAL_PAYLOAD);
    open_reader(&reader);
    ck_assert(format1_journal_reader_is_missing(&reader, 3)); /* the floor was in it */
    ck_assert(!format1_journal_reader_is_missing(&reader, 4));
    format1_journal_reader_release(&reader);
}
END_TEST

/* ---- All together ---- */

/* A record of one effect at lsn 0, in a region of REGION_SIZE. */
static void write_effect(uint8_t kind, uint64_t address, uint64_t size)
{
    begin_record(0, 0, 1, 0);
    put_u64(record + 16, make_effect(kind, address, size));
    seal_record();
    write_at(SEGMENT_0, FORMAT1_BLOCK, record, sizeof record);
}

static int read_folder(struct format1 *format1)
{
    *format1 = (struct format1){.io = io, .folder = "r", .data_size = 2 * FORMAT1_REGION_PAGE};
    memcpy(format1->secret, secret, sizeof secret);
    freespace_init(&format1->space, FIT_TIGHT);
    return format1_read(format1, &err);
}

START_TEST(effects_stay_in_the_region)
{
    static const struct {
        uint8_t kind;
        struct extent extent;
        const char *words; /* NULL = it is taken */
    } cases[] = {
        {FORMAT1_EFFECT_USE, {REGION_SIZE, 31072}, NULL}, /* grows to the end of the data file */
        {FORMAT1_EFFECT_USE, {REGION_SIZE, 31073}, "r/data has 131072 bytes"},
        {FORMAT1_EFFECT_FREE, {REGION_SIZE - 10, 10}, NULL},
        {FORMAT1_EFFECT_FREE, {REGION_SIZE - 10, 11}, "names what cannot be at offset 4096"},
        {FORMAT1_EFFECT_PUT, {REGION_SIZE - 10, 10}, NULL},
        {FORMAT1_EFFECT_PUT, {REGION_SIZE - 10, 11}, "names what cannot be at offset 4096"},
        {FORMAT1_EFFECT_PAGES, {9, 0}, NULL},
        {9, {7, 5}, "names what cannot be at offset 4096"},
    };
    struct format1 format1;
    make_checkpoint(3);
    write_checkpoint(1);
    write_segment(SEGMENT_0, 0, 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_effect(cases[i].kind, cases[i].extent.address, cases[i].extent.size);
        int code = read_folder(&format1);
        ck_assert_msg(code == (cases[i].words == NULL ? 0 : ERR_CORRUPT), "case %zu: %d", i, code);
        if (cases[i].words == NULL)
            ck_assert_uint_eq(format1.records, 1);
        else
            expect_words(cases[i].words);
        format1_release(&format1);
    }
}
END_TEST

START_TEST(the_older_checkpoint_stands_in)
{
    struct format1 format1;
    write_segment(SEGMENT_0, 0, 0);
    make_checkpoint(3);
    write_checkpoint(1);
    make_checkpoint(4);
    put_u64(block + CHUNKS, 1); /* of a body that is not there */
    put_u64(block + BODY, 64);
    write_checkpoint(0);
    ck_assert_int_eq(read_folder(&format1), 0);
    ck_assert_uint_eq(format1.checkpoint_sequence, 3);
    format1_release(&format1);
    make_checkpoint(3);
    put_u64(block + BODY, 64);
    write_checkpoint(1);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("no valid checkpoint: r/checkpoint-0");
    expect_words("r/checkpoint-1");
    format1_release(&format1);
}
END_TEST

START_TEST(the_journal_reaches_back_to_the_checkpoint)
{
    struct format1 format1;
    make_checkpoint(3);
    write_checkpoint(1);
    write_segment(SEGMENT_1, 1, FORMAT1_JOURNAL_PAYLOAD);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("does not reach back");
    format1_release(&format1);
    make_checkpoint(3);
    put_u64(block + START, 2 * FORMAT1_JOURNAL_PAYLOAD + FORMAT1_BLOCK);
    put_u64(block + END, 2 * FORMAT1_JOURNAL_PAYLOAD + FORMAT1_BLOCK);
    write_checkpoint(1);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("journal-0000000000000002: the segment is missing");
    format1_release(&format1);
}
END_TEST

/* What lies before the checkpoint does not matter; nor that the segment behind it is not made yet.
 */
START_TEST(the_journal_begins_with_the_next_segment)
{
    struct format1 format1;
    make_checkpoint(3);
    put_u64(block + START, FORMAT1_JOURNAL_PAYLOAD);
    put_u64(block + END, FORMAT1_JOURNAL_PAYLOAD);
    write_checkpoint(1);
    write_segment(SEGMENT_0, 0, 0);
    resize(SEGMENT_0, 10 * FORMAT1_BLOCK);
    ck_assert_int_eq(read_folder(&format1), 0);
    ck_assert_uint_eq(format1.records, 0);
    ck_assert_uint_eq(format1.journal_end, 2 * FORMAT1_JOURNAL_PAYLOAD);
    format1_release(&format1);
    write_segment(SEGMENT_1, 1, 0);
    ck_assert_int_eq(read_folder(&format1), 0);
    ck_assert_uint_eq(format1.records, 0);
    format1_release(&format1);
}
END_TEST

START_TEST(a_durable_record_that_is_gone)
{
    struct format1 format1;
    make_checkpoint(3);
    put_u64(block + END, FORMAT1_BLOCK); /* one record was durable */
    write_checkpoint(1);
    write_segment(SEGMENT_0, 0, 0);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("a record that was durable is damaged at offset 4096");
    format1_release(&format1);
    write_effect(FORMAT1_EFFECT_FREE, 100, 35);
    ck_assert_int_eq(read_folder(&format1), 0);
    ck_assert_uint_eq(format1.space.tree.blocks, 1);
    format1_release(&format1);
    resize(SEGMENT_0, 10 * FORMAT1_BLOCK);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("was cut: it has 40960 bytes");
    format1_release(&format1);
}
END_TEST

/* A record that claims to go on in a segment that was never made. */
START_TEST(a_record_into_a_segment_that_is_not_there)
{
    struct format1 format1;
    make_checkpoint(3);
    write_checkpoint(1);
    write_segment(SEGMENT_0, 0, 0);
    begin_record(0, FORMAT1_JOURNAL_PAYLOAD + 1, 1, 0);
    seal_record();
    write_at(SEGMENT_0, FORMAT1_BLOCK, record, FORMAT1_BLOCK);
    ck_assert_int_eq(read_folder(&format1), ERR_CORRUPT);
    expect_words("journal-0000000000000001: the segment is missing, and the journal goes on");
    format1_release(&format1);
    /* Where it has all its bytes, and they are not its own, it is a torn tail. */
    begin_record(0, FORMAT1_JOURNAL_PAYLOAD, 1, 0);
    seal_record();
    write_at(SEGMENT_0, FORMAT1_BLOCK, record, FORMAT1_BLOCK);
    ck_assert_int_eq(read_folder(&format1), 0);
    ck_assert_uint_eq(format1.cut_bytes, FORMAT1_JOURNAL_PAYLOAD);
    format1_release(&format1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("format1");
    TCase *tests = tcase_create("format1");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_checkpoint_claims_what_can_be);
    tcase_add_test(tests, a_checkpoint_is_of_this_region_and_format);
    tcase_add_test(tests, free_blocks_are_where_they_can_be);
    tcase_add_test(tests, a_checkpoint_that_cannot_be_read);
    tcase_add_test(tests, a_segment_that_is_cut_meanwhile);
    tcase_add_test(tests, chunks_are_whole_and_in_order);
    tcase_add_test(tests, a_record_claims_what_can_be);
    tcase_add_test(tests, effects_make_sense);
    tcase_add_test(tests, names_of_segments);
    tcase_add_test(tests, a_segment_is_of_this_region_and_format);
    tcase_add_test(tests, how_far_segments_reach);
    tcase_add_test(tests, which_segments_are_missing);
    tcase_add_test(tests, effects_stay_in_the_region);
    tcase_add_test(tests, the_older_checkpoint_stands_in);
    tcase_add_test(tests, the_journal_reaches_back_to_the_checkpoint);
    tcase_add_test(tests, the_journal_begins_with_the_next_segment);
    tcase_add_test(tests, a_durable_record_that_is_gone);
    tcase_add_test(tests, a_record_into_a_segment_that_is_not_there);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
