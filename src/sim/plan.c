#include "sim/plan.h"
#include "sim/runner.h"
#include "sim/terms.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct plan *plan_new(const struct workload *w, int micro_batch_size, int n_pipeline, int n_stage,
                      struct arena *a) {
    struct plan *p = ARENA_NEW(a, struct plan);
    *p = (struct plan){.model = w->model->name,
                       .site = w->site->name,
                       .global_batch_size = w->global_batch_size,
                       .micro_batch_size = micro_batch_size,
                       .options = w->options,
                       .n_pipeline = n_pipeline,
                       .pipeline = ARENA_ARRAY(a, struct pipeline, n_pipeline)};
    for (int i = 0; i < n_pipeline && n_stage; i++)
        p->pipeline[i] = (struct pipeline){n_stage, ARENA_ARRAY(a, struct stage, n_stage)};
    return p;
}

int plan_stages(const struct plan *p) {
    int n = 0;
    for (int i = 0; i < p->n_pipeline; i++) n += p->pipeline[i].n_stage;
    return n;
}

/* Visits every replica group of a plan. */
#define FOR_EACH_GROUP(p, r)                                                                                 \
    for (const struct pipeline *pl_ = (p)->pipeline; pl_ < (p)->pipeline + (p)->n_pipeline; pl_++)           \
        for (const struct stage *st_ = pl_->stage; st_ < pl_->stage + pl_->n_stage; st_++)                   \
            for (const struct replicas *r = st_->group; r < st_->group + st_->n_group; r++)

void plan_gpus(const struct plan *p, const struct site *s, int *used) {
    memset(used, 0, sizeof *used * (size_t)(s->n_zone * s->n_gpu));
    FOR_EACH_GROUP(p, r) used[r->zone * s->n_gpu + r->gpu] += r->count * replica_gpus(p, r);
}

double plan_usd_per_hour(const struct plan *p, const struct site *s) {
    double price[ZONES_MAX * GPUS_MAX], sum = 0;
    int gpus[ZONES_MAX * GPUS_MAX], n = 0;
    FOR_EACH_GROUP(p, r) {
        double usd = s->usd_per_gpu_hour[site_at(s, r->zone, r->gpu)];
        int i = 0;
        if (isnan(usd)) return NAN;
        while (i < n && price[i] != usd) i++;
        if (i == n) {
            price[n] = usd;
            gpus[n++] = 0;
        }
        gpus[i] += r->count * replica_gpus(p, r);
    }
    for (int done = 0; done < n; done++) { /* by ascending price, whatever the order of stages */
        int least = done;
        for (int i = done + 1; i < n; i++)
            if (price[i] < price[least]) least = i;
        sum += gpus[least] * price[least];
        price[least] = price[done];
        gpus[least] = gpus[done];
    }
    return sum;
}

static int check_group(const struct replicas *r, int micro_batch, int groups, const struct workload *w,
                       const char *where, struct err *e) {
    const struct site *s = w->site;
    if (r->gpu < 0 || r->gpu >= s->n_gpu || r->zone < 0 || r->zone >= s->n_zone)
        return err_set(e, EXIT_INPUT, "%s: unknown GPU type or zone", where);
    const struct gpu_type *g = &s->gpu[r->gpu];
    int ti = tp_index(r->tp);
    if (r->count < 1) return err_set(e, EXIT_INPUT, "%s: count %d; expected at least 1", where, r->count);
    if (ti < 0) return err_set(e, EXIT_INPUT, "%s: tp %d; expected 1, 2, 4 or 8", where, r->tp);
    if (r->tp > g->gpus_per_node)
        return err_set(e, EXIT_INPUT, "%s: tp %d; expected at most %d, the GPUs of a %s node", where, r->tp,
                       g->gpus_per_node, g->name);
    if (groups * r->tp > (g->gpus_per_node < TP_MAX ? g->gpus_per_node : TP_MAX))
        return err_set(e, EXIT_INPUT,
                       "%s: tp %d with context_parallel %d; expected at most %d GPUs together, of a %s node",
                       where, r->tp, groups, g->gpus_per_node < TP_MAX ? g->gpus_per_node : TP_MAX, g->name);
    if (!w->model->params[ti])
        return err_set(e, EXIT_INPUT, "%s: tp %d; model %s has no layer sizes for it", where, r->tp,
                       w->model->name);
    if (w->profile && !profile_times(w->profile[r->gpu], micro_batch, r->tp))
        return err_set(e, EXIT_INPUT, "%s: no profile of %s on %s at microbatch %d and tp %d", where,
                       w->model->name, g->name, micro_batch, r->tp);
    return 0;
}

