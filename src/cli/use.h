#ifndef SAILOR_CLI_USE_H
#define SAILOR_CLI_USE_H
#include "sim/breakdown.h"
#include <cjson/cJSON.h>
/* What a plan makes of its GPUs: the figures by which people judge a training run, the same wherever they are
 * shown. */

/** Peaks of a site's GPU types in products of this element size, as inputs/devices.json has them. */
struct cli_peaks {
    const char *products;         /* "tf32/fp32", "bf16/fp16": the second where there is no first */
    double flops_per_s[GPUS_MAX]; /* NAN: not known */
};
/** If the file is missing or wrong, no peak is known: with `say`, a line on stderr. `inputs` as --inputs. */
void cli_peaks_load(struct cli_peaks *peaks, const struct site *s, int element_bytes, const char *inputs,
                    bool say);

struct cli_use {
    double tokens_per_s;
    int gpus, offered; /* offered: -1 = not said */
    double mfu;        /* NAN: not known */
    long sequences;    /* M x m x D, of all pipelines */
    bool staged;       /* is there a breakdown? */
    struct breakdown breakdown;
    /* of its slowest stage: part of its time per microbatch that is neither compute nor comm */
    double turn_s;
};
/** offered[n_zone * n_gpu]: GPUs to choose from, of those the types and zones that are there; NULL = not
 * said. */
struct cli_use cli_use_of(const struct workload *w, const struct plan *p, const struct estimate *est,
                          const struct cli_peaks *peaks, const int *offered);
/** Its keys of a JSON object. */
void cli_use_json(cJSON *o, const struct cli_use *u);
/** "4 x 8 x 16 = 512 sequences, the batch": microbatches, sequences of one, replicas. */
const char *cli_use_batch(const struct cli_use *u, const struct plan *p, const struct estimate *est,
                          struct arena *a);
/** "1234.5 tokens/s, 9.64 per GPU; MFU 31.2 % of tf32/fp32; 128 of 160 GPUs" */
const char *cli_use_rate(const struct cli_use *u, const struct cli_peaks *peaks, struct arena *a);
/** "slowest stage 2: 85.1 ms per microbatch (turn 4.7), 12.3 % above the next; bubble 8.1 %" */
const char *cli_use_pace(const struct cli_use *u, const struct plan *p, struct arena *a);
#endif
