#ifndef SAILOR_IMPORT_CONFIG_H
#define SAILOR_IMPORT_CONFIG_H
#include "base/arena.h"
#include "base/err.h"
#include "formats/shape.h"
/* A model's config.json as Hugging Face's transformers write it -> its shape. */

struct config {
    const char *name;         /* last part of "_name_or_path", or NULL */
    struct shape_words words; /* family: "model_type"; activation: as the file spells it */
    int longest;              /* tokens that positions reach */
    struct transformer shape; /* sequence is 0: that is up to whoever trains it */
};

/** Reads the text of such a file; `file` names it in messages. -1 with *e set (EXIT_INPUT) for a family that
 *  is not known, and for a file that lacks a figure or has one that this family cannot have. */
int config_read(const char *file, const char *text, struct config *c, struct arena *a, struct err *e);
#endif
