#include "base/text.h"
#include "cli/cli.h"
#include "formats/shape.h"
#include "import/config.h"
#include "io/file.h"
#include "io/table.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* sailor model */

enum { SEQUENCE_DEFAULT = 8192 };
static const char *const attentions[] = {"flash", "scores", NULL};
static const char *const recomputes[] = {"none", "selective", "full", NULL};

static struct {
    const char *output, *name;
    bool json, force, sequence_parallel;
    int sequence, attention, recompute;
} o;

static const struct opt options[] = {
    OPTION_TEXT('o', "output", "FILE", &o.output, "write the model file here; default: only print a summary"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_TEXT(0, "name", "NAME", &o.name,
                "name of the model; default: the name of the output file, else the one in the config"),
    OPTION_INT(0, "sequence", "N", 1, 1e8, &o.sequence,
               "tokens per training sequence; default: as many as the model has positions, at most 8192"),
    OPTION_CHOICE(
        0, "attention", attentions, &o.attention,
        "attention kernel: flash (the default), or scores, which keeps the attention scores in memory"),
    OPTION_CHOICE(0, "recompute", recomputes, &o.recompute,
                  "activations that the backward pass computes again: none (the default), selective "
                  "(attention only), full"),
    OPTION_FLAG(0, "sequence-parallel", &o.sequence_parallel,
                "let tensor parallelism also divide norms and residuals"),
    OPTION_FLAG(0, "json", &o.json, "print one JSON object: parameters, activations, and the model file"),
};
const struct opt_command model_command = {
    .usage = "CONFIG.json [-o FILE] [options]",
    .about = "Make a model file from a Hugging Face config.json (gpt2, gpt_neo, opt, llama, mistral, qwen2, "
             "qwen3, gemma, phi, mixtral).",
    .details =
        "In a mixture of experts, every replica holds all experts; a token passes through some of them.\n"
        "\n"
        "examples:\n"
        "  sailor model config.json -o my-llama.json\n"
        "  sailor plan --model ./my-llama.json --gpus H100-80:16 --batch 256 --dtype bf16\n",
    OPT_COMMAND("model", options, 1, 1),
};

/* "a/b/llama-3.json" -> "llama-3" */
static const char *stem(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return arena_printf(a, "%.*s", dot && dot > base ? (int)(dot - base) : (int)strlen(base), base);
}

static const char *lower(const char *s, struct arena *a) {
    char *t = arena_strdup(a, s);
    for (char *c = t; *c; c++) *c = (char)tolower((unsigned char)*c);
    return t;
}

static const char *name_of(const char *file, const struct config *c, struct arena *a) {
    if (o.name) return o.name;
    if (o.output) return stem(o.output, a);
    return c->name ? lower(c->name, a) : stem(file, a);
}

static void show_json(const char *name, const struct config *c, const struct model_shape *s,
                      const char *model_text) {
    const struct transformer *x = &s->transformer;
    struct err e;
    cJSON *out = cJSON_CreateObject(), *kept = cJSON_CreateObject();
    cJSON_AddStringToObject(out, "name", name);
    cJSON_AddStringToObject(out, "family", c->words.family);
    json_add_number(out, "parameters", shape_params(x));
    json_add_number(out, "active_parameters", shape_active_params(x));
    json_add_number(out, "embedding_parameters", embedding_params(x, 1));
    json_add_number(out, "block_parameters", block_params(x, 1));
    json_add_number(out, "head_parameters", head_params(x, 1));
    json_add_number(out, "sequence_length", x->sequence);
    for (int i = 0; i < RECOMPUTE_N; i++)
        json_add_number(kept, recompute_name[i], shape_kept(s, (enum recompute)i, 1));
    cJSON_AddItemToObject(out, "block_activations", kept);
    cJSON_AddItemToObject(out, "model", json_parse(name, model_text, strlen(model_text), &e));
    json_line(out, stdout);
}

static void show_text(const char *name, const struct config *c, const struct model_shape *s,
                      struct arena *a) {
    const struct transformer *x = &s->transformer;
    printf("%s (%s): %s parameters", text_printable(name, a), c->words.family,
           table_number(shape_params(x), 12, a));
    if (x->experts)
        printf(", of which a token passes through %s (%d of %d experts); every replica holds all of them",
               table_number(shape_active_params(x), 12, a), x->active_experts, x->experts);
    printf("\n\n");
    struct table *t = table_new("tp|embedding|block|head|kept: none|selective|full", a);
    for (int tp = 1; tp <= TP_MAX; tp *= 2) {
        if (!shape_takes_tp(x, tp)) continue;
        table_cell(t, "%d", tp);
        table_cell(t, "%.0f", embedding_params(x, tp));
        table_cell(t, "%.0f", block_params(x, tp));
        table_cell(t, "%.0f", head_params(x, tp));
        for (int i = 0; i < RECOMPUTE_N; i++) table_cell(t, "%.0f", shape_kept(s, (enum recompute)i, tp));
    }
    table_print(t, stdout);
    printf("\n"
           "parameters on one GPU; kept: 16-bit elements that a block keeps for a sequence of %d tokens, by "
           "what is recomputed\n",
           x->sequence);
}

static int model(const char **file, int n, struct arena *a, struct err *e) {
    (void)n;
    struct config c;
    size_t size = 0;
    const char *text = file_read_text(file[0], &size, a, e);
    if (!text) return -1;
    if (strlen(text) != size) return err_set(e, EXIT_INPUT, "%s: a NUL character; expected JSON", file[0]);
    if (config_read(file[0], text, &c, a, e)) return -1;
    if (file_spare(o.output, file[0], e)) return -1;
    if (o.output && file_can_create(o.output, o.force, "use -f to overwrite it", e)) return -1;
    int sequence = o.sequence ? o.sequence : c.longest < SEQUENCE_DEFAULT ? c.longest : SEQUENCE_DEFAULT;
    if (c.shape.positions && sequence > c.longest)
        return err_set(e, EXIT_INPUT,
                       "%s: the model has positions for %d tokens; expected --sequence of at most that",
                       file[0], c.longest);
    struct model_shape s = {.transformer = c.shape,
                            .keeps_scores = o.attention == 1,
                            .sequence_parallel = o.sequence_parallel,
                            .recompute = (enum recompute)o.recompute};
    s.transformer.sequence = sequence;
    const char *name = name_of(file[0], &c, a);
    struct text out = {0};
    const char *source =
        arena_printf(a, "config.json of %s, family %s%s", c.name ? c.name : name, c.words.family,
                     c.shape.experts ? "; every replica holds all experts" : "");
    shape_write_model(&out, name, &c.words, source, &s);
    int rc = o.output ? file_write(o.output, out.s, out.n, e) : 0;
    if (!rc && o.json) show_json(name, &c, &s, out.s);
    if (!rc && !o.json) show_text(name, &c, &s, a);
    text_free(&out);
    return rc;
}

int cmd_model(int argc, char **argv) {
    o.attention = o.recompute = 0;
    return program_run(&model_command, argc, argv, model);
}
