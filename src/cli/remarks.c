/* Remarks: not errors, but worth knowing before trusting a plan. One line each on stderr. */
#include "base/text.h"
#include "cli/cli.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

static void remark(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void remark(const char *fmt, ...) {
    struct arena a = {0};
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "sailor: %s\n", text_printable(line, &a));
    arena_free(&a);
}

static bool offered(const struct job *job, int gpu) {
    const struct site *s = job->workload.site;
    for (int row = 0; row < job->n_pool; row++)
        for (int z = 0; z < s->n_zone; z++)
            if (job->pool[row].count[site_at(s, z, gpu)] > 0) return true;
    return false;
}

/* Times in a profile without an element type are taken as they are; for fp32, the default, that needs no
 * remark. */
static void remark_dtype(const struct workload *w, int gpu, const char *where) {
    if (w->element_bytes == 4 || !w->profile[gpu] || w->profile[gpu]->dtype) return;
    remark("%s: the profile of %s on %s has no \"dtype\": its times are taken to be measured in %s", where,
           w->model->name, w->site->gpu[gpu].name, w->dtype ? w->dtype : "16 bit");
}

void remark_plan(const struct workload *w, const struct plan *p, const char *where) {
    int used[ZONES_MAX * GPUS_MAX];
    plan_gpus(p, w->site, used);
    for (int g = 0; g < w->site->n_gpu; g++)
        for (int z = 0; z < w->site->n_zone; z++)
            if (used[site_at(w->site, z, g)]) {
                remark_dtype(w, g, where);
                break;
            }
}

static bool linked(const struct site *s, int zone, int gpu, int zone2, int gpu2) {
    for (int a = 0; a < TP_N; a++)
        for (int b = 0; b < TP_N; b++)
            if (site_link(s, zone, gpu, 1 << a, zone2, gpu2, 1 << b) ||
                site_link(s, zone2, gpu2, 1 << b, zone, gpu, 1 << a))
                return true;
    return false;
}

static bool together(const struct job *job, int k, int l) {
    for (int row = 0; row < job->n_pool; row++)
        if (job->pool[row].count[k] > 0 && job->pool[row].count[l] > 0) return true;
    return false;
}

static void remark_links(const struct job *job, const char *path) {
    const struct site *s = job->workload.site;
    int n = s->n_gpu, missing = 0, first[2] = {0, 0};
    for (int k = 0; k < s->n_zone * n; k++)
        for (int l = k + 1; l < s->n_zone * n; l++) {
            if (!together(job, k, l) || linked(s, k / n, k % n, l / n, l % n)) continue;
            if (!missing++) {
                first[0] = k;
                first[1] = l;
            }
        }
    if (!missing) return;
    char more[60] = "";
    if (missing > 1)
        snprintf(more, sizeof more, " (nor between %d more pair%s)", missing - 1, missing > 2 ? "s" : "");
    remark("%s: site %s has no link between %s in %s and %s in %s%s: no plan uses both", path, s->name,
           s->gpu[first[0] % n].name, s->zone[first[0] / n], s->gpu[first[1] % n].name, s->zone[first[1] / n],
           more);
}

/* Without a link to itself, a type can only serve stages of one replica. */
static void remark_own_links(const struct job *job) {
    const struct site *s = job->workload.site;
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
        int most = 0;
        for (int row = 0; row < job->n_pool; row++)
            if (job->pool[row].count[k] > most) most = job->pool[row].count[k];
        if (most < 2 || linked(s, k / s->n_gpu, k % s->n_gpu, k / s->n_gpu, k % s->n_gpu)) continue;
        remark("%s@%s has no link to itself: no data or pipeline parallelism there",
               s->gpu[k % s->n_gpu].name, s->zone[k / s->n_gpu]);
    }
}

void remark_site(const struct site *s) {
    if (s->note) remark("%s", s->note);
}

/* One unknown price makes the whole cost unknown; point it out if only the egress price is missing. */
static void remark_egress(const struct job *job) {
    const struct site *s = job->workload.site;
    for (int row = 0; row < job->n_pool; row++) {
        bool used[ZONES_MAX] = {false}, priced = true;
        for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
            if (!job->pool[row].count[k]) continue;
            used[k / s->n_gpu] = true;
            priced = priced && !isnan(s->usd_per_gpu_hour[k]);
        }
        for (int k = 0; priced && k < s->n_zone * s->n_zone; k++) {
            int from = k / s->n_zone, to = k % s->n_zone;
            if (!used[from] || !used[to] || !isnan(s->egress_usd_per_GB[k])) continue;
            remark(
                "site %s has no egress price from zone %s to %s, without which no cost is known (sailor site "
                "--egress USD)",
                s->name, s->zone[from], s->zone[to]);
            return;
        }
    }
}

/* No GPU is faster than its peak, and none takes a tenth of a second for a layer that its peak would allow in
 * a thousandth of that: such times are in other units. Half of FASTER is bf16 in a profile that is read as
 * fp32. */
void remark_times(const struct workload *w, const struct cli_peaks *peaks, const char *where) {
    const double FASTER = 4, SLOWER = 1000, LAYER_S = 0.1;
    for (int g = 0; g < w->site->n_gpu; g++) {
        const struct profile *p = w->profile[g];
        double share = 0, layer_s = INFINITY;
        for (int k = 0; p && k < p->n_mb * TP_N; k++) {
            if (!p->times[k].fwd_s) continue;
            double all_s = 0;
            for (int l = 0; l < w->model->n_layer; l++) all_s += p->times[k].fwd_s[l] + p->times[k].bwd_s[l];
            double flops = w->model->flops * p->mb[k / TP_N] / (1 << k % TP_N);
            share = fmax(share, flops / all_s / peaks->flops_per_s[g]);
            layer_s = fmin(layer_s, all_s / w->model->n_layer);
        }
        if (share > FASTER || (share > 0 && share < 1 / SLOWER && layer_s > LAYER_S))
            remark(
                "%s: by its profile, %s reaches at most %.2g times the peak of %s; expected times in seconds",
                where, w->model->name, share, w->site->gpu[g].name);
    }
}

void remark_job(const struct job *job, const char *path) {
    if (job->asked_for)
        remark("%s, a published build, has no profile for this: %s, which it stands for, is planned",
               job->asked_for, job->workload.model->name);
    remark_site(job->workload.site);
    for (int g = 0; g < job->workload.site->n_gpu; g++)
        if (offered(job, g)) remark_dtype(&job->workload, g, path);
    remark_links(job, path);
    remark_own_links(job);
    remark_egress(job);
}

/* In the last round of microbatches, some replicas are idle. */
static void remark_batch(const struct plan *p, int row) {
    long round = 0;
    for (int i = 0; i < p->n_pipeline; i++)
        round += (long)p->micro_batch_size * stage_replicas(&p->pipeline[i].stage[0]);
    if (p->global_batch_size % round == 0) return;
    remark("row %d: the batch of %d is not a multiple of the %ld sequences of a round: the last round is not "
           "full "
           "(\"exact_batch\": true in the job, or --exact-batch, leaves such plans out)",
           row, p->global_batch_size, round);
}

void remark_row(const struct row_result *row, int i, bool proven, double gap) {
    const struct found_plan *f = show_best(row);
    if (!f) return;
    if (proven && row->gap > gap)
        remark("row %d: a better plan may exist: the gap is %.3g %%, above the %.3g %% asked for", i,
               100 * row->gap, 100 * gap);
    remark_batch(f->plan, i);
}
