#include "core/tokens.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"

/* Entries that are made at a time: 14 KiB. */
#define TOKENS_SEGMENT 256

/* So many are forgotten at a time, where the window became smaller: some 200 microseconds. */
#define FORGET_MAX 4096

/* So many bytes of answers that were forgotten are kept for the next ones. */
#define RESULTS_SPARED ((size_t)256 * 1024)

/* A sequence past this one was never given. */
#define SEQUENCE_MAX REGION_SIZE_MAX

struct token_result {
    struct token_result *older, *newer;
    uint64_t sequence; /* whose it is */
    size_t capacity;   /* of bytes */
    uint8_t bytes[];
};

static_assert(sizeof(struct token_entry) == 56, "an entry is as large as options.h says, about");

void tokens_init(struct tokens *tokens, const uint8_t key[16], uint64_t window)
{
    *tokens = (struct tokens){.window = window};
    memcpy(tokens->key, key, sizeof tokens->key);
}

/* ---- Entries ---- */

/* Where the entry of a sequence is, or is going to be. */
static struct token_entry *place_of(const struct tokens *tokens, uint64_t sequence)
{
    uint64_t segment = sequence / TOKENS_SEGMENT - tokens->first / TOKENS_SEGMENT;
    assert(sequence >= tokens->first && segment < tokens->segment_count);
    return &tokens->segments[segment][sequence % TOKENS_SEGMENT];
}

static struct token_entry *entry_at(const struct tokens *tokens, uint64_t sequence)
{
    assert(sequence < tokens->next);
    return place_of(tokens, sequence);
}

static bool is_apart(const struct token_entry *entry)
{
    return entry->result_size > TOKEN_INLINE && entry->result_size != TOKEN_RESULT_DROPPED;
}

static struct token_result *result_of(const struct token_entry *entry)
{
    struct token_result *result;
    memcpy(&result, entry->result, sizeof result);
    return result;
}

const uint8_t *token_entry_result(const struct token_entry *entry)
{
    if (entry->result_size == TOKEN_RESULT_DROPPED)
        return NULL;
    return is_apart(entry) ? result_of(entry)->bytes : entry->result;
}

void tokens_get(const struct tokens *tokens, uint64_t sequence, struct token *ret_token)
{
    const struct token_entry *entry = entry_at(tokens, sequence);
    *ret_token = (struct token){.sequence = sequence,
                                .fingerprint = entry->fingerprint,
                                .result_size = entry->result_size,
                                .result = token_entry_result(entry)};
    memcpy(ret_token->id, entry->id, sizeof entry->id);
}

/* ---- The index by id ---- */

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93;
    return x ^ x >> 32;
}

static uint64_t hash_of(const struct tokens *tokens, const uint8_t id[16])
{
    uint64_t words[2];
    memcpy(words, id, sizeof words);
    return mixed(mixed(words[0] ^ tokens->key[0]) ^ words[1] ^ tokens->key[1]);
}

/* The index knows the low half of a sequence; those that are remembered differ in it. */
static uint64_t whole_sequence(const struct tokens *tokens, uint32_t low)
{
    return tokens->first + (uint32_t)(low - (uint32_t)tokens->first);
}

const struct token_entry *tokens_find(const struct tokens *tokens, const uint8_t id[16])
{
    struct tokenindex_probe probe = tokenindex_probe(&tokens->index, hash_of(tokens, id));
    const struct token_entry *newest = NULL;
    uint64_t newest_sequence = 0;
    uint32_t low;
    while (tokenindex_next(&probe, &low)) {
        uint64_t sequence = whole_sequence(tokens, low);
        const struct token_entry *entry = entry_at(tokens, sequence);
        if (sequence < newest_sequence || memcmp(entry->id, id, sizeof entry->id) != 0)
            continue;
        newest = entry;
        newest_sequence = sequence;
    }
    return newest;
}

/* ---- Answers that are kept apart ---- */

/* Where the next ones are about as large, they need no memory. */
static void give_spare(struct tokens *tokens, struct token_result *result)
{
    if (tokens->spare_bytes + result->capacity > RESULTS_SPARED) {
        free(result);
        return;
    }
    result->older = tokens->spare;
    tokens->spare = result;
    tokens->spare_bytes += result->capacity;
}

static void free_spare(struct tokens *tokens)
{
    struct token_result *result = tokens->spare;
    tokens->spare = result->older;
    tokens->spare_bytes -= result->capacity;
    free(result);
}

