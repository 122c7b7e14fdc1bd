#include "cli/doubt.h"
#include "base/text.h"
#include "cli/cli.h"
#include "formats/inputs.h"
#include "formats/residuals.h"
#include "io/file.h"
#include "io/json.h"
#include "io/table.h"
#include "sim/risk.h"

#include <math.h>

/* How far the layer times of a GPU type may be off. */
static double layers_doubt(const struct workload *w, const struct residuals *known, int g) {
    const struct profile *p = w->profile[g];
    double layers = p ? p->spread : 0;
    if (!p || !p->estimated) return layers;
    return risk_both(layers, risk_deviation(residuals_sheet(known, w->site->gpu[g].name)->time));
}

/* Of all types of the site: which of them have a profile depends on the pools. */
static const char *figures(const struct residual *own, const struct residuals *known, const struct site *s,
                           struct arena *a) {
    const char *text = arena_printf(a, "time %.9g, memory %.9g", own->time, own->memory);
    for (int g = 0; g < s->n_gpu; g++)
        text = arena_printf(a, "%s, sheet of %s %.9g", text, s->gpu[g].name,
                            residuals_sheet(known, s->gpu[g].name)->time);
    return text;
}

int cli_doubt_of(struct cli_doubt *d, const struct workload *w, const char *estimator, const char *file,
                 const char *text, struct arena *a, struct err *e) {
    struct residuals known;
    *d = (struct cli_doubt){0};
    if (residuals_read(file, text, &known, a, e)) return -1;
    const struct residual *own = residuals_estimator(&known, estimator);
    if (!own) return 0;
    for (int g = 0; g < w->site->n_gpu; g++) {
        double layers = layers_doubt(w, &known, g);
        for (int v = 0; v < w->n_variant; v++) layers = fmax(layers, layers_doubt(&w->variant[v], &known, g));
        d->memory[g] = risk_deviation(own->memory);
        d->time[g] = risk_both(risk_deviation(own->time), layers);
    }
    d->low = risk_world(w, d->time, 0, RISK_LOW, a);
    d->high = risk_world(w, d->time, 0, RISK_HIGH, a);
    d->figures = figures(own, &known, w->site, a);
    d->known = true;
    return 0;
}

const char *cli_doubt_path(const char *inputs, struct arena *a, struct err *e) {
    const char *dir = inputs_dir(inputs, a, e);
    return dir ? arena_printf(a, "%s/residuals.json", dir) : NULL;
}

void cli_doubt_load(struct cli_doubt *d, const struct workload *w, const char *estimator, const char *inputs,
                    struct arena *a) {
    struct err e;
    const char *path = cli_doubt_path(inputs, a, &e);
    const char *text = path ? file_read_text(path, NULL, a, &e) : NULL;
    if (text && !cli_doubt_of(d, w, estimator, path, text, a, &e)) return;
    *d = (struct cli_doubt){0};
    static bool said;
    if (!said) fprintf(stderr, "sailor: no intervals: %s\n", text_printable(e.text, a));
    said = true;
}

struct workload *cli_doubt_world(const struct cli_doubt *d, const struct workload *w, double q,
                                 struct arena *a, struct err *e) {
    double memory = 0;
    for (int g = 0; g < w->site->n_gpu; g++) memory = fmax(memory, d->memory[g]);
    if (d->known) return risk_world(w, d->time, memory, q, a);
    err_set(e, EXIT_INPUT,
            "--risk: it is not known how far off this estimator is; expected one that inputs/residuals.json "
            "lists");
    return NULL;
}

double cli_time_in(const struct workload *world, struct cli_estimator *k, const struct workload *w,
                   const struct plan *p) {
    struct workload then = risk_in_world(w, world);
    struct estimate est = {.stage = NULL};
    struct err none;
    return cli_estimate(k, &then, p, &est, &none) ? NAN : est.iteration_time_s;
}

struct cli_interval cli_interval_about(double time_s, double peak_bytes, double time, double memory) {
    return (struct cli_interval){.low_s = time_s * risk_factor(time, RISK_LOW),
                                 .high_s = time_s * risk_factor(time, RISK_HIGH),
                                 .low_bytes = peak_bytes * risk_factor(memory, RISK_LOW),
                                 .high_bytes = peak_bytes * risk_factor(memory, RISK_HIGH)};
}

struct cli_interval cli_interval_of(const struct cli_doubt *d, struct cli_estimator *k,
                                    const struct workload *w, const struct plan *p) {
    int used[ZONES_MAX * GPUS_MAX];
    double memory = 0;
    if (!d->known) return (struct cli_interval){NAN, NAN, NAN, NAN};
    plan_gpus(p, w->site, used);
    for (int i = 0; i < w->site->n_zone * w->site->n_gpu; i++)
        if (used[i]) memory = fmax(memory, d->memory[i % w->site->n_gpu]);
    struct estimate est = {.stage = NULL};
    struct err none;
    double peak_bytes = cli_estimate(k, w, p, &est, &none) ? NAN : est.peak_memory_bytes;
    struct cli_interval x = cli_interval_about(NAN, peak_bytes, 0, memory);
    x.low_s = cli_time_in(d->low, k, w, p);
    x.high_s = cli_time_in(d->high, k, w, p);
    return x;
}

void cli_interval_json(cJSON *o, const struct cli_interval *x) {
    json_add_number(o, "iteration_time_low_s", x->low_s);
    json_add_number(o, "iteration_time_high_s", x->high_s);
    json_add_number(o, "peak_memory_low_bytes", x->low_bytes);
    json_add_number(o, "peak_memory_high_bytes", x->high_bytes);
}

void cli_coverage_add(struct cli_coverage *c, const struct cli_interval *x, double time_s, double bytes) {
    if (!isnan(x->low_s) && !isnan(time_s)) {
        c->times++;
        c->times_within += x->low_s <= time_s && time_s <= x->high_s;
    }
    if (!isnan(x->low_bytes) && !isnan(bytes)) {
        c->peaks++;
        c->peaks_within += x->low_bytes <= bytes && bytes <= x->high_bytes;
    }
}

void cli_coverage_json(cJSON *o, const struct cli_coverage *c) {
    json_add_number(o, "interval_level", 0.9); /* RISK_LOW to RISK_HIGH */
    json_add_number(o, "time_coverage", c->times ? (double)c->times_within / c->times : NAN);
    json_add_number(o, "memory_coverage", c->peaks ? (double)c->peaks_within / c->peaks : NAN);
}

const char *cli_coverage_text(const struct cli_coverage *c, struct arena *a) {
    const char *times = c->times ? arena_printf(a, "%d of %d times", c->times_within, c->times) : "";
    const char *peaks = c->peaks ? arena_printf(a, "%d of %d peaks", c->peaks_within, c->peaks) : "";
    if (!*times && !*peaks) return NULL;
    return arena_printf(a, "%s%s%s lie within their intervals; 9 of 10 are expected to", times,
                        *times && *peaks ? ", " : "", peaks);
}

const char *cli_interval_text(const struct cli_interval *x, struct arena *a) {
    if (isnan(x->low_s)) return NULL;
    return arena_printf(a, "9 of 10 such runs take %s to %s s, with a peak of %s to %s GiB",
                        table_number(x->low_s, 4, a), table_number(x->high_s, 4, a),
                        show_GiB(x->low_bytes, a), show_GiB(x->high_bytes, a));
}
