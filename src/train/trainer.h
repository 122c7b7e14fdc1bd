#ifndef SAILOR_TRAIN_TRAINER_H
#define SAILOR_TRAIN_TRAINER_H
#include "train/data.h"
#include "train/grid.h"
#include "train/net.h"
#include "train/rate.h"
/* One rank of a training job: takes its part of a plan and does steps. */

struct train_options {
    struct adam_options adam;
    struct rate rate; /* peak 0: adam.rate, on every step */
    double clip;      /* gradients are shrunk to this global norm where theirs is larger; 0: never */
    unsigned long long seed;
    double memory_limit_bytes; /* 0: what the device gives */
    int threads;               /* of the host, to draw weights; 0: one */
    bool overlap;              /* gradient sums beside the backward pass of the last microbatch */
};

struct shared { /* gradients of one layer that are summed over replicas: one call each */
    struct group *group;
    size_t offset, n;
    int members, mine; /* of the group, and which of them this rank is */
    bool counts;
    struct pending pending;
};

struct sends { /* of one buffer: to each rank of the other replica that wants it from this one */
    int n;
    struct pending pending[TP_MAX];
};

struct trainer {
    const struct arch *arch;
    const struct grid *grid;
    const struct grid_cell *cell;
    const struct data *data;
    struct backend *backend;
    struct comm *comm;
    struct train_options options;
    struct clock clock;
    struct ledger ledger;
    struct net net;
    int n_work, n_shared;
    struct grid_work *work;   /* [n_work] */
    struct shared *shared;    /* [n_shared] by layer */
    int *first_shared;        /* [layers here + 2]; after those of the layers that of a tied embedding */
    int unsummed;             /* of the step: layers [0, unsummed) here whose sums have not been started */
    struct sends *out, dy[2]; /* out: [slots] */
    struct group *all;        /* every rank, where there are several and gradients are clipped; else NULL */
    int *token, *target;      /* [N] on the host */
    int *begin;               /* [N] on the host, where documents are apart; else NULL */
    long step;                /* steps done; the data position is step * global batch */
};

struct step_result {
    double loss;                /* this rank's share: the loss of the step is the sum over all ranks */
    bool finite;                /* and so were the gradients of this rank */
    double rate, gradient_norm; /* that of all gradients of the model; NAN: not asked for, without clip */
    double time_s, phase_s[PHASE_N];
};

/** Take this rank's part of the grid: all memory (peaks in t->ledger), groups, initial weights. Collective.
 * -1 with *e set (EXIT_NOPLAN) when memory does not suffice; the ranks have to agree on it before the next
 * collective call. */
int trainer_make(struct trainer *t, const struct grid *g, const struct data *d, struct backend *b,
                 struct comm *c, struct train_options o, struct arena *a, struct err *e);

/** One step on the next global batch. Collective. */
void trainer_step(struct trainer *t, struct step_result *r);

/** This rank's share of the loss on one batch of held-out sequences, always the same ones. Collective. */
double trainer_evaluate(struct trainer *t);

void trainer_free(struct trainer *t);
#endif
