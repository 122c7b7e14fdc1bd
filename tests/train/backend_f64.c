/* The CPU backend once more, in double precision: for comparing gradients with differences. */
#define BACKEND_REAL_IS_DOUBLE
#define backend_cpu_open backend_f64_open
#include "train/backend_cpu.c"
