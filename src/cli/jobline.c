#include "base/text.h"
#include "cli/cli.h"
#include "formats/inputs.h"
#include "formats/shape.h"
#include "import/draft.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

/* A job on the command line becomes the text of a job file, read by the same reader. */

const char *const job_line_dtypes[] = {"fp32", "bf16", "fp16", NULL};
const char *const job_line_runners[] = {"megatron", "torchtitan", "flagscale", NULL};

const char job_line_name[] = "command line", job_line_site[] = "data-sheets";

bool job_line_given(const struct job_line *l) {
    return l->model || l->gpus || l->batch || l->site || l->sequence || l->framework || l->dtype >= 0 ||
           l->runner >= 0 || l->exact_batch;
}

/* ---- the entries of --gpus ---- */

struct entry {
    const char *zone, *gpu; /* zone NULL: not given */
    int count;
};

static int gpus_fail(const char *said, struct err *e) {
    return err_set(e, EXIT_INPUT,
                   "--gpus \"%.80s\": expected ZONE/GPU:N, as in east/H100-80:24,west/L4-24:64", said);
}

static int read_entry(const char *said, struct entry *x, struct arena *a, struct err *e) {
    const char *colon = strrchr(said, ':'), *slash = strchr(said, '/');
    double count;
    if (!colon || !opt_number(colon + 1, &count) || count < 0 || count > 1e6 || count != (int)count)
        return gpus_fail(said, e);
    const char *gpu = slash && slash < colon ? slash + 1 : said;
    x->zone = gpu > said ? arena_printf(a, "%.*s", (int)(slash - said), said) : NULL;
    x->gpu = arena_printf(a, "%.*s", (int)(colon - gpu), gpu);
    x->count = (int)count;
    return !*x->gpu || (x->zone && !*x->zone) ? gpus_fail(said, e) : 0;
}

static int read_gpus(const char *list, struct entry **entries, int *n, struct arena *a, struct err *e) {
    int room = 1;
    for (const char *at = list; *at; at++) room += *at == ',';
    *entries = ARENA_ARRAY(a, struct entry, room);
    *n = 0;
    for (const char *at = list;; at++) {
        int len = (int)strcspn(at, ",");
        if (read_entry(arena_printf(a, "%.*s", len, at), &(*entries)[(*n)++], a, e)) return -1;
        at += len;
        if (!*at) return 0;
    }
}

/* ---- a site from data sheets ---- */

static int read_devices(struct draft *d, const struct draft_wishes *ask, const char *inputs, struct arena *a,
                        struct err *e) {
    const char *dir = inputs_dir(inputs, a, e), *file = dir ? arena_printf(a, "%s/devices.json", dir) : NULL,
               *text = file ? file_read_text(file, NULL, a, e) : NULL;
    return text ? draft_begin(d, ask, file, text, a, e) : -1;
}

/* Makes a site of the entries' zones and types; the entries get its names. */
static int sheets_site(struct entry *x, int n, const char *inputs, const char **text, struct arena *a,
                       struct err *e) {
    static const struct draft_wishes ask = {.level = -1};
    struct draft d;
    struct text t = {0};
    const char *types = "";
    if (read_devices(&d, &ask, inputs, a, e)) return -1;
    for (int i = 0; i < n; i++) {
        if (!x[i].zone) x[i].zone = "zone";
        if (draft_zone(&d, x[i].zone, "--gpus", e) < 0) return -1;
        types = arena_printf(a, "%s%s%s", types, i ? "," : "", x[i].gpu);
    }
    int rc = draft_preset(&d, types, NULL, e) || draft_preset_links(&d, types, NULL, e) ||
                     draft_text(&d, job_line_site, &t, e)
                 ? -1
                 : 0;
    if (rc && !strncmp(e->text, "--preset ", 9)) { /* options of sailor site do not help here */
        struct err why = *e;
        const char *map = strstr(why.text, "--map");
        int len = (int)(map ? map - why.text : (long)strlen(why.text));
        while (len > 9 && strchr("; ", why.text[len - 1])) len--;
        err_set(e, why.code, "--gpus %.*s; without --site expected GPU types that have a data sheet", len - 9,
                why.text + 9);
    }
    for (int i = 0; i < n && !rc; i++) x[i].gpu = draft_alias(&d, x[i].gpu, NAN)->name;
    if (!rc) *text = arena_strdup(a, t.s);
    text_free(&t);
    draft_free(&d);
    return rc;
}

