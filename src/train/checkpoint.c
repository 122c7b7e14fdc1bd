#include "train/checkpoint.h"
#include "io/h5file.h"
#include "io/h5read.h"
#include "io/mpx_comm.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] = "sailor-checkpoint/1";
enum { FINGERPRINT = 700 };

/* The three buffers of a parameter, all in acc; the weights are the optimizer's. */
enum { WEIGHT, ADAM_M, ADAM_V, BUFFERS };
static const char *const buffer_name[BUFFERS] = {"weight", "adam_m", "adam_v"};
static const char *const buffer_about[BUFFERS] = {"parameters", "AdamW: mean of the gradients",
                                                  "AdamW: mean of their squares"};

static void *buffer_of(const struct net *n, int which) {
    void *weight = n->master ? n->master : n->weight;
    return which == WEIGHT ? weight : which == ADAM_M ? n->adam_m : n->adam_v;
}

/* Is it optimizer state, of which a rank may have only a part? */
static bool is_state(const struct net *n, int which) { return which != WEIGHT || n->master; }

static hid_t native(enum elem t) { return t == ELEM_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT; }
static hid_t on_disk(enum elem t) { return t == ELEM_F64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE; }

static void path_of(char path[CHECKPOINT_PATH], const struct arch *a, int layer, int tensor, int which) {
    const struct tensor *t = &a->tensor[arch_kind(a, layer)][tensor];
    if (t->tied)
        path_of(path, a, 0, EMBEDDING_TOKENS, which);
    else
        snprintf(path, CHECKPOINT_PATH, "layer%d/%s/%s", layer, t->name, buffer_name[which]);
}

/* A model in words, in two parts: what GPT has, and everything else. */
struct words {
    char first[200], rest[400];
};

static struct words words_of(const struct arch *a) {
    static const char *const activation[] = {"relu", "gelu", "swiglu"};
    struct words w = {{0}, {0}};
    unsigned parts = arch_parts(a);
    snprintf(w.first, sizeof w.first,
             "layers %d, hidden %d, sequence %d, heads %d, vocabulary %d, ffn %d, activation %s; ", a->layers,
             a->hidden, a->sequence, a->heads, a->vocabulary, a->ffn, activation[a->activation]);
    bool gpt = !parts && !a->tied && !a->position_first && a->heads * a->head_size == a->hidden;
    if (gpt && a->position_rows == a->sequence) return w;
    int n =
        snprintf(w.rest, sizeof w.rest, "; %d key/value heads of size %d, positions %d after %d, window %d%s",
                 a->kv_heads, a->head_size, a->position_rows, a->position_first, a->window,
                 a->window_odd ? " of odd blocks" : "");
    if (a->rotary)
        n += snprintf(w.rest + n, sizeof w.rest - (size_t)n, ", theta %g, factor %g", a->turn.theta,
                      a->turn.factor);
    if (a->tied) n += snprintf(w.rest + n, sizeof w.rest - (size_t)n, ", tied head");
    for (int i = 0; i < PARTS; i++)
        if (parts >> i & 1) n += snprintf(w.rest + n, sizeof w.rest - (size_t)n, ", %s", arch_part_name[i]);
    return w;
}

/* What a run must have in common with the one it continues. */
static void fingerprint(const struct trainer *t, char text[FINGERPRINT]) {
    struct words w = words_of(t->arch);
    snprintf(text, FINGERPRINT, "%sbatch %d, seed %llu, data of %zu tokens with hash %016llx%s", w.first,
             t->grid->plan->global_batch_size, t->options.seed, t->data->n, data_hash(t->data), w.rest);
}

int checkpoint_open(struct h5_reader *f, const char *path, const struct arch *a, struct arena *arena,
                    struct err *e) {
    struct words w = words_of(a);
    if (h5_open(f, path, schema, e)) return -1;
    const char *run = h5_read_text(f, "run", arena, e);
    size_t n = run ? strlen(run) : 0, rest = strlen(w.rest);
    if (run && n >= rest && !strncmp(run, w.first, strlen(w.first)) && !strcmp(run + n - rest, w.rest))
        return 0;
    if (run) err_set(e, EXIT_INPUT, "%s: a run with %s; expected %s...%s", path, run, w.first, w.rest);
    h5_close(f);
    return -1;
}

void checkpoint_weight_path(char path[CHECKPOINT_PATH], const struct arch *a, int layer, int tensor) {
    path_of(path, a, layer, tensor, WEIGHT);
}

/* A tied matrix is that of the embedding. */
static bool is_stored(const struct tensor *t) { return t->rows > 0 && !t->tied; }

/* ---- writing ---- */

