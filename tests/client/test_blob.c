/* Blobs of any size against a region of memory: whole, in pieces, from and to descriptors, and what
 * is left when something fails in the middle. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "support_fake.h"
#include "tests/support_main.h"

#define MAX_MESSAGE ((uint64_t)64 << 10)
#define PIECE (MAX_MESSAGE - 1024)

static struct fake fake;
static struct fake_region region;
static struct mregion *connection;
static struct mregion_error error;

static void setup(void)
{
    fake_region_init(&region, 64 << 20, MAX_MESSAGE);
    fake_start(&fake, fake_region_script, &region);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
}

static void teardown(void)
{
    mregion_close(connection);
    fake_stop(&fake);
    fake_region_release(&region);
}

static uint8_t *pattern(uint64_t size)
{
    uint8_t *bytes = malloc(size + 1);

    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8) + (i >> 16));
    return bytes;
}

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)

/* ---- Whole and in pieces ---- */

static const uint64_t sizes[] = {0,         1,       100,          32 << 10,  (32 << 10) + 1,
                                 PIECE - 1, PIECE,   PIECE + 1,    2 * PIECE, 2 * PIECE + 1,
                                 9 * PIECE, 1 << 20, (5 << 20) + 3};
#define SIZES ((int)(sizeof sizes / sizeof sizes[0]))

START_TEST(memory_in_and_out)
{
    uint64_t size = sizes[_i], address;
    uint8_t *bytes = pattern(size), *buffer = malloc(size + 1);
    void *fresh;

    OK(mregion_add(connection, "main", "x", 1, &address, &error));
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(address, 1);
    ck_assert_mem_eq(region.bytes + 1, bytes, size);
    OK(mregion_load(connection, "main", address, size, buffer, &error));
    ck_assert_mem_eq(buffer, bytes, size);
    OK(mregion_load_new(connection, "main", address, size, &fresh, &error));
    ck_assert_mem_eq(fresh, bytes, size);
    mregion_free(fresh);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)~bytes[i];
    OK(mregion_store(connection, "main", address, bytes, size, &error));
    ck_assert_mem_eq(region.bytes + 1, bytes, size);
    memset(buffer, 0, size);
    if (size > PIECE) {
        OK(mregion_remove(connection, "main", address, size, buffer, &error));
        ck_assert_mem_eq(buffer, bytes, size);
        ck_assert_uint_eq(region.frees, 1);
        ck_assert_uint_eq(region.freed_address, address);
        ck_assert_uint_eq(region.freed_size, size);
    } else {
        ck_assert_uint_eq(region.frees, 0);
    }
    ck_assert_uint_eq(region.adds, size > PIECE ? 1 : 2);
    free(bytes);
    free(buffer);
}
END_TEST

START_TEST(a_large_replacement_is_added_before_the_old_one_goes)
{
    uint64_t size = 3 * PIECE, address, moved;
    uint8_t *bytes = pattern(size);

    OK(mregion_add(connection, "main", "abc", 3, &address, &error));
    OK(mregion_replace(connection, "main", address, 3, bytes, size, &moved, &error));
    ck_assert_uint_eq(moved, 3);
    ck_assert_mem_eq(region.bytes + moved, bytes, size);
    ck_assert_uint_eq(region.frees, 1);
    ck_assert_uint_eq(region.freed_address, address);
    ck_assert_uint_eq(region.freed_size, 3);
    free(bytes);
}
END_TEST

/* ---- What is told on the way ---- */

struct watch {
    uint64_t done, total, stop_at;
    unsigned calls;
    off_t new_size; /* of the file fd, from the first call on; 0: none */
    int fd;
};

static int watch(uint64_t done, uint64_t total, void *context)
{
    struct watch *seen = context;

    ck_assert_uint_ge(done, seen->done);
    seen->done = done;
    seen->total = total;
    seen->calls++;
    if (seen->new_size > 0)
        ck_assert_int_eq(ftruncate(seen->fd, seen->new_size), 0);
    return done >= seen->stop_at;
}

/* ---- Descriptors ---- */

