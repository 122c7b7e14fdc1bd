#ifndef SAILOR_FORMATS_DEVICES_H
#define SAILOR_FORMATS_DEVICES_H
#include "base/err.h"
/* What the vendors promise of a device: inputs/devices.json (docs/formats.md). Not collective. */

/** Peak of one device in dense matrix products of this type ("fp32", "tf32", "bf16", "fp16"). It is looked up
 * by the name that the device reports (a place behind it, as in "NVIDIA H200 (0000:18:00.0)", is ignored), or
 * else by the GPU type; either may be NULL. A device without tf32 uses fp32 instead. `text` is the file,
 * `file` its name in messages. *flops_per_s is NAN where nothing is known. -1 with *e set (EXIT_INPUT) for a
 * file that is wrong. */
int devices_peak(const char *file, const char *text, const char *device, const char *gpu,
                 const char *products, double *flops_per_s, struct err *e);
#endif