/* The zone may be omitted if the site has only one. */
static int site_zones(const char *site, struct entry *x, int n, const char *inputs, struct arena *a,
                      struct err *e) {
    struct workload w;
    const char *text;
    if (site_load(site, inputs, &w, &text, a, e)) return -1;
    for (int i = 0; i < n; i++) {
        if (x[i].zone) continue;
        if (w.site->n_zone > 1)
            return err_set(e, EXIT_INPUT,
                           "--gpus %.60s:%d: no zone; expected ZONE/%.60s:%d, because site %s has %d zones",
                           x[i].gpu, x[i].count, x[i].gpu, x[i].count, w.site->name, w.site->n_zone);
        x[i].zone = w.site->zone[0];
    }
    return 0;
}

/* ---- another sequence length ---- */

/* The text of a model file with another model's architecture: what the trainer reads is unchanged. */
static const char *with_architecture(const char *text, const char *architecture, struct arena *a) {
    cJSON *tree = cJSON_Parse(text), *own = architecture ? cJSON_Parse(architecture) : NULL;
    if (own) cJSON_ReplaceItemInObjectCaseSensitive(tree, "architecture", own);
    const char *out = json_text(tree, a);
    cJSON_Delete(tree);
    return out;
}

/* The model file with that sequence length, and its name; *text stays NULL if it is the model's own
 * length. Of a published build that does not say what it is made of, the model that it stands for; *asked is
 * its name then. */
static int model_of_length(const char *ref, int sequence, const char *inputs, const char **own,
                           const char **text, const char **asked, struct arena *a, struct err *e) {
    struct workload w;
    struct text t = {0};
    if (model_load(ref, inputs, &w, a, e)) return -1;
    const struct model *m = w.model;
    if (m->sequence_length == sequence) {
        if (*asked) *own = ref;
        return 0;
    }
    if (!m->shape && m->stands_for && !*asked) {
        *asked = m->name;
        return model_of_length(m->stands_for, sequence, inputs, own, text, asked, a, e);
    }
    if (!m->shape)
        return err_set(e, EXIT_INPUT,
                       "--seq-len %d: model %s has sequences of %d tokens, and does not say what it is made "
                       "of; expected "
                       "a model with \"transformer\" (sailor model writes such files)",
                       sequence, m->name, m->sequence_length);
    struct model_shape s = *m->shape;
    if (s.transformer.positions && sequence > s.transformer.positions)
        return err_set(e, EXIT_INPUT, "--seq-len %d: model %s has %d positions; expected at most that",
                       sequence, m->name, s.transformer.positions);
    s.transformer.sequence = sequence;
    *own = arena_printf(a, "%s-%d", m->name, sequence);
    const struct shape_words words = {.family = "gpt2",
                                      .activation = "gelu"}; /* replaced by the model's own */
    const char *source =
        arena_printf(a, "%s; sequences of %d tokens", m->source ? m->source : m->name, sequence);
    shape_write_model(&t, *own, &words, source, &s);
    *text = with_architecture(t.s, m->architecture, a);
    text_free(&t);
    return 0;
}

/* ---- the job ---- */

