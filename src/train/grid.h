#ifndef SAILOR_TRAIN_GRID_H
#define SAILOR_TRAIN_GRID_H
#include "base/arena.h"
#include "sim/plan.h"
#include "train/arch.h"
/* Who does what: the ranks of a plan, the order in which a rank works through its microbatches, and who adds
 * up gradients with whom. Pure: no MPI; every rank computes the same.
 *
 * Ranks are numbered pipeline by pipeline, stage by stage, replica by replica, so that the ranks of a replica
 * (its tensor parallelism) are neighbours.
 *
 * Microbatches of a pipeline are dealt in turn: number w belongs to replica w mod D of each stage, whatever D
 * is there. So replica j talks to replica j mod D' of the next stage where D' divides D, as the plan format
 * has it. */

struct grid_cell { /* one replica of one stage */
    int pipeline, stage, replica;
    int first, end; /* layers */
    int first_rank, tp;
    int gpu, zone;
};

struct grid_line {     /* one pipeline */
    int stages, width; /* width: largest D of its stages */
    int offset;        /* sum of the widths of the pipelines before it */
    int *replicas;     /* [stages] D */
    int *cell_at;      /* [stages] index of the first cell of a stage */
};

struct grid {
    const struct plan *plan;
    const struct arch *arch;
    int ranks, cells, width; /* width: of all pipelines together */
    int microbatches;        /* M: those of a replica where D is largest, ceil(G / (m width)) */
    struct grid_cell *cell;  /* [cells] */
    struct grid_line *line;  /* [pipelines] */
    int *cell_of;            /* [ranks] */
};

/** Lays the plan out. -1 (EXIT_INPUT) when it does not fit the model, or the number of ranks; `where` starts
 * the message. ranks 0: any number. */
int grid_make(struct grid *g, const struct plan *p, const struct arch *a, int ranks, const char *where,
              struct arena *arena, struct err *e);

/** The cell of a stage that works on microbatch w of its pipeline. */
const struct grid_cell *grid_cell_at(const struct grid *g, int pipeline, int stage, int w);

/** Number of the first sequence of microbatch w of a pipeline within the step, and how many of its m
 * sequences count: the others are beyond the batch and masked. */
int grid_sequences(const struct grid *g, int pipeline, int w, int *count);

/* One step of a replica: forward or backward of one microbatch. */
struct grid_work {
    bool backward;
    int w;    /* microbatch of the pipeline */
    int slot; /* where its activations are kept */
};

/** 1F1B: the works of a cell in order, into work[2 * microbatches of the cell] (NULL: only counted). Returns
 * their number; *slots: microbatches in flight at most. A replica of stage s keeps at most P - s where all
 * stages have the same D; in general as many as keep all later stages busy. */
int grid_works(const struct grid *g, const struct grid_cell *c, struct grid_work *work, int *slots);

/** The replica whose ranks speak for a layer: all replicas hold the same. */
const struct grid_cell *grid_giver(const struct grid *g, int layer);
/** Does rank k of that replica speak for its part of a tensor, which other ranks may hold, too? */
bool grid_gives(const struct grid *g, int layer, int tensor, int k);

/* A piece of a rank's gradients and those who hold the same piece: its sum over them is the gradient. */
struct grid_span {
    int layer, tensor;
    size_t first, rows; /* rows of the whole tensor */
    bool uniform;       /* every replica has the same degree: those who share it have it at the same place */
    bool counts; /* this rank's own gradient goes into the sum; false: another rank of its replica has the
                    same */
    bool tied;   /* the embedding's tokens, which the head has, too: held by the ranks of both layers. These
                    spans come last; layer and tensor are those of the embedding where this rank holds it */
    int n_rank;
    const int *rank; /* [n_rank] ascending, this rank among them */
};

/** The spans of one rank in an order on which all ranks agree, those without a partner left out. Returns
 * their number. */
int grid_spans(const struct grid *g, int rank, struct grid_span **span, struct arena *arena);
#endif
