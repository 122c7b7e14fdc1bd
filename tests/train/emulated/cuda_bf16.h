#ifndef EMULATED_CUDA_BF16_H
#define EMULATED_CUDA_BF16_H
extern "C" {
#include "train/elem.h"
}
/* bf16 under CUDA's names. */
struct __nv_bfloat16 {
    bf16 value;
};
static inline float __bfloat162float(__nv_bfloat16 x) { return bf16_value(x.value); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {bf16_round(x)}; }
#endif
