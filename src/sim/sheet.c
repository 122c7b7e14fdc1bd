#include "sim/sheet.h"

#include <math.h>

const char *const element_name[ELEMENT_N] = {"fp32", "tf32", "bf16", "fp16"};
const char *const recompute_name[RECOMPUTE_N] = {"none", "selective", "full"};

int element_bytes_of(enum element t) { return t == ELEMENT_FP32 || t == ELEMENT_TF32 ? 4 : 2; }

static double pass_gpu_s(const struct pass *p) {
    return p->products_s + p->attention_s + p->bytes_s + p->collectives_s;
}

double pass_time_s(const struct pass *p, const struct framework *f) {
    double gpu_s = pass_gpu_s(p), longer = fmax(gpu_s, p->host_s), shorter = fmin(gpu_s, p->host_s);
    return longer > 0 ? longer * pow(1 + pow(shorter / longer, f->pass_norm), 1 / f->pass_norm) : 0;
}

/* ---- kernels ------------------------------------------------------------------------ */

static double peak_flops(const struct device *d, enum element t) {
    if (t == ELEMENT_TF32 && isnan(d->peak_flops[t])) return d->peak_flops[ELEMENT_FP32];
    if (t == ELEMENT_BF16 && isnan(d->peak_flops[t])) return d->peak_flops[ELEMENT_FP32];
    return d->peak_flops[t];
}

static double move_s(const struct device *d, double bytes) {
    return bytes / (d->memory_efficiency * d->memory_Bps);
}

double product_time_s(const struct device *d, enum element t, double m, double n, double k) {
    double compute_s = 2 * m * n * k / (d->product_efficiency * peak_flops(d, t));
    double memory_s = move_s(d, element_bytes_of(t) * (m * n + n * k + m * k));
    return fmax(compute_s, memory_s);
}

/* ---- communication ------------------------------------------------------------------ */

double sheet_allreduce_s(const struct device *d, double bytes, int n, int per_node) {
    if (n <= 1) return 0;
    double volume = 2.0 * (n - 1) / n * bytes;
    double inside_Bps = d->node_efficiency * d->node_Bps;
    if (n <= per_node) return d->collective_s + (n - 2) * d->collective_step_s + volume / inside_Bps;
    /* A ring through several nodes enters and leaves each over as many network cards as it has GPUs there,
     * with latency once per node and direction. */
    double outside_Bps = d->network_efficiency * d->network_Bps * per_node;
    double nodes = ceil((double)n / per_node);
    return d->collective_s + (per_node - 1) * d->collective_step_s + 2 * log2(nodes) * d->network_s +
           volume / fmin(inside_Bps, outside_Bps);
}

double sheet_transfer_s(const struct device *d, double bytes, bool same_node) {
    if (same_node) return d->collective_s + bytes / (d->node_efficiency * d->node_Bps);
    return d->collective_s + d->network_s + bytes / (d->network_efficiency * d->network_Bps);
}

/* ---- layers ------------------------------------------------------------------------- */

static double tokens(const struct transformer *x, const struct shard *s) {
    return (double)s->micro_batch * x->sequence / s->cp;
}

static double query_width(const struct transformer *x) { return (double)x->heads * x->head_size; }

/* Width of keys (or values) on one of tp GPUs, which has at least one head. */
static double kv_width_of(const struct transformer *x, int tp) {
    return (double)((x->kv_heads + tp - 1) / tp) * x->head_size;
}

/* Width of all feed-forward parts that a token passes. */
static double active_ffn(const struct transformer *x) {
    return (double)x->ffn * (x->active_experts ? x->active_experts : 1);
}

/* Group size inside one node of a communicator that starts at a node's first GPU. */
static int in_node(const struct shard *s, int n) { return n < s->gpus_per_node ? n : s->gpus_per_node; }

static double linear_products_s(const struct device *d, const struct transformer *x, const struct shard *s) {
    double n = tokens(x, s), h = x->hidden, t = s->tp;
    double qkv = query_width(x) / t + 2 * kv_width_of(x, s->tp), ffn = active_ffn(x) / t;
    return product_time_s(d, s->element, n, qkv, h) +
           product_time_s(d, s->element, n, h, query_width(x) / t) +
           product_time_s(d, s->element, n, (x->gated ? 2 : 1) * ffn, h) +
           product_time_s(d, s->element, n, h, ffn);
}

/* Of all heads on a GPU, one for each of its tokens and each token of the sequence. */
static double scores(const struct transformer *x, const struct shard *s) {
    return tokens(x, s) * x->sequence * x->heads / s->tp;
}

/* The two batched products of attention. With context parallelism each GPU has its share of the queries, but
 * sees all keys. Unless that is flash attention, one product writes the scores and the other reads them; a
 * head is narrow, so memory may be what they wait for. */
static double attention_s(const struct device *d, const struct framework *f, const struct transformer *x,
                          const struct shard *s) {
    double flops = 4 * tokens(x, s) * x->sequence * query_width(x) / s->tp * (f->flash_attention ? 0.5 : 1);
    double compute_s = flops / (d->attention_efficiency * peak_flops(d, s->element));
    if (f->flash_attention) return compute_s;
    return fmax(compute_s, 2 * move_s(d, scores(x, s) * element_bytes_of(s->element)));
}

