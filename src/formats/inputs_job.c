#include "formats/inputs_priv.h"
#include "base/names.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>

/* Jobs, from their files and from what results keep of them. */

static int read_pin_tp(const struct json_at *at, struct job_reader *r) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, r->e, "not an object; expected {GPU type: degree}");
    int i = 0, tp;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int g = name_index(r->gpu, r->l->site->n_gpu, x->string);
        if (g < 0) {
            const char *near = name_nearest(x->string, r->gpu, r->l->site->n_gpu);
            return json_fail(&here, r->e, "unknown GPU type; expected %s%s%s", near ? "\"" : r->gpu_what,
                             near ? near : "", near ? "\"?" : "");
        }
        if (json_int(&here, 1, TP_MAX, &tp, r->e)) return -1;
        if (tp_index(tp) < 0) return json_fail(&here, r->e, "%d; expected 1, 2, 4 or 8", tp);
        if (tp > r->l->site->gpu[g].gpus_per_node)
            return json_fail(&here, r->e, "%d; expected at most %d, the GPUs of a node", tp,
                             r->l->site->gpu[g].gpus_per_node);
        r->job->pin.tp[g] = tp;
    }
    return 0;
}

/* "runnable_by" of the job, or of its pins. */
static int read_runnable_by(const struct json_at *at, struct job_reader *r) {
    struct json_at by = json_member(at, "runnable_by");
    int runner = 0;
    if (!by.node) return 0;
    if (r->job->pin.runnable_by)
        return json_fail(&by, r->e, "the pins have it, too; expected it in one place");
    if (json_name(&by, runner_name + 1, RUNNER_N - 1, "a trainer", &runner, r->e)) return -1;
    r->job->pin.runnable_by = (enum runner)(runner + 1);
    r->job->exact_batch = true; /* in trainers, the last round is always full */
    return 0;
}

static int read_pin(const struct json_at *at, struct job_reader *r) {
    static const char *const keys[] = {"micro_batch_size", "tp", "stages", "data_parallel", "zones",
                                       "runnable_by",      NULL};
    struct pin *p = &r->job->pin;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp"),
                   stages = json_member(at, "stages");
    struct json_at dp = json_member(at, "data_parallel"), zones = json_member(at, "zones");
    if (mb.node && json_int(&mb, 1, MICRO_BATCH_MAX, &p->micro_batch_size, r->e)) return -1;
    if (stages.node && json_int(&stages, 1, r->l->model->n_layer, &p->stages, r->e)) return -1;
    if (dp.node && json_int(&dp, 1, COUNT_MAX, &p->data_parallel, r->e)) return -1;
    if (tp.node && read_pin_tp(&tp, r)) return -1;
    if (read_runnable_by(at, r)) return -1;
    if (!zones.node) return 0;
    int n, i = 0, z;
    if (json_array(&zones, 1, ZONES_MAX, &n, r->e)) return -1;
    for (const cJSON *x = zones.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&zones, i, x);
        if (json_name(&here, r->l->site->zone, r->l->site->n_zone, r->zone_what, &z, r->e)) return -1;
        if (p->zones >> z & 1)
            return json_fail(&here, r->e, "zone \"%s\" appears twice; expected it once", x->valuestring);
        p->zones |= 1u << z;
    }
    return 0;
}

static const char *const job_keys[] = {"format",
                                       "model",
                                       "site",
                                       "global_batch_size",
                                       "framework",
                                       "dtype",
                                       "optimizer",
                                       "exact_batch",
                                       "train_tokens",
                                       "max_hours",
                                       "max_usd",
                                       "recompute",
                                       "zero",
                                       "sequence_parallel",
                                       "runnable_by",
                                       "pin",
                                       "objective",
                                       "max_usd_per_iteration",
                                       "min_iterations_per_s",
                                       "pools",
                                       NULL};

