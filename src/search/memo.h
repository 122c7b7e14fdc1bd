#ifndef SAILOR_SEARCH_MEMO_H
#define SAILOR_SEARCH_MEMO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* The sets of stages that were met in a window, so that the same set reached with worse numbers dies. */

/** Numbers with which a set of stages was reached. */
struct memo_entry {
    double S, X, pend, act, y, u, egress;
    int next;
};

struct memo_slot;
struct memo {
    struct memo_slot *slot;
    unsigned generation; /* slots of earlier windows count as empty */
    size_t size, used;
    struct memo_entry *entry;
    int n_entry, cap_entry;
};

/** One for each of n threads, some 70 MB of address space each. */
struct memo *memos_new(int n);
void memos_free(struct memo *all, int n);

/** Forget all; to be called before the first window, too. */
void memo_reset(struct memo *m);

enum memo_verdict {
    MEMO_NEW,       /* nothing known is as good; it is remembered while there is room */
    MEMO_DOMINATED, /* what is known is no worse */
    MEMO_STOOD_FOR  /* what is known is worse by a factor of at most 1 + slack */
};

/** A set of stages, by a hash of 128 bits of all that must be equal, reached with these numbers: `best` at
 * best, `worst` at worst. */
enum memo_verdict memo_meet(struct memo *m, const uint64_t key[2], const struct memo_entry *best,
                            const struct memo_entry *worst, double slack);

/** A mixing function of 64 bits. */
uint64_t memo_mix(uint64_t x);

#endif
