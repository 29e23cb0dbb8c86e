/* Benchmark of the free-space index: what an allocation and a deallocation cost and how much heap a
 * free block takes, beside a pair of ordinary B-trees where the library for these was there to
 * build with. See usage() below; bench_space tells how densely it packs. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/freespace.h"
#include "core/limits.h"
#include "pair.h"

/* Sizes of blocks are uniform in 1..LARGEST_SIZE. */
#define LARGEST_SIZE 10000

/* The policies of our tree, and behind them the pair of trees. */
#define PAIR (FIT_LARGEST + 1)
#ifdef MREGION_HAS_PAIR
#define POLICIES (PAIR + 1)
#else
#define POLICIES PAIR
#endif
static const char *const policy_names[] = {
    [FIT_TIGHT] = "tight", [FIT_LOWEST] = "lowest", [FIT_LARGEST] = "largest", [PAIR] = "pair"};

/* With n blocks allocated in order: */
enum phase { FRESH, FREE, MERGED, WORST, HOLES, REST, PHASES };

static const struct {
    const char *name;
    const char *story;
} phases[PHASES] = {
    [FRESH] = {"fresh", "n allocations in an empty region"},
    [FREE] = {"free", "n deallocations in random order, until all is one block"},
    [MERGED] = {"merged", "n allocations out of that one block"},
    [WORST] = {"worst", "n/2 deallocations, every second block in random order: none merges"},
    [HOLES] = {"holes", "after worst, n/2 allocations of other sizes: reallocation"},
    [REST] = {"rest", "after worst, the other n/2 deallocations: each merges with both neighbors"},
};

struct round {
    unsigned policy;
    struct freespace space;
    struct pair *pair;     /* in place of it */
    struct extent *blocks; /* as allocated, then in the order in which they are freed */
    struct extent *others; /* a second allocation */
    size_t count;
    enum phase only;        /* the phase to measure, PHASES for all */
    double ns[PHASES];      /* per operation */
    double bytes_per_block; /* of the heap, after WORST */
};

static void *allocate_array(size_t count, size_t size)
{
    void *array = calloc(count, size);
    if (!array) {
        fprintf(stderr, "bench_tree: %s\n", strerror(errno));
        exit(EXIT_FAILURE);
    }
    return array;
}

static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
}

static void shuffle(struct extent *extents, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)random_below(i);
        struct extent extent = extents[i - 1];
        extents[i - 1] = extents[other];
        extents[other] = extent;
    }
}

static void draw_sizes(struct extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++)
        extents[i] = (struct extent){0, 1 + random_below(LARGEST_SIZE)};
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#ifdef MREGION_HAS_PAIR
static void start_pair(struct round *round)
{
    if (round->pair != NULL)
        pair_free(round->pair);
    round->pair = round->policy == PAIR ? pair_new() : NULL;
}

static void stop_pair(struct round *round)
{
    if (round->pair != NULL)
        pair_free(round->pair);
}
#else
static void start_pair(struct round *round)
{
    (void)round;
}

static void stop_pair(struct round *round)
{
    (void)round;
}

void pair_take_all(struct pair *pair, struct extent *extents, size_t count)
{
    (void)pair, (void)extents, (void)count;
}

void pair_give_all(struct pair *pair, const struct extent *extents, size_t count)
{
    (void)pair, (void)extents, (void)count;
}

size_t pair_blocks(const struct pair *pair)
{
    (void)pair;
    return 0;
}
#endif

