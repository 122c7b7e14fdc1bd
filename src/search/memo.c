#include "search/memo.h"
#include "base/oom.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { MEMO_SLOTS = 1 << 18, MEMO_ENTRIES = 1 << 20 };

struct memo_slot {
    uint64_t key[2];
    unsigned generation;
    int head;
};

uint64_t memo_mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct memo *memos_new(int n) {
    struct memo *all = oom_calloc((size_t)n, sizeof *all);
    for (struct memo *m = all; m < all + n; m++) {
        m->size = MEMO_SLOTS;
        m->cap_entry = MEMO_ENTRIES;
        m->slot = oom_calloc(m->size, sizeof *m->slot);
        m->entry = oom_malloc(sizeof *m->entry * (size_t)m->cap_entry); /* touched as it fills */
    }
    return all;
}

void memos_free(struct memo *all, int n) {
    for (struct memo *m = all; m < all + n; m++) {
        free(m->slot);
        free(m->entry);
    }
    free(all);
}

void memo_reset(struct memo *m) {
    m->generation++;
    m->used = 0;
    m->n_entry = 0;
}

/* Is a, at worst, no worse than b at best, times f? Both hold the same patterns, so whatever completes b
 * completes a, with the same counts. The rate need not be compared: the same patterns with the same counts
 * cost the same per second. */
static bool dominates(const struct memo_entry *a, const struct memo_entry *b, double f) {
    return a->S <= b->S * f && a->X <= b->X * f && a->pend <= b->pend * f && a->act <= b->act * f &&
           a->y <= b->y * f && a->u <= b->u * f && a->egress <= b->egress;
}

static struct memo_slot *find(const struct memo *m, const uint64_t key[2]) {
    size_t at = memo_mix(key[0]) & (m->size - 1);
    while (m->slot[at].generation == m->generation &&
           (m->slot[at].key[0] != key[0] || m->slot[at].key[1] != key[1]))
        at = (at + 1) & (m->size - 1);
    return &m->slot[at];
}

enum memo_verdict memo_meet(struct memo *m, const uint64_t key[2], const struct memo_entry *best,
                            const struct memo_entry *worst, double slack) {
    assert(m->slot && m->used <= m->size / 2 + 1 && m->n_entry <= m->cap_entry);
    bool keep =
        worst->S < INFINITY && worst->pend < INFINITY && worst->y < INFINITY && worst->egress < INFINITY;
    struct memo_slot *slot = find(m, key);
    bool known = slot->generation == m->generation;
    for (int *link = known ? &slot->head : NULL; link && *link >= 0;) {
        struct memo_entry *f = &m->entry[*link];
        if (dominates(f, best, 1)) return MEMO_DOMINATED;
        if (slack > 0 && dominates(f, best, 1 + slack)) return MEMO_STOOD_FOR;
        if (keep && dominates(worst, f, 1))
            *link = f->next;
        else
            link = &f->next;
    }
    if (!keep || m->n_entry == m->cap_entry || m->used > m->size / 2) return MEMO_NEW;
    if (!known) {
        *slot = (struct memo_slot){{key[0], key[1]}, m->generation, -1};
        m->used++;
    }
    m->entry[m->n_entry] = *worst;
    m->entry[m->n_entry].next = slot->head;
    slot->head = m->n_entry++;
    return MEMO_NEW;
}