static void take_spare(struct tokens *tokens, struct token_entry *entry, const uint8_t *bytes)
{
    struct token_result *result = tokens->spare;
    assert(result != NULL && result->capacity >= entry->result_size);
    tokens->spare = result->older;
    tokens->spare_bytes -= result->capacity;
    result->older = tokens->newest;
    result->newer = NULL;
    result->sequence = tokens->next;
    memcpy(result->bytes, bytes, entry->result_size);
    memcpy(entry->result, &result, sizeof result);
    if (tokens->newest != NULL)
        tokens->newest->newer = result;
    else
        tokens->oldest = result;
    tokens->newest = result;
    tokens->result_bytes += entry->result_size;
}

static void free_result(struct tokens *tokens, const struct token_entry *entry)
{
    if (!is_apart(entry))
        return;
    struct token_result *result = result_of(entry);
    if (result->older != NULL)
        result->older->newer = result->newer;
    else
        tokens->oldest = result->newer;
    if (result->newer != NULL)
        result->newer->older = result->older;
    else
        tokens->newest = result->older;
    tokens->result_bytes -= entry->result_size;
    give_spare(tokens, result);
}

static void drop_result(struct tokens *tokens, struct token_entry *entry)
{
    free_result(tokens, entry);
    tokens->bytes -= entry->result_size;
    entry->result_size = TOKEN_RESULT_DROPPED;
}

/* ---- Adding ---- */

/* The first spare one becomes as large as is needed, and not much larger. */
static int reserve_spare(struct tokens *tokens, size_t size)
{
    size_t has = tokens->spare == NULL ? 0 : tokens->spare->capacity;
    if (size <= TOKEN_INLINE || (size <= has && has / 2 <= size))
        return 0;
    if (tokens->spare != NULL)
        free_spare(tokens);
    struct token_result *result = malloc(sizeof *result + size);
    if (result == NULL)
        return -ENOMEM;
    result->capacity = size;
    result->older = tokens->spare;
    tokens->spare = result;
    tokens->spare_bytes += size;
    return 0;
}

static int reserve_segment(struct tokens *tokens)
{
    uint64_t base = tokens->first / TOKENS_SEGMENT;
    if (tokens->next / TOKENS_SEGMENT - base < tokens->segment_count)
        return 0;
    struct token_entry **segments = array_grown(tokens->segments, &tokens->segment_capacity,
                                                tokens->segment_count + 1, sizeof(void *));
    if (segments == NULL)
        return -ENOMEM;
    tokens->segments = segments;
    struct token_entry *segment = tokens->spare_segment;
    if (segment == NULL)
        segment = malloc(TOKENS_SEGMENT * sizeof *segment);
    if (segment == NULL)
        return -ENOMEM;
    tokens->spare_segment = NULL;
    segments[tokens->segment_count++] = segment;
    return 0;
}

int tokens_reserve(struct tokens *tokens, size_t result_size)
{
    if (tokenindex_reserve(&tokens->index) != 0 || reserve_spare(tokens, result_size) != 0)
        return -ENOMEM;
    return reserve_segment(tokens);
}

void tokens_add(struct tokens *tokens, const struct token *token, uint64_t ticket)
{
    struct token_entry *entry = place_of(tokens, tokens->next);
    *entry = (struct token_entry){
        .fingerprint = token->fingerprint, .ticket = ticket, .result_size = token->result_size};
    memcpy(entry->id, token->id, sizeof entry->id);
    if (is_apart(entry))
        take_spare(tokens, entry, token->result);
    else if (token->result_size > 0 && token->result_size != TOKEN_RESULT_DROPPED)
        memcpy(entry->result, token->result, token->result_size);
    tokenindex_add(&tokens->index, hash_of(tokens, entry->id), tokens->next);
    tokens->bytes += token_bytes(token->result_size);
    tokens->next++;
}

/* ---- Forgetting ---- */

static void forget(struct tokens *tokens, uint64_t sequence)
{
    struct token_entry *entry = entry_at(tokens, sequence);
    tokens->bytes -= token_bytes(entry->result_size);
    tokenindex_remove(&tokens->index, hash_of(tokens, entry->id), sequence);
    free_result(tokens, entry);
}

static void forget_first(struct tokens *tokens)
{
    forget(tokens, tokens->first);
    tokens->first++;
    if (tokens->first % TOKENS_SEGMENT != 0)
        return;
    free(tokens->spare_segment);
    tokens->spare_segment = tokens->segments[0];
    tokens->segment_count--;
    memmove(tokens->segments, tokens->segments + 1,
            tokens->segment_count * sizeof tokens->segments[0]);
}

void tokens_take_back(struct tokens *tokens, uint64_t sequence)
{
    while (tokens->next > tokens->first && tokens->next > sequence) {
        forget(tokens, tokens->next - 1);
        tokens->next--;
    }
    tokens->done = min_u64(tokens->done, tokens->next);
}