/** Turns limits on the whole run into limits on an iteration. */
static int read_run_limits(const struct json_at *at, struct job *j, const struct model *m, struct err *e) {
    struct json_at hours = json_member(at, "max_hours"), usd = json_member(at, "max_usd");
    j->max_hours = j->max_usd = INFINITY;
    if (hours.node && json_positive(&hours, &j->max_hours, e)) return -1;
    if (usd.node && json_positive(&usd, &j->max_usd, e)) return -1;
    if (!hours.node && !usd.node) return 0;
    if (!j->train_tokens)
        return json_fail(hours.node ? &hours : &usd, e,
                         "a limit on the whole run; expected train_tokens, its length, too");
    double n = job_iterations(j, m);
    if (!(n > 0))
        return json_fail(hours.node ? &hours : &usd, e,
                         "model %s has no sequence length; expected one with a sequence_length", m->name);
    if (hours.node) j->min_iterations_per_s = fmax(j->min_iterations_per_s, n / (j->max_hours * 3600));
    if (usd.node) j->max_usd_per_iteration = fmin(j->max_usd_per_iteration, j->max_usd / n);
    return 0;
}

/** Reads everything in the job itself; model and site are loaded already. */
static int read_job(const struct json_at *at, struct job_reader *r) {
    struct job *j = r->job;
    struct workload w = inputs_workload(r->l);
    int objective = OBJECTIVE_THROUGHPUT;
    for (int g = 0; g < r->l->site->n_gpu; g++) r->gpu[g] = r->l->site->gpu[g].name;
    snprintf(r->gpu_what, sizeof r->gpu_what, "a GPU type of site %.60s", r->l->site->name);
    snprintf(r->zone_what, sizeof r->zone_what, "a zone of site %.60s", r->l->site->name);
    struct json_at name = json_member(at, "name"), batch = json_member(at, "global_batch_size");
    struct json_at exact = json_member(at, "exact_batch"), tokens = json_member(at, "train_tokens");
    struct json_at pin = json_member(at, "pin"), goal = json_member(at, "objective"),
                   pools = json_member(at, "pools");
    struct json_at usd = json_member(at, "max_usd_per_iteration"),
                   rate = json_member(at, "min_iterations_per_s");
    if (name.node && json_string(&name, &j->name, r->arena, r->e)) return -1;
    if (json_int(&batch, 1, BATCH_MAX, &j->global_batch_size, r->e)) return -1;
    if (inputs_training(at, &j->dtype, &j->optimizer, &w, r->e)) return -1;
    j->exact_batch = w.framework != NULL; /* which all insist on */
    if (exact.node && json_bool(&exact, &j->exact_batch, r->e)) return -1;
    if (tokens.node && json_positive(&tokens, &j->train_tokens, r->e)) return -1;
    if (goal.node && json_name(&goal, objective_name, OBJECTIVE_N, "an objective", &objective, r->e))
        return -1;
    j->objective = (enum objective)objective;
    j->max_usd_per_iteration = INFINITY;
    if (usd.node && json_positive(&usd, &j->max_usd_per_iteration, r->e)) return -1;
    if (rate.node && json_positive(&rate, &j->min_iterations_per_s, r->e)) return -1;
    if (read_run_limits(at, j, r->l->model, r->e)) return -1;
    if (pin.node && read_pin(&pin, r)) return -1;
    bool pinned = j->pin.runnable_by != RUNNER_ANY;
    if (read_runnable_by(at, r)) return -1;
    j->pin.runnable_by_job = j->pin.runnable_by && !pinned;
    if (inputs_pools(&pools, r)) return -1;
    w.global_batch_size = j->global_batch_size;
    j->workload = w;
    return 0;
}

/** Does any row have GPUs of this type? Stores the first such (row, zone) in *row, *zone. */
static bool pools_have(const struct job *j, const struct site *s, int gpu, int *row, int *zone) {
    for (*row = 0; *row < j->n_pool; ++*row)
        for (*zone = 0; *zone < s->n_zone; ++*zone)
            if (j->pool[*row].count[site_at(s, *zone, gpu)]) return true;
    return false;
}

/* For a model that does not say what it is made of, whose layers cannot be estimated: the nearest that does.
 */
static const char *nearest_with_shape(const struct lookup *k, const char *model) {
    const char **names, *dir, *text;
    struct err none;
    if (!(dir = inputs_dir(k->inputs, k->arena, &none))) return "";
    int n = inputs_names(dir, "models", &names, k->arena), known = 0;
    for (int i = 0; i < n; i++) {
        text =
            file_read_text(arena_printf(k->arena, "%s/models/%s.json", dir, names[i]), NULL, k->arena, &none);
        if (text && strstr(text, "\"transformer\"")) names[known++] = names[i];
    }
    return name_hint(model, names, known, k->arena);
}

