#include "sim/forecast.h"
#include "sim/terms.h"

#include <math.h>
#include <stddef.h>

static int min_int(int a, int b) { return a < b ? a : b; }

const char *run_setup_fault(const struct run_setup *r) {
    if (r->model.layers < r->pp) return "fewer layers than pipeline stages";
    if (r->vp > 1 && r->pp < 2) return "virtual stages without a pipeline";
    return NULL;
}

/* A last microbatch that is not full counts as a full one. */
int run_microbatches(const struct run_setup *r) {
    int per_step = r->shard.micro_batch * r->dp;
    return (r->global_batch + per_step - 1) / per_step;
}

int run_stage_blocks(const struct run_setup *r, int stage) {
    int rest = r->model.layers % r->pp; /* one more on some stages that hold neither embedding nor head */
    int from = (r->pp - rest + 1) / 2;
    return r->model.layers / r->pp + (stage >= from && stage < from + rest ? 1 : 0);
}

/* ---- memory ------------------------------------------------------------------------- */

double memory_total(const struct memory_parts *m) {
    return m->parameters + m->gradients + m->optimizer + m->master + m->activations + m->logits + m->buffers;
}

static double stage_params(const struct run_setup *r, int stage) {
    const struct transformer *x = &r->model;
    int tp = r->shard.tp;
    double params = run_stage_blocks(r, stage) * block_params(x, tp);
    if (stage == 0) params += embedding_params(x, tp);
    if (stage == r->pp - 1) params += head_params(x, tp);
    if (stage == r->pp - 1 && r->pp > 1) params += tied_params(x, tp);
    return params;
}

/* Microbatches whose activations a stage holds at once, weighted by the part of its layers that they have
 * passed: with interleaving the first pass through a stage's first part starts early. */
static double in_flight(const struct run_setup *r, int stage) {
    int P = r->pp, M = run_microbatches(r);
    if (r->vp == 1) return min_int(M, P - stage);
    return parts_in_flight(P, stage, r->vp, M);
}

static double stage_tokens(const struct run_setup *r) {
    return (double)r->shard.micro_batch * r->model.sequence / r->shard.cp;
}

/* At the peak of a block's backward pass, beside all that it keeps. Its feed-forward part goes back first:
 * the last matrix, whose gradient is there as computed and in fp32; the activation function, for which the
 * input of that matrix is no longer needed; then the first matrix, wide as it is, after the function's input
 * is gone. */
static double backward_bytes(const struct framework *f, const struct run_setup *r) {
    const struct transformer *x = &r->model;
    double width = element_bytes_of(r->shard.element), unit = width * stage_tokens(r);
    double h = x->hidden, ffn = x->ffn / (double)r->shard.tp, into = x->gated ? 2 * ffn : ffn;
    double matrix = f->sheds_gradients ? (width + f->gradient_bytes) * h : 0;
    double last = unit * (h + ffn) + matrix * ffn, function = unit * (h + into),
           first = unit * (2 * h - ffn) + matrix * into;
    return fmax(fmax(last, function), first);
}

struct memory_parts run_stage_memory(const struct framework *f, const struct run_setup *r, int stage) {
    double params = stage_params(r, stage), n = stage_tokens(r);
    double owners = r->zero ? (double)r->dp * r->shard.cp : 1; /* GPUs that share one copy of the state */
    struct memory_parts m = {.parameters = f->parameter_bytes * params,
                             .gradients = f->gradient_bytes * params,
                             .optimizer = f->optimizer_bytes * params / owners,
                             .master = f->master_bytes * params / owners};
    double width = element_bytes_of(r->shard.element);
    m.activations =
        in_flight(r, stage) * run_stage_blocks(r, stage) * block_kept_bytes(f, &r->model, &r->shard);
    /* The loss comes before the backward pass of the blocks: the higher of the two peaks counts. */
    double logits = stage == r->pp - 1 ? (width + 4) * n * r->model.vocabulary / r->shard.tp : 0;
    double backward = backward_bytes(f, r);
    if (logits > backward)
        m.logits = logits;
    else
        m.buffers = backward;
    return m;
}

/* ---- time --------------------------------------------------------------------------- */

struct stage_time {
    double forward_s, backward_s;
};

static struct stage_time stage_time(const struct device *d, const struct framework *f,
                                    const struct run_setup *r, int stage) {
    struct stage_time t = {0};
    struct pass forward, backward;
    block_time(d, f, &r->model, &r->shard, &forward, &backward);
    t.forward_s += run_stage_blocks(r, stage) * pass_time_s(&forward, f);
    t.backward_s += run_stage_blocks(r, stage) * pass_time_s(&backward, f);
    if (stage == 0) {
        embedding_time(d, f, &r->model, &r->shard, &forward, &backward);
        t.forward_s += pass_time_s(&forward, f);
        t.backward_s += pass_time_s(&backward, f);
    }
    if (stage == r->pp - 1) {
        head_time(d, f, &r->model, &r->shard, &forward, &backward);
        t.forward_s += pass_time_s(&forward, f);
        t.backward_s += pass_time_s(&backward, f);
    }
    return t;
}

