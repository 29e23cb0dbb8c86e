#include "support_region.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

uint64_t drive_now_ms = 1000;

bool drive_step(struct region *region, enum region_lane lane)
{
    struct region_job *job = region_next_job(region, lane, drive_now_ms);
    if (job == NULL)
        return false;
    region_job_run(job);
    region_job_done(region, job);
    return true;
}

void drive_settle(struct region *region)
{
    bool is_busy = true;
    while (is_busy) {
        is_busy = drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        is_busy |= drive_step(region, LANE_UPLOAD);
    }
}

int drive_until(struct region *region,
                int (*stage)(struct region *region, void *context, struct err *err), void *context,
                struct err *err)
{
    for (;;) {
        int code = stage(region, context, err);
        if (code != REGION_WAIT)
            return code;
        bool is_busy = drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        is_busy |= drive_step(region, LANE_UPLOAD);
        ck_assert_msg(is_busy, "told to wait, but for nothing");
    }
}

/* ---- Changes ---- */

enum change_kind { ADD, ALLOCATE, DEALLOCATE, STORE, REPLACE, RESIZE };

struct change {
    enum change_kind kind;
    struct extent block;
    const void *bytes;
    uint64_t size;
    uint64_t address;
};

static int stage(struct region *region, void *context, struct err *err)
{
    struct change *c = context;
    switch (c->kind) {
    case ADD:
        return region_add(region, c->bytes, c->size, &c->address, err);
    case ALLOCATE:
        return region_allocate(region, c->size, &c->address, err);
    case DEALLOCATE:
        return region_deallocate(region, c->block, err);
    case STORE:
        return region_store(region, c->block.address, c->bytes, c->size, err);
    case REPLACE:
        return region_replace(region, c->block, c->bytes, c->size, &c->address, err);
    case RESIZE:
        return region_resize(region, c->block, c->size, &c->address, err);
    }
    return ERR_INTERNAL;
}

static uint64_t change(struct region *region, struct change c)
{
    struct err err;
    int code = drive_until(region, stage, &c, &err);
    ck_assert_msg(code == 0, "%s: %s", err_name(err.code), err.text);
    return c.address;
}

uint64_t drive_add(struct region *region, const void *bytes, uint64_t size)
{
    return change(region, (struct change){.kind = ADD, .bytes = bytes, .size = size});
}

uint64_t drive_allocate(struct region *region, uint64_t size)
{
    return change(region, (struct change){.kind = ALLOCATE, .size = size});
}

void drive_deallocate(struct region *region, uint64_t address, uint64_t size)
{
    change(region, (struct change){.kind = DEALLOCATE, .block = {address, size}});
}

void drive_store(struct region *region, uint64_t address, const void *bytes, uint64_t size)
{
    change(region,
           (struct change){.kind = STORE, .block = {address, size}, .bytes = bytes, .size = size});
}

uint64_t drive_replace(struct region *region, uint64_t address, uint64_t size, const void *bytes,
                       uint64_t new_size)
{
    return change(region,
                  (struct change){
                      .kind = REPLACE, .block = {address, size}, .bytes = bytes, .size = new_size});
}

uint64_t drive_resize(struct region *region, uint64_t address, uint64_t size, uint64_t new_size)
{
    return change(region,
                  (struct change){.kind = RESIZE, .block = {address, size}, .size = new_size});
}

/* ---- Loads ---- */

void drive_load(struct region *region, uint64_t address, void *buffer, uint64_t size)
{
    struct extent block = {address, size};
    struct region_pin pin;
    struct err err;
    uint64_t after = 0, damaged;
    int code = region_load_begin(region, block, &after, &err);
    ck_assert_msg(code == 0, "%s: %s", err_name(err.code), err.text);
    while (region_applied_ticket(region) < after)
        ck_assert(drive_step(region, LANE_COMMIT));
    size_t got = region_read_now(region, address, buffer, size);
    if (got == size)
        return;
    region_pin(region, &pin, block);
    code = region_read(region, address + got, (uint8_t *)buffer + got, size - got, &damaged, &err);
    region_unpin(region, &pin);
    ck_assert_msg(code == 0, "%s: %s", err_name(err.code), err.text);
}

void drive_expect(struct region *region, uint64_t address, const void *bytes, uint64_t size)
{
    uint8_t *loaded = malloc(size + 1);
    drive_load(region, address, loaded, size);
    ck_assert_msg(memcmp(loaded, bytes, size) == 0, "block [%llu, +%llu) has other bytes",
                  (unsigned long long)address, (unsigned long long)size);
    free(loaded);
}

void drive_checkpoint(struct region *region)
{
    struct err err;
    uint64_t ticket;
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    drive_settle(region);
    ck_assert_uint_ge(region_checkpoint_ticket(region), ticket);
}

void drive_close(struct region *region)
{
    region_hurry(region);
    drive_settle(region);
    ck_assert(region_idle(region));
    const char *wrong = region_check(region);
    ck_assert_msg(wrong == NULL, "%s", wrong);
    region_close(region);
}

void drive_pattern(uint8_t *bytes, size_t size, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
    for (size_t i = 0; i < size; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
}