static double scores_s(const struct device *d, const struct framework *f, const struct transformer *x,
                       const struct shard *s) {
    if (f->flash_attention) return 0;
    return move_s(d, f->score_bytes * scores(x, s) * element_bytes_of(s->element) / 2);
}

/* A tensor that fits in the cache together with its source need not come from memory. */
static double cached_speedup(const struct device *d, double tensor_bytes) {
    return 1 + (d->cache_speedup - 1) * fmin(1, d->cache_bytes / (2 * tensor_bytes));
}

static double elementwise_s(const struct device *d, const struct framework *f, const struct transformer *x,
                            const struct shard *s) {
    double wide =
        (x->gated ? 6.0 : 4.0) * active_ffn(x) / s->tp; /* into and out of the activation function */
    double bytes = f->whole_bytes * x->hidden / (s->sequence_parallel ? s->tp : 1) +
                   f->split_bytes * x->hidden / s->tp + wide;
    double width = element_bytes_of(s->element), tensor = tokens(x, s) * x->hidden * width;
    return move_s(d, tokens(x, s) * bytes * width / 2) / cached_speedup(d, tensor);
}

/* After attention and after the feed-forward part the partial sums of the GPUs are added up. */
static double tensor_s(const struct device *d, const struct transformer *x, const struct shard *s) {
    double bytes = tokens(x, s) * x->hidden * element_bytes_of(s->element);
    return 2 * sheet_allreduce_s(d, bytes, s->tp, in_node(s, s->tp)) * (1 - d->hidden_collectives);
}

/* Keys and values go round the context-parallel ring while attention works on those already there. */
static double ring_s(const struct device *d, const struct transformer *x, const struct shard *s,
                     double attention) {
    if (s->cp == 1) return 0;
    double bytes = 2 * tokens(x, s) * kv_width_of(x, s->tp) * element_bytes_of(s->element);
    bool inside = s->tp * s->cp <= s->gpus_per_node;
    double ring = (s->cp - 1) * sheet_transfer_s(d, bytes, inside);
    return fmax(0, ring - attention);
}

static double tensor_launches(const struct framework *f, const struct shard *s) {
    return s->tp > 1 ? 2 * f->collective_launches : 0;
}

static double softmax_launches(const struct framework *f, const struct transformer *x,
                               const struct shard *s) {
    bool fused = !f->softmax_multiple || s->micro_batch * x->heads / s->tp % f->softmax_multiple == 0;
    return fused ? 0 : f->softmax_launches;
}

/* The products of the backward pass take transposed matrices, which tensor cores load at full rate in 16 bit
 * only. */
static double backward_slowdown(const struct device *d, enum element t) {
    return t == ELEMENT_TF32 && d->tf32_backward > 0 ? 1 / d->tf32_backward : 1;
}

void block_time(const struct device *d, const struct framework *f, const struct transformer *x,
                const struct shard *s, struct pass *forward, struct pass *backward) {
    double attention = attention_s(d, f, x, s), scores = scores_s(d, f, x, s);
    double tensor = tensor_s(d, x, s), ring = ring_s(d, x, s, attention);
    double more = tensor_launches(f, s) + softmax_launches(f, x, s);
    struct pass fw = {.products_s = linear_products_s(d, x, s),
                      .attention_s = attention,
                      .bytes_s = elementwise_s(d, f, x, s) + scores,
                      .collectives_s = tensor + ring,
                      .host_s = (f->block_launches + more) * d->launch_s};
    /* In the backward pass, flash attention recomputes the scores, and sequence parallelism gathers the
     * inputs of its products again. Gradients of keys and values go round the ring with them. */
    double slower = backward_slowdown(d, s->element);
    struct pass bw = {.products_s = 2 * fw.products_s * slower,
                      .attention_s = f->flash_attention ? 2.5 * attention : 2 * attention * slower,
                      .bytes_s = 2 * fw.bytes_s,
                      .collectives_s = (s->sequence_parallel ? 1.5 : 1) * tensor + 2 * ring,
                      .host_s = (f->backward_launches + more) * d->launch_s};
    if (s->recompute == RECOMPUTE_FULL) {
        bw.products_s += fw.products_s;
        bw.attention_s += fw.attention_s;
        bw.bytes_s += fw.bytes_s;
        bw.collectives_s += fw.collectives_s;
        bw.host_s += fw.host_s;
    }
    if (s->recompute == RECOMPUTE_SELECTIVE) {
        bw.attention_s += attention;
        bw.bytes_s += scores;
    }
    *forward = fw;
    *backward = bw;
}

void embedding_time(const struct device *d, const struct framework *f, const struct transformer *x,
                    const struct shard *s, struct pass *forward, struct pass *backward) {
    double bytes = tokens(x, s) * x->hidden * element_bytes_of(s->element);
    double sum = sheet_allreduce_s(d, bytes, s->tp, in_node(s, s->tp));
    *forward = (struct pass){.bytes_s = move_s(d, 6 * bytes), .collectives_s = sum};
    *backward = (struct pass){.bytes_s = move_s(d, 4 * bytes)};
    forward->host_s = f->block_launches / 2 * d->launch_s;
    backward->host_s = f->backward_launches / 2 * d->launch_s;
}

