#include "support_failing.h"

#include <errno.h>
#include <string.h>

#include "core/region_private.h"
#include "support_upload.h"

#define KEPT 5000

enum { GROWS, HALF, IN_FREED, PAST_THE_END, COUNT };

static struct region_upload *uploads[COUNT];
static uint64_t kept, allocated;

static struct region_upload *begin(uint64_t size)
{
    struct region_upload *upload = NULL;
    int code = region_upload_begin(region, size, &upload, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return upload;
}

/* Free blocks that nothing fits into: the tree of them has several nodes where nodes are small. */
static void scatter(void)
{
    uint64_t first = drive_add(region, big, 2000);
    for (uint64_t i = 0; i < 20; i++)
        drive_deallocate(region, first + 100 * i, 50);
}

/* In bytes that were freed just before, past the end that the region had, and across it. */
void failing_begin(void)
{
    fixture_set_up();
    kept = drive_add(region, big + 9, KEPT);
    scatter();
    uint64_t first = drive_add(region, big, 6000);
    drive_add(region, small, 100);
    uint64_t second = drive_add(region, big, 5000);
    drive_add(region, small, 101);
    uploads[HALF] = drive_begin(SIZE);
    uploads[GROWS] = drive_begin_open(0);
    drive_append_all(uploads[HALF], big, SIZE / 2, 9000);
    uint64_t room = fixture_info().reserved - SIZE, size = region_size(region);
    allocated = fixture_allocated();
    for (uint64_t done = 0; done < room; done += room / 4)
        drive_append(uploads[GROWS], big, room / 4);
    drive_settle(region);
    ck_assert_int_eq(region_store(region, kept + 10, big + 19, 100, &err), 0);
    ck_assert_int_eq(region_deallocate(region, (struct extent){first, 6000}, &err), 0);
    ck_assert_int_eq(region_deallocate(region, (struct extent){second, 5000}, &err), 0);
    uploads[IN_FREED] = begin(6000);
    ck_assert_uint_eq(region_size(region), size);
    drive_append(uploads[GROWS], big, 100); /* nothing is in the way behind it */
    ck_assert_uint_gt(region_size(region), size);
    uploads[PAST_THE_END] = begin(7000);
    drive_append(uploads[IN_FREED], big, 6000);
}

void failing_act(void)
{
    unsigned idle = 0;
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_SYNCS, .nth = 1, .error = EIO, .forever = true});
    while (region_failure(region) == NULL && idle < 3)
        idle = drive_step(region, LANE_COMMIT) ? 0 : idle + 1;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
}

static void expect_kept(void)
{
    uint8_t loaded[KEPT];
    uint64_t damaged;
    ck_assert_int_eq(region_read(region, kept, loaded, sizeof loaded, &damaged, &err), 0);
    ck_assert_mem_eq(loaded, big + 9, sizeof loaded);
}

void failing_end(void)
{
    ck_assert_ptr_nonnull(region_failure(region));
    fixture_check();
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_ptr_nonnull(region_upload_failure(uploads[i]));
        if (i != HALF)
            region_upload_abort(region, uploads[i]);
    }
    fixture_check();
    if (!region->lost.everything) {
        ck_assert_uint_eq(fixture_allocated(), allocated);
        expect_kept();
    }
    region_close(region);
    region = fixture_open(false, NULL);
    expect_kept();
    ck_assert_uint_eq(fixture_info().reserved, 0);
    fixture_tear_down();
}
