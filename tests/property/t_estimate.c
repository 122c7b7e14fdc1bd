/* The published simulator a second time, written from its formulas alone (docs/estimator.md), against
 * estimate_plan() on random plans: several pipelines, unequal data-parallel degrees, degrees mixed in a
 * stage, groups with counts, VM lists. The native estimator is the same except for the differences marked
 * NATIVE. Usage: t_estimate [PLANS [SEED]] */
#include <stdlib.h>
#include <string.h>

#include "random.h"

enum { REPLICAS_MAX = 64, STAGES_MAX = 16 };

/* One replica of a stage, groups spelled out. */
struct one {
    int gpu, tp, zone, n_vm;
    const int *vm;
};

struct judge {
    const struct workload *w;
    const struct plan *p;
    enum estimator est;
    int M, F, m;
    bool missing; /* a link that the site lacks was asked for */
};

static int expand(const struct stage *s, struct one *out) {
    int n = 0;
    for (int g = 0; g < s->n_group; g++)
        for (int c = 0; c < s->group[g].count; c++)
            out[n++] = (struct one){s->group[g].gpu, s->group[g].tp, s->group[g].zone, s->group[g].n_vm,
                                    s->group[g].vm_gpu};
    return n;
}

/* The link for given counts: the same count where the table has it, else the largest below. */
static const struct link *find_link(struct judge *J, int zone, int gpu, int n, int zone2, int gpu2, int n2) {
    const struct site *s = J->w->site;
    int have = s->counts[zone * s->n_gpu + gpu], have2 = s->counts[zone2 * s->n_gpu + gpu2];
    while (n >= 1 && !(have & n))
        n /= 2; /* bit ti is set for count 2^ti: the mask's bit value is the count */
    while (n2 >= 1 && !(have2 & n2)) n2 /= 2;
    if (n >= 1 && n2 >= 1) {
        const struct link *l = &s->link[site_link_slot(s, zone, gpu, tp_index(n), zone2, gpu2, tp_index(n2))];
        if (l->known) return l;
    }
    J->missing = true;
    return NULL;
}

static double bw(const struct judge *J, const struct link *l, double x) {
    if (l->rate_Bps > 0) return x / 1e9 / (l->latency_s + x / l->rate_Bps);
    if (J->est ==
        ESTIMATOR_NATIVE) { /* NATIVE: the fit is not used outside the measured sizes, 64 KiB to 1 GiB */
        if (x < 65536) x = 65536;
        if (x > 1073741824.0) x = 1073741824.0;
    }
    double y = log2(x / 1e6);
    return l->c2 * y * y + l->c1 * y + l->c0;
}

static double seconds(const struct judge *J, const struct link *l, double x) {
    return !l || x == 0 ? 0 : x / 1e9 / bw(J, l, x);
}

static double ring(const struct judge *J, const struct link *l, double S, int k) {
    double sum = 0;
    if (k <= 1) return 0;
    for (; S > 0; S -= 5e8) {
        double s = S < 5e8 ? S : 5e8;
        sum += 2.0 * (k - 1) * seconds(J, l, s / k);
    }
    if (l && J->est == ESTIMATOR_NATIVE) sum *= 1 + l->ring_slower; /* NATIVE: rings reach a share */
    return sum;
}

static double params_1(struct judge *J, const struct stage *s) {
    double sum = 0;
    for (int l = s->first; l < s->end; l++) sum += J->w->model->params[0][l];
    return sum;
}

