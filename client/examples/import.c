/* Adds many files with several threads, which share a pool of connections, and prints each file's
 * reference.
 *
 *     cc import.c $(pkg-config --cflags --libs mregion) -pthread -o import
 *     ./import unix:/run/mregiond/mregiond.sock main FILE... */
#include <inttypes.h>
#include <mregion.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 8
#define CONNECTIONS 4

static struct mregion_pool *pool;
static const char *region;

/* What is still to be done, and whether all went well; under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char **next_file; /* NULL behind the last one */
static bool has_failed;

static const char *take_file(void)
{
    const char *file;

    (void)pthread_mutex_lock(&lock);
    file = *next_file;
    if (file != NULL)
        next_file++;
    (void)pthread_mutex_unlock(&lock);
    return file;
}

static void report(const char *file, int code, const struct mregion_block *block,
                   const struct mregion_error *error)
{
    (void)pthread_mutex_lock(&lock);
    if (code == MREGION_OK) {
        printf("%" PRIu64 "+%" PRIu64 " %s\n", block->address, block->size, file);
    } else {
        fprintf(stderr, "import: %s: %s: %s\n", file, mregion_code_name(error->code), error->text);
        has_failed = true;
    }
    (void)pthread_mutex_unlock(&lock);
}

static void *work(void *data)
{
    const char *file;

    (void)data;
    while ((file = take_file()) != NULL) {
        struct mregion *connection = NULL;
        struct mregion_block block = {0, 0};
        struct mregion_error error;
        int code = mregion_pool_take(pool, &connection, &error);

        if (code == MREGION_OK)
            code = mregion_add_file(connection, region, file, &block.address, &block.size, &error);
        mregion_pool_give(pool, connection);
        report(file, code, &block, &error);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct mregion_pool_options options = {.connections_max = CONNECTIONS};
    struct mregion_error error;
    pthread_t threads[THREADS];
    unsigned count = 0;

    if (argc < 4) {
        fprintf(stderr, "usage: import ADDRESS REGION FILE...\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    next_file = argv + 3;
    if (mregion_pool_new(argv[1], NULL, &options, &pool, &error) != MREGION_OK) {
        fprintf(stderr, "import: %s: %s\n", mregion_code_name(error.code), error.text);
        return EXIT_FAILURE;
    }
    while (count < THREADS && pthread_create(&threads[count], NULL, work, NULL) == 0)
        count++;
    if (count == 0)
        (void)work(NULL);
    while (count > 0)
        (void)pthread_join(threads[--count], NULL);
    mregion_pool_free(pool);
    return has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
