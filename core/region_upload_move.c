/* An upload whose size nobody knew, and whose extent has become too small: it gets a larger one,
 * twice the size, and what it has is copied there by jobs of its lane. Bytes that are appended
 * meanwhile wait.
 *
 * The new extent begins at the same place in a page as the old one, so that pages stay pages. Each
 * is compared with its sum when it is read: damage must not get a fresh one. Of the sums that were
 * told the file has all by then, since what was staged before is applied before the first copy is
 * made. */
#include <stdlib.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* Takes size bytes that begin where in a page the upload begins. */
static int take_place(struct region *region, const struct region_upload *upload, uint64_t size,
                      struct extent *ret_place, struct err *err)
{
    uint64_t address = 0, slack = DATA_PAGE - 1;
    int code = region_take(region, size + slack, &address, err);
    if (code != 0)
        return code;
    uint64_t lead = (upload->extent.address + DATA_PAGE - address % DATA_PAGE) % DATA_PAGE;
    struct extent place = {address + lead, size}, front = {address, lead};
    struct extent rest = {extent_end(place), slack - lead};
    if (front.size > 0 && freespace_give(&region->space, front) != 0)
        return region_give_back(region, (struct extent){address, size + slack}, err);
    /* Without memory it has some bytes more. */
    if (rest.size > 0 && freespace_give(&region->space, rest) != 0)
        place.size += rest.size;
    *ret_place = place;
    return 0;
}

/* Pages of the upload that are written. */
static uint64_t pages_written(const struct region_upload *upload)
{
    uint64_t address = upload->extent.address;
    uint64_t head = round_up(address, DATA_PAGE) - address;
    return upload->position > head ? (upload->position - head - upload->tail_size) / DATA_PAGE : 0;
}

static void begin_move(struct region_upload *upload, struct extent place)
{
    upload->old = upload->extent;
    upload->old_count = pages_written(upload);
    upload->old_first = page_of(round_up(upload->extent.address, DATA_PAGE));
    upload->old_told = upload->first_page - upload->old_first;
    upload->old_sums = upload->sums;
    upload->moved = 0;
    upload->is_moving = true;
    upload->sums = NULL;
    upload->sum_count = 0;
    upload->extent = place;
    upload->first_page = page_of(round_up(place.address, DATA_PAGE));
}

int region_upload_move(struct region *region, struct region_upload *upload, uint64_t size,
                       struct err *err)
{
    const struct batch_need need = {.record = 2 * RECORD_EXTENT_EFFECT};
    struct extent place = {0};
    if (upload->is_moving || region_upload_is_writing(upload))
        return REGION_WAIT;
    if (region_upload_moved(region, upload) != 0)
        return err_no_memory(err);
    int code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    if (extentlist_reserve(&region->reserved) != 0)
        return err_no_memory(err);
    code = take_place(region, upload, size, &place, err);
    if (code != 0)
        return code;
    extentlist_insert(&region->reserved, place);
    begin_move(upload, place);
    region_upload_reserved(region, upload, region->size_before_change);
    return 0;
}
