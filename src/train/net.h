#ifndef SAILOR_TRAIN_NET_H
#define SAILOR_TRAIN_NET_H
#include "sim/sheet.h"
#include "train/clock.h"
#include "train/comm.h"
#include "train/ledger.h"
/* The part of the network that one rank holds: layers [first, end), of each the shard of rank tp_rank of tp.
 * Its memory, and its forward and backward pass for one microbatch. N = microbatch * S tokens, H hidden size;
 * what stands between layers is [N][H] and whole on every rank of the replica. */

struct param {
    const struct tensor *tensor;
    struct part part;
    size_t offset; /* of its first element in the flat buffers */
    size_t n;      /* elements, padding included */
    bool again;    /* tied, and this rank also holds the embedding: the elements are those of its tokens */
};

struct layer {
    enum layer_kind kind;
    int index;
    struct param param[TENSORS_MAX];
};

/* What forward keeps for the backward pass of one microbatch. */
struct kept {
    void *x; /* [N][H] input; of the embedding: none */
    void *mean1, *rstd1, *norm1;
    void *q, *kv;    /* [N][heads / tp][3][head size] and NULL, or both, as the attention takes them */
    void *saved;     /* of the attention */
    void *attention; /* [N][heads / tp][head size] */
    void *x2;        /* [N][H] after the attention */
    void *mean2, *rstd2, *norm2;
    void *fc1;    /* [N][F / tp], twice that of SwiGLU, before the activation function */
    void *logits; /* [N][V / tp] of the head, later their gradient */
};

struct slot {            /* one microbatch in flight */
    int *token, *target; /* [N] on the device: of the first stage; of the last one */
    int *begin;          /* [N] on the device, where documents are apart: as in struct attention */
    struct kept *kept;   /* [layers] */
    void *out;           /* [N][H] what goes to the next stage; NULL in the last one */
};

/* Elements [offset, offset + n) of the flat buffers that this rank updates; their optimizer state begins at
 * `at`. */
struct owned {
    size_t offset, n, at;
    bool decay;
};

struct net {
    const struct arch *arch;
    struct backend *backend;
    struct comm *comm;
    struct group *group; /* ranks of this replica; NULL for tp 1 */
    struct clock *clock;
    int tp, tp_rank, first, end, micro_batch, slots;
    int tokens; /* N */
    enum recompute recompute;
    bool apart; /* no token sees another document */

    struct layer *layer; /* [end - first] */
    size_t params;       /* elements in each flat buffer */
    int n_owned;
    struct owned
        *owned;    /* [n_owned] ascending; all parameters, unless others of them are updated elsewhere */
    size_t states; /* elements of optimizer state, of each kind */
    void *weight, *grad, *adam_m, *adam_v;
    void *master;      /* weights in acc, of which `weight` is the rounding; NULL where elem is acc */
    struct slot *slot; /* [slots] */
    void *dy[2];       /* [N][H] gradient on its way back: one in work, one still being sent */
    void *loss;        /* [2] of acc: the sum so far; not 0: a gradient was not finite */
    void *squares;     /* double: of gradients, summed */
    void *host;        /* where elements are made that go to the device */
    void *turns;       /* [S][head size / 2][2] of acc: cosines and sines of rotary positions, or NULL */
    /* work space */
    void *dnorm, *dq, *dattention, *dfc, *fc2_in, *attention_work, *sums;
    void *dkv, *dnorm_kv; /* where key/value heads are grouped */
    void *dgated;         /* [N][F / tp] of SwiGLU */
    struct kept shared;   /* what blocks do not keep but compute again: one for all of them */
};

/* Which part a rank holds. */
struct net_shape {
    int first, end, tp, tp_rank, micro_batch, slots;
    enum recompute
        recompute; /* what blocks do not keep: the attention's probabilities, or all but the input */
    bool apart;    /* no token sees another document: net_begins() before each net_forward() */
};

