/* libmregion against the real server: every function, blobs of every size, pipelines that fill both
 * sides' buffers, a server that is killed and comes back. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/mregion.h"
#include "support_server.h"
#include "tests/support_main.h"

#define MIB ((uint64_t)1 << 20)

static struct server server;
static struct mregion *connection;
static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)
#define FAILS(code, call) ck_assert_str_eq(mregion_code_name(call), mregion_code_name(code))

static void setup_with(const char *max_message)
{
    server_start(&server, max_message);
    OK(mregion_connect(server.address, NULL, &connection, &error));
}

static void setup(void)
{
    setup_with("64MiB");
}

static void setup_small(void)
{
    setup_with("64KiB");
}

static void teardown(void)
{
    mregion_close(connection);
    server_remove(&server);
}

static uint8_t *pattern(uint64_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size + 1);

    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8) + (i >> 16) + seed);
    return bytes;
}

/* ---- Every method ---- */

START_TEST(blocks)
{
    uint64_t address, number;
    struct mregion_block found[4];
    size_t count;
    bool is;

    OK(mregion_allocate(connection, "main", 100, &address, &error));
    ck_assert_uint_eq(address, 0);
    OK(mregion_resize(connection, "main", 0, 100, 300, &address, &error));
    ck_assert_uint_eq(address, 0);
    OK(mregion_deallocate(connection, "main", 100, 50, &error));
    OK(mregion_is_freed(connection, "main", 100, 50, &is, &error));
    ck_assert(is);
    OK(mregion_is_allocated(connection, "main", 100, 50, &is, &error));
    ck_assert(!is);
    OK(mregion_is_allocated(connection, "main", 0, 100, &is, &error));
    ck_assert(is);
    FAILS(MREGION_ERR_PARTLY_FREE, mregion_is_freed(connection, "main", 90, 20, &is, &error));
    FAILS(MREGION_ERR_NOT_ALLOCATED, mregion_deallocate(connection, "main", 140, 20, &error));
    FAILS(MREGION_ERR_OUT_OF_BOUNDS, mregion_deallocate(connection, "main", 290, 20, &error));
    FAILS(MREGION_ERR_OUT_OF_BOUNDS,
          mregion_deallocate(connection, "main", UINT64_MAX, UINT64_MAX, &error));
    OK(mregion_allocated_blocks_in_range(connection, "main", 10, 300, 4, found, &count, &error));
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(found[0].address, 10);
    ck_assert_uint_eq(found[0].size, 90);
    ck_assert_uint_eq(found[1].address, 150);
    ck_assert_uint_eq(found[1].size, 150);
    OK(mregion_allocated_blocks_in_range(connection, "main", 10, 300, 1, found, &count, &error));
    ck_assert_uint_eq(count, 1);
    OK(mregion_deallocated_blocks_in_range(connection, "main", 0, 120, 4, found, &count, &error));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(found[0].size, 20);
    OK(mregion_free_memory(connection, "main", 0, 4, found, &count, &error));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(found[0].address, 100);
    OK(mregion_free_memory(connection, "main", 0, 0, found, &count, &error));
    ck_assert_uint_eq(count, 0);
    OK(mregion_deallocate_range(connection, "main", 50, 200, &number, &error));
    ck_assert_uint_eq(number, 100);
    OK(mregion_clear_and_retain_header(connection, "main", 10, &error));
    OK(mregion_allocated(connection, "main", &number, &error));
    ck_assert_uint_eq(number, 10);
    OK(mregion_clear(connection, "main", &error));
    OK(mregion_deallocated(connection, "main", &number, &error));
    ck_assert_uint_eq(number, 300);
}
END_TEST