/* A file without a name that holds the bytes, at its beginning. */
static int file_of(const uint8_t *bytes, uint64_t size)
{
    char name[] = "/tmp/mregion-blob.XXXXXX";
    int fd = mkstemp(name);

    ck_assert_int_ge(fd, 0);
    (void)unlink(name);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void check_file(int fd, uint64_t offset, const uint8_t *bytes, uint64_t size)
{
    uint8_t *read_back = malloc(size + 1);

    ck_assert_int_eq(pread(fd, read_back, size + 1, (off_t)offset), (ssize_t)size);
    ck_assert_mem_eq(read_back, bytes, size);
    free(read_back);
}

START_TEST(files_in_and_out)
{
    uint64_t size = sizes[_i], address, added = UINT64_MAX;
    uint8_t *bytes = pattern(size);
    int from = file_of(bytes, size), to = file_of(NULL, 0);

    OK(mregion_add_fd(connection, "main", from, &address, &added, &error));
    ck_assert_uint_eq(added, size);
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    OK(mregion_load_fd(connection, "main", address, size, to, &error));
    check_file(to, 0, bytes, size);
    /* From an offset on, to where it is. */
    ck_assert_int_eq(lseek(from, (off_t)(size / 2), SEEK_SET), (off_t)(size / 2));
    OK(mregion_store_fd(connection, "main", address, from, &added, &error));
    ck_assert_uint_eq(added, size - size / 2);
    ck_assert_mem_eq(region.bytes + address, bytes + size / 2, added);
    OK(mregion_load_fd(connection, "main", address, added, to, &error));
    check_file(to, size, bytes + size / 2, added);
    ck_assert_uint_eq(region.uploads, size > PIECE ? 1 : 0);
    (void)close(from);
    (void)close(to);
    free(bytes);
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
        size_t step = job->size < 12345 ? (size_t)job->size : 12345;
        ssize_t count = write(job->fd, job->bytes, step);

        if (count <= 0)
            break;
        job->bytes += count;
        job->size -= (uint64_t)count;
    }
    (void)close(job->fd);
    return NULL;
}

/* A pipe through which the bytes come; *ret_thread is to be joined. */
static int pipe_of(struct feed *job, const uint8_t *bytes, uint64_t size, pthread_t *ret_thread)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    *job = (struct feed){ends[1], bytes, size};
    ck_assert_int_eq(pthread_create(ret_thread, NULL, feed, job), 0);
    return ends[0];
}

START_TEST(pipes_have_no_length)
{
    uint64_t size = sizes[_i], address, added = UINT64_MAX;
    uint8_t *bytes = pattern(size);
    pthread_t thread;
    struct feed job;
    int fd;

    fake_region_release(&region);
    fake_region_init(&region, 200 << 20, MAX_MESSAGE);
    fd = pipe_of(&job, bytes, size, &thread);
    OK(mregion_add_fd(connection, "main", fd, &address, &added, &error));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(added, size);
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    ck_assert_uint_eq(region.uploads, size > PIECE ? 1 : 0);
    ck_assert_uint_eq(region.size, size);
    (void)close(fd);
    free(bytes);
}
END_TEST

/* More than 4 MiB is no single message, even where the server would take one. */
START_TEST(memory_is_bounded_for_files)
{
    uint64_t size = ((uint64_t)4 << 20) + (unsigned)_i, address, added;
    uint8_t *bytes = pattern(size);
    int fd = file_of(bytes, size);

    region.max_message = 64 << 20;
    OK(mregion_add_fd(connection, "main", fd, &address, &added, &error));
    ck_assert_uint_eq(added, size);
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    ck_assert_uint_eq(region.uploads, (unsigned)_i);
    (void)close(fd);
    free(bytes);
}
END_TEST

/* It is read while somebody still writes to it, or cuts it off. */
START_TEST(a_file_that_changes)
{
    uint64_t size = 4 << 20, address, added;
    uint8_t *bytes = pattern(size);
    struct watch seen = {.stop_at = UINT64_MAX};
    int fd = file_of(bytes, size);

    seen.fd = fd;
    seen.new_size = (off_t)(_i == 0 ? size / 2 : size + 1);
    mregion_set_progress(connection, watch, &seen);
    ck_assert_int_eq(mregion_add_fd(connection, "main", fd, &address, &added, &error),
                     MREGION_ERR_LOCAL_IO);
    ck_assert_ptr_nonnull(strstr(error.text, _i == 0 ? "shorter" : "longer"));
    ck_assert_uint_eq(region.size, 0);
    ck_assert_uint_eq(region.aborts, 1);
    (void)close(fd);
    free(bytes);
}
END_TEST