/* A checkpoint with an infinite weight would be useless, and would replace a good one. */
static int only_finite(const struct trainer *t, const char *path, const char *what, const void *host,
                       enum elem type, size_t n, struct err *e) {
    const double *wide = host;
    const float *single = host;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(type == ELEM_F64 ? wide[i] : (double)single[i]))
            return err_set(
                e, EXIT_INTERNAL,
                "%s: not written: step %ld: %s: element %zu is not finite; expected finite numbers", path,
                t->step, what, i);
    return 0;
}

/* Sends one rank's part of one buffer to rank 0, which writes it. -1 with *e set on the rank that holds the
 * part if it is not finite; the others do not know. */
static int give(const struct trainer *t, const struct mpx *m, struct h5file *f, int layer, int tensor,
                int which, const struct grid_cell *from, int k, void *host, struct err *e) {
    enum { TAG = 2 };
    const struct tensor *x = &t->arch->tensor[arch_kind(t->arch, layer)][tensor];
    struct part part = arch_part(x, from->tp, k);
    enum elem type = t->backend->acc;
    size_t bytes = part.rows * x->row * elem_bytes(type), piece = 1 << 30;
    int rank = from->first_rank + k;
    char path[CHECKPOINT_PATH];
    int rc = 0;
    path_of(path, t->arch, layer, tensor, which);
    if (m->rank == rank) {
        const struct param *p = &t->net.layer[layer - t->net.first].param[tensor];
        t->backend->download(t->backend, host, elem_at(buffer_of(&t->net, which), p->offset, type), bytes);
        rc = only_finite(t, f->path, path, host, type, part.rows * x->row, e);
    }
    for (size_t at = 0; at < bytes && rank != 0; at += piece) {
        int n = (int)(bytes - at < piece ? bytes - at : piece);
        char *here = (char *)host + at;
        if (m->rank == rank) MPI_Send(here, n, MPI_BYTE, 0, TAG, m->comm->mpi);
        if (m->rank == 0) MPI_Recv(here, n, MPI_BYTE, rank, TAG, m->comm->mpi, MPI_STATUS_IGNORE);
    }
    if (m->rank == 0) h5_rows(f, path, part.first * x->row, part.rows * x->row, native(type), host);
    return rc;
}

/* ---- state that ranks have in parts: each hands over what it has, one after another ---- */

struct handed { /* elements of a whole tensor; n 0: no more */
    int layer, tensor, which;
    size_t first, n;
};
enum { HANDED = 3, HANDED_MOST = 1 << 20 };

/* A piece that this rank owns goes to rank 0, or straight into the file. -1 with *e set: it is not finite. */
static int hand_over(const struct trainer *t, const struct mpx *m, struct h5file *f, struct handed h,
                     size_t at, void *host, struct err *e) {
    enum elem type = t->backend->acc;
    char path[CHECKPOINT_PATH];
    path_of(path, t->arch, h.layer, h.tensor, h.which);
    t->backend->download(t->backend, host, elem_at(buffer_of(&t->net, h.which), at, type),
                         h.n * elem_bytes(type));
    int rc = only_finite(t, f->path, path, host, type, h.n, e);
    if (m->rank == 0) {
        h5_rows(f, path, h.first, h.n, native(type), host);
    } else {
        MPI_Send(&h, (int)sizeof h, MPI_BYTE, 0, HANDED, m->comm->mpi);
        MPI_Send(host, (int)(h.n * elem_bytes(type)), MPI_BYTE, 0, HANDED, m->comm->mpi);
    }
    return rc;
}

static int hand_over_all(const struct trainer *t, const struct mpx *m, struct h5file *f, void *host,
                         struct err *e) {
    const struct net *n = &t->net;
    struct err later;
    int rc = 0;
    for (int l = 0; l < n->end - n->first; l++)
        for (int k = 0; k < arch_tensors(n->layer[l].kind); k++)
            for (int i = 0; i < n->n_owned; i++) {
                const struct param *p = &n->layer[l].param[k];
                const struct owned *o = &n->owned[i];
                size_t end = p->offset + p->part.rows * p->tensor->row;
                if (p->again || o->offset >= end || o->offset + o->n <= p->offset) continue;
                if (o->offset + o->n < end) end = o->offset + o->n;
                for (size_t at = o->offset, some; at < end; at += some) {
                    some = end - at < HANDED_MOST ? end - at : HANDED_MOST;
                    struct handed h = {.layer = n->first + l, .tensor = k, .n = some};
                    h.first = p->part.first * p->tensor->row + at - p->offset;
                    for (h.which = WEIGHT; h.which < BUFFERS; h.which++)
                        if (is_state(n, h.which) &&
                            hand_over(t, m, f, h, o->at + at - o->offset, host, rc ? &later : e))
                            rc = -1;
                }
            }
    struct handed last = {.n = 0};
    if (m->rank) MPI_Send(&last, (int)sizeof last, MPI_BYTE, 0, HANDED, m->comm->mpi);
    return rc;
}