static int no_profile(const struct json_at *root, int index, const struct loaded *l, int gpu,
                      const struct lookup *k) {
    struct json_at pools = json_member(root, "pools"), here = {.up = &pools, .index = index},
                   gpus = {.up = &here, .key = "gpus"};
    const char *shape =
        l->model->shape
            ? ""
            : arena_printf(k->arena, ", or a model with \"transformer\", whose layers are estimated%s",
                           nearest_with_shape(k, l->model->name));
    return json_fail(
        &gpus, k->e,
        "model %s has no profile on GPU %s; expected a file profiles/%s/%s.json (sailor-train profile "
        "measures one)%s",
        l->model->name, l->site->gpu[gpu].name, l->model->name, l->site->gpu[gpu].name, shape);
}

int job_check_prices(const struct job *j, const char *where, struct err *e) {
    const struct site *s = j->workload.site;
    bool limit = isfinite(j->max_usd_per_iteration);
    if (j->objective == OBJECTIVE_THROUGHPUT && !limit) return 0;
    const char *why = j->objective != OBJECTIVE_THROUGHPUT     ? objective_name[j->objective]
                      : j->max_usd > 0 && isfinite(j->max_usd) ? "max_usd"
                                                               : "max_usd_per_iteration";
    for (int row = 0; row < j->n_pool; row++) {
        bool used[ZONES_MAX] = {false};
        for (int z = 0; z < s->n_zone; z++)
            for (int g = 0; g < s->n_gpu; g++) {
                if (!j->pool[row].count[site_at(s, z, g)]) continue;
                used[z] = true;
                if (isnan(s->usd_per_gpu_hour[site_at(s, z, g)]))
                    return err_set(e, EXIT_INPUT,
                                   "%.250s: /pools/%d/gpus: site %s has no price for GPU %s in zone %s; "
                                   "expected one, because %s needs it",
                                   where, j->pool[row].index, s->name, s->gpu[g].name, s->zone[z], why);
            }
        for (int z = 0; z < s->n_zone; z++)
            for (int y = 0; y < s->n_zone; y++)
                if (used[z] && used[y] && isnan(s->egress_usd_per_GB[z * s->n_zone + y]))
                    return err_set(e, EXIT_INPUT,
                                   "%.250s: /pools/%d/gpus: site %s has no egress price from zone %s to %s; "
                                   "expected one, because %s needs it",
                                   where, j->pool[row].index, s->name, s->zone[z], s->zone[y], why);
    }
    return 0;
}

/* Texts of profiles, without repeats. */
struct profile_texts {
    const char **text;
    int n;
};

static void add_profile_text(struct profile_texts *t, const char *text) {
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->text[i], text)) return;
    t->text[t->n++] = text;
}

/* Does a row have GPUs on which a published build was not measured? Then the model that it stands for is
 * planned, whose layers can be estimated. */
static bool wants_stand_in(const struct job *job, const struct lookup *k, const struct loaded *l) {
    int row, zone;
    if (l->model->shape || !l->model->stands_for) return false;
    for (int g = 0; g < l->site->n_gpu; g++)
        if (pools_have(job, l->site, g, &row, &zone) && !inputs_profile_path(g, job->dtype, k, l))
            return true;
    return false;
}

/* The job's text with that model. */
static const char *text_with_model(const cJSON *tree, const char *name, struct arena *a) {
    cJSON *copy = cJSON_Duplicate(tree, 1);
    cJSON_ReplaceItemInObjectCaseSensitive(copy, "model", cJSON_CreateString(name));
    const char *text = json_text(copy, a);
    cJSON_Delete(copy);
    return text;
}

/** The texts of everything that was read, as one JSON object: enough to rebuild the job anywhere. */
static const char *job_text(const struct job *j, const char *text, const struct loaded *l,
                            const struct profile_texts *profiles, struct arena *a) {
    struct text t = {0};
    text_add(&t, "{\"name\":");
    text_string(&t, j->name);
    text_add(&t, ",\"job\":%s,\"model\":%s,\"site\":%s,\"profiles\":[", json_compact(text, a),
             json_compact(l->model_text, a), json_compact(l->site_text, a));
    for (int i = 0; i < profiles->n; i++)
        text_add(&t, "%s%s", i ? "," : "", json_compact(profiles->text[i], a));
    text_add(&t, "]%s", inputs_frameworks_member(l, a));
    if (l->platform) text_add(&t, ",\"platform\":%s", inputs_platform_text(l->platform, l->site, a));
    text_add(&t, "}");
    char *out = arena_strdup(a, t.s);
    text_free(&t);
    return out;
}

