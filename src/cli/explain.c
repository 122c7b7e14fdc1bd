#include "cli/explain.h"
#include "sim/faster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Something is made this much faster to see what that gains. */
static const double SPEED = 1.1;

/* ---- what would help: estimates with a change ------------------------------------------ */

/* Time of an iteration; NAN if it cannot be estimated. */
static double again_s(const struct explain_question *q, const struct workload *w, const struct plan *p,
                      struct arena *a) {
    struct estimate est = {.stage = ARENA_ARRAY(a, struct stage_estimate, plan_stages(p))};
    struct err none;
    return cli_estimate(q->by, w, p, &est, &none) ? NAN : est.iteration_time_s;
}

static void add_help(struct explanation *x, const struct explain_question *q, const char *what,
                     const char *how, double then_s) {
    double gain = 1 - then_s / q->est->iteration_time_s;
    if (!isnan(gain)) x->help[x->n_help++] = (struct explain_help){what, how, gain};
}

static int by_gain(const void *x, const void *y) {
    const struct explain_help *a = x, *b = y;
    if (a->gain != b->gain) return a->gain < b->gain ? 1 : -1;
    return strcmp(a->what, b->what);
}

static const char *place_name(const struct site *s, int place, struct arena *a) {
    return arena_printf(a, "%s@%s", s->gpu[place % s->n_gpu].name, s->zone[place / s->n_gpu]);
}

static const char *links_name(const struct site *s, struct link_ends l, struct arena *a) {
    if (l.place == l.other) return arena_printf(a, "links among %s", place_name(s, l.place, a));
    return arena_printf(a, "links %s to %s", place_name(s, l.place, a), place_name(s, l.other, a));
}

static void find_helps(struct explanation *x, const struct explain_question *q, struct arena *a) {
    const struct workload *w = q->entry->workload;
    const struct plan *p = q->entry->plan;
    const struct site *s = w->site;
    const char *faster = arena_printf(a, "%.0f %% faster", 100 * (SPEED - 1));
    int used[ZONES_MAX * GPUS_MAX];
    struct link_ends *links;
    int n = plan_links(p, s, &links, a);
    x->help = ARENA_ARRAY(a, struct explain_help, n + s->n_gpu + 2);
    plan_gpus(p, s, used);
    for (int g = 0; g < s->n_gpu; g++) {
        int gpus = 0;
        for (int z = 0; z < s->n_zone; z++) gpus += used[site_at(s, z, g)];
        if (!gpus) continue;
        const char *what = arena_printf(a, "layers on %s", s->gpu[g].name);
        add_help(x, q, what, faster, again_s(q, faster_layers(w, g, SPEED, a), p, a));
    }
    for (int i = 0; i < n; i++) {
        const char *what = links_name(s, links[i], a);
        struct arena_mark before = arena_mark(a);
        double then_s = again_s(q, faster_links(w, links[i], SPEED, a), p, a);
        arena_release(a, before); /* a table of links may be large */
        add_help(x, q, what, faster, then_s);
    }
    struct plan twice = *p;
    struct workload more = *w;
    twice.global_batch_size = more.global_batch_size = 2 * p->global_batch_size;
    add_help(x, q, "a batch of twice the size", "per token", again_s(q, &more, &twice, a) / 2);
    qsort(x->help, (size_t)x->n_help, sizeof *x->help, by_gain);
}

/* ---- what limits the plan ----------------------------------------------------------- */

static void add_limit(struct explanation *x, struct explain_limit l) { x->limit[x->n_limit++] = l; }

/* The next larger microbatch that was profiled for all GPU types of the plan at their degrees; 0: none. */
static int next_microbatch(const struct workload *w, const struct plan *p) {
    const struct profile *f = w->profile[p->pipeline[0].stage[0].group[0].gpu];
    for (int i = 0; i < f->n_mb; i++) {
        bool known = f->mb[i] > p->micro_batch_size;
        for (int k = 0; k < p->n_pipeline && known; k++)
            for (int j = 0; j < p->pipeline[k].n_stage; j++) {
                const struct stage *st = &p->pipeline[k].stage[j];
                for (int g = 0; g < st->n_group; g++) {
                    const struct replicas *r = &st->group[g];
                    const struct layer_times *t = profile_times(w->profile[r->gpu], f->mb[i], r->tp);
                    known &= t && t->fwd_s;
                }
            }
        if (known) return f->mb[i];
    }
    return 0;
}

