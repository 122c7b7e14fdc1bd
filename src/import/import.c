#include "import/import.h"
#include "formats/inputs.h"
#include "import/kinds.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Reading collects trees in our own formats in a list of outputs; they are written once all input has been
 * read. */

enum { PATH_TEXT = 4096 };

/* ---- facts ---- */

static int name_list(const struct json_at *at, const char *key, int max, const char **names, int *n,
                     struct import *m) {
    int i = 0;
    if (json_array(at, 1, max, n, m->e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x), inner = key ? json_member(&here, key) : here;
        if (json_string(&inner, &names[i], &m->arena, m->e) || import_check_safe(&inner, names[i], m->e))
            return -1;
        if (name_index(names, i, names[i]) >= 0)
            return json_fail(&inner, m->e, "\"%.60s\" appears twice; expected it once", names[i]);
    }
    return 0;
}

static int read_facts(struct import *m) {
    static const char *const keys[] = {"format", "site", "models", "jobs", "validation", NULL};
    static const char *const site_keys[] = {"zones", "gpus", "usd_per_gpu_hour", NULL};
    static const char *const model_keys[] = {"published",  "num_blocks", "hidden_size",  "sequence_length",
                                             "heads",      "vocabulary", "architecture", "as_built",
                                             "stands_for", NULL};
    const struct json_at *at = &m->facts;
    if (json_object(at, keys, m->e) || json_format(at, "sailor-facts/1", m->e)) return -1;
    struct json_at source = json_member(at, "source"), site = json_member(at, "site"),
                   models = json_member(at, "models");
    struct json_at zones = json_member(&site, "zones"), gpus = json_member(&site, "gpus");
    if (json_string(&source, &m->source, &m->arena, m->e) || json_object(&site, site_keys, m->e)) return -1;
    if (name_list(&zones, NULL, ZONES_MAX, m->zone, &m->n_zone, m)) return -1;
    if (name_list(&gpus, "name", GPUS_MAX, m->gpu, &m->n_gpu, m)) return -1;
    if (name_list(&models, "name", PUBLISHED_MODELS_MAX, m->model, &m->n_model, m)) return -1;
    if (name_list(&models, "published", PUBLISHED_MODELS_MAX, m->published, &m->n_model, m)) return -1;
    int i = 0;
    for (const cJSON *x = models.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&models, i, x);
        if (json_object(&here, model_keys, m->e)) return -1;
        m->model_facts[i] = x;
    }
    return 0;
}

static int make_dirs(const char *path, struct err *e) {
    char part[PATH_TEXT];
    size_t n = strlen(path);
    if (n >= sizeof part) return err_set(e, EXIT_INPUT, "%.200s...: path too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return err_set(e, EXIT_INTERNAL, "%s: %s", part, strerror(errno));
    }
    return 0;
}

static int write_outputs(const char *out, struct import *m) {
    for (const struct output *o = m->first; o; o = o->next) {
        struct text t = {0};
        char *path = arena_printf(&m->arena, "%s/%s", out, o->path), *folder = arena_strdup(&m->arena, path);
        *strrchr(folder, '/') = '\0';
        if (make_dirs(folder, m->e)) return -1;
        import_write_value(&t, o->tree, 0);
        text_add(&t, "\n");
        int rc = file_write(path, t.s, t.n, m->e);
        text_free(&t);
        if (rc) return -1;
    }
    return 0;
}

/* ---- the whole ---- */

static void import_free(struct import *m) {
    for (struct output *o = m->first; o; o = o->next) cJSON_Delete(o->tree);
    arena_free(&m->arena);
}

static int import_all(const char *dir, const char *out, struct import *m) {
    if (import_models(dir, m) || import_profiles(dir, m) || import_site(dir, m)) return -1;
    if (import_jobs(dir, m) || import_validation(dir, m)) return -1;
    if (import_aceso(dir, m) || import_flashflex(dir, m) || import_galvatron(dir, m) || import_varuna(dir, m))
        return -1;
    if (!m->first)
        return err_set(m->e, EXIT_INPUT,
                       "%.250s: nothing to import; expected files such as Planner/llm_info.json, "
                       "Planner/simulations/profiles_tmp.json, providers/multizone_bandwidths_het.json",
                       dir);
    return write_outputs(out, m);
}

int import_run(const char *dir, const char *facts, const char *out, struct err *e) {
    struct import m = {.n_sizes = -1, .e = e};
    struct stat st;
    size_t size;
    m.last = &m.first;
    if (stat(dir, &st) || !S_ISDIR(st.st_mode))
        return err_set(e, EXIT_INPUT, "%.250s: not a directory; expected one", dir);
    if (!facts) {
        const char *inputs = inputs_dir(NULL, &m.arena, e);
        if (!inputs) {
            arena_free(&m.arena);
            return -1;
        }
        facts = arena_printf(&m.arena, "%s/facts/gcp.json", inputs);
    }
    char *text = file_read_text(facts, &size, &m.arena, e);
    cJSON *tree = text ? json_parse(facts, text, size, e) : NULL;
    m.facts = json_root(facts, tree);
    int rc = tree && read_facts(&m) == 0 ? import_all(dir, out, &m) : -1;
    cJSON_Delete(tree);
    import_free(&m);
    return rc;
}

static int try_one(enum import_kind kind, const char *text, size_t size, struct import *m) {
    static const char file[] = "input";
    struct json_at none = json_root(file, NULL);
    cJSON *out = NULL, *tree = kind == IMPORT_TRACE ? NULL : json_parse(file, text, size, m->e);
    struct json_at at = json_root(file, tree);
    int rc = -1;
    if (kind == IMPORT_TRACE)
        rc = (out = import_read_trace(file, text, m)) ? 0 : -1;
    else if (!tree)
        return -1;
    else if (kind == IMPORT_SIZES)
        rc = import_read_sizes(&at, m);
    else if (kind == IMPORT_TIMES)
        rc = import_read_times(&at, file, m);
    else if (kind == IMPORT_PROFILE)
        rc = import_read_profile(&at, "model", "gpu", file, m);
    else if (kind == IMPORT_LINKS)
        rc = import_put_site(&at, &none, &none, &none, m);
    else if (kind == IMPORT_INTRA)
        rc = import_read_intra(&at, &out, m);
    else if (kind == IMPORT_EGRESS)
        rc = import_read_egress(&at, &out, m);
    else if (kind == IMPORT_PLAN)
        rc = (out = import_read_plan(&at, "plan", "model", "site", m)) ? 0 : -1;
    if (kind == IMPORT_SIZES && rc == 0) import_put_models(m);
    cJSON_Delete(out);
    cJSON_Delete(tree);
    return rc;
}

int import_try(enum import_kind kind, const char *text, size_t size, const char *facts, struct err *e) {
    struct import m = {.n_sizes = -1, .e = e};
    m.last = &m.first;
    const char *facts_text = kind == IMPORT_FACTS ? text : facts;
    cJSON *tree = json_parse("facts", facts_text, kind == IMPORT_FACTS ? size : strlen(facts), e);
    m.facts = json_root("facts", tree);
    int rc = tree && read_facts(&m) == 0 ? kind == IMPORT_FACTS ? 0 : try_one(kind, text, size, &m) : -1;
    for (const struct output *o = m.first; o && rc == 0; o = o->next) {
        struct text t = {0};
        import_write_value(&t, o->tree, 0);
        text_free(&t);
    }
    cJSON_Delete(tree);
    import_free(&m);
    return rc;
}