/* Loads the profiles for every mode of the job's options, and applies the options to the workload. */
static int load_profiles(const struct json_at *root, bool every_profile, struct lookup *k, struct loaded *l,
                         struct job *job, struct profile_texts *texts) {
    struct option_choices c;
    struct options_mode *mode;
    int row, zone;
    if (inputs_options(root, true, l->model, &c, k->e)) return -1;
    int n = inputs_modes(&c, l->model, &mode, k->arena), n_gpu = l->site->n_gpu;
    if (inputs_platform(l, job->dtype, k)) return -1;
    job->workload.platform = l->platform;
    texts->text = ARENA_ARRAY(k->arena, const char *, n * n_gpu);
    for (int i = 0; i < n; i++) {
        memset(l->profile_text, 0, sizeof l->profile_text);
        l->profile = mode[i].profile = ARENA_ARRAY(k->arena, const struct profile *, n_gpu);
        for (int g = 0; g < n_gpu; g++) {
            bool needed = pools_have(job, l->site, g, &row, &zone);
            if (!needed && !every_profile) continue;
            if (inputs_load_profile(root, g, job->dtype, &mode[i].o, k, l)) return -1;
            if (needed && !l->profile[g]) return no_profile(root, job->pool[row].index, l, g, k);
            if (l->profile_text[g]) add_profile_text(texts, l->profile_text[g]);
        }
        inputs_in_training(l->platform, mode[i].profile, n_gpu, l->model->n_layer, k->arena);
    }
    inputs_set_options(&job->workload, &c, mode, n, k->arena);
    return 0;
}

static int job_from_tree(const char *path, const cJSON *tree, const char *text, bool every_profile,
                         struct lookup *k, struct job *job) {
    struct loaded l = {0};
    struct profile_texts texts = {0};
    struct job_reader r = {.job = job, .l = &l, .arena = k->arena, .e = k->e};
    struct json_at root = json_root(path, tree), model = json_member(&root, "model"),
                   site = json_member(&root, "site");
    if (json_document(&root, job_keys, "sailor-job/1", k->e)) return -1;
    const struct job empty = {.name = inputs_stem_of(path, k->arena)};
    *job = empty;
    if (inputs_load_model(&model, k, &l) || inputs_load_site(&site, k, &l) ||
        inputs_load_framework(&root, k, &l) || read_job(&root, &r))
        return -1;
    if (wants_stand_in(job, k, &l)) {
        *job = empty;
        job->asked_for = l.model->name;
        if (inputs_load_stand_in(k, &l) || read_job(&root, &r)) return -1;
        text = text_with_model(tree, l.model->name, k->arena);
    }
    if (load_profiles(&root, every_profile, k, &l, job, &texts) || job_check_prices(job, path, k->e))
        return -1;
    job->json = job_text(job, text, &l, &texts, k->arena);
    return 0;
}

static int job_from_text(const char *path, const char *text, bool every_profile, struct lookup *k,
                         struct job *job) {
    cJSON *tree = json_parse(path, text, strlen(text), k->e);
    int rc = tree ? job_from_tree(path, tree, text, every_profile, k, job) : -1;
    cJSON_Delete(tree);
    return rc;
}

int job_load(const char *path, const char *text, const char *inputs, bool every_profile, struct job *job,
             struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .beside = inputs_dir_of(path, a), .arena = a, .e = e};
    if (!text && !(text = file_read_text(path, NULL, a, e))) return -1;
    return job_from_text(path, text, every_profile, &k, job);
}

int job_load_text(const char *name, const char *text, const char *model, const char *site, const char *inputs,
                  bool every_profile, struct job *job, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e, .model_text = model, .site_text = site};
    return job_from_text(name, text, every_profile, &k, job);
}

/* Profiles as stored: per GPU type, one for each mode that cannot be derived from another. */
struct stored_profiles {
    int n;
    struct profile *p;
};