/* Seconds of forward and backward of one replica for one microbatch. */
static double layers_time(struct judge *J, const struct stage *s, const struct one *r) {
    const struct model *mo = J->w->model;
    double sum = 0;
    if (r->n_vm > 1 && J->est == ESTIMATOR_SAILOR) { /* NATIVE: the measured times hold */
        double x = (double)J->m * mo->sequence_length * mo->hidden_size * J->F;
        const struct link *worst = NULL;
        for (int v = 0; v < r->n_vm; v++) {
            int g = r->vm[v], n = J->w->site->gpu[g].gpus_per_node;
            const struct link *l = find_link(J, r->zone, g, n, r->zone, g, n);
            if (l && (!worst || bw(J, l, x) < bw(J, worst, x))) worst = l;
        }
        double ar = 2.0 * (r->tp - 1) * seconds(J, worst, x / r->tp);
        for (int l = s->first; l < s->end; l++) {
            int times = l == 0 ? 1 : l <= mo->n_block - 2 ? 2 : 0;
            sum += 2 * times * ar; /* forward, and backward */
        }
        return sum;
    }
    const struct layer_times *t = profile_times(J->w->profile[r->gpu], J->m, r->tp);
    const struct profile *f = J->w->profile[r->gpu];
    const struct layer_times *most = NULL;
    int largest = 0;
    for (int i = 0; i < f->n_mb; i++)
        if (profile_times(f, f->mb[i], r->tp)) most = profile_times(f, largest = f->mb[i], r->tp);
    for (int l = s->first; l < s->end; l++)
        for (int way = 0; way < 2; way++) {
            double x = way ? t->bwd_s[l] : t->fwd_s[l], y = (way ? most->bwd_s[l] : most->fwd_s[l]);
            y *= (double)J->m / largest;
            /* NATIVE: the host runs ahead of launches */
            if (J->est == ESTIMATOR_NATIVE && J->w->platform && J->w->platform[r->gpu].launch_bound < 1 &&
                x > 1.1 * y)
                x = fmax(y, x * J->w->platform[r->gpu].launch_bound);
            sum += x;
        }
    return sum;
}

/* NATIVE: a framework's work on a message of the output of layer l. */
static bool adds(const struct judge *J) {
    return J->est == ESTIMATOR_NATIVE && J->w->platform && J->w->process_bytes == 0;
}
static double work_on(const struct judge *J, const struct one *r, int l) {
    double bytes = J->w->model->act_out[l] * J->F * J->m, gather = 0;
    if (!adds(J) || isnan(J->w->platform[r->gpu].memory_Bps)) return 0;
    double within_Bps = J->w->platform[r->gpu].gather_Bps[tp_index(r->tp)];
    if (J->w->options.sequence_parallel)
        bytes /= r->tp;
    else if (r->tp > 1 && within_Bps > 0)
        gather = bytes * (r->tp - 1) / r->tp / within_Bps;
    return gather + 6 * bytes / J->w->platform[r->gpu].memory_Bps +
           J->w->platform[r->gpu].staging_s_per_B * bytes;
}

static double max2(double a, double b) { return a > b ? a : b; }

struct answer {
    double time, pipeline, sync, compute_usd, egress_usd, peak, stage[3 * STAGES_MAX][4];
    bool fits, above; /* fits in memory; peak above the card's */
    int unfit_pipeline, unfit_stage, n_stage;
};

