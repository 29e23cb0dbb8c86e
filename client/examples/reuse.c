/* A removed blob is a hole, and the next blob that fits goes there.
 *
 *     cc reuse.c $(pkg-config --cflags --libs mregion) -o reuse
 *     ./reuse unix:/run/mregiond/mregiond.sock main */
#include <inttypes.h>
#include <mregion.h>
#include <stdio.h>
#include <stdlib.h>

static struct mregion *connection;
static const char *region;
static struct mregion_error error;

static void must(int code)
{
    if (code == MREGION_OK)
        return;
    fprintf(stderr, "reuse: %s: %s\n", mregion_code_name(error.code), error.text);
    exit(EXIT_FAILURE);
}

static void print_holes(void)
{
    struct mregion_block *holes;
    size_t count;

    must(mregion_free_memory_all(connection, region, &holes, &count, &error));
    printf("%zu holes:", count);
    for (size_t i = 0; i < count; i++)
        printf(" %" PRIu64 "+%" PRIu64, holes[i].address, holes[i].size);
    printf("\n");
    mregion_free(holes);
}

static void print_bytes(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%u ", bytes[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    const uint8_t blob[4] = {1, 2, 3, 4};
    uint64_t address;
    uint8_t bytes[4];

    if (argc != 3) {
        fprintf(stderr, "usage: reuse ADDRESS REGION\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_connect(argv[1], NULL, &connection, &error));

    must(mregion_add(connection, region, blob, sizeof blob, &address, &error));
    printf("added at %" PRIu64 "\n", address);
    must(mregion_load(connection, region, address, sizeof bytes, bytes, &error));
    print_bytes(bytes, sizeof bytes);

    must(mregion_remove(connection, region, address, sizeof bytes, bytes, &error));
    print_holes();

    must(mregion_add(connection, region, blob, sizeof blob, &address, &error));
    printf("added at %" PRIu64 "\n", address);
    print_holes();

    mregion_close(connection);
    return EXIT_SUCCESS;
}