static int stored_profiles(const struct json_at *at, const struct loaded *l, struct stored_profiles *s,
                           struct arena *a, struct err *e) {
    int i = 0;
    if (json_array(at, 0, 2 * RECOMPUTE_N * GPUS_MAX, &s->n, e)) return -1;
    s->p = ARENA_ARRAY(a, struct profile, s->n);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x), gpu = json_member(&here, "gpu");
        int g = 0;
        if (inputs_profile(&here, l->model, &s->p[i], a, e)) return -1;
        while (g < l->site->n_gpu && strcmp(l->site->gpu[g].name, s->p[i].gpu) != 0) g++;
        if (g == l->site->n_gpu)
            return json_fail(&gpu, e, "\"%.60s\"; expected a GPU type of site %s", s->p[i].gpu,
                             l->site->name);
    }
    return 0;
}

static const struct profile *stored_profile(const struct stored_profiles *s, const char *gpu,
                                            const struct model *m, const struct plan_options *o,
                                            struct arena *a) {
    const struct profile *made = NULL;
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->p[i].gpu, gpu)) continue;
        if (inputs_profile_serves(&s->p[i], o)) return &s->p[i];
        if (!made) made = inputs_profile_recomputed(&s->p[i], m, o, a);
    }
    return made;
}

static int stored_options(const struct json_at *own, const struct stored_profiles *stored, struct loaded *l,
                          struct job *job, const struct lookup *k) {
    struct arena *a = k->arena;
    struct option_choices c;
    struct options_mode *mode;
    int row, zone;
    if (inputs_options(own, true, l->model, &c, k->e)) return -1;
    int n = inputs_modes(&c, l->model, &mode, a);
    for (int i = 0; i < n; i++) {
        mode[i].profile = ARENA_ARRAY(a, const struct profile *, l->site->n_gpu);
        for (int g = 0; g < l->site->n_gpu; g++) {
            mode[i].profile[g] = stored_profile(stored, l->site->gpu[g].name, l->model, &mode[i].o, a);
            if (!mode[i].profile[g] && pools_have(job, l->site, g, &row, &zone))
                return no_profile(own, job->pool[row].index, l, g, k);
        }
        inputs_in_training(l->platform, mode[i].profile, l->site->n_gpu, l->model->n_layer, a);
    }
    inputs_set_options(&job->workload, &c, mode, n, a);
    return 0;
}

static int job_from_stored(const char *file, const cJSON *tree, struct job *job, struct arena *a,
                           struct err *e) {
    static const char *const keys[] = {"job", "model", "site", "profiles", "frameworks", "platform", NULL};
    struct loaded l = {.model = ARENA_NEW(a, struct model), .site = ARENA_NEW(a, struct site)};
    struct job_reader r = {.job = job, .l = &l, .arena = a, .e = e};
    struct lookup k = {.arena = a, .e = e};
    struct json_at root = json_root(file, tree), own = json_member(&root, "job"),
                   model = json_member(&root, "model");
    struct json_at site = json_member(&root, "site"), profiles = json_member(&root, "profiles"),
                   name = json_member(&root, "name"), platform = json_member(&root, "platform");
    struct stored_profiles stored = {0};
    *job = (struct job){.name = "job"};
    if (json_object(&root, keys, e) || json_object(&own, job_keys, e) || json_format(&own, "sailor-job/1", e))
        return -1;
    if (name.node && json_string(&name, &job->name, a, e)) return -1;
    if (inputs_model(&model, NULL, "model", l.model, a, e) || inputs_site(&site, NULL, "site", l.site, a, e))
        return -1;
    if (inputs_platform_stored(&platform, l.site, &l.platform, a, e)) return -1;
    if (stored_profiles(&profiles, &l, &stored, a, e) || inputs_stored_framework(&root, &own, &k, &l) ||
        read_job(&own, &r) || stored_options(&own, &stored, &l, job, &k))
        return -1;
    return job_check_prices(job, file, e);
}

int job_from_json(const char *text, struct job *job, struct arena *a, struct err *e) {
    static const char file[] = "stored inputs";
    cJSON *tree = json_parse(file, text, strlen(text), e);
    if (!tree) return -1;
    int rc = job_from_stored(file, tree, job, a, e);
    cJSON_Delete(tree);
    if (rc == 0) job->json = arena_strdup(a, text);
    return rc;
}
