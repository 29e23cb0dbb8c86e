/* Tokens: what makes a change happen once, however often it is asked for. */
#include <assert.h>
#include <string.h>

#include "core/iofile.h"
#include "core/region_private.h"

int region_token_find(const struct region *region, const uint8_t id[16], uint64_t fingerprint,
                      const uint8_t **ret_result, size_t *ret_size, uint64_t *ret_ticket,
                      struct err *err)
{
    const struct token_entry *entry = tokens_find(&region->tokens, id);
    if (entry == NULL)
        return 0;
    if (entry->fingerprint != fingerprint)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "this token was used for another change of region %s: every change needs a "
                       "token of its own",
                       region->meta.name);
    if (entry->result_size == TOKEN_RESULT_DROPPED)
        return err_set(err, ERR_NOT_ALLOCATED,
                       "what is asked for was done with this token before, and what it answered is "
                       "no longer kept");
    *ret_result = token_entry_result(entry);
    *ret_size = entry->result_size;
    *ret_ticket = entry->ticket;
    return REGION_FOUND;
}

int region_token_expect(struct region *region, size_t result_size, struct err *err)
{
    region->token_answer = 0;
    if (result_size == 0)
        return 0;
    if (result_size > TOKEN_ANSWER_MAX)
        return err_set(
            err, ERR_TOO_LARGE,
            "an answer of %llu bytes is too large to be kept with a token: the limit is %llu",
            (unsigned long long)result_size, (unsigned long long)TOKEN_ANSWER_MAX);
    int code = region_check_writable(region, err);
    if (code != 0)
        return code;
    tokens_settle(&region->tokens, region->done_ticket);
    if (tokens_reserve(&region->tokens, result_size) != 0)
        return err_no_memory(err);
    region->token_answer = result_size;
    return 0;
}

uint64_t region_token_need(const struct region *region)
{
    return region->token_answer > 0 ? RECORD_TOKEN_EFFECT + region->token_answer : 0;
}

void region_token_keep(struct region *region, const uint8_t id[16], uint64_t fingerprint,
                       const void *result, size_t result_size)
{
    struct batch *batch = region->gathering;
    struct token token = {.sequence = region->tokens.next,
                          .fingerprint = fingerprint,
                          .result_size = (uint32_t)result_size,
                          .result = result};
    assert(batch != NULL && result_size <= region->token_answer);
    memcpy(token.id, id, sizeof token.id);
    record_add_token(&batch->record, &token);
    tokens_add(&region->tokens, &token, batch->ticket);
    region->change_ticket = batch->ticket;
    region->token_answer = 0;
}
