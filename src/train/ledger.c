#include "train/ledger.h"

#include <assert.h>

const char *const memory_name[MEMORY_N] = {"parameters",    "gradients", "optimizer", "activations",
                                           "communication", "workspace", "driver"};

static void count(struct ledger *l, enum memory category, size_t bytes) {
    l->held[category] += bytes;
    l->total += bytes;
    if (l->held[category] > l->peak[category]) l->peak[category] = l->held[category];
    if (l->total > l->total_peak) l->total_peak = l->total;
}

void ledger_open(struct ledger *l, struct backend *b, double limit_bytes) {
    *l = (struct ledger){.backend = b, .limit_bytes = limit_bytes};
    ledger_driver(l);
}

void ledger_driver(struct ledger *l) {
    size_t used, all;
    if (l->backend->shared) return;
    l->backend->device_bytes(l->backend, &used, &all);
    if (used > l->total) count(l, MEMORY_DRIVER, used - l->total);
}

void *ledger_alloc(struct ledger *l, enum memory category, size_t bytes, struct err *e) {
    struct backend *b = l->backend;
    size_t used, all;
    bytes = (bytes + 63) / 64 * 64;
    if (l->n_block == (int)(sizeof l->block / sizeof *l->block))
        return err_set(e, EXIT_INTERNAL, "the ledger is full"), NULL;
    if (l->limit_bytes > 0 && (double)l->total + (double)bytes > l->limit_bytes)
        return err_set(e, EXIT_NOPLAN, "out of memory: %zu bytes asked for %s, %zu held, limit %.0f", bytes,
                       memory_name[category], l->total, l->limit_bytes),
               NULL;
    void *p = b->alloc(b, bytes);
    if (!p) {
        b->device_bytes(b, &used, &all);
        if (all)
            err_set(e, EXIT_NOPLAN,
                    "out of memory: %zu bytes asked for %s, %zu held, %zu of %zu left on the device", bytes,
                    memory_name[category], l->total, all - used, all);
        else
            err_set(e, EXIT_NOPLAN, "out of memory: %zu bytes asked for %s, %zu held; the system has no more",
                    bytes, memory_name[category], l->total);
        return NULL;
    }
    l->block[l->n_block++] = (struct block){category, p, bytes};
    count(l, category, bytes);
    return p;
}

void ledger_close(struct ledger *l) {
    while (l->n_block) {
        const struct block *x = &l->block[--l->n_block];
        assert(l->held[x->category] >= x->bytes && l->total >= x->bytes);
        l->backend->release(l->backend, x->p);
        l->held[x->category] -= x->bytes;
        l->total -= x->bytes;
    }
}

void *carve(struct carver *c, size_t n, size_t element_bytes) {
    void *p = c->base ? c->base + c->used : NULL;
    c->used += (n * element_bytes + 63) / 64 * 64;
    return p;
}
