#ifndef SAILOR_FORMATS_SHAPE_H
#define SAILOR_FORMATS_SHAPE_H
#include "io/json.h"
#include "sim/sheet.h"
#include "sim/tables.h"
/* Models that are known by their shape: their files are written, and profiles estimated, from it. */

/** The object "transformer" of a model file. `sequence` is the model's. -1 with *e set. */
int shape_read(const struct json_at *at, int sequence, struct model_shape *s, struct err *e);

/** Why these degrees: does tp divide what it must? */
bool shape_takes_tp(const struct transformer *x, int tp);

/** Parameters that all GPUs of one replica hold together, and those that a token passes through. */
double shape_params(const struct transformer *x);
double shape_active_params(const struct transformer *x);

/** 16-bit elements that a block keeps per sequence for its backward pass, on one of tp GPUs. */
double shape_kept(const struct model_shape *s, enum recompute recompute, int tp);

/* What a trainer needs to know beside sizes; 0 and NULL: as in GPT-2. */
struct shape_words {
    const char *family, *activation;
    double norm_epsilon, rope_theta;
    const char *rope_type; /* "llama3", for which the four numbers hold, or another one; NULL: plain */
    double rope_factor, rope_low, rope_high, rope_original;
    int position_offset;   /* row of the first token in the table of positions */
    int window;            /* tokens that a token sees, including itself */
    const char *window_of; /* "odd": of every other block, the second one first */
    bool unscaled;         /* attention scores are not divided by the root of the head's size */
};

/** A model file. `words` and `source` are for people and for the trainer. */
void shape_write_model(struct text *t, const char *name, const struct shape_words *words, const char *source,
                       const struct model_shape *s);

/** A profile file with estimated times: microbatches 1 to 64, and the degrees that fit into a node and that
 * the model has sizes for; `o` NULL: the model's own options. -1 with *e set (EXIT_INPUT) if the GPU does not
 * multiply in this type. */
int shape_write_profile(struct text *t, const struct model *m, const struct device *d,
                        const struct framework *f, const char *dtype, const struct plan_options *o,
                        struct err *e);
#endif