static int gpus_of_a_stage(const struct run_setup *r) { return r->shard.tp * r->shard.cp * r->dp; }

/* Where one stage hands over to the next. */
static bool same_node(const struct run_setup *r, int stage) {
    int n = gpus_of_a_stage(r), node = r->shard.gpus_per_node;
    return (stage * n) / node == ((stage + 2) * n - 1) / node;
}

/* One activation, or one gradient, from stage to stage + 1; each tensor-parallel rank sends its part. */
static double hop_s(const struct device *d, const struct run_setup *r, int stage) {
    double bytes = stage_tokens(r) * r->model.hidden * element_bytes_of(r->shard.element);
    if (same_node(r, stage)) return sheet_transfer_s(d, bytes, true);
    return sheet_transfer_s(d, bytes / r->shard.tp, false) +
           (r->shard.sequence_parallel ? 0 : sheet_allreduce_s(d, bytes, r->shard.tp, r->shard.tp) / 2);
}

/* The slowest stage sets the pace of M microbatches; the others count once, while the pipeline fills and
 * empties, and v virtual stages divide that wait by v. */
static void pipeline_time(const struct device *d, const struct framework *f, const struct run_setup *r,
                          struct forecast *out, double *pass_s) {
    int P = r->pp, M = run_microbatches(r);
    double slowest = 0, sum = 0;
    *pass_s = 0;
    for (int i = 0; i < P; i++) {
        struct stage_time t = stage_time(d, f, r, i);
        double hops = (i > 0 ? hop_s(d, r, i - 1) : 0) + (i < P - 1 ? hop_s(d, r, i) : 0);
        double own = t.forward_s + t.backward_s;
        sum += own + hops * r->vp;
        slowest = fmax(slowest, own + (f->hides_transfers ? 0 : hops * r->vp));
        *pass_s = fmax(*pass_s, own);
    }
    out->compute_s = M * slowest;
    out->bubble_s = fmax(0, sum - slowest) / r->vp;
}

/* Members of a data-parallel group that share a node: they stand tp x cp apart. */
static int replicas_per_node(const struct run_setup *r) {
    int apart = r->shard.tp, n = r->shard.gpus_per_node / apart;
    return n < 1 ? 1 : n;
}

/* Gradients are reduced once per iteration. A framework that overlaps this starts once a part of the model
 * has seen its last microbatch, and gathers updated parameters while the first ones go forward: with v
 * virtual stages, v - 1 parts are done P microbatches before the end; else only the last pass is left to hide
 * behind. The last share, about a block's, is never hidden. */
static double sync_time(const struct device *d, const struct framework *f, const struct run_setup *r,
                        double pass_s) {
    int n = r->dp * r->shard.cp, per_node = min_int(n, replicas_per_node(r));
    double bytes = r->zero ? (f->reduced_bytes + f->parameter_bytes) / 2 : f->reduced_bytes;
    double worst = 0;
    for (int i = 0; i < r->pp; i++)
        worst = fmax(worst, sheet_allreduce_s(d, bytes * stage_params(r, i), n, per_node));
    double ties = 0;
    if (r->model.tied && r->pp > 1) {
        double matrix = f->reduced_bytes * tied_params(&r->model, r->shard.tp);
        ties = sheet_allreduce_s(d, matrix, 2, same_node(r, 0) && r->pp == 2 ? 2 : 1);
    }
    if (!f->sheds_gradients) return worst + ties;
    double hidden_s = r->vp > 1 ? r->pp * pass_s * (r->vp - 1) / r->vp : pass_s;
    return fmax(worst - hidden_s, worst / (1 + run_stage_blocks(r, 0))) + ties;
}

static double update_time(const struct device *d, const struct framework *f, const struct run_setup *r) {
    double owners = r->zero ? (double)r->dp * r->shard.cp : 1, params = 0;
    for (int i = 0; i < r->pp; i++) params = fmax(params, stage_params(r, i));
    return f->iteration_s + f->update_bytes * params / owners / (d->memory_efficiency * d->memory_Bps);
}

struct forecast run_forecast(const struct device *d, const struct framework *f, const struct run_setup *r) {
    struct forecast out = {0};
    double pass_s, most = -1;
    pipeline_time(d, f, r, &out, &pass_s);
    out.sync_s = sync_time(d, f, r, pass_s);
    out.update_s = update_time(d, f, r);
    out.iteration_time_s = out.compute_s + out.bubble_s + out.sync_s + out.update_s;
    for (int i = 0; i < r->pp; i++) {
        struct memory_parts m = run_stage_memory(f, r, i);
        if (memory_total(&m) <= most) continue;
        most = memory_total(&m);
        out.memory = m;
        out.fullest_stage = i;
    }
    return out;
}