START_TEST(regions_and_server)
{
    struct mregion_region_options options = {
        .durability = "interval", .fit = "lowest", .flush_interval_ms = 20, .max_size = 5 * MIB};
    struct mregion_memory_info memory;
    struct mregion_region_info info;
    struct mregion_server_info about;
    uint64_t id, number;
    char **names, by_id[32];
    size_t count;

    OK(mregion_ping(connection, &error));
    OK(mregion_server_info(connection, &about, &error));
    ck_assert_str_eq(about.name, "mregiond");
    ck_assert_str_eq(about.version, mregion_version());
    ck_assert_uint_eq(about.max_message, 64 * MIB);
    ck_assert_uint_eq(about.connections, 1);
    OK(mregion_create_region(connection, "second", &options, &id, &error));
    FAILS(MREGION_ERR_EXISTS, mregion_create_region(connection, "second", NULL, NULL, &error));
    FAILS(MREGION_ERR_INVALID_ARGUMENT,
          mregion_create_region(connection, "a/b", NULL, NULL, &error));
    options.fit = "best";
    FAILS(MREGION_ERR_INVALID_ARGUMENT,
          mregion_create_region(connection, "third", &options, NULL, &error));
    OK(mregion_list_regions(connection, &names, &count, &error));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], "main");
    ck_assert_str_eq(names[1], "second");
    ck_assert_ptr_null(names[2]);
    mregion_free(names);
    OK(mregion_grow(connection, "second", 3, &number, &error));
    ck_assert_uint_eq(number, 0);
    (void)snprintf(by_id, sizeof by_id, "#%llu", (unsigned long long)id);
    OK(mregion_region_info(connection, by_id, &info, &error));
    ck_assert_str_eq(info.name, "second");
    ck_assert_uint_eq(info.id, id);
    ck_assert_uint_eq(strlen(info.uuid), 36);
    ck_assert_str_eq(info.durability, "interval");
    ck_assert_str_eq(info.fit, "lowest");
    ck_assert_uint_eq(info.flush_interval_ms, 20);
    ck_assert_uint_eq(info.max_size, 5 * MIB);
    ck_assert_uint_eq(info.memory.pages, 3);
    ck_assert_uint_ge(info.format, 1);
    ck_assert(!info.read_only);
    OK(mregion_memory_info(connection, "second", &memory, &error));
    ck_assert_uint_eq(memory.capacity, 3 * 65536);
    OK(mregion_pages(connection, "second", &number, &error));
    ck_assert_uint_eq(number, 3);
    OK(mregion_capacity(connection, "second", &number, &error));
    ck_assert_uint_eq(number, 3 * 65536);
    OK(mregion_size(connection, "second", &number, &error));
    ck_assert_uint_eq(number, 0);
    OK(mregion_id(connection, "second", &number, &error));
    ck_assert_uint_eq(number, id);
    FAILS(MREGION_ERR_NO_SPACE, mregion_allocate(connection, "second", 6 * MIB, &number, &error));
    OK(mregion_checkpoint(connection, "second", &error));
    FAILS(MREGION_ERR_EXISTS, mregion_rename_region(connection, "second", "main", &error));
    FAILS(MREGION_ERR_INVALID_ARGUMENT, mregion_rename_region(connection, "second", "a/b", &error));
    FAILS(MREGION_ERR_NO_SUCH_REGION, mregion_rename_region(connection, "none", "x", &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_rename_region(connection, "second", NULL, &error));
    OK(mregion_rename_region(connection, "second", "third", &error));
    OK(mregion_id(connection, "third", &number, &error));
    ck_assert_uint_eq(number, id);
    OK(mregion_rename_region(connection, "third", "second", &error));
    OK(mregion_drop_region(connection, "second", &error));
    FAILS(MREGION_ERR_NO_SUCH_REGION, mregion_size(connection, "second", &number, &error));
}
END_TEST

