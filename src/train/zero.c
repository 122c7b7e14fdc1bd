#include "train/zero.h"

#include <stdlib.h>

/* The part of member i of a sum. */
static size_t begin_of(const struct shared *s, int i) {
    return s->offset + s->n * (size_t)i / (size_t)s->members;
}

static int by_offset(const void *x, const void *y) {
    const struct shared *a = x, *b = y;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void add(struct net *n, size_t from, size_t end, bool decay) {
    if (from >= end) return;
    n->owned[n->n_owned++] = (struct owned){from, end - from, n->states, decay};
    n->states += end - from;
}

/* Parameters are contiguous, and so are sums, without overlap; no other rank has what is in no sum. */
void zero_deal(struct trainer *t, struct arena *a) {
    struct net *n = &t->net;
    int layers = n->end - n->first, next = 0;
    struct shared *sum = ARENA_ARRAY(a, struct shared, t->n_shared + 1);
    for (int i = 0; i < t->n_shared; i++) sum[i] = t->shared[i];
    qsort(sum, (size_t)t->n_shared, sizeof *sum, by_offset);
    n->owned = ARENA_ARRAY(a, struct owned, 2 * ((size_t)layers * TENSORS_MAX + (size_t)t->n_shared) + 1);
    n->n_owned = 0;
    n->states = 0;
    for (int l = 0; l < layers; l++)
        for (int k = 0; k < arch_tensors(n->layer[l].kind); k++) {
            const struct param *p = &n->layer[l].param[k];
            size_t at = p->offset, end = p->offset + p->n;
            if (!p->n || p->again) continue;
            while (next < t->n_shared && sum[next].offset + sum[next].n <= at) next++;
            for (int i = next; i < t->n_shared && sum[i].offset < end; i++) {
                size_t from = begin_of(&sum[i], sum[i].mine), to = begin_of(&sum[i], sum[i].mine + 1);
                size_t past = sum[i].offset + sum[i].n;
                add(n, at, sum[i].offset, p->tensor->decay);
                add(n, from > p->offset ? from : p->offset, to < end ? to : end, p->tensor->decay);
                at = past < end ? past : end;
            }
            add(n, at, end, p->tensor->decay);
        }
}

void zero_spread(struct trainer *t) {
    enum elem elem = t->backend->elem;
    int layers = t->net.end - t->net.first;
    for (int l = layers; l >= 0; l--) { /* in the order of the sums, on which all ranks agree */
        int layer = l ? l - 1 : layers;
        for (int i = t->first_shared[layer]; i < t->first_shared[layer + 1]; i++) {
            const struct shared *s = &t->shared[i];
            for (int k = 0; k < s->members; k++) {
                size_t from = begin_of(s, k), n = begin_of(s, k + 1) - from;
                if (n) t->comm->spread(t->comm, s->group, elem_at(t->net.weight, from, elem), n, elem, k);
            }
        }
    }
}
