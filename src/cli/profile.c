#include "cli/cli.h"
#include "formats/devices.h"
#include "formats/inputs.h"
#include "formats/shape.h"
#include "io/file.h"

#include <string.h>

/* sailor profile */

static const char *const dtypes[] = {"fp32", "bf16", "fp16", NULL};

static struct {
    const char *output, *gpu, *framework, *inputs;
    bool force;
    int dtype;
} o;

static const struct opt options[] = {
    OPTION_TEXT(0, "gpu", "NAME", &o.gpu,
                "GPU type to estimate for; it needs a data sheet in inputs/devices.json"),
    OPTION_CHOICE(0, "dtype", dtypes, &o.dtype,
                  "element type: fp32 (the default, as for jobs), bf16 or fp16"),
    OPTION_TEXT(0, "framework", "NAME", &o.framework,
                "framework from inputs/frameworks.json; default: megatron-deepspeed-fp32 in fp32, else "
                "megatron-core, or megatron for a model that keeps its attention scores"),
    OPTION_TEXT('o', "output", "FILE", &o.output, "write the profile here; default: standard output"),
    PROGRAM_OPTION_FORCE(&o.force),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command profile_command = {
    .usage = "MODEL --gpu NAME [-o FILE] [options]",
    .about = "Estimate a model's layer times on a GPU from its data sheet, and write them as a profile. "
             "`sailor-train profile` measures such times.",
    .details =
        "The model must say what it is made of: `sailor model` writes such files. docs/estimator.md says "
        "how far off the\nestimates are.\n\nexample:\n"
        "  sailor profile llama-3.1-8b --gpu H100-80 --dtype bf16 -o H100-80.bf16.json\n",
    OPT_COMMAND("profile", options, 1, 1),
};

static int profile(const char **name, int n, struct arena *a, struct err *e) {
    (void)n;
    struct workload w;
    struct text out = {0};
    const char *text = NULL;
    if (!o.gpu) return err_set(e, EXIT_INPUT, "profile: missing --gpu NAME: the GPU type to estimate for");
    if (model_load(name[0], o.inputs, &w, a, e)) return -1;
    if (file_spare(o.output, name[0], e)) return -1;
    if (o.output && file_can_create(o.output, o.force, "use -f to overwrite it", e)) return -1;
    if (profile_estimate(w.model, o.gpu, dtypes[o.dtype], o.framework, NULL, o.inputs, &text, a, e))
        return -1;
    text_add(&out, "%s", text);
    int rc = file_spare_read(o.output, NULL, e) ? -1 : file_write(o.output, out.s, out.n, e);
    text_free(&out);
    return rc;
}

int cmd_profile(int argc, char **argv) {
    o.dtype = 0;
    return program_run(&profile_command, argc, argv, profile);
}
