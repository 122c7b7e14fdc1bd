#ifndef SAILOR_FORMATS_DEVICES_H
#define SAILOR_FORMATS_DEVICES_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/sheet.h"
/* What vendors promise about a device and what frameworks keep: inputs/devices.json and
 * inputs/frameworks.json (docs/formats.md). `text` is the file, `file` its name in messages. Not
 * collective. */

/** Peak of one device in dense matrix products of this type ("fp32", "tf32", "bf16", "fp16"). It is looked up
 * by the name that the device reports (a place behind it, as in "NVIDIA H200 (0000:18:00.0)", is ignored), or
 * else by the GPU type; either may be NULL. A device without tf32 uses fp32 instead. `text` is the file,
 * `file` its name in messages. *flops_per_s is NAN where nothing is known. -1 with *e set (EXIT_INPUT) for a
 * file that is wrong. */
int devices_peak(const char *file, const char *text, const char *device, const char *gpu,
                 const char *products, double *flops_per_s, struct err *e);

/** The data sheet of a GPU type, or of what a device calls itself, into *d. 1 with *e set (EXIT_INPUT) where
 * the type is not there or has no "sheet"; `where` starts that message. -1 with *e set for a file that is
 * wrong. */
int devices_sheet(const char *file, const char *text, const char *gpu, const char *where, struct device *d,
                  struct arena *a, struct err *e);

/** Every device of the file, in its order. */
struct device_entry {
    const char **names; /* [n_names] the first is that of a GPU type; a star at its end: how a name begins */
    int n_names;
    bool sheet;      /* without one only d.name and d.peak_flops are set */
    struct device d; /* its name is the first of them */
};
int devices_all(const char *file, const char *text, struct device_entry **entries, int *n, struct arena *a,
                struct err *e);

/** The data sheet that devices_sheet() finds, of a file that was read. Only 0 or 1. */
int devices_find(const char *file, const struct device_entry *list, int n, const char *gpu, const char *where,
                 struct device *d, struct arena *a, struct err *e);

/** A framework of inputs/frameworks.json by its name. -1 with *e set, also where it is not there. */
int frameworks_find(const char *file, const char *text, const char *name, const char *where,
                    struct framework *f, struct arena *a, struct err *e);
#endif
