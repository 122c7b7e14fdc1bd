#ifndef SAILOR_TRAIN_LEDGER_H
#define SAILOR_TRAIN_LEDGER_H
#include "train/backend.h"
#include <stdio.h>
/* An account of the device's memory. All of it is allocated here, one block per category, before the first
 * step. So running out of memory is detected at once, and is a result (which rank, what was requested, what
 * was held), not a crash in the middle. */

enum memory {
    MEMORY_PARAMETERS,
    MEMORY_GRADIENTS,
    MEMORY_OPTIMIZER,
    MEMORY_ACTIVATIONS,   /* kept from forward to backward, for all microbatches in flight */
    MEMORY_COMMUNICATION, /* what is sent to and received from other stages */
    MEMORY_WORKSPACE,
    MEMORY_DRIVER, /* what libraries, communicators and the driver hold on the device: all that is in use but
                      not allocated here; 0 on a CPU, and where ranks share a device */
    MEMORY_N
};
extern const char *const memory_name[MEMORY_N];

struct ledger {
    struct backend *backend;
    double limit_bytes; /* 0: no limit except that of alloc() */
    size_t held[MEMORY_N], peak[MEMORY_N], total, total_peak;
    int n_block;
    struct block {
        enum memory category;
        void *p;
        size_t bytes;
    } block[32];
};

/** Open a ledger. What the device already holds counts towards the limit. */
void ledger_open(struct ledger *l, struct backend *b, double limit_bytes);

/** A block of this category, 64-byte aligned, contents undefined. NULL with *e set (EXIT_NOPLAN): "out of
 * memory: ...". */
void *ledger_alloc(struct ledger *l, enum memory category, size_t bytes, struct err *e);

/** Record what libraries and the driver hold now, beyond what they held when the ledger was opened. */
void ledger_driver(struct ledger *l);

/** Release everything. */
void ledger_close(struct ledger *l);

/* Carves one block into buffers: first with base NULL, to add up the sizes, then with the block. */
struct carver {
    char *base;
    size_t used;
};
/** The next n elements, 64-byte aligned; NULL while the sizes are added up. */
void *carve(struct carver *c, size_t n, size_t element_bytes);
#endif