void tokens_settle(struct tokens *tokens, uint64_t done_ticket)
{
    while (tokens->done < tokens->next && entry_at(tokens, tokens->done)->ticket <= done_ticket)
        tokens->done++;
    for (unsigned i = 0; i < FORGET_MAX && tokens->done - tokens->first > tokens->window; i++)
        forget_first(tokens);
    while (tokens->result_bytes > TOKEN_RESULTS_MAX && tokens->oldest->sequence < tokens->done)
        drop_result(tokens, entry_at(tokens, tokens->oldest->sequence));
}

void tokens_clear(struct tokens *tokens)
{
    struct tokens empty = {.window = tokens->window, .key = {tokens->key[0], tokens->key[1]}};
    for (struct token_result *result = tokens->oldest, *newer; result != NULL; result = newer) {
        newer = result->newer;
        free(result);
    }
    for (size_t i = 0; i < tokens->segment_count; i++)
        free(tokens->segments[i]);
    free(tokens->segments);
    free(tokens->spare_segment);
    while (tokens->spare != NULL)
        free_spare(tokens);
    tokenindex_release(&tokens->index);
    *tokens = empty;
}

void tokens_release(struct tokens *tokens)
{
    tokens_clear(tokens);
}

/* ---- From the disk ---- */

static int add_found(struct tokens *tokens, const struct token *token)
{
    bool is_dropped = token->result_size == TOKEN_RESULT_DROPPED;
    if (tokens_reserve(tokens, is_dropped ? 0 : token->result_size) != 0)
        return -ENOMEM;
    tokens_add(tokens, token, 0);
    tokens_settle(tokens, 0);
    return 0;
}

/* None before sequence are remembered, and the next one is this. */
static void begin_at(struct tokens *tokens, uint64_t sequence)
{
    tokens_clear(tokens);
    tokens->first = tokens->next = tokens->done = sequence;
}

int tokens_load(struct tokens *tokens, const struct token *token)
{
    if (token->sequence < tokens->next || token->sequence >= SEQUENCE_MAX)
        return -EINVAL;
    if (token->sequence > tokens->next)
        begin_at(tokens, token->sequence);
    return add_found(tokens, token);
}

int tokens_load_end(struct tokens *tokens, uint64_t next)
{
    if (next < tokens->next || next > SEQUENCE_MAX)
        return -EINVAL;
    if (next > tokens->next)
        begin_at(tokens, next);
    return 0;
}

int tokens_replay(struct tokens *tokens, const struct token *token)
{
    if (token->sequence > tokens->next || token->sequence >= SEQUENCE_MAX)
        return -EINVAL;
    if (token->sequence == tokens->next)
        return add_found(tokens, token);
    if (token->sequence < tokens->first)
        return 0;
    const struct token_entry *entry = entry_at(tokens, token->sequence);
    bool is_same = memcmp(entry->id, token->id, sizeof entry->id) == 0 &&
                   entry->fingerprint == token->fingerprint;
    return is_same ? 0 : -EINVAL;
}

/* ---- Proof ---- */

static bool is_indexed(const struct tokens *tokens, uint64_t sequence)
{
    const struct token_entry *entry = entry_at(tokens, sequence);
    struct tokenindex_probe probe = tokenindex_probe(&tokens->index, hash_of(tokens, entry->id));
    uint32_t low;
    while (tokenindex_next(&probe, &low))
        if (whole_sequence(tokens, low) == sequence)
            return true;
    return false;
}

const char *tokens_check(const struct tokens *tokens)
{
    uint64_t bytes = 0, results = 0, apart = 0, listed = 0;
    if (tokens->first > tokens->done || tokens->done > tokens->next)
        return "the sequences of tokens are out of order";
    for (uint64_t i = tokens->first; i < tokens->next; i++) {
        const struct token_entry *entry = entry_at(tokens, i);
        bytes += token_bytes(entry->result_size);
        if (!is_indexed(tokens, i))
            return "a token is not in the index";
        if (!is_apart(entry))
            continue;
        results += entry->result_size;
        apart++;
        if (result_of(entry)->sequence != i)
            return "a token has the answer of another";
    }
    uint64_t last = 0;
    for (const struct token_result *at = tokens->oldest; at != NULL; at = at->newer, listed++) {
        if (at->sequence < last)
            return "the answers of tokens are out of order";
        last = at->sequence;
    }
    if (bytes != tokens->bytes || results != tokens->result_bytes || apart != listed)
        return "the bytes of tokens are miscounted";
    return tokenindex_count(&tokens->index) == tokens_count(tokens)
               ? NULL
               : "the index has a token that is forgotten";
}