static void judge_plan(struct judge *J, struct answer *A) {
    const struct plan *p = J->p;
    const struct site *site = J->w->site;
    const struct model *mo = J->w->model;
    double G = p->global_batch_size;
    const struct pipeline *last = &p->pipeline[p->n_pipeline - 1];
    J->m = p->micro_batch_size;
    J->F = J->w->element_bytes;
    J->M = (int)ceil(G / ((double)J->m * stage_replicas(&last->stage[0]) * p->n_pipeline));
    if (J->est == ESTIMATOR_NATIVE) { /* NATIVE: every pipeline has its share */
        int slots = 0;
        for (int k = 0; k < p->n_pipeline; k++) slots += stage_replicas(&p->pipeline[k].stage[0]);
        J->M = (int)ceil(G / ((double)J->m * slots));
    }
    *A = (struct answer){.fits = true, .unfit_pipeline = -1, .unfit_stage = -1};
    double max_pipe = -INFINITY, max_sync = -INFINITY, usd_per_s = 0;
    int longest = 0;
    for (int k = 0; k < p->n_pipeline; k++) {
        const struct pipeline *pipe = &p->pipeline[k];
        int P = pipe->n_stage;
        if (P > p->pipeline[longest].n_stage) longest = k;
        double slowest = -INFINITY, sum_comm = 0, sum_comp = 0, update = -INFINITY, before = 0;
        for (int i = 0; i < P; i++) {
            const struct stage *s = &pipe->stage[i];
            struct one me[REPLICAS_MAX], next[REPLICAS_MAX], prev[REPLICAS_MAX];
            int D = expand(s, me), Dn = i < P - 1 ? expand(s + 1, next) : 0,
                Dp = i > 0 ? expand(s - 1, prev) : 0;
            double comp = 0, act = 0, grad = 0, got_act = 0, got_grad = 0, sync = 0, memory = 0,
                   W = params_1(J, s) * J->F;
            int smallest = TP_MAX;
            bool first_act = true, first_grad = true;
            for (int j = 0; j < D; j++) {
                struct one *r = &me[j];
                comp = j ? max2(comp, layers_time(J, s, r)) : layers_time(J, s, r);
                const struct layer_times *of = profile_times(J->w->profile[r->gpu], J->m, r->tp);
                double u = of->update_s[s->first];
                if (J->est == ESTIMATOR_NATIVE &&
                    of->update_by_layer) /* NATIVE: of all layers of the stage */
                    for (int l = s->first + 1; l < s->end; l++) u += of->update_s[l];
                update = max2(update, J->w->options.zero ? u / D : u); /* each has its share */
                if (r->tp < smallest) smallest = r->tp;
                if (i < P - 1) {
                    struct one *q = &next[j % Dn];
                    double t = seconds(J, find_link(J, r->zone, r->gpu, r->tp, q->zone, q->gpu, q->tp),
                                       mo->act_out[s->end - 1] * J->F * J->m);
                    act = first_act ? t : max2(act, t);
                    first_act = false;
                    A->egress_usd += J->M * site->egress_usd_per_GB[r->zone * site->n_zone + q->zone] / 1e9 *
                                     mo->act_out[s->end - 1] * J->F * J->m;
                }
                if (i > 0) {
                    struct one *q = &prev[j % Dp];
                    double t = seconds(J, find_link(J, r->zone, r->gpu, r->tp, q->zone, q->gpu, q->tp),
                                       mo->act_out[s->first] * J->F * J->m);
                    grad = first_grad ? t : max2(grad, t);
                    first_grad = false;
                    A->egress_usd += J->M * site->egress_usd_per_GB[r->zone * site->n_zone + q->zone] / 1e9 *
                                     mo->act_out[pipe->stage[i - 1].end - 1] * J->F * J->m;
                }
                if (i > 0) got_act = max2(got_act, work_on(J, r, s->first - 1));
                if (i < P - 1) got_grad = max2(got_grad, work_on(J, r, s->end - 1));
                struct one *n = &me[(j + 1) % D];
                A->egress_usd +=
                    site->egress_usd_per_GB[r->zone * site->n_zone + n->zone] / 1e9 * W / D * 2 * (D - 1);
                usd_per_s += r->tp * site->usd_per_gpu_hour[r->zone * site->n_gpu + r->gpu] / 3600;

                double par = 0, keep = 0;
                int ti = tp_index(r->tp);
                for (int l = s->first; l < s->end; l++) par += mo->params[ti][l], keep += mo->act_mem[ti][l];
                if (J->est == ESTIMATOR_NATIVE && s->first > 0 && s->end == mo->n_layer)
                    par += mo->tied_copy[ti]; /* NATIVE: its copy of the embedding */
                int flight = P - i;
                if (J->est == ESTIMATOR_NATIVE && J->M < flight)
                    flight = J->M; /* NATIVE: no more than there are */
                double shared = J->w->shared_bytes_per_param, K = J->w->state_bytes_per_param;
                double bytes = (K - shared) * par + shared * par / D;
                bytes += (double)flight * J->m * J->F * keep + (double)J->m * J->F * J->w->again[ti];
                if (flight > 1) bytes += (double)flight * J->m * J->F * J->w->message;
                double process = J->w->process_bytes;           /* as in the profiles, or as published */
                if (J->est == ESTIMATOR_NATIVE && process == 0) /* NATIVE: as the site says of the type */
                    process = adds(J) && !isnan(J->w->platform[r->gpu].memory_Bps)
                                  ? J->w->platform[r->gpu].context_bytes
                                  : site->gpu[r->gpu].context_bytes;
                if (adds(J)) { /* NATIVE: inside a block's backward pass, without a shape; logits */
                    double len = mo->sequence_length;
                    double block = 3 * len * len * mo->heads / r->tp +
                                   5 * len * mo->hidden_size / (J->w->options.sequence_parallel ? r->tp : 1);
                    double head = s->end == mo->n_layer ? len * mo->vocabulary / r->tp : 0;
                    bytes += (double)J->m * J->F * (block + head);
                }
                double checked = bytes + (process > 0 ? process : r->tp == 1 ? 2.0e9 : 3.0e9);
                memory = max2(memory, checked);
                int held = r->n_vm && J->est == ESTIMATOR_SAILOR ? r->vm[0] : r->gpu;
                bool published = J->est == ESTIMATOR_SAILOR && process == 0;
                double peak = published ? bytes + 4.76e9 + 3.0e8 : checked; /* NATIVE: what is checked */
                A->peak = max2(A->peak, peak);
                if (!published && peak > site->gpu[held].memory_bytes) A->above = true;
                if (checked > site->gpu[held].memory_bytes && A->fits)
                    A->fits = false, A->unfit_pipeline = k, A->unfit_stage = i;
            }
            double S = W / (smallest < 4 ? smallest : 4);
            for (int j = 0; j + 1 < D; j++) {
                double t =
                    ring(J, find_link(J, me[j].zone, me[j].gpu, 1, me[j + 1].zone, me[j + 1].gpu, 1), S, D);
                sync = j ? max2(sync, t) : t;
            }
            double comm = 0;
            if (P > 1) comm = i == 0 ? (P <= 3 ? act : 2 * act) : i == P - 1 ? 2 * grad : act + grad;
            if (J->est == ESTIMATOR_NATIVE) comm = act + grad; /* NATIVE: each message once */
            comm += got_act + got_grad;
            double turn =
                adds(J) && i > 0 ? before : 0; /* NATIVE: its gradient gone, the next activation sent */
            before = act + got_grad;
            slowest = max2(slowest, comp + comm + turn);
            sum_comm += comm;
            sum_comp += comp;
            max_sync = max2(max_sync, sync);
            double *out = A->stage[A->n_stage++];
            out[0] = comp;
            out[1] = comm;
            out[2] = sync;
            out[3] = memory;
        }
        max_pipe = max2(max_pipe, (J->M - 1) * slowest + sum_comm + sum_comp + update);
    }
    double inter = -INFINITY;
    if (p->n_pipeline > 1)
        for (int i = 0; i < p->pipeline[longest].n_stage; i++) {
            struct one me[REPLICAS_MAX];
            const struct stage *s = &p->pipeline[longest].stage[i];
            int D = expand(s, me);
            for (int j = 0; j < D; j++)
                inter = max2(inter, ring(J, find_link(J, me[j].zone, me[j].gpu, 1, me[j].zone, me[j].gpu, 1),
                                         params_1(J, s) * J->F / (J->est == ESTIMATOR_NATIVE ? me[j].tp : 1),
                                         p->n_pipeline)); /* NATIVE: each GPU holds only its part */
        }
    else
        inter = 0;
    A->pipeline = max_pipe;
    A->sync = max_sync + inter;
    A->time = A->pipeline + A->sync;
    A->compute_usd = A->time * usd_per_s;
}

