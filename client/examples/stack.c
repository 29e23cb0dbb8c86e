/* A data structure of one's own in a region: a stack of strings, as a linked list. The region is
 * the memory, addresses are the pointers, and everything is durable. Each element is
 *
 *     bytes 0-7    the address of the element below, little-endian
 *     bytes 8-15   the size of the element below; 0: there is none
 *     bytes 16-    the string
 *
 *     cc stack.c $(pkg-config --cflags --libs mregion) -o stack
 *     ./stack unix:/run/mregiond/mregiond.sock main one two three */
#include <inttypes.h>
#include <mregion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 16

static struct mregion *connection;
static const char *region;
static struct mregion_error error;

static void must(int code)
{
    if (code == MREGION_OK)
        return;
    fprintf(stderr, "stack: %s: %s\n", mregion_code_name(error.code), error.text);
    exit(EXIT_FAILURE);
}

/* Puts a string on the stack whose top element is *top, which becomes the new one. */
static void push(struct mregion_block *top, const char *string)
{
    struct mregion_block element = {0, HEADER + strlen(string)};

    must(mregion_allocate(connection, region, element.size, &element.address, &error));
    must(mregion_store_nat64(connection, region, element.address, top->address, &error));
    must(mregion_store_nat64(connection, region, element.address + 8, top->size, &error));
    must(mregion_store(connection, region, element.address + HEADER, string, strlen(string),
                       &error));
    printf("push %s at %" PRIu64 "\n", string, element.address);
    *top = element;
}

/* Takes the top element off, prints it and gives its bytes back. */
static void pop(struct mregion_block *top)
{
    struct mregion_block below;
    uint64_t length = top->size - HEADER;
    void *string;

    must(mregion_load_nat64(connection, region, top->address, &below.address, &error));
    must(mregion_load_nat64(connection, region, top->address + 8, &below.size, &error));
    must(mregion_load_new(connection, region, top->address + HEADER, length, &string, &error));
    printf("pop %.*s\n", (int)length, (const char *)string);
    mregion_free(string);
    must(mregion_deallocate(connection, region, top->address, top->size, &error));
    *top = below;
}

int main(int argc, char **argv)
{
    struct mregion_block top = {0, 0};
    uint64_t allocated;

    if (argc < 3) {
        fprintf(stderr, "usage: stack ADDRESS REGION STRING...\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_connect(argv[1], NULL, &connection, &error));
    for (int i = 3; i < argc; i++)
        push(&top, argv[i]);
    while (top.size > 0)
        pop(&top);
    must(mregion_allocated(connection, region, &allocated, &error));
    printf("%" PRIu64 " bytes in use\n", allocated);
    mregion_close(connection);
    return EXIT_SUCCESS;
}
