#include "support_upload.h"

static uint64_t wanted_size;
static bool is_open_ended;

static int stage_begin(struct region *on, void *context, struct err *error)
{
    return is_open_ended ? region_upload_begin_open(on, wanted_size, context, error)
                         : region_upload_begin(on, wanted_size, context, error);
}

struct region_upload *drive_begin(uint64_t size)
{
    struct region_upload *upload = NULL;
    wanted_size = size;
    int code = drive_until(region, stage_begin, &upload, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return upload;
}

struct region_upload *drive_begin_open(uint64_t hint)
{
    is_open_ended = true;
    struct region_upload *upload = drive_begin(hint);
    is_open_ended = false;
    return upload;
}

uint64_t drive_append(struct region_upload *upload, const void *bytes, uint64_t size)
{
    uint64_t ticket = 0;
    int code = region_upload_append(region, upload, bytes, size, &ticket, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return ticket;
}

void drive_append_all(struct region_upload *upload, const uint8_t *bytes, uint64_t size,
                      uint64_t piece)
{
    for (uint64_t done = 0; done < size; done += piece)
        drive_append(upload, bytes + done, size - done < piece ? size - done : piece);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_appended(upload), size);
}

struct committing {
    struct region_upload *upload;
    uint64_t address;
};

static int stage_commit(struct region *on, void *context, struct err *error)
{
    struct committing *c = context;
    return region_upload_commit(on, c->upload, &c->address, error);
}

uint64_t drive_commit(struct region_upload *upload)
{
    struct committing c = {upload, UINT64_MAX};
    int code = drive_until(region, stage_commit, &c, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    drive_settle(region);
    return c.address;
}

uint64_t drive_upload(const uint8_t *bytes, uint64_t size, uint64_t piece)
{
    struct region_upload *upload = drive_begin(size);
    drive_append_all(upload, bytes, size, piece);
    return drive_commit(upload);
}

struct region_info fixture_info(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info;
}

void fixture_reopen(void)
{
    drive_close(region);
    region = fixture_open(false, NULL);
}

void fixture_check(void)
{
    const char *wrong = region_check(region);
    ck_assert_msg(wrong == NULL, "%s", wrong);
}
