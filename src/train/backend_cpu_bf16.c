/* The CPU backend once more: elements are stored as bf16, and computed with as float. */
#define BACKEND_STORES_BF16
#define backend_cpu_open backend_cpu_bf16_open
#include "train/backend_cpu.c"
