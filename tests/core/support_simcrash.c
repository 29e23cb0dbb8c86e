#include "support_simcrash.h"

#include <stdlib.h>
#include <string.h>

#define OWNERS_MAX 4 /* files and directories whose every combination is tried */

struct enumeration {
    const struct simdisk *disk;
    const struct pending *const *pending;
    size_t count;
    struct rng *rng;
    simcrash_visit *visit;
    void *context;
    uint64_t *states;
    bool *kept;
};

static int attempt(struct enumeration *e, struct tear tear)
{
    struct simdisk *crashed = simdisk_crash(e->disk, e->kept, tear, rng_next(e->rng));
    struct simcrash_case how = {.before = e->disk, .kept = e->kept, .tear = tear};
    int result = e->visit(e->context, crashed, &how);
    simdisk_free(crashed);
    ++*e->states;
    return result;
}

static int attempt_whole(struct enumeration *e)
{
    return attempt(e, (struct tear){0});
}

static void keep_prefix(struct enumeration *e, size_t length)
{
    for (size_t i = 0; i < e->count; i++)
        e->kept[i] = i < length;
}

static void keep_random(struct enumeration *e)
{
    unsigned percent = (unsigned)rng_between(e->rng, 1, 99);
    for (size_t i = 0; i < e->count; i++)
        e->kept[i] = rng_chance(e->rng, percent);
}

static int try_every_subset(struct enumeration *e)
{
    int result = 0;
    for (uint64_t subset = 0; subset < (uint64_t)1 << e->count && result == 0; subset++) {
        for (size_t i = 0; i < e->count; i++)
            e->kept[i] = subset >> i & 1;
        result = attempt_whole(e);
    }
    return result;
}

static int try_prefixes(struct enumeration *e, size_t sample)
{
    int result = 0;
    size_t tries = e->count < sample ? e->count : sample;
    for (size_t i = 0; i <= tries && result == 0; i++) {
        keep_prefix(e, i * e->count / tries);
        result = attempt_whole(e);
    }
    return result;
}

/* One kept and all others lost, or the other way round. */
static int try_exceptions(struct enumeration *e, size_t sample, bool exception)
{
    int result = 0;
    size_t tries = e->count < sample ? e->count : sample;
    for (size_t i = 0; i < tries && result == 0; i++) {
        for (size_t j = 0; j < e->count; j++)
            e->kept[j] = !exception;
        size_t step = e->count / tries;
        e->kept[i * e->count / tries + rng_below(e->rng, step)] = exception;
        result = attempt_whole(e);
    }
    return result;
}

/* Whole files and directories: what finds a missing order between two of them at once. */
static int try_owners(struct enumeration *e)
{
    const struct node *owners[OWNERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < e->count && count < OWNERS_MAX; i++) {
        size_t known = 0;
        while (known < count && owners[known] != e->pending[i]->node)
            known++;
        if (known == count)
            owners[count++] = e->pending[i]->node;
    }
    int result = 0;
    for (unsigned subset = 0; subset < 1u << count && result == 0; subset++) {
        for (size_t i = 0; i < e->count; i++) {
            size_t owner = 0;
            while (owner < count && owners[owner] != e->pending[i]->node)
                owner++;
            e->kept[i] = owner < count ? subset >> owner & 1 : rng_chance(e->rng, 50);
        }
        result = attempt_whole(e);
    }
    return result;
}

static int try_random(struct enumeration *e, size_t subsets)
{
    int result = 0;
    for (size_t i = 0; i < subsets && result == 0; i++) {
        keep_random(e);
        result = attempt_whole(e);
    }
    return result;
}

static int try_tears(struct enumeration *e, size_t tears)
{
    int result = 0;
    for (size_t i = 0; e->count > 0 && i < tears && result == 0; i++) {
        size_t victim = rng_below(e->rng, e->count);
        if (e->pending[victim]->kind != PENDING_SECTOR)
            continue;
        if (rng_chance(e->rng, 50))
            keep_prefix(e, victim);
        else
            keep_random(e);
        e->kept[victim] = true;
        enum tear_kind kind = (enum tear_kind)rng_between(e->rng, 1, TEAR_KINDS - 1);
        result = attempt(e, (struct tear){.kind = kind, .pending = victim});
    }
    return result;
}

int simcrash_enumerate(const struct simdisk *disk, const struct simcrash_plan *plan,
                       struct rng *rng, simcrash_visit *visit, void *context, uint64_t *states)
{
    struct enumeration e = {
        .disk = disk,
        .pending = simdisk_pending_list(disk),
        .count = simdisk_pending(disk),
        .rng = rng,
        .visit = visit,
        .context = context,
        .states = states,
    };
    e.kept = calloc(e.count + 1, sizeof e.kept[0]);
    if (e.kept == NULL)
        abort();
    int result = 0;
    if (e.count <= plan->exhaustive_max) {
        result = try_every_subset(&e);
    } else {
        result = try_prefixes(&e, plan->sample);
        if (result == 0)
            result = try_exceptions(&e, plan->sample, true);
        if (result == 0)
            result = try_exceptions(&e, plan->sample, false);
        if (result == 0)
            result = try_owners(&e);
        if (result == 0)
            result = try_random(&e, plan->random_subsets);
    }
    if (result == 0)
        result = try_tears(&e, plan->tears);
    free(e.kept);
    return result;
}

void simcrash_print(const struct simcrash_case *how, FILE *out)
{
    static const char *const tears[TEAR_KINDS] = {
        "whole", "torn: first half new", "torn: second half new", "torn: zeros", "torn: garbage"};
    const struct pending *const *pending = simdisk_pending_list(how->before);
    for (size_t i = 0; i < simdisk_pending(how->before); i++) {
        fprintf(out, "  %s ", how->kept[i] ? "reached" : "lost   ");
        simtree_print_pending(pending[i], out);
        if (how->tear.kind != TEAR_NONE && how->tear.pending == i)
            fprintf(out, " (%s)", tears[how->tear.kind]);
        fputc('\n', out);
    }
}