/* Interleaving as Megatron-LM has it: parts of whole blocks, and microbatches in rounds of the pipeline. */
static int check_parts(const struct plan *p, const struct model *m, const char *where, struct err *e) {
    const struct pipeline *pl = &p->pipeline[0];
    int v = plan_parts(p), P = pl->n_stage;
    int M = microbatches(p->global_batch_size, (long)stage_replicas(&pl->stage[0]) * p->micro_batch_size);
    if (p->n_pipeline > 1 || P < 2)
        return err_set(e, EXIT_INPUT, "%s: /virtual_stages: %d with %s; expected one pipeline of several",
                       where, v, P < 2 ? "one stage" : "several pipelines");
    if (M % P)
        return err_set(e, EXIT_INPUT,
                       "%s: /virtual_stages: %d, with %d microbatches; expected a multiple of the %d stages",
                       where, v, M, P);
    for (int k = 0; k < P; k++) {
        struct stage_parts part = stage_parts(m, pl->stage[k].first, pl->stage[k].end);
        int blocks = part.end_block - part.first_block;
        if (!blocks || blocks % v)
            return err_set(e, EXIT_INPUT,
                           "%s: /virtual_stages: %d; expected a divisor of the %d blocks of stage %d", where,
                           v, blocks, k);
    }
    return 0;
}

int plan_check(const struct plan *p, const struct workload *w, const char *where, struct err *e) {
    w = workload_variant(w, &p->options);
    if (p->global_batch_size < 1 || p->micro_batch_size < 1 || p->n_pipeline < 1)
        return err_set(e, EXIT_INPUT, "%s: expected a batch size, a microbatch size and a pipeline", where);
    for (int i = 0; i < p->n_pipeline; i++) {
        const struct pipeline *pl = &p->pipeline[i];
        int next = 0;
        for (int k = 0; k < pl->n_stage; k++) {
            const struct stage *st = &pl->stage[k];
            char at[320];
            snprintf(at, sizeof at, "%.200s: /pipelines/%d/stages/%d", where, i, k);
            if (st->first != next || st->end <= st->first)
                return err_set(e, EXIT_INPUT,
                               "%s/layers: [%d, %d); expected to start at layer %d and not be empty", at,
                               st->first, st->end, next);
            if (st->n_group < 1) return err_set(e, EXIT_INPUT, "%s/replicas: expected at least one", at);
            for (int g = 0; g < st->n_group; g++) {
                char sub[380];
                snprintf(sub, sizeof sub, "%s/replicas/%d", at, g);
                if (check_group(&st->group[g], p->micro_batch_size, context_groups(&p->options), w, sub, e))
                    return -1;
            }
            next = st->end;
        }
        if (next != w->model->n_layer)
            return err_set(e, EXIT_INPUT,
                           "%s: /pipelines/%d/stages: cover layers [0, %d); expected all %d layers of %s",
                           where, i, next, w->model->n_layer, w->model->name);
    }
    return plan_parts(p) > 1 ? check_parts(p, w->model, where, e) : 0;
}

struct nodes nodes_of(int gpus, int gpus_per_node) {
    struct nodes n;
    int full = gpus / gpus_per_node, rest = gpus % gpus_per_node;
    for (int ti = 0; ti < TP_N; ti++) {
        int t = 1 << ti;
        n.room[ti] = (full * (gpus_per_node / t) + rest / t) * t;
    }
    return n;
}

void nodes_add(struct nodes *n, struct nodes more) {
    for (int ti = 0; ti < TP_N; ti++) n->room[ti] += more.room[ti];
}

bool nodes_fit(const struct nodes *n, const int count[TP_N]) {
    long need = 0; /* GPUs needed for degrees >= 2^ti: they fill whole slots of 2^ti */
    for (int ti = TP_N - 1; ti >= 0; ti--) {
        need += (long)count[ti] << ti;
        if (need > n->room[ti]) return false;
    }
    return true;
}

int plan_check_pool(const struct plan *p, const struct site *s, const int *pool, const struct nodes *nodes,
                    const char *where, struct err *e) {
    for (int z = 0; z < s->n_zone; z++)
        for (int g = 0; g < s->n_gpu; g++) {
            int n[TP_N] = {0}, used = 0, have = pool[site_at(s, z, g)];
            struct nodes plain = nodes_of(have, s->gpu[g].gpus_per_node),
                         in = nodes ? nodes[site_at(s, z, g)] : plain;
            FOR_EACH_GROUP(p, r) if (r->zone == z && r->gpu == g) {
                n[tp_index(replica_gpus(p, r))] += r->count;
                used += r->count * replica_gpus(p, r);
            }
            if (nodes_fit(&in, n)) continue;
            if (memcmp(&in, &plain, sizeof in))
                return err_set(
                    e, EXIT_INPUT,
                    "%s: uses %d GPUs of type %s in zone %s; expected to fit into %d GPUs on nodes "
                    "of several sizes",
                    where, used, s->gpu[g].name, s->zone[z], have);
            return err_set(
                e, EXIT_INPUT,
                "%s: uses %d GPUs of type %s in zone %s; expected to fit into %d GPUs at %d a node", where,
                used, s->gpu[g].name, s->zone[z], have, s->gpu[g].gpus_per_node);
        }
    return 0;
}

