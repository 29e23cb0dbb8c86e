/* How densely the free-space index packs: a region under churn at 85 % live, sizes whose logarithm
 * is uniform. See usage() below. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/freespace.h"
#include "core/limits.h"

#define POLICIES (FIT_LARGEST + 1)
static const char *const policy_names[POLICIES] = {
    [FIT_TIGHT] = "tight", [FIT_LOWEST] = "lowest", [FIT_LARGEST] = "largest"};

/* Blocks are some 95,000 bytes on average. */
#define BYTES_PER_BLOCK 95000

static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
}

/* 2^4 to 2^20 in steps of a 256th of an octave. */
static uint64_t churn_size(void)
{
    uint64_t step = random_below(16 * 256);
    uint64_t octave = (uint64_t)16 << (step / 256);
    return octave + octave * (step % 256) / 256;
}

struct churn {
    struct freespace space;
    struct extent *live;
    size_t count, room;
    uint64_t bytes, target; /* live; to be live */
};

static void fill(struct churn *churn)
{
    while (churn->bytes < churn->target && churn->count < churn->room) {
        struct extent block = {0, churn_size()};
        if (freespace_take(&churn->space, block.size, REGION_SIZE_MAX, &block.address) != 0)
            abort();
        churn->bytes += block.size;
        churn->live[churn->count++] = block;
    }
}

static void remove_any(struct churn *churn)
{
    size_t victim = (size_t)random_below(churn->count);
    if (freespace_give(&churn->space, churn->live[victim]) != 0)
        abort();
    churn->bytes -= churn->live[victim].size;
    churn->live[victim] = churn->live[--churn->count];
}

/* Until each live block has been removed so many times on average. */
static void run(enum fit fit, uint64_t gib, unsigned turnovers)
{
    struct churn churn = {.target = gib * GIB / 100 * 85};
    churn.room = (size_t)(churn.target / 1000);
    churn.live = calloc(churn.room, sizeof *churn.live);
    if (churn.live == NULL) {
        fprintf(stderr, "bench_space: %s\n", strerror(errno));
        exit(EXIT_FAILURE);
    }
    freespace_init(&churn.space, fit);
    random_state = gib;
    uint64_t pairs = churn.target / BYTES_PER_BLOCK * turnovers;
    for (uint64_t i = 0; i < pairs; i++) {
        fill(&churn);
        remove_any(&churn);
    }
    printf("%4" PRIu64 " GiB  %-8s %8.3f %12zu %12" PRIu64 "\n", gib, policy_names[fit],
           (double)churn.space.size / (double)churn.target, churn.count, churn.space.tree.blocks);
    fflush(stdout);
    free(churn.live);
    freespace_release(&churn.space);
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: bench_space [--turnovers N] [GIB]...\n"
                 "space: the region's size over the live bytes, after every block was replaced N\n"
                 "times on average (20 by default), in regions of so many GiB (1 8 64)\n");
}

static bool parse_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end;
    errno = 0;
    *ret_number = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && end != text && *ret_number >= 1 && *ret_number <= max;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"turnovers", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
    static char *usual[] = {"1", "8", "64"};
    unsigned long turnovers = 20, gib;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 0;
        }
        if (option != 't' || !parse_number(optarg, 10000, &turnovers)) {
            usage(stderr);
            return 64;
        }
    }
    char **sizes = optind < argc ? argv + optind : usual;
    int count = optind < argc ? argc - optind : (int)(sizeof usual / sizeof *usual);
    printf("%8s  %-8s %8s %12s %12s\n", "region", "policy", "space", "live blocks", "free blocks");
    for (int i = 0; i < count; i++) {
        if (!parse_number(sizes[i], 1024, &gib)) {
            usage(stderr);
            return 64;
        }
        for (enum fit fit = FIT_TIGHT; fit <= FIT_LARGEST; fit++)
            run(fit, gib, (unsigned)turnovers);
    }
    return 0;
}