START_TEST(a_large_replacement_from_a_file)
{
    uint64_t size = 3 * PIECE + 5, address, moved, added;
    uint8_t *bytes = pattern(size);
    int fd = file_of(bytes, size);

    OK(mregion_add(connection, "main", "abc", 3, &address, &error));
    OK(mregion_replace_fd(connection, "main", address, 3, fd, &moved, &added, &error));
    ck_assert_uint_eq(moved, 3);
    ck_assert_uint_eq(added, size);
    ck_assert_mem_eq(region.bytes + moved, bytes, size);
    ck_assert_uint_eq(region.freed_address, address);
    ck_assert_uint_eq(region.freed_size, 3);
    (void)close(fd);
    free(bytes);
}
END_TEST

START_TEST(descriptors_that_fail)
{
    uint64_t address, size, big = 2 * PIECE;
    int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    uint8_t *bytes = pattern(big);

    ck_assert_int_eq(mregion_add_fd(connection, "main", folder, &address, &size, &error),
                     MREGION_ERR_LOCAL_IO);
    ck_assert_ptr_nonnull(strstr(error.text, strerror(EISDIR)));
    ck_assert_int_eq(mregion_add_fd(connection, "main", -1, &address, &size, &error),
                     MREGION_ERR_LOCAL_IO);
    ck_assert_int_eq(
        mregion_add_file(connection, "main", "/nonexistent/file", &address, &size, &error),
        MREGION_ERR_LOCAL_IO);
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/file"));
    ck_assert_uint_eq(region.size, 0);
    OK(mregion_add(connection, "main", bytes, big, &address, &error));
    ck_assert_int_eq(mregion_load_fd(connection, "main", address, big, full, &error),
                     MREGION_ERR_LOCAL_IO);
    ck_assert_ptr_nonnull(strstr(error.text, strerror(ENOSPC)));
    /* The connection is still in order. */
    OK(mregion_load(connection, "main", address, big, bytes, &error));
    (void)close(folder);
    (void)close(full);
    free(bytes);
}
END_TEST

/* ---- Uploads by hand ---- */

START_TEST(an_upload)
{
    uint64_t size = 5 * PIECE + 3, address = 4711;
    uint8_t *bytes = pattern(size);
    struct mregion_upload *upload;

    OK(mregion_upload_begin(connection, "main", _i == 0 ? size : MREGION_UNKNOWN_SIZE, &upload,
                            &error));
    OK(mregion_upload_append(upload, bytes, 0, &error));
    OK(mregion_upload_append(upload, bytes, 100, &error));
    OK(mregion_upload_append(upload, bytes + 100, 3 * PIECE, &error));
    if (_i == 0)
        ck_assert_int_eq(mregion_upload_commit(upload, &address, &error),
                         MREGION_ERR_INVALID_ARGUMENT);
    OK(mregion_upload_append(upload, bytes + 100 + 3 * PIECE, size - 100 - 3 * PIECE, &error));
    ck_assert_uint_eq(address, 4711);
    OK(mregion_upload_commit(upload, &address, &error));
    ck_assert_uint_eq(address, 0);
    ck_assert_mem_eq(region.bytes, bytes, size);
    ck_assert_int_eq(mregion_upload_append(upload, bytes, 1, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_ARGUMENT);
    mregion_upload_close(upload);
    ck_assert_uint_eq(region.aborts, 0);
    free(bytes);
}
END_TEST

START_TEST(an_upload_that_is_given_up)
{
    struct mregion_upload *upload;

    mregion_upload_close(NULL);
    OK(mregion_upload_begin(connection, "main", 100, &upload, &error));
    OK(mregion_upload_append(upload, "abc", 3, &error));
    ck_assert_int_eq(mregion_upload_append(upload, NULL, 3, &error), MREGION_ERR_ARGUMENT);
    mregion_upload_close(upload);
    ck_assert_uint_eq(region.aborts, 1);
    ck_assert_uint_eq(region.size, 0);
}
END_TEST

START_TEST(an_upload_is_lost_with_its_connection)
{
    struct mregion_upload *upload;
    uint64_t address;
    int code = 0;

    region.close_at = 2;
    OK(mregion_upload_begin(connection, "main", MREGION_UNKNOWN_SIZE, &upload, &error));
    for (int i = 0; i < 20 && code == 0; i++)
        code = mregion_upload_append(upload, "abc", 3, &error);
    if (code == 0)
        code = mregion_upload_commit(upload, &address, &error);
    ck_assert_int_eq(code, MREGION_ERR_LOST);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_allocate(connection, "main", 1, &address, &error));
    mregion_upload_close(upload);
    ck_assert_uint_eq(region.aborts, 0);
    ck_assert_uint_eq(region.size, 1);
}
END_TEST