static void receive_handed(const struct trainer *t, const struct mpx *m, struct h5file *f, int rank,
                           void *host) {
    enum elem type = t->backend->acc;
    char path[CHECKPOINT_PATH];
    struct handed h;
    for (;;) {
        MPI_Recv(&h, (int)sizeof h, MPI_BYTE, rank, HANDED, m->comm->mpi, MPI_STATUS_IGNORE);
        if (!h.n) return;
        MPI_Recv(host, (int)(h.n * elem_bytes(type)), MPI_BYTE, rank, HANDED, m->comm->mpi,
                 MPI_STATUS_IGNORE);
        path_of(path, t->arch, h.layer, h.tensor, h.which);
        h5_rows(f, path, h.first, h.n, native(type), host);
    }
}

/* Bytes of the largest part that a rank of tp holds of any tensor of a layer. No rank holds more than the
 * first. */
static size_t largest_part(const struct trainer *t, int layer, int tp) {
    enum layer_kind kind = arch_kind(t->arch, layer);
    size_t most = 0;
    for (int i = 0; i < arch_tensors(kind); i++) {
        const struct tensor *x = &t->arch->tensor[kind][i];
        size_t n = arch_part(x, tp, 0).rows * x->row;
        most = n > most ? n : most;
    }
    return most * elem_bytes(t->backend->acc);
}