static void take_all(struct round *round, struct extent *extents, size_t count)
{
    struct freespace *space = &round->space;
    if (round->pair != NULL) {
        pair_take_all(round->pair, extents, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (freespace_take(space, extents[i].size, REGION_SIZE_MAX, &extents[i].address))
            abort();
    }
}

static void give_all(struct round *round, const struct extent *extents, size_t count)
{
    struct freespace *space = &round->space;
    if (round->pair != NULL) {
        pair_give_all(round->pair, extents, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (freespace_give(space, extents[i]))
            abort();
    }
}

/* What tree_instructions tells callgrind to count; it must find them by name. */
__attribute__((noinline, noclone)) static void measured_take(struct round *round,
                                                             struct extent *extents, size_t count)
{
    take_all(round, extents, count);
}

__attribute__((noinline, noclone)) static void
measured_give(struct round *round, const struct extent *extents, size_t count)
{
    give_all(round, extents, count);
}

static bool is_measured(const struct round *round, enum phase phase)
{
    return round->only == phase || round->only == PHASES;
}

static void take_phase(struct round *round, enum phase phase, struct extent *extents, size_t count)
{
    double start = now_ns();
    if (is_measured(round, phase))
        measured_take(round, extents, count);
    else
        take_all(round, extents, count);
    round->ns[phase] = (now_ns() - start) / (double)count;
}

static void give_phase(struct round *round, enum phase phase, const struct extent *extents,
                       size_t count)
{
    double start = now_ns();
    if (is_measured(round, phase))
        measured_give(round, extents, count);
    else
        give_all(round, extents, count);
    round->ns[phase] = (now_ns() - start) / (double)count;
}

static void start_region(struct round *round)
{
    freespace_release(&round->space);
    start_pair(round);
    draw_sizes(round->blocks, round->count);
    draw_sizes(round->others, round->count);
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* Frees the blocks with even index, in random order; what stays is blocks[n / 2] and behind. */
static void free_every_second(struct round *round)
{
    size_t half = round->count / 2;
    start_region(round);
    take_all(round, round->blocks, round->count);
    for (size_t i = 0; i < half; i++) {
        struct extent block = round->blocks[i];
        round->blocks[i] = round->blocks[2 * i];
        round->blocks[2 * i] = block;
    }
    shuffle(round->blocks, half);
    shuffle(round->blocks + half, round->count - half);
    size_t heap = heap_bytes();
    give_phase(round, WORST, round->blocks, half);
    uint64_t blocks = round->pair != NULL ? pair_blocks(round->pair) : round->space.tree.blocks;
    round->bytes_per_block = (double)(heap_bytes() - heap) / (double)blocks;
}

static void run_round(struct round *round)
{
    size_t half = round->count / 2;
    start_region(round);
    take_phase(round, FRESH, round->blocks, round->count);
    shuffle(round->blocks, round->count);
    give_phase(round, FREE, round->blocks, round->count);
    take_phase(round, MERGED, round->others, round->count);
    free_every_second(round);
    take_phase(round, HOLES, round->others, half);
    if (round->only != PHASES && round->only != REST)
        return; /* so that WORST is not run twice */
    free_every_second(round);
    give_phase(round, REST, round->blocks + half, round->count - half);
}

static void round_init(struct round *round, unsigned policy, size_t count)
{
    *round = (struct round){.policy = policy, .count = count, .only = PHASES};
    freespace_init(&round->space, policy == PAIR ? FIT_TIGHT : (enum fit)policy);
    round->blocks = allocate_array(count, sizeof *round->blocks);
    round->others = allocate_array(count, sizeof *round->others);
}

static void round_release(struct round *round)
{
    freespace_release(&round->space);
    stop_pair(round);
    free(round->blocks);
    free(round->others);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void bench(unsigned policy, size_t count, size_t rounds, double medians[PHASES])
{
    struct round round;
    round_init(&round, policy, count);
    double *values[PHASES];
    for (int phase = 0; phase < PHASES; phase++)
        values[phase] = allocate_array(rounds, sizeof *values[phase]);
    for (size_t i = 0; i < rounds; i++) {
        run_round(&round);
        for (int phase = 0; phase < PHASES; phase++)
            values[phase][i] = round.ns[phase];
    }
    printf("%8zu  %-8s", count, policy_names[policy]);
    for (int phase = 0; phase < PHASES; phase++) {
        qsort(values[phase], rounds, sizeof(double), compare_doubles);
        medians[phase] = values[phase][rounds / 2];
        printf("%8.1f", medians[phase]);
        free(values[phase]);
    }
    printf("%8.1f\n", round.bytes_per_block);
    fflush(stdout);
    round_release(&round);
}

/* How often our tree with its usual policy has done what the pair has done once. */
static void print_ratio(size_t count, const double medians[][PHASES])
{
    printf("%8zu  %-8s", count, "ratio");
    for (int phase = 0; phase < PHASES; phase++)
        printf("%8.1f", medians[PAIR][phase] / medians[FIT_TIGHT][phase]);
    printf("\n");
}

static void print_table(size_t only_count, size_t only_rounds)
{
    static const size_t counts[] = {10000, 1000000};
    printf("ns per operation, median of rounds. Phases, with n blocks allocated in order:\n");
    for (int phase = 0; phase < PHASES; phase++)
        printf("  %-7s %s\n", phases[phase].name, phases[phase].story);
    printf("  %-7s %s\n\n", "bytes", "of the heap per free block after worst");
    printf("%8s  %-8s", "n", "policy");
    for (int phase = 0; phase < PHASES; phase++)
        printf("%8s", phases[phase].name);
    printf("%8s\n", "bytes");
    for (size_t i = 0; i < (only_count ? 1 : 2); i++) {
        size_t count = only_count ? only_count : counts[i];
        size_t rounds = only_rounds ? only_rounds : 5 + 1000000 / count;
        double medians[PAIR + 1][PHASES];
        for (unsigned policy = 0; policy < POLICIES; policy++)
            bench(policy, count, rounds, medians[policy]);
        if (POLICIES > PAIR)
            print_ratio(count, (const double(*)[PHASES])medians);
    }
}

static void run_once(enum phase phase, unsigned policy, size_t count)
{
    struct round round;
    round_init(&round, policy, count);
    round.only = phase;
    run_round(&round);
    bool halves = phase == WORST || phase == HOLES || phase == REST;
    printf("operations %zu\n", halves ? count / 2 : count);
    round_release(&round);
}

static void usage(FILE *out)
{
    fprintf(out,
            "Usage: bench_tree [--blocks N] [--rounds N]   table of times\n"
            "       bench_tree --once PHASE [--policy tight|lowest|largest|pair] [--blocks N]\n"
            "                                              one phase once, for callgrind\n");
}

static int bad_usage(void)
{
    usage(stderr);
    return 64;
}

struct choice {
    size_t blocks;
    size_t rounds;
    enum phase once;
    unsigned policy;
    bool help;
};

static bool parse_count(const char *text, size_t *ret_count)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || end == text || value < 2 || value > 1000000000)
        return false;
    *ret_count = (size_t)value;
    return true;
}

static bool parse_phase(const char *text, enum phase *ret_phase)
{
    for (int phase = 0; phase < PHASES; phase++) {
        if (strcmp(text, phases[phase].name) == 0) {
            *ret_phase = (enum phase)phase;
            return true;
        }
    }
    return false;
}

static bool parse_policy(const char *text, unsigned *ret_policy)
{
    for (unsigned policy = 0; policy < POLICIES; policy++) {
        if (strcmp(text, policy_names[policy]) == 0) {
            *ret_policy = policy;
            return true;
        }
    }
    return false;
}

static bool parse(int argc, char **argv, struct choice *choice)
{
    static const struct option options[] = {
        {"blocks", required_argument, NULL, 'b'}, {"rounds", required_argument, NULL, 'r'},
        {"once", required_argument, NULL, 'o'},   {"policy", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    bool good = true;
    int option;
    while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'b':
            good = parse_count(optarg, &choice->blocks);
            break;
        case 'r':
            good = parse_count(optarg, &choice->rounds);
            break;
        case 'o':
            good = parse_phase(optarg, &choice->once);
            break;
        case 'f':
            good = parse_policy(optarg, &choice->policy);
            break;
        case 'h':
            choice->help = true;
            break;
        default:
            good = false;
        }
    }
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    struct choice choice = {.once = PHASES, .policy = FIT_TIGHT};
    if (!parse(argc, argv, &choice))
        return bad_usage();
    if (choice.help)
        usage(stdout);
    else if (choice.once != PHASES)
        run_once(choice.once, choice.policy, choice.blocks ? choice.blocks : 10000);
    else
        print_table(choice.blocks, choice.rounds);
    return 0;
}