/* Over the next connection, since nothing else was open on the first. */
START_TEST(a_commit_that_is_asked_for_again)
{
    static const uint8_t own[16] = "sixteen bytes...";
    struct mregion_upload *upload;
    uint64_t address = 4711;

    region.silent_commit = 1;
    OK(mregion_upload_begin(connection, "main", 3, &upload, &error));
    OK(mregion_upload_append(upload, "abc", 3, &error));
    mregion_set_timeout(connection, 50);
    if (_i == 1)
        mregion_set_token(connection, own);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_TIMEOUT);
    mregion_set_timeout(connection, 0);
    ck_assert_int_eq(mregion_upload_append(upload, "d", 1, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_upload_commit(upload, &address, &error));
    ck_assert_uint_eq(address, 0);
    ck_assert_uint_eq(region.commits, 1);
    ck_assert_uint_eq(region.size, 3);
    if (_i == 1)
        ck_assert_mem_eq(region.token, own, sizeof own);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_ARGUMENT);
    mregion_upload_close(upload);
}
END_TEST

START_TEST(a_commit_that_nobody_knows_of)
{
    struct mregion_upload *upload;
    uint64_t address;

    region.silent_commit = 1;
    OK(mregion_upload_begin(connection, "main", 3, &upload, &error));
    OK(mregion_upload_append(upload, "abc", 3, &error));
    mregion_set_timeout(connection, 50);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_TIMEOUT);
    mregion_set_timeout(connection, 0);
    memset(region.token, 0, sizeof region.token);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_LOST);
    ck_assert_ptr_null(strstr(error.text, "nothing was added"));
    mregion_upload_close(upload);
}
END_TEST

/* Without a token the server cannot tell, and would say what is not so. */
START_TEST(a_commit_that_cannot_be_asked_for_again)
{
    static const struct mregion_options options = {.no_tokens = true};
    struct mregion_upload *upload;
    uint64_t address = 4711;

    mregion_close(connection);
    OK(mregion_connect(fake.address, &options, &connection, &error));
    region.silent_commit = 1;
    OK(mregion_upload_begin(connection, "main", 3, &upload, &error));
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error),
                     MREGION_ERR_INVALID_ARGUMENT); /* bytes are missing: it goes on */
    OK(mregion_upload_append(upload, "abc", 3, &error));
    mregion_set_timeout(connection, 50);
    ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_TIMEOUT);
    mregion_set_timeout(connection, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(mregion_upload_commit(upload, &address, &error), MREGION_ERR_LOST);
        ck_assert_ptr_nonnull(strstr(error.text, "without a token"));
    }
    ck_assert_uint_eq(region.commits, 1);
    mregion_upload_close(upload);
}
END_TEST

/* ---- Failure in the middle ---- */

START_TEST(the_server_refuses_a_piece)
{
    uint64_t size = 9 * PIECE, address = 4711;
    uint8_t *bytes = pattern(size);

    region.fail_store = (unsigned)_i;
    ck_assert_int_eq(mregion_add(connection, "main", bytes, size, &address, &error),
                     MREGION_ERR_NO_SPACE);
    ck_assert_str_eq(error.text, "no room in the journal");
    ck_assert_uint_eq(address, 4711);
    ck_assert_uint_eq(region.aborts, 1);
    ck_assert_uint_eq(region.size, 0);
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    free(bytes);
}
END_TEST

