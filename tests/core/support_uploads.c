#include "support_uploads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_shadow.h"

#define UPLOADS_AT_ONCE 4

struct upload_loan {
    uint8_t *bytes;
    uint64_t size, ticket;
    struct upload_loan *next;
};

struct upload {
    struct region_upload *upload;
    uint64_t content, size; /* that it is to have in the end */
    bool is_open_ended;
    struct upload_loan *loans;
    struct upload *next;
};

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

static const char *complain(const char *what, int code, const struct err *err)
{
    static char text[400];
    snprintf(text, sizeof text, "%s answered %d (%s)", what, code, err->text);
    return text;
}

/* ---- Borrowed bytes ---- */

/* Whoever still reads the bytes shall notice. */
static void free_loans(struct upload_loan **link, uint64_t written)
{
    while (*link != NULL) {
        struct upload_loan *loan = *link;
        if (loan->ticket > written) {
            link = &loan->next;
            continue;
        }
        *link = loan->next;
        memset(loan->bytes, 0xdb, (size_t)loan->size);
        free(loan->bytes);
        free(loan);
    }
}

void uploads_reap(struct uploads *uploads)
{
    free_loans(&uploads->orphans, UINT64_MAX);
    for (struct upload *one = uploads->first; one != NULL; one = one->next)
        free_loans(&one->loans, region_upload_written(one->upload));
}

static void drop(struct uploads *uploads, struct upload *one)
{
    struct upload **link = &uploads->first;
    while (*link != one)
        link = &(*link)->next;
    *link = one->next;
    uploads->count--;
    free_loans(&one->loans, UINT64_MAX);
    free(one);
}

void uploads_release(struct uploads *uploads)
{
    while (uploads->first != NULL)
        drop(uploads, uploads->first);
    free_loans(&uploads->orphans, UINT64_MAX);
}

/* ---- Steps ---- */

/* Whether the answer is one that may be given; what may not go on is aborted. */
static bool may_be(const struct uploads *uploads, const struct region *region, int code)
{
    struct region_info info;
    region_get_info(region, &info);
    if (code == REGION_WAIT)
        return true;
    return uploads->may_fail &&
           (info.read_only || code == ERR_NO_SPACE || code == ERR_INTERNAL || code == ERR_IO_ERROR);
}

static uint64_t choose_size(uint64_t size_max, struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        return rng_between(rng, 1, 2 * (uint64_t)DATA_PAGE);
    case 1:
        return DATA_PAGE * rng_between(rng, 1, 4) + rng_between(rng, 0, 2) - 1;
    default:
        return rng_between(rng, 1, size_max);
    }
}

static const char *begin(struct uploads *uploads, struct region *region, uint64_t size_max,
                         uint64_t content, struct rng *rng, struct upload_result *result)
{
    struct err err = {0};
    struct upload *one = need(calloc(1, sizeof *one));
    one->content = content;
    one->size = choose_size(size_max, rng);
    one->is_open_ended = rng_chance(rng, 25);
    int code = one->is_open_ended ? region_upload_begin_open(region, rng_below(rng, 2 * one->size),
                                                             &one->upload, &err)
                                  : region_upload_begin(region, one->size, &one->upload, &err);
    if (code != 0) {
        free(one);
        return may_be(uploads, region, code) ? NULL : complain("the beginning", code, &err);
    }
    one->next = uploads->first;
    uploads->first = one;
    uploads->count++;
    result->event = UPLOAD_MOVED;
    return NULL;
}

static void give_up(struct uploads *uploads, struct region *region, struct upload *one)
{
    if (region_upload_is_writing(one->upload)) {
        struct upload_loan **end = &uploads->orphans;
        while (*end != NULL)
            end = &(*end)->next;
        *end = one->loans;
        one->loans = NULL;
    }
    region_upload_abort(region, one->upload);
    uploads->aborted++;
    drop(uploads, one);
}

static const char *append(struct uploads *uploads, struct region *region, struct upload *one,
                          struct rng *rng, struct upload_result *result)
{
    struct err err = {0};
    uint64_t done = region_upload_appended(one->upload);
    uint64_t size = rng_chance(rng, 50) ? rng_between(rng, 1, 3 * (uint64_t)DATA_PAGE)
                                        : rng_between(rng, 1, one->size);
    struct upload_loan *loan = need(calloc(1, sizeof *loan));
    loan->size = min_u64(size, one->size - done);
    loan->bytes = need(malloc((size_t)loan->size));
    content_fill(one->content, done, loan->bytes, (size_t)loan->size);
    int code =
        region_upload_append(region, one->upload, loan->bytes, loan->size, &loan->ticket, &err);
    if (code == 0) {
        loan->next = one->loans;
        one->loans = loan;
        result->event = UPLOAD_MOVED;
        return NULL;
    }
    free(loan->bytes);
    free(loan);
    if (!may_be(uploads, region, code))
        return complain("an append", code, &err);
    if (code != REGION_WAIT)
        give_up(uploads, region, one);
    return NULL;
}

static const char *commit(struct uploads *uploads, struct region *region, struct upload *one,
                          struct upload_result *result)
{
    struct err err = {0};
    uint8_t id[16], answer[SHADOW_ANSWER_MAX];
    bool has_token = one->content % 3 == 0;
    size_t size = has_token ? shadow_token_answer(one->content, answer) : 0;
    int code = region_token_expect(region, size, &err);
    if (code == 0)
        code = region_upload_commit(region, one->upload, &result->address, &err);
    if (code == 0 && has_token) {
        shadow_token_id(one->content, id);
        region_token_keep(region, id, SHADOW_FINGERPRINT(one->content), answer, size);
    }
    if (code != 0) {
        (void)region_token_expect(region, 0, &(struct err){0});
        if (!may_be(uploads, region, code))
            return complain("a commit", code, &err);
        if (code != REGION_WAIT)
            give_up(uploads, region, one);
        return NULL;
    }
    result->event = UPLOAD_DONE;
    result->content = one->content;
    result->size = one->size;
    result->has_token = has_token;
    uploads->committed++;
    drop(uploads, one);
    return NULL;
}

/* Nothing can be done with a part of it. */
static const char *commit_early(struct region *region, struct upload *one)
{
    struct err err = {0};
    uint64_t address;
    int code = region_upload_commit(region, one->upload, &address, &err);
    struct region_info info;
    region_get_info(region, &info);
    if (code == ERR_INVALID_ARGUMENT || info.read_only ||
        region_upload_failure(one->upload) != NULL)
        return NULL;
    return complain("a commit of a part", code, &err);
}

const char *uploads_step(struct uploads *uploads, struct region *region, uint64_t size_max,
                         uint64_t content, struct rng *rng, struct upload_result *ret_result)
{
    *ret_result = (struct upload_result){0};
    if (uploads->count == 0 || (uploads->count < UPLOADS_AT_ONCE && rng_chance(rng, 20)))
        return begin(uploads, region, size_max, content, rng, ret_result);
    struct upload *one = uploads->first;
    for (uint64_t skip = rng_below(rng, uploads->count); skip > 0; skip--)
        one = one->next;
    uint64_t appended = region_upload_appended(one->upload);
    if (rng_chance(rng, 5) || (region_upload_failure(one->upload) != NULL && rng_chance(rng, 50))) {
        give_up(uploads, region, one);
        ret_result->event = UPLOAD_MOVED;
        return NULL;
    }
    if (appended < one->size && !one->is_open_ended && rng_chance(rng, 3))
        return commit_early(region, one);
    if (appended < one->size)
        return append(uploads, region, one, rng, ret_result);
    return commit(uploads, region, one, ret_result);
}
