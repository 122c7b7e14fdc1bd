/* The gradient of every tensor against central differences of the loss, in double precision: whole tensors if
 * small, otherwise elements spread over them. The loss is that of the whole network, so each layer's backward
 * pass is checked together with what it passes on. Differences are taken relative to the tensor's own largest
 * gradient, so that none can hide behind the others. */
#include <math.h>
#include <stdio.h>

#include "small.h"

enum { BATCH = 3, SAMPLES = 60 };

static int tests;

static double loss_of(struct net *n, struct slot *s, int valid) {
    struct backend *b = n->backend;
    double loss;
    b->zero(b, n->loss, sizeof loss);
    net_forward(n, s);
    net_loss(n, s, valid, 1.0 / valid);
    b->download(b, &loss, n->loss, sizeof loss);
    return loss;
}

/* Largest difference over the tensor, relative to its largest gradient. */
static double worst(struct net *n, struct slot *s, int valid, const struct param *p, double h) {
    double *w = (double *)n->weight + p->offset, *g = (double *)n->grad + p->offset, most = 0, off = 0;
    size_t step = p->n / SAMPLES + 1;
    for (size_t i = 0; i < p->n; i++) most = fmax(most, fabs(g[i]));
    for (size_t i = 0; i < p->n; i += step) {
        double keep = w[i], up, down;
        w[i] = keep + h;
        up = loss_of(n, s, valid);
        w[i] = keep - h;
        down = loss_of(n, s, valid);
        w[i] = keep;
        off = fmax(off, fabs((up - down) / (2 * h) - g[i]));
    }
    return most > 0 ? off / most : INFINITY; /* a tensor without a gradient is not connected */
}

/* Biases and gains away from 0 and 1, weights large enough to matter. */
static void set_weights(struct net *n, bool family) {
    double *w = n->weight;
    for (size_t i = 0; i < n->params && !family; i++) w[i] = 5 * w[i] + 1e-3 * (double)(arch_hash(i) % 200);
    for (size_t i = 0; i < n->params && family; i++)
        w[i] = (w[i] == 1) + 0.25 * arch_deviate(arch_hash(i + n->params));
}

/* A step across the bend of a ReLU gives a wrong difference; the smaller the step, the rarer. */
static void network(struct arch arch, const char *name, bool family, int valid) {
    struct arena a = {0};
    struct err e;
    struct backend b;
    struct comm c;
    struct ledger l;
    struct data d;
    struct net n;
    struct clock clock = {.backend = &b};
    backend_f64_open(&b, 2, &e);
    comm_mpi_open(&c, NULL);
    ledger_open(&l, &b, 0);
    data_synthetic(&d, arch.vocabulary, arch.sequence, 1, &a);
    net_make(&n, &arch, (struct net_shape){0, 4, 1, 0, BATCH, 1, RECOMPUTE_NONE, false}, &b, &c, NULL, &clock,
             &l, &a, &e);
    net_init(&n, 5, 1);
    set_weights(&n, family);
    int token[BATCH * 8], target[BATCH * 8];
    for (int i = 0; i < BATCH; i++)
        data_sequence(&d, false, (unsigned long long)i, token + 8 * i, target + 8 * i);
    struct slot *s = &n.slot[0];
    net_tokens(&n, s, token, target);
    b.zero(&b, n.grad, n.params * sizeof(double));
    loss_of(&n, s, valid);
    net_backward(&n, s, n.dy[0]);
    for (int i = 0; i < arch.layers; i++)
        for (int t = 0; t < arch_tensors(n.layer[i].kind); t++) {
            const struct param *p = &n.layer[i].param[t];
            if (!p->n || p->again) continue;
            double off = worst(&n, s, valid, p, family ? 1e-6 : 1e-5);
            printf("%sok %d - %s, %d of %d tokens: layer %d %s (%.1e)\n", off < 1e-6 ? "" : "not ", ++tests,
                   name, valid, n.tokens, i, p->tensor->name, off);
        }
    ledger_close(&l);
    clock_free(&clock);
    b.close(&b);
    c.close(&c);
    arena_free(&a);
}

int main(void) {
    network(small_arch(ACTIVATION_GELU), "gelu", false, 24);
    network(small_arch(ACTIVATION_RELU), "relu", false, 16); /* the last sequence is masked */
    for (int i = 0; small_families[i]; i++)
        network(small_family(small_families[i]), small_families[i], true, i % 2 ? 24 : 16);
    printf("1..%d\n", tests);
    return 0;
}