START_TEST(the_server_goes_away_between_pieces)
{
    uint64_t size = 9 * PIECE, address;
    uint8_t *bytes = pattern(size);

    region.close_at = (unsigned)_i;
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    ck_assert_uint_eq(region.size, size);
    ck_assert_uint_eq(region.frees, 0);
    free(bytes);
}
END_TEST

static int be_slow(uint64_t done, uint64_t total, void *context)
{
    (void)done;
    (void)total;
    (void)context;
    (void)usleep(20000);
    return 0;
}

/* By then the timeout has passed, and more than once. */
START_TEST(the_server_goes_away_from_a_long_upload)
{
    uint64_t size = 20 * PIECE, address, added;
    uint8_t *bytes = pattern(size);
    int fd = file_of(bytes, size);

    region.close_at = 15;
    mregion_set_timeout(connection, 200);
    mregion_set_progress(connection, be_slow, NULL);
    if (_i == 0)
        OK(mregion_add(connection, "main", bytes, size, &address, &error));
    else
        OK(mregion_add_fd(connection, "main", fd, &address, &added, &error));
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    ck_assert_uint_eq(region.uploads, 2);
    (void)close(fd);
    free(bytes);
}
END_TEST

START_TEST(the_server_goes_away_from_a_source)
{
    uint64_t size = 9 * PIECE + 5, address, added;
    uint8_t *bytes = pattern(size);
    int fd = file_of(bytes, size);

    region.close_at = (unsigned)_i;
    OK(mregion_add_fd(connection, "main", fd, &address, &added, &error));
    ck_assert_uint_eq(added, size);
    ck_assert_mem_eq(region.bytes + address, bytes, size);
    ck_assert_uint_eq(region.size, size);
    (void)close(fd);
    free(bytes);
}
END_TEST

/* The commit was made, and its answer lost: the token finds it. */
START_TEST(the_server_goes_away_after_the_commit)
{
    uint64_t size = 3 * PIECE, address;
    uint8_t *bytes = pattern(size);

    region.close_commit = 1;
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(address, 0);
    ck_assert_uint_eq(region.size, size);
    ck_assert_uint_eq(region.uploads, 1);
    free(bytes);
}
END_TEST

/* What came through a pipe does not come again. */
START_TEST(the_server_goes_away_from_a_pipe)
{
    uint64_t size = 9 * PIECE + 5, address, added;
    uint8_t *bytes = pattern(size);
    pthread_t thread;
    struct feed job;
    int fd = pipe_of(&job, bytes, size, &thread);

    (void)signal(SIGPIPE, SIG_IGN);
    region.close_at = (unsigned)_i;
    ck_assert_int_eq(mregion_add_fd(connection, "main", fd, &address, &added, &error),
                     MREGION_ERR_LOST);
    ck_assert_ptr_nonnull(strstr(error.text, "nothing was added"));
    ck_assert_uint_eq(region.size, 0);
    (void)close(fd);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(mregion_allocate(connection, "main", 1, &address, &error));
    free(bytes);
}
END_TEST

/* A commit without a token is not sent again, so nothing is begun anew. */
START_TEST(the_server_goes_away_from_a_client_without_tokens)
{
    struct mregion_options options = {.no_tokens = true};
    uint64_t size = 9 * PIECE, address;
    uint8_t *bytes = pattern(size);

    mregion_close(connection);
    OK(mregion_connect(fake.address, &options, &connection, &error));
    region.close_at = (unsigned)_i;
    ck_assert_int_eq(mregion_add(connection, "main", bytes, size, &address, &error),
                     MREGION_ERR_LOST);
    ck_assert_uint_eq(region.size, 0);
    ck_assert_uint_eq(region.uploads, 1);
    free(bytes);
}
END_TEST

