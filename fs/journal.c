/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.c - the slots of struct hush_state and the private index over them. Called by session.c.
 */
#include "journal.h"

#include "core/cleanup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { JOURNAL_BUCKETS = HUSH_SLOTS, JOURNAL_NONE = UINT32_MAX };

struct hush_journal {
    struct hush_state *state;
    uint32_t *replay; /* slots that open() found, oldest first */
    uint32_t replay_count;
    uint32_t replay_next;
    pthread_mutex_t lock; /* all below; held for a few instructions and the copy of a request */
    uint32_t free_small;  /* first free slot of each kind, chained by next */
    uint32_t free_big;
    uint32_t buckets[JOURNAL_BUCKETS]; /* first slot in use, chained by next */
    uint32_t next[HUSH_ALL_SLOTS];
};

static unsigned char *journal_bytes(struct hush_state *state, uint32_t slot)
{
    return slot < HUSH_SLOTS ? state->small[slot] : state->big[slot - HUSH_SLOTS];
}

/* The kernel counts unique up by two. */
static uint32_t *journal_bucket(struct hush_journal *j, uint64_t unique)
{
    return &j->buckets[(unique >> 1) % JOURNAL_BUCKETS];
}

static void journal_push(struct hush_journal *j, uint32_t *head, uint32_t slot)
{
    j->next[slot] = *head;
    *head = slot;
}

static uint32_t journal_pop(struct hush_journal *j, uint32_t *head)
{
    const uint32_t slot = *head;

    if (slot != JOURNAL_NONE)
        *head = j->next[slot];
    return slot;
}

/* The link that leads to unique's slot, or to JOURNAL_NONE. */
static uint32_t *journal_find(struct hush_journal *j, uint64_t unique)
{
    uint32_t *link = journal_bucket(j, unique);

    while (*link != JOURNAL_NONE && atomic_load(&j->state->slots[*link].unique) != unique)
        link = &j->next[*link];
    return link;
}

static uint32_t *journal_free_list(struct hush_journal *j, uint32_t slot)
{
    return slot < HUSH_SLOTS ? &j->free_small : &j->free_big;
}

/* A slot that a dead worker left in use. Innocent if that one died before it came to it. */
static void journal_charge(struct hush_journal *j, uint32_t slot)
{
    struct hush_slot *s = &j->state->slots[slot];
    const uint32_t sum = s->suspicion + atomic_load(&j->state->suspicion);

    if (atomic_exchange(&s->begun, 0) != 0)
        s->suspicion = (uint16_t)(sum < UINT16_MAX ? sum : UINT16_MAX);
    j->replay[j->replay_count++] = slot;
}

static int journal_compare(const void *a, const void *b, void *ctx)
{
    struct hush_state *state = ctx;
    const uint64_t left = atomic_load(&state->slots[*(const uint32_t *)a].unique);
    const uint64_t right = atomic_load(&state->slots[*(const uint32_t *)b].unique);

    return (left > right) - (left < right);
}

/* From the last slot to the first, so that the first ones are used first and stay in the cache. */
static void journal_index(struct hush_journal *j)
{
    for (uint32_t slot = HUSH_ALL_SLOTS; slot-- > 0;) {
        const uint64_t unique = atomic_load(&j->state->slots[slot].unique);

        if (unique == 0) {
            journal_push(j, journal_free_list(j, slot), slot);
            continue;
        }
        journal_push(j, journal_bucket(j, unique), slot);
        journal_charge(j, slot);
    }
    qsort_r(j->replay, j->replay_count, sizeof(*j->replay), journal_compare, j->state);
}

struct hush_journal *hush_journal_open(struct hush_state *state)
{
    struct hush_journal *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return NULL;
    j->replay = calloc(HUSH_ALL_SLOTS, sizeof(*j->replay));
    if (j->replay == NULL) {
        free(j);
        return NULL;
    }
    pthread_mutex_init(&j->lock, NULL);
    j->state = state;
    j->free_small = j->free_big = JOURNAL_NONE;
    memset(j->buckets, 0xff, sizeof(j->buckets)); /* JOURNAL_NONE */
    journal_index(j);
    return j;
}

void hush_journal_free(struct hush_journal *journal)
{
    if (journal == NULL)
        return;
    pthread_mutex_destroy(&journal->lock);
    free(journal->replay);
    free(journal);
}

static uint32_t journal_claim(struct hush_journal *j, size_t size)
{
    const uint32_t slot = size <= HUSH_SLOT_SIZE ? journal_pop(j, &j->free_small) : JOURNAL_NONE;

    return slot != JOURNAL_NONE ? slot : journal_pop(j, &j->free_big);
}

bool hush_journal_add(struct hush_journal *j, uint64_t unique, const void *bytes, size_t size)
{
    hush_lock_scope(&j->lock); /* over the copy, too: it is shorter than to lock twice */
    const uint32_t slot = size <= HUSH_BIG_SIZE ? journal_claim(j, size) : JOURNAL_NONE;
    struct hush_slot *s;

    if (slot == JOURNAL_NONE)
        return false;
    s = &j->state->slots[slot];
    memcpy(journal_bytes(j->state, slot), bytes, size);
    s->size = (uint16_t)size;
    s->suspicion = 0;
    hush_journal_step(&s->begun, 1);
    hush_journal_step(&s->applied, 0);
    hush_journal_step(&s->unique, unique);
    journal_push(j, journal_bucket(j, unique), slot);
    return true;
}

void hush_journal_drop(struct hush_journal *j, uint64_t unique)
{
    hush_lock_scope(&j->lock);
    uint32_t *link = journal_find(j, unique);
    const uint32_t slot = *link;

    if (slot == JOURNAL_NONE)
        return;
    *link = j->next[slot];
    hush_journal_step(&j->state->slots[slot].unique, 0);
    journal_push(j, journal_free_list(j, slot), slot);
}

bool hush_journal_has(struct hush_journal *j, uint64_t unique)
{
    hush_lock_scope(&j->lock);

    return *journal_find(j, unique) != JOURNAL_NONE;
}

bool hush_journal_apply_once(struct hush_journal *j, uint64_t unique)
{
    hush_lock_scope(&j->lock);
    const uint32_t slot = *journal_find(j, unique);

    return slot == JOURNAL_NONE || atomic_exchange(&j->state->slots[slot].applied, 1) == 0;
}

bool hush_journal_next(struct hush_journal *j, struct hush_journal_entry *out)
{
    struct hush_slot *s;
    uint32_t slot;

    if (j->replay_next == j->replay_count)
        return false;
    slot = j->replay[j->replay_next++];
    s = &j->state->slots[slot];
    atomic_store(&s->begun, 1);
    out->bytes = journal_bytes(j->state, slot);
    out->size = s->size;
    out->unique = atomic_load(&s->unique);
    out->poison = s->suspicion >= HUSH_SUSPECT_LIMIT;
    return true;
}

uint32_t hush_journal_replays(const struct hush_journal *journal)
{
    return journal->replay_count;
}