START_TEST(options_of_a_region)
{
    const struct mregion_setting settings[] = {{.name = "max_size", .value = "5MiB"},
                                               {.name = "token_window", .value = "7"},
                                               {.name = "fit", .value = "lowest"},
                                               {.name = "flush_interval", .value = "20ms"}};
    const struct mregion_setting unknown = {.name = "size", .value = "1"};
    const struct mregion_setting none = {.name = "fit"};
    const struct mregion_setting no_limit = {.name = "max_size", .value = "0"};
    struct mregion_setting many[17];
    struct mregion_region_info info;
    uint64_t number;

    OK(mregion_create_region(connection, "second", NULL, NULL, &error));
    OK(mregion_set_region(connection, "second", settings, 4, &error));
    OK(mregion_region_info(connection, "second", &info, &error));
    ck_assert_uint_eq(info.max_size, 5 * MIB);
    ck_assert_str_eq(info.fit, "lowest");
    ck_assert_str_eq(info.durability, "sync");
    ck_assert_uint_eq(info.flush_interval_ms, 20);
    FAILS(MREGION_ERR_NO_SPACE, mregion_allocate(connection, "second", 6 * MIB, &number, &error));
    OK(mregion_set_region(connection, "second", &no_limit, 1, &error));
    OK(mregion_allocate(connection, "second", 6 * MIB, &number, &error));
    FAILS(MREGION_ERR_INVALID_ARGUMENT,
          mregion_set_region(connection, "second", settings, 1, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "handed out"));
    FAILS(MREGION_ERR_INVALID_ARGUMENT, mregion_set_region(connection, "second", NULL, 0, &error));
    FAILS(MREGION_ERR_INVALID_ARGUMENT,
          mregion_set_region(connection, "second", &unknown, 1, &error));
    FAILS(MREGION_ERR_NO_SUCH_REGION, mregion_set_region(connection, "none", settings, 1, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_set_region(connection, NULL, settings, 1, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_set_region(connection, "second", &none, 1, &error));
    for (size_t i = 0; i < 17; i++)
        many[i] = no_limit;
    FAILS(MREGION_ERR_ARGUMENT, mregion_set_region(connection, "second", many, 17, &error));
    OK(mregion_drop_region(connection, "second", &error));
}
END_TEST

START_TEST(the_servers_settings)
{
    struct mregion_setting *settings;
    size_t count, all;

    OK(mregion_config_get(connection, "max_batch,max_pipe*", &settings, &count, &error));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(settings[0].name, "max_batch");
    ck_assert_str_eq(settings[0].value, "1024");
    ck_assert_ptr_null(settings[0].after_restart);
    ck_assert_str_eq(settings[1].name, "max_pipeline");
    mregion_free(settings);
    OK(mregion_config_get(connection, "*", &settings, &all, &error));
    ck_assert_uint_gt(all, 20);
    for (size_t i = 1; i < all; i++)
        ck_assert_ptr_nonnull(settings[i].value);
    mregion_free(settings);
    OK(mregion_config_get(connection, "nothing", &settings, &count, &error));
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_nonnull(settings);
    mregion_free(settings);
    FAILS(MREGION_ERR_ARGUMENT, mregion_config_get(connection, NULL, &settings, &count, &error));
}
END_TEST

START_TEST(any_method)
{
    static const uint8_t params[] = {0x92, 0xa4, 'm', 'a', 'i', 'n', 0xc4, 2, 5, 6};
    uint64_t number;
    uint8_t bytes[2];
    void *result;
    size_t size;

    OK(mregion_call(connection, "addBlob", params, sizeof params, &result, &size, &error));
    ck_assert_uint_eq(size, 1);
    ck_assert_uint_eq(*(uint8_t *)result, 0);
    mregion_free(result);
    OK(mregion_notify(connection, "addBlob", params, sizeof params, &error));
    OK(mregion_notify(connection, "noSuchMethod", NULL, 0, &error));
    OK(mregion_size(connection, "main", &number, &error));
    ck_assert_uint_eq(number, 4);
    OK(mregion_load(connection, "main", 2, 2, bytes, &error));
    ck_assert_mem_eq(bytes, params + 8, 2);
    FAILS(MREGION_ERR_NO_SUCH_METHOD,
          mregion_call(connection, "noSuchMethod", NULL, 0, &result, &size, &error));
    OK(mregion_call(connection, "ping", NULL, 0, &result, &size, &error));
    ck_assert_uint_eq(size, 5);
    ck_assert_mem_eq(result, "\xa4pong", 5);
    mregion_free(result);
}
END_TEST

START_TEST(numbers)
{
    struct mregion_block hole;
    uint64_t address, other;
    double real;
    int16_t small;
    size_t count;

    OK(mregion_add_float(connection, "main", 0.1, &address, &error));
    OK(mregion_load_float(connection, "main", address, &real, &error));
    ck_assert(real >= 0.1 && real <= 0.1);
    OK(mregion_add_int16(connection, "main", -3, &other, &error));
    OK(mregion_store_int16(connection, "main", other, -4, &error));
    OK(mregion_remove_int16(connection, "main", other, &small, &error));
    ck_assert_int_eq(small, -4);
    OK(mregion_free_memory(connection, "main", 0, 1, &hole, &count, &error));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(hole.address, other);
    ck_assert_uint_eq(hole.size, 2);
    FAILS(MREGION_ERR_NOT_ALLOCATED, mregion_load_int16(connection, "main", other, &small, &error));
}
END_TEST

/* ---- Blobs ---- */

static const uint64_t sizes[] = {0,          1,       4095,    65536 - 1024, 65536 - 1023,
                                 65536 + 17, 3 * MIB, 9 * MIB, 70 * MIB + 3};
#define SIZES ((int)(sizeof sizes / sizeof sizes[0]))

/* With one message for all but the largest, and with messages of 64 KiB. */
START_TEST(memory_in_and_out)
{
    uint64_t size = sizes[_i], address, number;
    uint8_t *bytes = pattern(size, 1), *buffer = calloc(1, size + 1);
    void *fresh;

    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    OK(mregion_load(connection, "main", address, size, buffer, &error));
    ck_assert_int_eq(memcmp(buffer, bytes, size), 0);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] ^= 0x55;
    OK(mregion_store(connection, "main", address, bytes, size, &error));
    OK(mregion_load_new(connection, "main", address, size, &fresh, &error));
    ck_assert_int_eq(memcmp(fresh, bytes, size), 0);
    mregion_free(fresh);
    OK(mregion_replace(connection, "main", address, size, bytes, size / 2, &address, &error));
    OK(mregion_remove_new(connection, "main", address, size / 2, &fresh, &error));
    ck_assert_int_eq(memcmp(fresh, bytes, size / 2), 0);
    mregion_free(fresh);
    OK(mregion_allocated(connection, "main", &number, &error));
    ck_assert_uint_eq(number, 0);
    free(bytes);
    free(buffer);
}
END_TEST

static int file_of(const uint8_t *bytes, uint64_t size)
{
    char name[] = "/tmp/mregion-library.XXXXXX";
    int fd = mkstemp(name);

    ck_assert_int_ge(fd, 0);
    (void)unlink(name);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

START_TEST(files_in_and_out)
{
    uint64_t size = sizes[_i], address, got, number;
    uint8_t *bytes = pattern(size, 2), *buffer = malloc(size + 1);
    int from = file_of(bytes, size), to = file_of(NULL, 0);

    OK(mregion_add_fd(connection, "main", from, &address, &got, &error));
    ck_assert_uint_eq(got, size);
    OK(mregion_load_fd(connection, "main", address, size, to, &error));
    ck_assert_int_eq(pread(to, buffer, size + 1, 0), (ssize_t)size);
    ck_assert_int_eq(memcmp(buffer, bytes, size), 0);
    ck_assert_int_eq(lseek(from, 0, SEEK_SET), 0);
    OK(mregion_store_fd(connection, "main", address, from, &got, &error));
    ck_assert_int_eq(lseek(from, (off_t)(size / 3), SEEK_SET), (off_t)(size / 3));
    OK(mregion_replace_fd(connection, "main", address, size, from, &address, &got, &error));
    ck_assert_uint_eq(got, size - size / 3);
    OK(mregion_load(connection, "main", address, got, buffer, &error));
    ck_assert_int_eq(memcmp(buffer, bytes + size / 3, got), 0);
    OK(mregion_allocated(connection, "main", &number, &error));
    ck_assert_uint_eq(number, got);
    (void)close(from);
    (void)close(to);
    free(bytes);
    free(buffer);
}
END_TEST

struct feed {
    int fd;
    const uint8_t *bytes;
    uint64_t size;
};

static void *feed(void *data)
{
    struct feed *job = data;

    while (job->size > 0) {
        ssize_t count = write(job->fd, job->bytes, job->size < 65536 ? job->size : 65536);

        if (count <= 0)
            break;
        job->bytes += count;
        job->size -= (uint64_t)count;
    }
    (void)close(job->fd);
    return NULL;
}

START_TEST(pipes_in)
{
    uint64_t size = sizes[_i], address, got, number;
    uint8_t *bytes = pattern(size, 3), *buffer = malloc(size + 1);
    pthread_t thread;
    struct feed job = {.bytes = bytes, .size = size};
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    job.fd = ends[1];
    ck_assert_int_eq(pthread_create(&thread, NULL, feed, &job), 0);
    OK(mregion_add_fd(connection, "main", ends[0], &address, &got, &error));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(got, size);
    OK(mregion_load(connection, "main", address, size, buffer, &error));
    ck_assert_int_eq(memcmp(buffer, bytes, size), 0);
    OK(mregion_allocated(connection, "main", &number, &error));
    ck_assert_uint_eq(number, size);
    (void)close(ends[0]);
    free(bytes);
    free(buffer);
}
END_TEST

START_TEST(what_fails_in_the_middle_is_given_back)
{
    struct mregion_region_options options = {.max_size = 10 * MIB};
    uint64_t size = 9 * MIB, address, number;
    uint8_t *bytes = pattern(size, 4);
    int fd = file_of(bytes, size);

    OK(mregion_create_region(connection, "small", &options, NULL, &error));
    OK(mregion_add_fd(connection, "small", fd, &address, &number, &error));
    ck_assert_uint_eq(number, size);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    FAILS(MREGION_ERR_NO_SPACE, mregion_add_fd(connection, "small", fd, &address, &number, &error));
    FAILS(MREGION_ERR_NO_SPACE, mregion_add(connection, "small", bytes, size, &address, &error));
    FAILS(MREGION_ERR_OUT_OF_BOUNDS,
          mregion_replace(connection, "small", 0, size + 5, bytes, size - 1, &address, &error));
    OK(mregion_allocated(connection, "small", &number, &error));
    ck_assert_uint_eq(number, size);
    OK(mregion_deallocate(connection, "small", 1000, 1, &error));
    FAILS(MREGION_ERR_NOT_ALLOCATED,
          mregion_replace(connection, "small", 0, size, bytes, size - 1, &address, &error));
    OK(mregion_allocated(connection, "small", &number, &error));
    ck_assert_uint_eq(number, size - 1);
    (void)close(fd);
    free(bytes);
}
END_TEST

/* ---- Lists ---- */

START_TEST(long_lists_come_in_pages)
{
    enum { HOLES = 30000 };
    struct mregion_block *holes, *found = calloc(HOLES, sizeof *found);
    static const uint8_t params[] = {0x91, 0xa4, 'm', 'a', 'i', 'n'};
    mregion_ticket tickets[1000];
    size_t count, size;
    uint64_t address;
    void *result;

    OK(mregion_allocate(connection, "main", 2 * HOLES, &address, &error));
    for (unsigned i = 0; i < HOLES; i += 1000) {
        for (unsigned j = 0; j < 1000; j++)
            OK(mregion_submit_deallocate(connection, "main", 2 * (i + j), 1, &tickets[j], &error));
        for (unsigned j = 0; j < 1000; j++)
            OK(mregion_collect_done(connection, tickets[j], &error));
    }
    OK(mregion_free_memory_all(connection, "main", &holes, &count, &error));
    ck_assert_uint_eq(count, HOLES);
    for (unsigned i = 0; i < HOLES; i++) {
        ck_assert_uint_eq(holes[i].address, 2 * i);
        ck_assert_uint_eq(holes[i].size, 1);
    }
    mregion_free(holes);
    OK(mregion_allocated_blocks_in_range(connection, "main", 1, 2 * HOLES, HOLES, found, &count,
                                         &error));
    ck_assert_uint_eq(count, HOLES);
    ck_assert_uint_eq(found[HOLES - 1].address, 2 * HOLES - 1);
    OK(mregion_deallocated_blocks_in_range(connection, "main", 1, 2 * HOLES, 7000, found, &count,
                                           &error));
    ck_assert_uint_eq(count, 7000);
    ck_assert_uint_eq(found[6999].address, 14000);
    OK(mregion_free_memory(connection, "main", 10001, 5000, found, &count, &error));
    ck_assert_uint_eq(count, 5000);
    ck_assert_uint_eq(found[0].address, 10002);
    /* All at once, which is more elements than a request may have. */
    OK(mregion_call(connection, "getFreeMemory", params, sizeof params, &result, &size, &error));
    ck_assert_uint_gt(size, 3 * HOLES);
    mregion_free(result);
    free(found);
}
END_TEST

/* ---- Pipelines ---- */

START_TEST(many_requests_under_way)
{
    enum { COUNT = 1000, SIZE = 5000 };
    static mregion_ticket tickets[COUNT];
    static uint64_t addresses[COUNT];
    static uint8_t buffers[COUNT][SIZE];
    uint8_t *bytes = pattern(SIZE, 0);

    for (unsigned i = 0; i < COUNT; i++) {
        memcpy(bytes, &i, sizeof i);
        OK(mregion_submit_add(connection, "main", bytes, SIZE, &tickets[i], &error));
    }
    for (unsigned i = 0; i < COUNT; i++) /* 617 and 1000 have no common divisor */
        OK(mregion_collect_uint(connection, tickets[i * 617 % COUNT], &addresses[i * 617 % COUNT],
                                &error));
    for (unsigned i = 0; i < COUNT; i++)
        OK(mregion_submit_load(connection, "main", addresses[i], SIZE, buffers[i], &tickets[i],
                               &error));
    for (unsigned i = 0; i < COUNT; i++) {
        OK(mregion_collect_done(connection, tickets[COUNT - 1 - i], &error));
        memcpy(bytes, &(unsigned){COUNT - 1 - i}, sizeof(unsigned));
        ck_assert_mem_eq(buffers[COUNT - 1 - i], bytes, SIZE);
    }
    free(bytes);
}
END_TEST

START_TEST(both_directions_full)
{
    enum { COUNT = 60 };
    uint8_t *bytes = pattern(MIB, 5);
    uint8_t *buffers = malloc(COUNT * MIB);
    mregion_ticket tickets[2 * COUNT];
    uint64_t address, other;

    OK(mregion_add(connection, "main", bytes, MIB, &address, &error));
    OK(mregion_allocate(connection, "main", MIB, &other, &error));
    for (unsigned i = 0; i < COUNT; i++) {
        OK(mregion_submit_load(connection, "main", address, MIB, buffers + i * MIB, &tickets[2 * i],
                               &error));
        OK(mregion_submit_store(connection, "main", other, bytes, MIB, &tickets[2 * i + 1],
                                &error));
    }
    for (unsigned i = 0; i < 2 * COUNT; i++)
        OK(mregion_collect_done(connection, tickets[i], &error));
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_int_eq(memcmp(buffers + i * MIB, bytes, MIB), 0);
    free(buffers);
    free(bytes);
}
END_TEST

START_TEST(an_error_in_the_middle_of_a_pipeline)
{
    mregion_ticket tickets[3];
    uint64_t number;

    OK(mregion_submit_allocate(connection, "main", 10, &tickets[0], &error));
    OK(mregion_submit_deallocate(connection, "main", 5, 10, &tickets[1], &error));
    OK(mregion_submit_deallocate(connection, "main", 5, 5, &tickets[2], &error));
    OK(mregion_collect_done(connection, tickets[2], &error));
    FAILS(MREGION_ERR_OUT_OF_BOUNDS, mregion_collect_done(connection, tickets[1], &error));
    OK(mregion_collect_uint(connection, tickets[0], &number, &error));
    ck_assert_uint_eq(number, 0);
}
END_TEST

/* ---- Loss ---- */

START_TEST(the_server_is_killed_and_comes_back)
{
    uint8_t bytes[8];
    uint64_t address, number;

    OK(mregion_add(connection, "main", "acked!", 7, &address, &error));
    ck_assert_int_eq(server_end(&server, SIGKILL), 128 + SIGKILL);
    mregion_set_timeout(connection, 100);
    FAILS(MREGION_ERR_CONNECT, mregion_size(connection, "main", &number, &error));
    FAILS(MREGION_ERR_CONNECT, mregion_allocate(connection, "main", 1, &number, &error));
    mregion_set_timeout(connection, 0);
    server_start_again(&server);
    OK(mregion_load(connection, "main", address, 7, bytes, &error));
    ck_assert_str_eq((char *)bytes, "acked!");
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    server_start_again(&server);
    OK(mregion_allocate(connection, "main", 1, &number, &error));
    ck_assert_uint_eq(number, 7);
}
END_TEST

START_TEST(open_tickets_when_the_server_is_killed)
{
    enum { COUNT = 200, SIZE = 20000 };
    mregion_ticket tickets[COUNT];
    uint64_t address, allocated;
    uint8_t *bytes = pattern(SIZE, 6), *buffer = malloc(SIZE);

    for (unsigned i = 0; i < COUNT; i++)
        OK(mregion_submit_add(connection, "main", bytes, SIZE, &tickets[i], &error));
    OK(mregion_flush(connection, &error));
    OK(mregion_collect_uint(connection, tickets[0], &address, &error));
    (void)server_end(&server, SIGKILL);
    server_start_again(&server);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i > 0)
            OK(mregion_collect_uint(connection, tickets[i], &address, &error));
        OK(mregion_load(connection, "main", address, SIZE, buffer, &error));
        ck_assert_mem_eq(buffer, bytes, SIZE);
    }
    /* Each of them once. */
    OK(mregion_allocated(connection, "main", &allocated, &error));
    ck_assert_uint_eq(allocated, COUNT * SIZE);
    free(bytes);
    free(buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("e2e/library");
    TCase *usual = tcase_create("usual"), *small = tcase_create("small messages");

    tcase_add_checked_fixture(usual, setup, teardown);
    tcase_add_checked_fixture(small, setup_small, teardown);
    tcase_add_test(usual, blocks);
    tcase_add_test(usual, regions_and_server);
    tcase_add_test(usual, options_of_a_region);
    tcase_add_test(usual, the_servers_settings);
    tcase_add_test(usual, any_method);
    tcase_add_test(usual, numbers);
    tcase_add_loop_test(usual, memory_in_and_out, 0, SIZES);
    tcase_add_loop_test(small, memory_in_and_out, 0, SIZES);
    tcase_add_loop_test(usual, files_in_and_out, 0, SIZES);
    tcase_add_loop_test(small, files_in_and_out, 0, SIZES);
    tcase_add_loop_test(usual, pipes_in, 0, SIZES);
    tcase_add_loop_test(small, pipes_in, 0, SIZES);
    tcase_add_test(usual, what_fails_in_the_middle_is_given_back);
    tcase_add_test(small, what_fails_in_the_middle_is_given_back);
    tcase_add_test(usual, long_lists_come_in_pages);
    tcase_add_test(usual, many_requests_under_way);
    tcase_add_test(usual, both_directions_full);
    tcase_add_test(usual, an_error_in_the_middle_of_a_pipeline);
    tcase_add_test(usual, the_server_is_killed_and_comes_back);
    tcase_add_test(usual, open_tickets_when_the_server_is_killed);
    suite_add_tcase(suite, usual);
    suite_add_tcase(suite, small);
    return suite_main(suite);
}
