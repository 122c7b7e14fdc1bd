#include "cli/use.h"
#include "base/text.h"
#include "cli/cli.h"
#include "formats/devices.h"
#include "formats/inputs.h"
#include "io/file.h"
#include "io/json.h"
#include "io/table.h"

#include <math.h>

/* fp32 multiplies in tf32 if the device has it, 16-bit types in bf16 or, without bf16, in fp16. */
static int peak_of(const char *devices, const char *gpu, int element_bytes, double *peak, struct err *e) {
    const char *first = element_bytes == 4 ? "tf32" : "bf16";
    if (devices_peak("devices.json", devices, NULL, gpu, first, peak, e)) return -1;
    if (element_bytes == 4 || !isnan(*peak)) return 0;
    return devices_peak("devices.json", devices, NULL, gpu, "fp16", peak, e);
}

void cli_peaks_load(struct cli_peaks *peaks, const struct site *s, int element_bytes, const char *inputs,
                    bool say) {
    struct arena a = {0};
    struct err e;
    *peaks = (struct cli_peaks){.products = element_bytes == 4 ? "tf32/fp32" : "bf16/fp16"};
    const char *dir = inputs_dir(inputs, &a, &e);
    const char *path = dir ? arena_printf(&a, "%s/devices.json", dir) : NULL;
    const char *devices = path ? file_read_text(path, NULL, &a, &e) : NULL;
    int rc = devices ? 0 : -1;
    for (int g = 0; g < s->n_gpu; g++) {
        peaks->flops_per_s[g] = NAN;
        if (!rc) rc = peak_of(devices, s->gpu[g].name, element_bytes, &peaks->flops_per_s[g], &e);
    }
    if (rc && say) fprintf(stderr, "sailor: no MFU: %s\n", text_printable(e.text, &a));
    arena_free(&a);
}

static double mfu_of(const struct workload *w, const int *used, double sequences_per_s,
                     const struct cli_peaks *peaks) {
    double peak = 0;
    for (int k = 0; k < w->site->n_zone * w->site->n_gpu; k++)
        if (used[k]) peak += used[k] * peaks->flops_per_s[k % w->site->n_gpu];
    return w->model->flops > 0 && peak > 0 ? w->model->flops * sequences_per_s / peak : NAN;
}

static double slowest_turn_s(const struct plan *p, const struct estimate *est, const struct breakdown *b) {
    int k = b->slowest.stage;
    for (int i = 0; i < b->slowest.pipeline; i++) k += p->pipeline[i].n_stage;
    return est->stage[k].turn_s;
}

struct cli_use cli_use_of(const struct workload *w, const struct plan *p, const struct estimate *est,
                          const struct cli_peaks *peaks, const int *offered) {
    int used[ZONES_MAX * GPUS_MAX], replicas = 0;
    double sequences_per_s = p->global_batch_size / est->iteration_time_s;
    struct cli_use u = {.tokens_per_s = sequences_per_s * w->model->sequence_length,
                        .offered = offered ? 0 : -1};
    plan_gpus(p, w->site, used);
    for (int k = 0; k < w->site->n_zone * w->site->n_gpu; k++) {
        u.gpus += used[k];
        if (offered) u.offered += offered[k];
    }
    for (int i = 0; i < p->n_pipeline; i++) replicas += stage_replicas(&p->pipeline[i].stage[0]);
    u.sequences = (long)est->n_microbatch * p->micro_batch_size * replicas;
    u.mfu = mfu_of(w, used, sequences_per_s, peaks);
    u.staged = breakdown_of(p, est, w->site, &u.breakdown);
    if (u.staged) u.turn_s = slowest_turn_s(p, est, &u.breakdown);
    return u;
}

void cli_use_json(cJSON *o, const struct cli_use *u) {
    const struct breakdown *b = &u->breakdown;
    json_add_number(o, "tokens_per_s", u->tokens_per_s);
    json_add_number(o, "tokens_per_s_per_gpu", u->tokens_per_s / u->gpus);
    json_add_number(o, "mfu", u->mfu);
    json_add_number(o, "gpus_used", u->gpus);
    if (u->offered >= 0) json_add_number(o, "gpus_offered", u->offered);
    json_add_number(o, "sequences_per_iteration", (double)u->sequences);
    if (!u->staged) return;
    json_add_number(o, "slowest_stage", b->slowest.stage);
    json_add_number(o, "slowest_stage_excess", slowest_excess(b));
    json_add_number(o, "bubble_share", bubble_share(b));
}

const char *cli_use_batch(const struct cli_use *u, const struct plan *p, const struct estimate *est,
                          struct arena *a) {
    long replicas = u->sequences / est->n_microbatch / p->micro_batch_size;
    const char *product = arena_printf(a, "%d x %d x %ld = %ld sequences", est->n_microbatch,
                                       p->micro_batch_size, replicas, u->sequences);
    if (u->sequences == p->global_batch_size) return arena_printf(a, "%s, the batch", product);
    return arena_printf(a, "%s for a batch of %d", product, p->global_batch_size);
}

static const char *percent(double share, struct arena *a) { return show_percent(100 * share, a); }

const char *cli_use_rate(const struct cli_use *u, const struct cli_peaks *peaks, struct arena *a) {
    const char *mfu =
        isnan(u->mfu) ? "unknown" : arena_printf(a, "%s %% of %s", percent(u->mfu, a), peaks->products);
    const char *offered = u->offered >= 0 ? arena_printf(a, " of %d", u->offered) : "";
    return arena_printf(a, "%s tokens/s, %s per GPU; MFU %s; %d%s GPUs", table_number(u->tokens_per_s, 5, a),
                        table_number(u->tokens_per_s / u->gpus, 5, a), mfu, u->gpus, offered);
}

const char *cli_use_pace(const struct cli_use *u, const struct plan *p, struct arena *a) {
    const struct breakdown *b = &u->breakdown;
    if (!u->staged) return "what its stages take is not known";
    const char *ms = table_number(1e3 * b->slowest.per_microbatch_s, 4, a);
    if (b->next.stage < 0) return arena_printf(a, "one stage, %s ms per microbatch; no bubble", ms);
    const char *in = p->n_pipeline > 1 ? arena_printf(a, " of pipeline %d", b->slowest.pipeline) : "";
    const char *turn =
        u->turn_s > 0 ? arena_printf(a, " (turn %s)", table_number(1e3 * u->turn_s, 3, a)) : "";
    return arena_printf(a, "slowest stage %d%s: %s ms per microbatch%s, %s %% above the next; bubble %s %%",
                        b->slowest.stage, in, ms, turn, percent(slowest_excess(b), a),
                        percent(bubble_share(b), a));
}