/* The loss works on logits in fp32: copy, subtract the maximum, exponentials, sum, and as many passes
 * backward. */
void head_time(const struct device *d, const struct framework *f, const struct transformer *x,
               const struct shard *s, struct pass *forward, struct pass *backward) {
    double n = tokens(x, s), logits = n * x->vocabulary / s->tp, h = x->hidden;
    double products = product_time_s(d, s->element, n, (double)x->vocabulary / s->tp, h);
    double bytes = n * h * element_bytes_of(s->element);
    double slower = s->tp == 1 ? f->lone_head : 1;
    *forward = (struct pass){.products_s = slower * products,
                             .bytes_s = slower * move_s(d, 16 * logits + 4 * bytes)};
    *backward = (struct pass){.products_s = slower * 2 * products * backward_slowdown(d, s->element),
                              .bytes_s = slower * move_s(d, 10 * logits + 6 * bytes),
                              .collectives_s = sheet_allreduce_s(d, bytes, s->tp, in_node(s, s->tp))};
    forward->host_s = f->block_launches * d->launch_s;
    backward->host_s = f->backward_launches * d->launch_s;
}

/* ---- sizes -------------------------------------------------------------------------- */

static double norm_params(const struct transformer *x) { return (x->rms_norm ? 1.0 : 2.0) * x->hidden; }

static double embedding_width(const struct transformer *x) {
    return x->embedding_size ? x->embedding_size : x->hidden;
}

double block_params(const struct transformer *x, int tp) {
    double h = x->hidden, q = query_width(x) / tp, kv = kv_width_of(x, tp), ffn = (double)x->ffn / tp;
    double experts = x->experts ? x->experts : 1, wide = x->gated ? 2 : 1;
    double params = h * (q + 2 * kv) + q * h + experts * (wide + 1) * h * ffn;
    params += x->experts * h; /* the router */
    params += (x->one_norm ? 1 : 2) * norm_params(x) + (x->qk_norm ? 2 * x->head_size : 0);
    params += (x->qkv_biases ? q + 2 * kv : 0) + (x->out_biases ? h : 0);
    return params + (x->ffn_biases ? experts * (wide * ffn + h) : 0);
}

static double vocabulary_params(const struct transformer *x, int tp) {
    return ceil((double)x->vocabulary / tp) * embedding_width(x);
}

/* An embedding of another width takes one product into the width of the blocks, and one back before the
 * output matrix. */
double embedding_params(const struct transformer *x, int tp) {
    double into = x->embedding_size ? embedding_width(x) * x->hidden : 0;
    return vocabulary_params(x, tp) + into + (double)x->positions * x->hidden;
}

double head_params(const struct transformer *x, int tp) {
    double back = x->embedding_size ? embedding_width(x) * x->hidden : 0,
           norm = x->no_final_norm ? 0 : norm_params(x);
    return norm + back + (x->tied ? 0 : vocabulary_params(x, tp)) +
           (x->head_bias ? ceil((double)x->vocabulary / tp) : 0);
}

double tied_params(const struct transformer *x, int tp) { return x->tied ? vocabulary_params(x, tp) : 0; }

double block_flops(const struct transformer *x) {
    double h = x->hidden, s = x->sequence, q = query_width(x), kv = (double)x->kv_heads * x->head_size;
    double experts = x->experts ? x->active_experts : 1;
    double weights = 2 * h * (q + kv) + experts * (x->gated ? 3 : 2) * h * x->ffn;
    return 3 * (2 * s * weights + 4 * s * s * q);
}

double head_flops(const struct transformer *x) {
    return 3 * 2 * (double)x->sequence * embedding_width(x) * x->vocabulary;
}

/* arXiv 2205.05198, section 4, for attention that keeps its scores and dropout masks; with flash attention
 * and no dropout, what products, norms and activation functions need for the backward pass. */
double block_kept_bytes(const struct framework *f, const struct transformer *x, const struct shard *s) {
    double n = tokens(x, s), h = x->hidden, t = s->tp, width = element_bytes_of(s->element);
    double whole = s->sequence_parallel ? t : 1; /* divides what tensor parallelism alone does not */
    if (s->recompute == RECOMPUTE_FULL) return width * n * h / whole;
    if (f->flash_attention) {
        double wide = (x->gated ? 3.0 : 2.0) * active_ffn(x);
        return width * n * (4 * h / whole + (2 * query_width(x) + wide) / t + 2 * kv_width_of(x, s->tp));
    }
    double unit = width / 2; /* the paper counts 16-bit elements and one-byte masks */
    double kept = unit * n * (8 * h / whole + (8 * h + 4 * active_ffn(x)) / t) + n * h * 2 / whole;
    double scores = n * x->sequence * x->heads / t;
    return kept + (s->recompute == RECOMPUTE_NONE ? (4 * unit + 1) * scores : 0);
}