START_TEST(a_load_goes_on_after_a_loss)
{
    uint64_t size = 9 * PIECE + 9, address;
    uint8_t *bytes = pattern(size), *buffer = calloc(1, size);
    int fd = file_of(NULL, 0);

    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    region.close_at = (unsigned)_i;
    OK(mregion_load(connection, "main", address, size, buffer, &error));
    ck_assert_mem_eq(buffer, bytes, size);
    region.loads = 0;
    OK(mregion_load_fd(connection, "main", address, size, fd, &error));
    check_file(fd, 0, bytes, size);
    (void)close(fd);
    free(bytes);
    free(buffer);
}
END_TEST

START_TEST(a_store_stays_as_far_as_it_came)
{
    uint64_t size = 9 * PIECE, address;
    uint8_t *bytes = pattern(size);

    OK(mregion_allocate(connection, "main", size, &address, &error));
    region.fail_store = 5;
    ck_assert_int_eq(mregion_store(connection, "main", address, bytes, size, &error),
                     MREGION_ERR_NO_SPACE);
    ck_assert_mem_eq(region.bytes + address, bytes, 4 * PIECE);
    ck_assert_uint_eq(region.frees, 0);
    free(bytes);
}
END_TEST

/* What takes several steps is looked at as a whole before the first one. */
START_TEST(a_block_that_is_partly_free)
{
    uint64_t size = 3 * PIECE, address, stored;
    uint8_t *bytes = pattern(size), *buffer = malloc(size);
    int from = file_of(bytes, size), to = file_of(NULL, 0);

    OK(mregion_allocate(connection, "main", size - 1, &address, &error));
    ck_assert_int_eq(mregion_load(connection, "main", address, size, buffer, &error),
                     MREGION_ERR_NOT_ALLOCATED);
    ck_assert_int_eq(mregion_load_fd(connection, "main", address, size, to, &error),
                     MREGION_ERR_NOT_ALLOCATED);
    ck_assert_int_eq(mregion_store(connection, "main", address, bytes, size, &error),
                     MREGION_ERR_NOT_ALLOCATED);
    ck_assert_int_eq(mregion_store_fd(connection, "main", address, from, &stored, &error),
                     MREGION_ERR_NOT_ALLOCATED);
    ck_assert_uint_eq(region.loads, 0);
    ck_assert_uint_eq(region.stores, 0);
    check_file(to, 0, bytes, 0);
    (void)close(from);
    (void)close(to);
    free(bytes);
    free(buffer);
}
END_TEST

/* Answers the beginning, then nothing; what comes is not even read. */
static void stop_reading(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    while (number == 0 && fake_read(server, fd, &request)) {
        bool is_info = strcmp(request.method, "serverInfo") == 0;

        if (is_info)
            (void)fake_answer_info(fd, request.rpc.msgid, 8 << 20);
        else
            (void)fake_answer_uint(fd, request.rpc.msgid, 40);
        fake_drop(&request);
        if (!is_info)
            break;
    }
    while (!__atomic_load_n(&server->stopping, __ATOMIC_ACQUIRE))
        (void)usleep(1000);
}

START_TEST(a_server_that_stops_is_not_waited_for_twice)
{
    uint64_t size = 16 << 20, address;
    uint8_t *bytes = pattern(size);
    struct mregion *other;
    struct fake slow;

    fake_start(&slow, stop_reading, NULL);
    OK(mregion_connect(slow.address, NULL, &other, &error));
    /* Long enough for the answers that do come, on a busy machine too. */
    mregion_set_timeout(other, 1500);
    ck_assert_int_eq(mregion_add(other, "main", bytes, size, &address, &error),
                     MREGION_ERR_TIMEOUT);
    mregion_close(other);
    fake_stop(&slow);
    free(bytes);
}
END_TEST

/* ---- Progress ---- */