static const char *job_text(const struct job_line *l, const char *model, const char *site,
                            const struct entry *x, int n, struct arena *a) {
    struct text t = {0};
    text_add(&t, "{\"format\": \"sailor-job/1\", \"model\": ");
    text_string(&t, model);
    text_add(&t, ", \"site\": ");
    text_string(&t, site);
    text_add(&t, ", \"global_batch_size\": %d", l->batch);
    if (l->objective >= 0) text_add(&t, ", \"objective\": \"%s\"", objective_name[l->objective]);
    if (l->framework) {
        text_add(&t, ", \"framework\": ");
        text_string(&t, l->framework);
    }
    if (l->dtype >= 0) text_add(&t, ", \"dtype\": \"%s\"", job_line_dtypes[l->dtype]);
    if (l->exact_batch) text_add(&t, ", \"exact_batch\": true");
    if (l->runner >= 0) text_add(&t, ", \"runnable_by\": \"%s\"", job_line_runners[l->runner]);
    text_add(&t, ", \"pools\": [{\"gpus\": [");
    for (int i = 0; i < n; i++) {
        text_add(&t, "%s{\"zone\": ", i ? ", " : "");
        text_string(&t, x[i].zone);
        text_add(&t, ", \"gpu\": ");
        text_string(&t, x[i].gpu);
        text_add(&t, ", \"count\": %d}", x[i].count);
    }
    text_add(&t, "]}]}\n");
    const char *text = arena_strdup(a, t.s);
    text_free(&t);
    return text;
}

/* "command line: /pools/0/gpus/1/zone: ..." -> "--gpus, entry 2, zone: ...". Returns -1. */
int job_line_fail(struct err *e) {
    static const struct {
        const char *path, *option;
    } of[] = {{"/model", "--model"},
              {"/site", "--site"},
              {"/dtype", "--dtype"},
              {"/framework", "--framework"},
              {"/global_batch_size", "--batch"},
              {"/exact_batch", "--exact-batch"},
              {"/objective", "--objective"},
              {"/runnable_by", "--runnable-by"}};
    static const char row[] = "/pools/0", gpus[] = "/pools/0/gpus";
    struct err why = *e;
    const char *path = strchr(why.text, ' ');
    if (!strncmp(why.text, job_line_name, strlen(job_line_name)))
        path = why.text + strlen(job_line_name) + 1;
    else if (strncmp(why.text, "arguments: ", 11))
        return -1;
    path++;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (!strncmp(path, of[i].path, strlen(of[i].path)))
            return err_set(e, why.code, "%s%s", of[i].option, path + strlen(of[i].path));
    if (!strncmp(path, row, strlen(row)) && path[strlen(row)] == ':')
        return err_set(e, why.code, "--gpus%s", path + strlen(row));
    if (strncmp(path, gpus, strlen(gpus))) return -1;
    path += strlen(gpus);
    if (*path != '/') return err_set(e, why.code, "--gpus%s", path);
    char *rest;
    long entry = strtol(path + 1, &rest, 10);
    return err_set(e, why.code, "--gpus, entry %ld%s%s", entry + 1, *rest == '/' ? ", " : "",
                   rest + (*rest == '/'));
}

int job_line_load(const struct job_line *l, const char *inputs, bool every_profile, struct job *job,
                  struct arena *a, struct err *e) {
    struct entry *x;
    int n;
    const char *model_text = NULL, *site_text = NULL, *model = l->model, *asked = NULL;
    if (!l->model || !l->gpus || !l->batch)
        return err_set(e, EXIT_INPUT,
                       "plan: --%s is missing; a job on the command line has --model, --gpus and --batch",
                       !l->model  ? "model"
                       : !l->gpus ? "gpus"
                                  : "batch");
    if (read_gpus(l->gpus, &x, &n, a, e)) return -1;
    if (l->sequence && model_of_length(l->model, l->sequence, inputs, &model, &model_text, &asked, a, e))
        return job_line_fail(e);
    if (l->site ? site_zones(l->site, x, n, inputs, a, e) : sheets_site(x, n, inputs, &site_text, a, e))
        return job_line_fail(e);
    const char *text = job_text(l, model, l->site ? l->site : job_line_site, x, n, a);
    if (job_load_text(job_line_name, text, model_text, site_text, inputs, every_profile, job, a, e))
        return job_line_fail(e);
    if (asked) job->asked_for = asked;
    return 0;
}

void job_line_remark(const struct job_line *l, const struct job *job) {
    if (l->site) return;
    fprintf(stderr,
            "sailor: without --site the nodes and the links inside a zone are those of data sheets%s (sailor "
            "site makes a "
            "site file)\n",
            job->workload.site->n_zone > 1 ? ", and zones have no links between them" : "");
}