/** Elements of one token in the tensors of a block. */
struct net_widths {
    size_t q, kv;      /* of kept.q and kept.kv; kv 0: none */
    size_t attention;  /* of all heads of this rank */
    size_t fc1, gated; /* before and after the activation function */
};
struct net_widths net_widths(const struct net *n);

/** Lays out layers and offsets; takes no device memory yet. Lives in `arena`. */
void net_place(struct net *n, const struct arch *arch, struct net_shape shape, struct backend *b,
               struct comm *c, struct group *g, struct clock *clock, struct arena *arena);
/** Takes its memory from the ledger, one block per category. -1 with *e set (EXIT_NOPLAN) when there is not
 * enough, or the backend cannot take that many tokens. */
int net_take(struct net *n, struct ledger *l, struct err *e);
/** net_place(), then net_take(). */
int net_make(struct net *n, const struct arch *arch, struct net_shape shape, struct backend *b,
             struct comm *c, struct group *g, struct clock *clock, struct ledger *l, struct arena *arena,
             struct err *e);

/** Initial weights, drawn by `threads` threads of the host; optimizer state zero. */
void net_init(struct net *n, unsigned long long seed, int threads);

/* For timing. The clock rate of a GPU depends on the data: with zeros it is too high. */
/** Random weights (norms and biases, too), tokens and input of the first slot; gradients and optimizer state
 * zero. Always the same, and much cheaper than net_init(). */
void net_random(struct net *n);
/** A random gradient [N][H]. The backward pass of a block adds to it. */
void net_random_gradient(struct net *n, void *dy);

/** Whether none of these elements of a buffer of the device is infinite or not a number. */
bool net_is_finite(struct net *n, const void *buffer, enum elem type, size_t count);

/** `count` elements of optimizer state from the host: those of `offset` and on in the flat buffers, as far as
 * this rank has them. */
void net_put_state(struct net *n, void *buffer, size_t offset, const void *host, size_t count);

/** The weights of a parameter from its masters, float [p->part.rows][row] on the host: where elem is bf16. */
void net_round(struct net *n, const struct param *p, const float *master);

/** Forward pass of the layers, from slot->kept[0].x or slot->token to slot->out or the logits. */
void net_forward(struct net *n, struct slot *s);
/** That of one layer, the i-th here; net_forward() is all of them, the first one first. */
void net_forward_layer(struct net *n, struct slot *s, int i);
/** The loss of a head: after net_forward(), before net_backward(). Adds weight * loss of the first `valid`
 * tokens to n->loss and turns the logits into their gradient. */
void net_loss(struct net *n, struct slot *s, int valid, double weight);
/** Backward pass of one layer, the i-th here, in place in `dy`: the gradient of its output becomes that of
 * its input. For a head dy need not be set. When that of the last microbatch returns, the layer's gradients
 * are final. */
void net_backward_layer(struct net *n, struct slot *s, int i, void *dy);
/** That of all layers, the last one first: from slot->out to slot->kept[0].x. */
static inline void net_backward(struct net *n, struct slot *s, void *dy) {
    for (int i = n->end - n->first - 1; i >= 0; i--) net_backward_layer(n, s, i, dy);
}

/** One optimizer step on all parameters. Gradients that are not finite are noted in loss[1]. */
struct adam_options {
    double rate, beta1, beta2, epsilon, decay;
    double shrink; /* what gradients are multiplied with; 0: nothing */
};
void net_update(struct net *n, struct adam_options o, long step);
/** The same for one layer, the i-th here. */
void net_update_layer(struct net *n, int i, struct adam_options o, long step);
/** Sets the gradients of one layer, the i-th here, to zero. */
void net_zero_layer(struct net *n, int i);

/** Tokens of a slot: host arrays [N]; NULL is skipped. */
void net_tokens(struct net *n, struct slot *s, const int *token, const int *target);
/** The place in its sequence where the document of each of a slot's tokens begins, host array [N]. */
void net_begins(struct net *n, struct slot *s, const int *begin);
#endif