START_TEST(progress_is_told)
{
    uint64_t size = sizes[_i], address, added;
    uint8_t *bytes = pattern(size);
    struct watch seen = {.stop_at = UINT64_MAX};
    int fd = file_of(bytes, size), to = open("/dev/null", O_WRONLY | O_CLOEXEC);

    mregion_set_progress(connection, watch, &seen);
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(seen.done, size);
    ck_assert_uint_eq(seen.total, size);
    ck_assert_uint_ge(seen.calls, size / PIECE);
    seen = (struct watch){.stop_at = UINT64_MAX};
    OK(mregion_load(connection, "main", address, size, bytes, &error));
    ck_assert_uint_eq(seen.done, size);
    seen = (struct watch){.stop_at = UINT64_MAX};
    OK(mregion_add_fd(connection, "main", fd, &address, &added, &error));
    ck_assert_uint_eq(seen.done, size);
    ck_assert_uint_eq(seen.total, size);
    seen = (struct watch){.stop_at = UINT64_MAX};
    OK(mregion_load_fd(connection, "main", address, size, to, &error));
    ck_assert_uint_eq(seen.done, size);
    mregion_set_progress(connection, NULL, NULL);
    OK(mregion_load(connection, "main", address, size, bytes, &error));
    ck_assert_uint_eq(seen.done, size);
    (void)close(fd);
    (void)close(to);
    free(bytes);
}
END_TEST

static int watch_any(uint64_t done, uint64_t total, void *context)
{
    struct watch *seen = context;

    ck_assert_uint_le(done, total);
    seen->done = done;
    return 0;
}

/* What is sent or received again is not counted twice. */
START_TEST(progress_goes_on_after_a_loss)
{
    uint64_t size = 9 * PIECE, address;
    uint8_t *bytes = pattern(size);
    struct watch seen = {.done = 0};

    mregion_set_progress(connection, watch_any, &seen);
    region.close_at = (unsigned)_i;
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(seen.done, size);
    region.close_at = region.loads + (unsigned)_i;
    OK(mregion_load(connection, "main", address, size, bytes, &error));
    ck_assert_uint_eq(seen.done, size);
    free(bytes);
}
END_TEST

START_TEST(progress_can_cancel)
{
    uint64_t size = 20 * PIECE, address, added;
    uint8_t *bytes = pattern(size);
    struct watch seen = {.stop_at = 3 * PIECE};
    int fd = file_of(bytes, size), to = open("/dev/null", O_WRONLY | O_CLOEXEC);

    mregion_set_progress(connection, watch, &seen);
    ck_assert_int_eq(mregion_add(connection, "main", bytes, size, &address, &error),
                     MREGION_ERR_CANCELED);
    ck_assert_uint_eq(region.aborts, 1);
    seen.done = 0;
    ck_assert_int_eq(mregion_add_fd(connection, "main", fd, &address, &added, &error),
                     MREGION_ERR_CANCELED);
    ck_assert_uint_eq(region.aborts, 2);
    ck_assert_uint_eq(region.size, 0);
    OK(mregion_allocate(connection, "main", size, &address, &error));
    seen.done = 0;
    ck_assert_int_eq(mregion_load_fd(connection, "main", 0, size, to, &error),
                     MREGION_ERR_CANCELED);
    seen.done = 0;
    ck_assert_int_eq(mregion_load(connection, "main", 0, size, bytes, &error),
                     MREGION_ERR_CANCELED);
    mregion_set_progress(connection, NULL, NULL);
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(fake.connections, 1);
    (void)close(fd);
    (void)close(to);
    free(bytes);
}
END_TEST

static volatile sig_atomic_t has_rung;

static void on_alarm(int number)
{
    (void)number;
    has_rung = 1;
}

static int until_it_rings(uint64_t done, uint64_t total, void *context)
{
    (void)done;
    (void)total;
    (void)context;
    return has_rung;
}

/* Rings until it is heard: once could be just before the call begins to wait. */
static void ring(bool is_on)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval every = {{0, is_on ? 50000 : 0}, {0, is_on ? 50000 : 0}};

    has_rung = 0;
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &every, NULL), 0);
}

START_TEST(a_descriptor_without_end_can_be_canceled)
{
    uint64_t size = 4 * PIECE, address, added;
    int silent[2], full[2];

    ck_assert_int_eq(pipe2(silent, O_CLOEXEC | (_i == 1 ? O_NONBLOCK : 0)), 0);
    ck_assert_int_eq(pipe2(full, O_CLOEXEC | (_i == 1 ? O_NONBLOCK : 0)), 0);
    OK(mregion_allocate(connection, "main", size, &address, &error));
    mregion_set_progress(connection, until_it_rings, NULL);
    ring(true);
    ck_assert_int_eq(mregion_add_fd(connection, "main", silent[0], &address, &added, &error),
                     MREGION_ERR_CANCELED);
    ring(false);
    ring(true);
    ck_assert_int_eq(mregion_load_fd(connection, "main", 0, size, full[1], &error),
                     MREGION_ERR_CANCELED);
    ring(false);
    mregion_set_progress(connection, NULL, NULL);
    ck_assert_uint_eq(fake.connections, 1);
    for (int i = 0; i < 2; i++) {
        (void)close(silent[i]);
        (void)close(full[i]);
    }
}
END_TEST