/* Memory is a limit if the next microbatch does not fit. */
static void limit_memory(struct explanation *x, const struct explain_question *q, struct arena *a) {
    const struct workload *w = workload_variant(q->entry->workload, &q->entry->plan->options);
    const struct plan *p = q->entry->plan;
    const struct breakdown *b = &x->use.breakdown;
    int next = next_microbatch(w, p);
    struct explain_limit l = {.what = arena_printf(a, "memory, stage %d", b->fullest.stage),
                              .unit = "GiB",
                              .used = b->needs_bytes / (1 << 30),
                              .of = b->memory_bytes / (1 << 30),
                              .why = "no larger microbatch was measured"};
    if (next) {
        struct plan larger = *p;
        larger.micro_batch_size = next;
        struct estimate est = {.stage = ARENA_ARRAY(a, struct stage_estimate, plan_stages(p))};
        struct err none;
        bool known = !cli_estimate(q->by, w, &larger, &est, &none);
        l.binds = known && !est.fits;
        l.why = arena_printf(a, "microbatch %d %s", next,
                             !known     ? "cannot be estimated"
                             : est.fits ? "would fit"
                                        : "would not fit");
    }
    if (!q->est->fits) {
        l.binds = true;
        l.why = "the plan does not fit";
    }
    add_limit(x, l);
}

static void limit_gpus(struct explanation *x, const int *offered, const struct explain_question *q,
                       struct arena *a) {
    const struct site *s = q->entry->workload->site;
    int used[ZONES_MAX * GPUS_MAX];
    plan_gpus(q->entry->plan, s, used);
    for (int k = 0; offered && k < s->n_zone * s->n_gpu; k++)
        if (offered[k] > 0)
            add_limit(
                x, (struct explain_limit){.what = place_name(s, k, a),
                                          .unit = "GPUs",
                                          .used = used[k],
                                          .of = offered[k],
                                          .binds = used[k] == offered[k],
                                          .why = used[k] == offered[k] ? "all are used" : "some are left"});
}

/* GPUs to choose from: the row's, else the site's; NULL if neither is known. */
static const int *offered_to(const struct explain_question *q, struct arena *a) {
    const struct site *s = q->entry->workload->site;
    if (q->job) return q->job->pool[q->row].count;
    int *count = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu), stated = 0;
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
        count[k] = s->available[k] > 0 ? s->available[k] : 0;
        stated |= s->available[k] >= 0;
    }
    return stated ? count : NULL;
}

static void find_limits(struct explanation *x, const struct explain_question *q, const int *offered,
                        struct arena *a) {
    const struct site *s = q->entry->workload->site;
    const struct job *j = q->job;
    double cost = q->est->cost_usd, rate = 1 / q->est->iteration_time_s;
    x->limit = ARENA_ARRAY(a, struct explain_limit, s->n_zone * s->n_gpu + 3);
    limit_memory(x, q, a);
    limit_gpus(x, offered, q, a);
    if (j && isfinite(j->max_usd_per_iteration))
        add_limit(x, (struct explain_limit){.what = "max_usd_per_iteration",
                                            .unit = "USD",
                                            .used = cost,
                                            .of = j->max_usd_per_iteration,
                                            .binds = cost > 0.99 * j->max_usd_per_iteration,
                                            .why = cost > j->max_usd_per_iteration ? "exceeded" : "kept"});
    if (j && j->min_iterations_per_s > 0)
        add_limit(x, (struct explain_limit){.what = "min_iterations_per_s",
                                            .unit = "1/s",
                                            .used = rate,
                                            .of = j->min_iterations_per_s,
                                            .binds = rate < 1.01 * j->min_iterations_per_s,
                                            .why = rate < j->min_iterations_per_s ? "missed" : "kept"});
}

const char *explain_binding(const struct explain_question *q, const struct cli_use *use, struct arena *a) {
    enum { NAMED = 1 };
    struct explanation x = {.use = *use};
    const char *text = "", *unused = "nothing; some GPUs are left";
    int types = 0, full = 0, more = 0, named = 0;
    find_limits(&x, q, offered_to(q, a), a);
    for (int i = 0; i < x.n_limit; i++) {
        const struct explain_limit *l = &x.limit[i];
        bool gpus = !strcmp(l->unit, "GPUs");
        types += gpus;
        full += gpus && l->binds;
        if (gpus || !l->binds) continue;
        text = arena_printf(a, "%s%s%s (%s)", text, *text ? "; " : "", l->what, l->why);
    }
    if (types && full == types) return arena_printf(a, "%s%sall GPUs are used", text, *text ? "; " : "");
    for (int i = 0; i < x.n_limit && full; i++) {
        const struct explain_limit *l = &x.limit[i];
        if (strcmp(l->unit, "GPUs") != 0 || !l->binds) continue;
        if (named++ < NAMED)
            text = arena_printf(a, "%s%sall of %s", text, *text ? "; " : "", l->what);
        else
            more++;
    }
    if (more) text = arena_printf(a, "%s and %d more", text, more);
    return *text ? text : types ? unused : "nothing";
}

void explain_find(const struct explain_question *q, struct explanation *x, struct arena *a) {
    const struct workload *w = q->entry->workload;
    const int *offered = offered_to(q, a);
    *x = (struct explanation){.closed = !q->est->played};
    cli_peaks_load(&x->peaks, w->site, w->element_bytes, q->inputs, true);
    x->use = cli_use_of(w, q->entry->plan, q->est, &x->peaks, offered);
    find_helps(x, q, a);
    find_limits(x, q, offered, a);
}
