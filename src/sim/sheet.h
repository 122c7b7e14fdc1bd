#ifndef SAILOR_SIM_SHEET_H
#define SAILOR_SIM_SHEET_H
#include <stdbool.h>
/* What a GPU and a framework promise on paper, and what one transformer block takes on them. Pure: figures
 * in, seconds out. The figures come from inputs/devices.json and inputs/frameworks.json, each with its
 * source; docs/estimator.md derives the formulas. */

enum element { ELEMENT_FP32, ELEMENT_TF32, ELEMENT_BF16, ELEMENT_FP16, ELEMENT_N };
extern const char *const element_name[ELEMENT_N]; /* "fp32", "tf32", "bf16", "fp16" */

/** Bytes that one element takes in memory: tf32 is a way to multiply fp32. */
int element_bytes_of(enum element t);

enum recompute { RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL, RECOMPUTE_N };
extern const char *const recompute_name[RECOMPUTE_N]; /* "none", "selective" (attention alone), "full" */

/* A GPU in its node. Efficiencies are fractions of the figure on the sheet, in (0, 1]. */
struct device {
    const char *name, *source;
    double peak_flops[ELEMENT_N]; /* dense products; NAN = the device has no such unit */
    double memory_bytes, memory_Bps, cache_bytes;
    int gpus_per_node;
    double node_Bps;    /* one GPU to the others of its node, one direction */
    double network_Bps; /* a GPU's share of the node's network, one direction */

    double product_efficiency;   /* of the peak, by large products */
    double attention_efficiency; /* of the peak, by attention's own products */
    double memory_efficiency;    /* of the memory's bandwidth, by element-wise kernels */
    double cache_speedup;        /* over memory, of element-wise kernels on tensors that stay in the cache */
    double launch_s;             /* host time of one kernel launch from the framework's Python */
    double collective_s;         /* latency of a collective inside a node */
    double collective_step_s;    /* more for each further GPU */
    double node_efficiency;      /* of node_Bps, by collectives */
    double hidden_collectives;   /* fraction of a block's collectives that recipes for this GPU run beside
                                    products */
    double network_s;            /* latency of a step over the network */
    double context_bytes;        /* context, libraries and communication on every GPU */
    double launch_bound;         /* time of passes that launches bound, over that of layers timed alone */
    double network_efficiency;   /* of network_Bps, by collectives and transfers */
    double ring_share;           /* of links measured alone, what rings of gradients reach */
    double tf32_backward; /* rate of products of the backward pass in tf32, over that of the forward pass */
};

/* A training framework as people run it. */
struct framework {
    const char *name, *source;
    bool flash_attention;       /* attention keeps no scores, and skips what the causal mask hides */
    bool sheds_gradients;       /* gradients are reduced while the last backward pass still runs */
    bool hides_transfers;       /* sends and receives between stages run beside the computation */
    double block_launches;      /* kernels launched by the forward pass of a block */
    double backward_launches;   /* the same of its backward pass */
    double collective_launches; /* the host's work for a collective, in launches */
    double softmax_launches;    /* more kernels where the fused softmax does not take the shape, */
    int softmax_multiple;       /* which are heads x microbatch that this does not divide; 0 = it takes all */
    double lone_head;           /* times that the output matrix and the loss take longer at tp 1 */
    double pass_norm;           /* exponent p of pass_time_s() */
    double whole_bytes;         /* moved by element-wise kernels, per token and hidden element, 16 bit */
    double split_bytes;         /* the same, for the part that tensor parallelism divides */
    double score_bytes;         /* per attention score, unless flash_attention */
    double iteration_s;         /* host work once per iteration: loss, scale, norm, logging */

