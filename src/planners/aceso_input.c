#include "io/file.h"
#include "io/json.h"
#include "planners/aceso.h"

#include <string.h>
#include <unistd.h>

enum { OPS_LISTED_MAX = 64, OPS_MAX = 1 << (MAX_LEVELS - 1) };

static int read_profile(const struct json_at *at, struct aceso_ops *o, struct arena *a, struct err *e) {
    static const char *const keys[] = {"micro_batch_size",
                                       "tp",
                                       "forward_us",
                                       "backward_us",
                                       "input_MiB",
                                       "output_MiB",
                                       "weights_MiB",
                                       "activations_MiB",
                                       "forward_reserved_MiB",
                                       "backward_reserved_MiB",
                                       NULL};
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp");
    int b, t;
    if (json_object(at, keys, e) || json_int(&mb, 1, 8, &b, e) || json_int(&tp, 1, TP_MAX, &t, e)) return -1;
    if (tp_index(b) < 0 || tp_index(t) < 0)
        return json_fail(at, e, "microbatch %d, tp %d; expected 1, 2, 4 or 8", b, t);
    const double **column = o->column[tp_index(b)][tp_index(t)];
    if (*column) return json_fail(at, e, "microbatch %d at tp %d appears twice; expected it once", b, t);
    for (int c = 0; c < COLUMNS; c++) {
        struct json_at here = json_member(at, keys[2 + c]);
        if (!(column[c] = json_reals(&here, o->n_listed, 0, 1e12, a, e))) return -1;
    }
    return 0;
}

static int read_ops(const struct json_at *at, const struct workload *w, int gpu, struct aceso_ops *o,
                    struct arena *a, struct err *e) {
    static const char *const keys[] = {"format",    "model", "gpu",      "intra_node_GBps",
                                       "operators", "block", "profiles", NULL};
    struct json_at model = json_member(at, "model"), type = json_member(at, "gpu"),
                   intra = json_member(at, "intra_node_GBps"), names = json_member(at, "operators"),
                   block = json_member(at, "block"), list = json_member(at, "profiles");
    int n, i = 0, chosen;
    if (json_object(at, keys, e) || json_format(at, "sailor-aceso/1", e)) return -1;
    if (json_name(&model, &w->model->name, 1, "the model asked for", &chosen, e)) return -1;
    if (json_name(&type, &w->site->gpu[gpu].name, 1, "the name of the file", &chosen, e)) return -1;
    if (!(o->intra_GBps = json_reals(&intra, LINK_SIZES, 0, 1e12, a, e))) return -1;
    for (int k = 0; k < LINK_SIZES; k++)
        if (o->intra_GBps[k] <= 0) return json_fail(&intra, e, "a speed of 0; expected speeds above 0");
    if (json_array(&names, 3, OPS_LISTED_MAX, &o->n_listed, e)) return -1;
    o->name = ARENA_ARRAY(a, const char *, o->n_listed);
    for (const cJSON *x = names.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&names, i, x);
        if (json_string(&here, &o->name[i], a, e)) return -1;
    }
    if (json_array(&block, 2, 2, &n, e)) return -1;
    struct json_at from = json_element(&block, 0, block.node->child),
                   to = json_element(&block, 1, block.node->child->next);
    if (json_int(&from, 1, o->n_listed - 2, &o->block, e)) return -1;
    if (json_int(&to, o->block + 1, o->n_listed - 1, &o->block_end, e)) return -1;
    o->n_block = w->model->n_block;
    if (w->model->n_layer != o->n_block + 2 ||
        o->n_listed + (o->n_block - 1) * (o->block_end - o->block) > OPS_MAX)
        return json_fail(at, e, "does not fit a model of %d layers and %d blocks", w->model->n_layer,
                         o->n_block);
    if (json_array(&list, 1, BATCHES * TP_N, &n, e)) return -1;
    i = 0;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (read_profile(&here, o, a, e)) return -1;
    }
    return 0;
}

/* Without operator profiles, each layer of the common profile is an operator. */
static const struct aceso_ops *layers_as_ops(const struct workload *w, int gpu, struct arena *a) {
    const struct model *m = w->model;
    struct aceso_ops *o = ARENA_NEW(a, struct aceso_ops);
    *o = (struct aceso_ops){.n_listed = m->n_layer,
                            .block = 1,
                            .block_end = 1,
                            .n_block = 0,
                            .name = ARENA_ARRAY(a, const char *, m->n_layer)};
    for (int l = 0; l < m->n_layer; l++) o->name[l] = "layer";
    for (int bi = 0; bi < BATCHES; bi++)
        for (int ti = 0; ti < TP_N; ti++) {
            const struct layer_times *t = profile_times(w->profile[gpu], 1 << bi, 1 << ti);
            if (!t || !m->params[ti] || !m->act_mem[ti]) continue;
            double *column[COLUMNS], unit = w->element_bytes / MiB;
            for (int c = 0; c < COLUMNS; c++)
                o->column[bi][ti][c] = column[c] = ARENA_ARRAY(a, double, m->n_layer);
            for (int l = 0; l < m->n_layer; l++) {
                column[FORWARD][l] = t->fwd_s[l] * 1e6;
                column[BACKWARD][l] = t->bwd_s[l] * 1e6;
                column[WEIGHTS][l] = m->params[ti][l] * unit;
                column[ACTIVATIONS][l] = m->act_mem[ti][l] * unit * (1 << bi);
                if (l) column[INPUT][l] = column[OUTPUT][l - 1] = m->act_out[l - 1] * unit * (1 << bi);
            }
        }
    return o;
}

int aceso_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
               struct err *e) {
    struct aceso_inputs *x = ARENA_NEW(a, struct aceso_inputs);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *path =
            arena_printf(a, "%s/planners/aceso/%s/%s.json", inputs, w->model->name, w->site->gpu[g].name);
        if (access(path, F_OK)) {
            if (w->profile[g]) x->gpu[g] = layers_as_ops(w, g, a);
            continue;
        }
        size_t size;
        struct aceso_ops *o = ARENA_NEW(a, struct aceso_ops);
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        struct json_at root = json_root(path, tree);
        int rc = tree ? read_ops(&root, w, g, o, a, e) : -1;
        cJSON_Delete(tree);
        if (rc) return -1;
        x->gpu[g] = o;
    }
    *extra = x;
    return 0;
}