/* Room for what passes through this rank: its own parts if it hands over any; on rank 0 everyone's. */
static size_t room_to_give(const struct trainer *t, int rank) {
    size_t most = 0;
    for (int l = 0; l < t->arch->layers; l++) {
        const struct grid_cell *from = grid_giver(t->grid, l);
        size_t bytes = rank == 0 || from == t->cell ? largest_part(t, l, from->tp) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static int finish(struct h5file *f, char **bytes, size_t *size, struct err *e) {
    return bytes ? h5_finish_image(f, bytes, size, e) : h5_finish(f, e);
}

static void describe(const struct trainer *t, struct h5file *f, const char *version) {
    static const char *const kind[LAYER_KINDS] = {"embedding", "block", "head", "nothing"};
    char text[FINGERPRINT];
    fingerprint(t, text);
    h5_text(f, "schema", schema);
    h5_text(f, "title", "state of a training run: every tensor whole, whatever the plan");
    h5_text(f, "source", version);
    h5_text(f, "run", text);
    h5_integer(f, "step", t->step);
    for (int l = 0; l < t->arch->layers; l++) {
        char name[96];
        snprintf(name, sizeof name, "layer%d", l);
        h5_group(f, name, kind[arch_kind(t->arch, l)]);
        for (int i = 0; i < arch_tensors(arch_kind(t->arch, l)); i++) {
            const struct tensor *x = &t->arch->tensor[arch_kind(t->arch, l)][i];
            if (!is_stored(x)) continue;
            snprintf(name, sizeof name, "layer%d/%s", l, x->name);
            h5_group(f, name, "rows one after another");
            for (int w = 0; w < BUFFERS; w++) {
                path_of(name, t->arch, l, i, w);
                h5_dataset(f, name, "1", buffer_about[w], 1, &(hsize_t){x->rows * x->row}, 0,
                           on_disk(t->backend->acc), NULL);
            }
        }
    }
}

/* Into a file, or with `bytes` into memory. */
static int write_state(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                       char **bytes, size_t *size, struct err *e) {
    struct h5file f = {.failed = true, .path = path};
    struct err later; /* the first error is the one reported */
    bool in_parts = t->grid->plan->options.zero;
    size_t room = room_to_give(t, m->rank), piece = HANDED_MOST * elem_bytes(t->backend->acc);
    if (in_parts && room < piece) room = piece;
    void *host = room ? malloc(room) : NULL;
    int rc = room && !host ? err_set(e, EXIT_INTERNAL, "%s: out of memory", path) : 0;
    /* before there is a file that would have to be removed again */
    rc = mpx_agree(m, rc, e);
    if (!rc && m->rank == 0) rc = bytes ? h5_begin_image(&f, path, e) : h5_begin(&f, path, e);
    if (mpx_agree(m, rc, e)) {
        free(host);
        return -1;
    }
    if (m->rank == 0) describe(t, &f, version);
    for (int l = 0; l < t->arch->layers; l++) {
        const struct grid_cell *from = grid_giver(t->grid, l);
        for (int i = 0; i < arch_tensors(arch_kind(t->arch, l)); i++)
            for (int w = 0; w < BUFFERS; w++)
                for (int k = 0; k < from->tp && !(in_parts && is_state(&t->net, w)); k++)
                    if (grid_gives(t->grid, l, i, k) && (m->rank == 0 || m->rank == from->first_rank + k))
                        if (give(t, m, &f, l, i, w, from, k, host, rc ? &later : e)) rc = -1;
    }
    if (in_parts && hand_over_all(t, m, &f, host, rc ? &later : e)) rc = -1;
    for (int r = 1; r < m->size && in_parts && m->rank == 0; r++) receive_handed(t, m, &f, r, host);
    free(host);
    if (mpx_agree(m, rc, e)) {
        f.failed = true; /* nobody wants it any more */
        if (m->rank == 0) finish(&f, bytes, size, &later);
        return -1;
    }
    rc = m->rank == 0 ? finish(&f, bytes, size, e) : 0;
    return mpx_agree(m, rc, e);
}

int checkpoint_write(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                     struct err *e) {
    return write_state(t, m, path, version, NULL, NULL, e);
}

int checkpoint_image(const struct trainer *t, const struct mpx *m, const char *path, const char *version,
                     char **bytes, size_t *size, struct err *e) {
    *bytes = NULL;
    *size = 0;
    return write_state(t, m, path, version, bytes, size, e);
}

/* ---- reading ---- */

static int take(struct trainer *t, const struct h5_reader *f, int layer, int tensor, int which, void *host,
                struct err *e) {
    const struct param *p = &t->net.layer[layer - t->net.first].param[tensor];
    size_t row = p->tensor->row, n = p->part.rows * row;
    enum elem type = t->backend->acc;
    char path[CHECKPOINT_PATH];
    if (!n || p->again) return 0;
    path_of(path, t->arch, layer, tensor, which);
    if (h5_read_rows(f, path, p->tensor->rows * row, p->part.first * row, n, native(type), host, e))
        return -1;
    for (size_t i = 0; i < n; i++) {
        double x = type == ELEM_F64 ? ((double *)host)[i] : (double)((float *)host)[i];
        bool finite = isfinite(x);
        if (!finite || (which == ADAM_V && x < 0)) /* a mean of squares */
            return err_set(e, EXIT_INPUT, "%s: %s: element %zu is %s; expected an undamaged checkpoint",
                           f->path, path, p->part.first * row + i, finite ? "negative" : "not a number");
    }
    if (is_state(&t->net, which))
        net_put_state(&t->net, buffer_of(&t->net, which), p->offset, host, n);
    else
        t->backend->upload(t->backend, elem_at(t->net.weight, p->offset, type), host, n * elem_bytes(type));
    if (which == WEIGHT && t->net.master) net_round(&t->net, p, host);
    return 0;
}

static int take_all(struct trainer *t, const char *path, void *host, struct err *e) {
    struct h5_reader f;
    struct arena a = {0};
    char mine[FINGERPRINT];
    double step;
    fingerprint(t, mine);
    if (h5_open(&f, path, schema, e)) return -1;
    const char *theirs = h5_read_text(&f, "run", &a, e);
    int rc = theirs ? h5_read_number(&f, "step", &step, e) : -1;
    if (!rc && strcmp(theirs, mine))
        rc = err_set(e, EXIT_INPUT, "%s: a run with %s; expected %s", path, theirs, mine);
    if (!rc && (!(step >= 0) || step > 1e15 || step != floor(step)))
        rc = err_set(e, EXIT_INPUT, "%s: attribute step: %g; expected a number of steps", path, step);
    for (int l = t->net.first; l < t->net.end; l++)
        for (int i = 0; i < arch_tensors(arch_kind(t->arch, l)); i++)
            for (int w = 0; w < BUFFERS && !rc; w++) rc = take(t, &f, l, i, w, host, e);
    if (!rc) t->step = (long)step;
    h5_close(&f);
    arena_free(&a);
    return rc;
}

int checkpoint_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e) {
    size_t room = 0;
    for (int l = t->net.first; l < t->net.end; l++) {
        size_t bytes = largest_part(t, l, t->net.tp);
        room = bytes > room ? bytes : room;
    }
    int rc = m->rank == 0 ? h5_check(path, e) : 0; /* one rank for all, as it reads the whole file */
    if (mpx_agree(m, rc, e)) return -1;
    void *host = malloc(room);
    rc = host ? take_all(t, path, host, e) : err_set(e, EXIT_INTERNAL, "%s: out of memory", path);
    free(host);
    return mpx_agree(m, rc, e);
}