    double parameter_bytes, gradient_bytes, optimizer_bytes, master_bytes; /* kept, per parameter */
    double reduced_bytes;   /* sent by the gradient reduction, per parameter */
    double update_bytes;    /* moved by the optimizer step, per parameter */
    double staging_s_per_B; /* host work of a stage on a message that it receives */
    double eager_bytes;     /* of a message, taken by the network before the receiver is ready, per rank */
    double reserved_factor; /* memory reserved by the allocator over memory handed out */
};

/* A decoder-only transformer: embedding, blocks, final norm and output matrix. */
struct transformer {
    int layers, hidden, ffn, heads, kv_heads, head_size, vocabulary, sequence;
    int positions;      /* rows of a learned table; 0 = none */
    int embedding_size; /* width of the embedding where it is not that of the blocks, else 0 */
    int experts,
        active_experts; /* feed-forward parts of a block, and those that a token passes; 0 = one, dense */
    bool gated;         /* three feed-forward matrices instead of two */
    bool tied;          /* the output matrix is the embedding */
    bool qkv_biases, out_biases, ffn_biases, head_bias;
    bool rms_norm; /* gains alone, no biases */
    bool qk_norm;  /* one more norm of a head's size for queries, one for keys */
    bool
        one_norm; /* attention and feed-forward part of a block share their norm, as they work side by side */
    bool no_final_norm;
};

/* What a model is made of, where its file says so: enough to estimate its layers from a data sheet. */
struct model_shape {
    struct transformer transformer;
    bool keeps_scores; /* attention keeps its scores: it is not flash attention */
    bool sequence_parallel;
    enum recompute recompute;
    int context_parallel; /* of an estimate; no file says it of a model */
};

/* How one GPU shares a block's work with others. */
struct shard {
    int tp, cp;
    bool sequence_parallel;
    enum recompute recompute;
    enum element element;
    int micro_batch;
    int gpus_per_node;
};

/* Seconds of one pass on the GPU by cause, and of the host that launches it; a pass takes the longer one. */
struct pass {
    double products_s, attention_s, bytes_s, collectives_s, host_s;
};
/** (gpu^p + host^p)^(1/p): of the kernels of a pass some wait for the host and others for the one before. */
double pass_time_s(const struct pass *p, const struct framework *f);

/** One dense product of m x k by k x n elements. */
double product_time_s(const struct device *d, enum element t, double m, double n, double k);

/** All-reduce of `bytes` over n GPUs, `per_node` of which share a node. Reduce-scatter and all-gather take
 *  half of it each. */
double sheet_allreduce_s(const struct device *d, double bytes, int n, int per_node);
/** One message between two GPUs of a node, or of two nodes. */
double sheet_transfer_s(const struct device *d, double bytes, bool same_node);

/** One transformer block, the embedding, and the final norm with the output matrix and the loss: forward and
 *  backward pass of one microbatch, recomputation being part of the backward pass. */
void block_time(const struct device *d, const struct framework *f, const struct transformer *x,
                const struct shard *s, struct pass *forward, struct pass *backward);
void embedding_time(const struct device *d, const struct framework *f, const struct transformer *x,
                    const struct shard *s, struct pass *forward, struct pass *backward);
void head_time(const struct device *d, const struct framework *f, const struct transformer *x,
               const struct shard *s, struct pass *forward, struct pass *backward);

/** Parameters on one of tp GPUs. A tied output matrix counts nothing here. */
double block_params(const struct transformer *x, int tp);
double embedding_params(const struct transformer *x, int tp);
double head_params(const struct transformer *x, int tp);
/** That matrix on GPUs that do not hold the embedding; 0 if it is not tied. */
double tied_params(const struct transformer *x, int tp);

/** Operations of the matrix products for one sequence, forward and backward (three times forward), with
 * attention over all of sequence x sequence: the usual convention for model FLOP utilisation. */
double block_flops(const struct transformer *x);
double head_flops(const struct transformer *x);

/** Bytes of activations that a block keeps for its backward pass, for one microbatch. */
double block_kept_bytes(const struct framework *f, const struct transformer *x, const struct shard *s);

#endif