int plan_check_available(const struct plan *p, const struct site *s, const char *where, struct arena *a,
                         struct err *e) {
    int n = s->n_zone * s->n_gpu, *pool = ARENA_ARRAY(a, int, n);
    for (int i = 0; i < n; i++) pool[i] = s->available[i] < 0 ? 1 << 30 : s->available[i];
    return plan_check_pool(p, s, pool, NULL, where, e);
}

#define ORDER(a, b)                                                                                          \
    do {                                                                                                     \
        if ((a) != (b)) return (a) < (b) ? -1 : 1;                                                           \
    } while (0)

static int compare_stage(const struct stage *a, const struct stage *b) {
    ORDER(a->first, b->first);
    ORDER(a->end, b->end);
    ORDER(a->n_group, b->n_group);
    for (int g = 0; g < a->n_group; g++) {
        const struct replicas *x = &a->group[g], *y = &b->group[g];
        ORDER(x->zone, y->zone);
        ORDER(x->gpu, y->gpu);
        ORDER(x->tp, y->tp);
        ORDER(x->count, y->count);
        ORDER(x->n_vm, y->n_vm);
        for (int v = 0; v < x->n_vm; v++) ORDER(x->vm_gpu[v], y->vm_gpu[v]);
    }
    return 0;
}

static int total_gpus(const struct plan *p) {
    int n = 0;
    FOR_EACH_GROUP(p, r) n += r->count * replica_gpus(p, r);
    return n;
}

int plan_compare(const struct plan *a, const struct plan *b) {
    ORDER(a->n_pipeline, b->n_pipeline);
    ORDER(a->pipeline[0].n_stage, b->pipeline[0].n_stage);
    ORDER(total_gpus(a), total_gpus(b));
    ORDER(a->global_batch_size, b->global_batch_size);
    ORDER(a->micro_batch_size, b->micro_batch_size);
    for (int i = 0; i < a->n_pipeline; i++) {
        ORDER(a->pipeline[i].n_stage, b->pipeline[i].n_stage);
        for (int k = 0; k < a->pipeline[i].n_stage; k++) {
            int c = compare_stage(&a->pipeline[i].stage[k], &b->pipeline[i].stage[k]);
            if (c) return c;
        }
    }
    ORDER(a->options.recompute, b->options.recompute);
    ORDER(a->options.sequence_parallel, b->options.sequence_parallel);
    ORDER(a->options.zero, b->options.zero);
    ORDER(plan_parts(a), plan_parts(b));
    ORDER(context_groups(&a->options), context_groups(&b->options));
    return 0;
}

struct plan *plan_copy(const struct plan *p, struct arena *a) {
    struct plan *q = ARENA_NEW(a, struct plan);
    *q = *p;
    q->name = arena_strdup(a, p->name);
    q->model = arena_strdup(a, p->model);
    q->site = arena_strdup(a, p->site);
    q->pipeline = ARENA_ARRAY(a, struct pipeline, p->n_pipeline);
    for (int i = 0; i < p->n_pipeline; i++) {
        const struct pipeline *from = &p->pipeline[i];
        struct pipeline *to = &q->pipeline[i];
        to->n_stage = from->n_stage;
        to->stage = ARENA_ARRAY(a, struct stage, from->n_stage);
        for (int k = 0; k < from->n_stage; k++) {
            struct stage *st = &to->stage[k];
            *st = from->stage[k];
            st->group = ARENA_ARRAY(a, struct replicas, st->n_group);
            memcpy(st->group, from->stage[k].group, sizeof *st->group * (size_t)st->n_group);
            for (int g = 0; g < st->n_group; g++)
                if (st->group[g].n_vm) {
                    int *vm = ARENA_ARRAY(a, int, st->group[g].n_vm);
                    memcpy(vm, st->group[g].vm_gpu, sizeof *vm * (size_t)st->group[g].n_vm);
                    st->group[g].vm_gpu = vm;
                }
        }
    }
    return q;
}