static bool close_to(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

int main(int argc, char **argv) {
    int want = argc > 1 ? atoi(argv[1]) : 5000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int above = 0, fitting = 0;
    int done = 0, bad = 0, missing = 0, several = 0, with_vms = 0, unfit = 0, native = 0, varied = 0;
    printf("1..2\n");
    for (uint64_t n = 0; done < want && n < 10 * (uint64_t)want && bad < 5; n++) {
        struct arena a = {0};
        struct rng r = {.seed = seed * 1000003 + n};
        struct shape shape = {rng_int(&r, 1, 3), rng_int(&r, 1, 3), 1, 10, 2, 10, false};
        struct instance *in = instance_random(seed * 1000003 + n, &shape, &a);
        bool vms = rng_chance(&r, 0.3), rated = rng_chance(&r, 0.2);
        if (rated) instance_rate_links(in, &a);
        struct plan *p = plan_random(in, vms, &r, &a);
        struct err e = {0};
        const struct workload *w = &in->w;
        if (p && rng_chance(&r, 0.3)) {
            instance_vary(in, &a);
            if (w->n_variant) w = &w->variant[rng_int(&r, 0, w->n_variant - 1)];
            p->options = w->options;
            if (plan_check(p, &in->w, "random", &e)) p = NULL; /* its microbatch has no profile with these */
        }
        if (p) {
            if (plan_check(p, &in->w, "random", &e)) {
                printf("# plan_check refused a valid plan: %s\n", e.text);
                instance_print(stdout, in);
                plan_print(stdout, p, &in->site);
                bad++;
            }
            struct judge J = {.w = w, .p = p, .est = in->estimator};
            struct answer A;
            judge_plan(&J, &A);
            struct stage_estimate stage[3 * STAGES_MAX];
            struct estimate est = {.stage = stage};
            int rc = estimate_plan(&in->w, p, in->estimator, &est, &e);
            bool same = (rc != 0) == J.missing && (rc == 0 || e.code == EXIT_INPUT);
            if (rc == 0 && same) {
                same = close_to(est.iteration_time_s, A.time) && close_to(est.pipeline_time_s, A.pipeline) &&
                       close_to(est.sync_time_s, A.sync) && close_to(est.compute_usd, A.compute_usd) &&
                       close_to(est.egress_usd, A.egress_usd) &&
                       close_to(est.cost_usd, A.compute_usd + A.egress_usd) && est.fits == A.fits &&
                       close_to(est.peak_memory_bytes, A.peak) && est.n_microbatch == J.M &&
                       est.unfit_pipeline == A.unfit_pipeline && est.unfit_stage == A.unfit_stage;
                for (int i = 0; i < A.n_stage; i++)
                    same = same && close_to(stage[i].compute_s, A.stage[i][0]) &&
                           close_to(stage[i].comm_s, A.stage[i][1]) &&
                           close_to(stage[i].sync_s, A.stage[i][2]) &&
                           close_to(stage[i].memory_bytes, A.stage[i][3]);
            }
            if (rc == 0 && in->estimator == ESTIMATOR_NATIVE) { /* one figure, and within its card */
                double most = 0;
                for (int i = 0; i < A.n_stage; i++) {
                    most = fmax(most, stage[i].memory_bytes);
                    above += est.fits && stage[i].tight_bytes > stage[i].tight_room_bytes;
                }
                above += est.fits && A.above;
                above += est.peak_memory_bytes != most;
                fitting += est.fits;
            }
            if (!same) {
                bad++;
                printf("# differs: rc %d (missing link %d)\n", rc, J.missing);
                printf("#   time %.17g %.17g, pipeline %.17g %.17g, sync %.17g %.17g\n", est.iteration_time_s,
                       A.time, est.pipeline_time_s, A.pipeline, est.sync_time_s, A.sync);
                printf("#   compute %.17g %.17g USD, egress %.17g %.17g USD, peak %.17g %.17g, fits %d %d, "
                       "unfit %d/%d %d/%d\n",
                       est.compute_usd, A.compute_usd, est.egress_usd, A.egress_usd, est.peak_memory_bytes,
                       A.peak, est.fits, A.fits, est.unfit_pipeline, est.unfit_stage, A.unfit_pipeline,
                       A.unfit_stage);
                for (int i = 0; rc == 0 && i < A.n_stage; i++)
                    printf("#   stage %d: comp %.17g %.17g comm %.17g %.17g sync %.17g %.17g memory %.17g "
                           "%.17g\n",
                           i, stage[i].compute_s, A.stage[i][0], stage[i].comm_s, A.stage[i][1],
                           stage[i].sync_s, A.stage[i][2], stage[i].memory_bytes, A.stage[i][3]);
                instance_print(stdout, in);
                plan_print(stdout, p, &in->site);
            }
            done++;
            missing += J.missing;
            several += p->n_pipeline > 1;
            with_vms += vms;
            unfit += !A.fits;
            native += in->estimator == ESTIMATOR_NATIVE;
            varied += w->altered;
        }
        arena_free(&a);
    }
    bool ok = !bad && done >= want && several > want / 10 && with_vms > want / 10 && missing < want / 2 &&
              native > want / 3 && varied > want / 10;
    printf("# %d plans: %d with several pipelines, %d may have VM lists, %d with a missing link, %d too "
           "large for memory, %d native, %d with options\n",
           done, several, with_vms, missing, unfit, native, varied);
    printf("%s 1 - estimate_plan() agrees with an independent evaluator on %d random plans\n",
           ok ? "ok" : "not ok", done);
    bool within = !above && fitting > want / 10;
    printf("%s 2 - no peak of %d plans that fit under native is above its card's memory\n",
           within ? "ok" : "not ok", fitting);
    return !ok || !within;
}
