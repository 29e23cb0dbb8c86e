#include "daemon/syncs.h"

#include <stdatomic.h>
#include <uv.h>

static struct {
    struct io_ops ops; /* the io's, with a sync that is counted */
    int (*sync)(struct io *io, struct io_file *file);
    atomic_uint_fast64_t sum_us;
    atomic_uint_fast64_t counts[HISTOGRAM_BUCKETS];
} syncs;

static int counted_sync(struct io *io, struct io_file *file)
{
    uint64_t begun_ns = uv_hrtime();
    int result = syncs.sync(io, file);
    uint64_t us = (uv_hrtime() - begun_ns) / 1000;
    atomic_fetch_add_explicit(&syncs.sum_us, us, memory_order_relaxed);
    atomic_fetch_add_explicit(&syncs.counts[histogram_bucket(us)], 1, memory_order_relaxed);
    return result;
}

void syncs_watch(struct io *io)
{
    syncs.ops = *io->ops;
    syncs.sync = io->ops->sync;
    syncs.ops.sync = counted_sync;
    io->ops = &syncs.ops;
}

void syncs_read(struct histogram *ret)
{
    ret->sum_us = atomic_load_explicit(&syncs.sum_us, memory_order_relaxed);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        ret->counts[i] = atomic_load_explicit(&syncs.counts[i], memory_order_relaxed);
}
