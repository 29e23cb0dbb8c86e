/* The tokens that a region remembers, with their answers: the newest ones, by sequence and by id.
 *
 * Tokens get consecutive sequences in the order of staging. Those in [first, next) are remembered.
 * One is forgotten when `window` newer ones are done: a token whose own change is still under way
 * is never pushed out, and one that is taken back has pushed out none. Answers too large to stand
 * in an entry are kept apart; while they are more than TOKEN_RESULTS_MAX together the oldest of
 * them are dropped, and only the answer: the token stays.
 *
 * Memory grows with the tokens that there are, in small steps: entries never move, and each of the
 * index's many tables grows by itself, so that no addition takes long.
 *
 * Belongs to one thread. */
#ifndef MREGION_CORE_TOKENS_H
#define MREGION_CORE_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/record.h"
#include "core/tokenindex.h"

/* In struct token's result_size: the answer was dropped. */
#define TOKEN_RESULT_DROPPED UINT32_MAX

/* What one takes up in a checkpoint, without its answer. */
#define TOKEN_CHECKPOINT_BYTES ((uint64_t)36)

/* Answers up to this size stand in the entry, which is 56 bytes with them. */
#define TOKEN_INLINE 20

struct token_result;

struct token_entry {
    uint8_t id[16];
    uint64_t fingerprint;
    uint64_t ticket;              /* of the batch it is in; 0 when it was found on the disk */
    uint32_t result_size;         /* or TOKEN_RESULT_DROPPED */
    uint8_t result[TOKEN_INLINE]; /* above TOKEN_INLINE bytes: a struct token_result's address */
};

struct tokens {
    uint64_t window; /* the owner may change it at any time */
    uint64_t first, next;
    uint64_t done;  /* those before are done */
    uint64_t bytes; /* that those from first to next take up in a checkpoint */
    uint64_t key[2];
    /* Of consecutive entries; the first one has `first` in it. */
    struct token_entry **segments;
    size_t segment_count, segment_capacity;
    struct token_entry *spare_segment;    /* the last one that was given up, or NULL */
    struct tokenindex index;              /* by id */
    struct token_result *oldest, *newest; /* the answers that are kept apart */
    uint64_t result_bytes;                /* theirs together */
    struct token_result *spare;           /* for the next ones, linked by `older` */
    size_t spare_bytes;
};

/* Nobody who does not know the key can choose ids that stand in each other's way. */
void tokens_init(struct tokens *tokens, const uint8_t key[16], uint64_t window);
void tokens_release(struct tokens *tokens);
/* Forgets all, and that there ever were any. */
void tokens_clear(struct tokens *tokens);

static inline uint64_t tokens_count(const struct tokens *tokens)
{
    return tokens->next - tokens->first;
}

/* What a token takes up in a checkpoint, with an answer of this size. */
static inline uint64_t token_bytes(uint64_t result_size)
{
    return TOKEN_CHECKPOINT_BYTES + (result_size == TOKEN_RESULT_DROPPED ? 0 : result_size);
}

/* The newest token with this id, or NULL. */
const struct token_entry *tokens_find(const struct tokens *tokens, const uint8_t id[16]);
/* The token with this sequence, which is remembered. Its result is borrowed until it is forgotten
 * or its answer dropped; NULL when that was. */
void tokens_get(const struct tokens *tokens, uint64_t sequence, struct token *ret_token);
const uint8_t *token_entry_result(const struct token_entry *entry);

/* Room for one more, with an answer of at most result_size bytes. -ENOMEM. */
int tokens_reserve(struct tokens *tokens, size_t result_size);
/* Adds one, for which room was reserved, as number `next`, whatever token->sequence says. Copies
 * the result. */
void tokens_add(struct tokens *tokens, const struct token *token, uint64_t ticket);
/* Takes the newest ones back: those from sequence on. */
void tokens_take_back(struct tokens *tokens, uint64_t sequence);
/* What is in batches up to this ticket is done: forgets and drops what is too old now. */
void tokens_settle(struct tokens *tokens, uint64_t done_ticket);

/* ---- From the disk ----
 * 0, -ENOMEM, or -EINVAL when it makes no sense. */

/* The next one of a checkpoint. Where some are missing, all before those were forgotten by then. */
int tokens_load(struct tokens *tokens, const struct token *token);
/* After the last one: so many there have ever been. */
int tokens_load_end(struct tokens *tokens, uint64_t next);
/* One of a journal record. What is known already changes nothing. */
int tokens_replay(struct tokens *tokens, const struct token *token);

/* Proves what must hold between entries, index and counters; NULL or what is wrong. */
const char *tokens_check(const struct tokens *tokens);

#endif
