#include "train/cuda.h"

#ifndef SAILOR_VERSION
#define SAILOR_VERSION "unknown"
#endif

const char *cuda_version(void) { return SAILOR_VERSION; }
