#include "train/finite.h"
#include "io/mpx_comm.h"

#include <limits.h>
#include <stdio.h>

/* Tensors are ordered by when a step computes them; the earliest one that is not finite is the cause, all
 * others may be consequences. */
struct finding {
    int order; /* INT_MAX: none */
    int layer;
    const char *what, *name;
};

enum { PER_LAYER = 32, ACTIVATIONS = 0, GRADIENTS = LAYERS_MAX * PER_LAYER, WEIGHTS = 2 * GRADIENTS };
_Static_assert((int)TENSORS_MAX < (int)PER_LAYER, "a layer has more tensors than numbers");

static void note(struct finding *f, struct finding found) {
    if (found.order < f->order) *f = found;
}

/* What forward kept of one layer for one microbatch. */
static void look_at_kept(struct net *n, int layer, const struct kept *k, struct finding *f) {
    size_t N = (size_t)n->tokens, H = (size_t)n->arch->hidden;
    struct net_widths w = net_widths(n);
    bool head = arch_kind(n->arch, layer) == LAYER_HEAD;
    /* shared memory holds another block's data */
    int known = arch_kind(n->arch, layer) == LAYER_BLOCK && n->recompute == RECOMPUTE_FULL ? 1 : INT_MAX;
    const struct {
        const char *name;
        const void *at;
        size_t elements;
    } tensor[] = {
        {"input", k->x, N * H},
        {"norm1", k->norm1, N * H},
        {k->kv ? "q" : "qkv", k->q, N * w.q},
        {"kv", k->kv, N * w.kv},
        {"attention", k->attention, N * w.attention},
        {"attention and input", k->x2, N * H},
        {"norm2", k->norm2, N * H},
        {"fc1", k->fc1, N * w.fc1},
        {"logits", k->logits,
         head ? N * arch_part(&n->arch->tensor[LAYER_HEAD][HEAD_MATRIX], n->tp, 0).room : 0},
    };
    for (int i = 0; i < (int)(sizeof tensor / sizeof *tensor) && i < known; i++) {
        if (!tensor[i].at || net_is_finite(n, tensor[i].at, n->backend->elem, tensor[i].elements)) continue;
        note(f, (struct finding){ACTIVATIONS + layer * PER_LAYER + i, layer, "activation", tensor[i].name});
        return;
    }
}

static void look_at_params(struct net *n, int here, struct finding *f) {
    const struct layer *l = &n->layer[here];
    const struct backend *b = n->backend;
    int back = n->arch->layers - 1 - l->index, all = arch_tensors(l->kind);
    for (int i = 0; i < all; i++) {
        const struct param *p = &l->param[i];
        const char *name = p->tensor->name;
        if (!net_is_finite(n, elem_at(n->grad, p->offset, b->acc), b->acc, p->n))
            note(f, (struct finding){GRADIENTS + back * PER_LAYER + all - 1 - i, l->index, "gradient", name});
        if (!net_is_finite(n, elem_at(n->weight, p->offset, b->elem), b->elem, p->n))
            note(f, (struct finding){WEIGHTS + l->index * PER_LAYER + i, l->index, "weight", name});
    }
}

static struct finding look(struct net *n) {
    struct finding f = {.order = INT_MAX};
    for (int l = 0; l < n->end - n->first; l++) {
        for (int s = 0; s < n->slots; s++) look_at_kept(n, n->first + l, &n->slot[s].kept[l], &f);
        look_at_params(n, l, &f);
    }
    return f;
}

int finite_explain(struct trainer *t, const struct mpx *world, struct err *e) {
    struct finding f = look(&t->net);
    int first = f.order, rc = 0;
    if (world->comm) MPI_Allreduce(&f.order, &first, 1, MPI_INT, MPI_MIN, world->comm->mpi);
    if (first == INT_MAX) /* its microbatch has been overwritten by another */
        return err_set(e, EXIT_INTERNAL,
                       "none of the tensors that are still held in step %ld has such an element", t->step);
    if (f.order == first) /* the line from the lowest rank that found it */
        rc = err_set(e, EXIT_INTERNAL,
                     "layer%d/%s (%s) is the first tensor that is not finite, in step %ld on rank %d",
                     f.layer, f.name, f.what, t->step, world->rank);
    return mpx_agree(world, rc, e);
}