START_TEST(one_message_can_be_canceled)
{
    uint64_t size = 30 << 20, address = 4711;
    uint8_t *bytes = pattern(size);
    struct watch seen = {.stop_at = 1};

    /* From now on everything fits one message. */
    region.max_message = 64 << 20;
    mregion_set_progress(connection, watch, &seen);
    ck_assert_int_eq(mregion_add(connection, "main", bytes, size, &address, &error),
                     MREGION_ERR_CANCELED);
    ck_assert_uint_eq(address, 4711);
    mregion_set_progress(connection, NULL, NULL);
    OK(mregion_add(connection, "main", bytes, size, &address, &error));
    ck_assert_uint_eq(address, 0);
    seen.done = 0;
    mregion_set_progress(connection, watch, &seen);
    ck_assert_int_eq(mregion_load(connection, "main", 0, size, bytes, &error),
                     MREGION_ERR_CANCELED);
    mregion_set_progress(connection, NULL, NULL);
    OK(mregion_load(connection, "main", 0, size, bytes, &error));
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/blob");
    TCase *tcase = tcase_create("blob");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, memory_in_and_out, 0, SIZES);
    tcase_add_test(tcase, a_large_replacement_is_added_before_the_old_one_goes);
    tcase_add_loop_test(tcase, files_in_and_out, 0, SIZES);
    tcase_add_loop_test(tcase, pipes_have_no_length, 0, SIZES);
    tcase_add_loop_test(tcase, memory_is_bounded_for_files, 0, 2);
    tcase_add_loop_test(tcase, a_file_that_changes, 0, 2);
    tcase_add_loop_test(tcase, an_upload, 0, 2);
    tcase_add_test(tcase, an_upload_that_is_given_up);
    tcase_add_test(tcase, an_upload_is_lost_with_its_connection);
    tcase_add_loop_test(tcase, a_commit_that_is_asked_for_again, 0, 2);
    tcase_add_test(tcase, a_commit_that_nobody_knows_of);
    tcase_add_test(tcase, a_commit_that_cannot_be_asked_for_again);
    tcase_add_loop_test(tcase, the_server_goes_away_from_a_long_upload, 0, 2);
    tcase_add_test(tcase, a_large_replacement_from_a_file);
    tcase_add_test(tcase, descriptors_that_fail);
    tcase_add_loop_test(tcase, the_server_refuses_a_piece, 1, 10);
    tcase_add_loop_test(tcase, the_server_goes_away_between_pieces, 1, 10);
    tcase_add_loop_test(tcase, the_server_goes_away_from_a_source, 1, 11);
    tcase_add_loop_test(tcase, the_server_goes_away_from_a_client_without_tokens, 1, 10);
    tcase_add_test(tcase, the_server_goes_away_after_the_commit);
    tcase_add_loop_test(tcase, the_server_goes_away_from_a_pipe, 1, 11);
    tcase_add_loop_test(tcase, a_load_goes_on_after_a_loss, 1, 11);
    tcase_add_test(tcase, a_store_stays_as_far_as_it_came);
    tcase_add_test(tcase, a_block_that_is_partly_free);
    tcase_add_test(tcase, a_server_that_stops_is_not_waited_for_twice);
    tcase_add_loop_test(tcase, progress_is_told, 0, SIZES);
    tcase_add_loop_test(tcase, progress_goes_on_after_a_loss, 1, 10);
    tcase_add_test(tcase, progress_can_cancel);
    tcase_add_loop_test(tcase, a_descriptor_without_end_can_be_canceled, 0, 2);
    tcase_add_test(tcase, one_message_can_be_canceled);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
