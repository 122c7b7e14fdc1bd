#include "formats/inputs_priv.h"
#include "base/names.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

void inputs_join_paths(const char *where, struct err *e) {
    size_t n = strlen(where);
    if (strncmp(e->text, where, n) != 0 || strncmp(e->text + n, ": /", 3) != 0) return;
    bool at_root = n >= 3 && strcmp(where + n - 3, ": /") == 0;
    char *to = e->text + n - (at_root ? 1 : 0), *from = e->text + n + 2;
    memmove(to, from, strlen(from) + 1);
}

char *inputs_dir_of(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/');
    if (!slash) return arena_strdup(a, ".");
    return slash == path ? arena_strdup(a, "/") : arena_printf(a, "%.*s", (int)(slash - path), path);
}

char *inputs_stem_of(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".json") == 0) n -= 5;
    return arena_printf(a, "%.*s", (int)n, base);
}

const char *inputs_dir(const char *dir, struct arena *a, struct err *e) {
    static const char *const beside[] = {"../inputs", "../../inputs", "../share/sailor/inputs"};
    const char *from = "--inputs", *env = getenv("SAILOR_INPUTS");
    char exe[4000];
    if (!dir && env && *env) {
        dir = env;
        from = "SAILOR_INPUTS";
    }
    if (dir) {
        if (is_dir(dir)) return arena_strdup(a, dir);
        return err_set(e, EXIT_INPUT,
                       "%s %s: not a directory; expected one with models/, profiles/ and sites/", from, dir),
               NULL;
    }
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *bin = inputs_dir_of(exe, a);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *path = arena_printf(a, "%s/%s", bin, beside[i]);
        if (is_dir(arena_printf(a, "%s/models", path))) return path;
    }
    err_set(e, EXIT_INPUT, "no inputs/ next to %s; expected --inputs DIR or SAILOR_INPUTS=DIR",
            n > 0 ? exe : "the program");
    return NULL;
}

static int resolve_dir(struct lookup *k) {
    if (!k->dir) k->dir = inputs_dir(k->inputs, k->arena, k->e);
    return k->dir ? 0 : -1;
}

static bool is_path(const char *ref) {
    size_t n = strlen(ref);
    return strchr(ref, '/') || (n > 5 && strcmp(ref + n - 5, ".json") == 0);
}

static int by_name(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }

int inputs_names_ending(const char *inputs, const char *folder, const char *suffix, const char ***names,
                        struct arena *a) {
    const char **v = NULL;
    int n = 0, room = 0;
    DIR *d = opendir(arena_printf(a, "%s/%s", inputs, folder));
    if (!d) return 0;
    for (struct dirent *f; (f = readdir(d));) {
        size_t len = strlen(f->d_name), tail = strlen(suffix);
        if (f->d_name[0] == '.' || len <= tail || strcmp(f->d_name + len - tail, suffix)) continue;
        if (n == room) {
            const char **more = ARENA_ARRAY(a, const char *, room = 2 * room + 32);
            if (n) memcpy(more, v, sizeof *v * (size_t)n);
            v = more;
        }
        v[n++] = arena_printf(a, "%.*s", (int)(len - tail), f->d_name);
    }
    closedir(d);
    if (n) qsort(v, (size_t)n, sizeof *v, by_name);
    *names = v;
    return n;
}

int inputs_names(const char *inputs, const char *folder, const char ***names, struct arena *a) {
    return inputs_names_ending(inputs, folder, ".json", names, a);
}

static int unknown_name(const struct json_at *at, const char *ref, const char *folder, struct lookup *k) {
    const char **names;
    char list[300] = "";
    char *dir = arena_printf(k->arena, "%s/%s", k->dir, folder);
    int n = inputs_names(k->dir, folder, &names, k->arena);
    size_t used = 0;
    for (int i = 0; i < n && used + 1 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    return json_fail(at, k->e, "no \"%.60s\" in %.150s; expected %s%s%s", ref, dir,
                     n ? "one of " : "a name or the path of a file", list,
                     name_hint(ref, names, n, k->arena));
}

const char *site_path(const char *site, const char *inputs, struct arena *a) {
    struct err none;
    const char *dir = is_path(site) ? NULL : inputs_dir(inputs, a, &none);
    if (is_path(site)) return site;
    return dir ? arena_printf(a, "%s/sites/%s.json", dir, site) : NULL;
}

/* A path may be meant as a name: that of a model on Hugging Face, say. */
static const char *nearest_to_path(const char *ref, const char *folder, const struct lookup *k) {
    struct err none;
    const char **names, *dir = inputs_dir(k->inputs, k->arena, &none);
    int n = dir ? inputs_names(dir, folder, &names, k->arena) : 0;
    return n ? name_hint(inputs_stem_of(ref, k->arena), names, n, k->arena) : "";
}

/** Finds the file that a name or path in `at` refers to. */
static int locate(const struct json_at *at, const char *ref, const char *folder, struct lookup *k,
                  const char **path) {
    if (is_path(ref)) {
        char *near = ref[0] == '/' || !k->beside ? NULL : arena_printf(k->arena, "%s/%s", k->beside, ref);
        *path = near && exists(near) ? near : arena_strdup(k->arena, ref);
        if (exists(*path)) return 0;
        return json_fail(at, k->e, "no file \"%.200s\"; expected the path of a file, or a name%s", ref,
                         nearest_to_path(ref, folder, k));
    }
    if (resolve_dir(k)) return -1;
    *path = arena_printf(k->arena, "%s/%s/%s.json", k->dir, folder, ref);
    return exists(*path) ? 0 : unknown_name(at, ref, folder, k);
}

cJSON *inputs_tree(const char *path, const char **text, struct arena *a, struct err *e) {
    size_t size;
    char *s = file_read_text(path, &size, a, e);
    cJSON *tree = s ? json_parse(path, s, size, e) : NULL;
    if (text) *text = s;
    return tree;
}

int inputs_text(const char *dir, const char *name, bool needed, const char **text, struct arena *a,
                struct err *e) {
    const char *path = arena_printf(a, "%s/%s", dir, name);
    *text = needed || exists(path) ? file_read_text(path, NULL, a, e) : NULL;
    return *text || (!needed && !exists(path)) ? 0 : -1;
}

/* ---- model + site + profiles ---- */

const char *const inputs_dtypes[DTYPES] = {"fp32", "bf16", "fp16"};

/* The name in a plan, or that of the object in its place. */
static int named(const struct json_at *at, const char **ref, struct lookup *k) {
    struct json_at own = json_member(at, "name");
    return json_string(cJSON_IsObject(at->node) ? &own : at, ref, k->arena, k->e);
}

/** Opens a model or site: the file of this name or path, or the text `given`, or the object at `at`. Messages
 * name `at`. `as` is the name it must carry, NULL for a path. */
static cJSON *open_named(const struct json_at *at, const char *ref, const char *folder, const char *given,
                         struct lookup *k, const char **path, const char **as, const char **text) {
    *as = (is_path(ref) && !given) || cJSON_IsObject(at->node) ? NULL : ref;
    if (cJSON_IsObject(at->node)) {
        *path = json_where(at, k->arena);
        *text = json_text(at->node, k->arena);
        return json_parse(*path, *text, strlen(*text), k->e);
    }
    if (given) {
        *path = ref;
        *text = given;
        return json_parse(ref, given, strlen(given), k->e);
    }
    if (locate(at, ref, folder, k, path)) return NULL;
    return inputs_tree(*path, text, k->arena, k->e);
}

/* Frees a tree that was read. If it was an object at `at`, a message about it names both places. */
static int close_named(const struct json_at *at, const char *path, cJSON *tree, int rc, struct lookup *k) {
    cJSON_Delete(tree);
    if (rc && cJSON_IsObject(at->node)) inputs_join_paths(path, k->e);
    return rc;
}

static int load_model(const struct json_at *at, const char *ref, struct lookup *k, struct loaded *l) {
    const char *path, *as;
    cJSON *tree = open_named(at, ref, "models", k->model_text, k, &path, &as, &l->model_text);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    l->model = ARENA_NEW(k->arena, struct model);
    int rc = inputs_model(&root, as, inputs_stem_of(path, k->arena), l->model, k->arena, k->e);
    if (close_named(at, path, tree, rc, k)) return -1;
    int n = 0;
    if (!as && !cJSON_IsObject(at->node)) {
        /* a model of the user's own: its profiles are beside it, as in inputs/ */
        l->profile_dir[n++] =
            arena_printf(k->arena, "%s/../profiles/%s", inputs_dir_of(path, k->arena), l->model->name);
        l->profile_dir[n++] =
            arena_printf(k->arena, "%s/profiles/%s", inputs_dir_of(path, k->arena), l->model->name);
    }
    struct err none; /* without inputs/ there is one place less to look */
    const char *dir = k->dir ? k->dir : inputs_dir(k->inputs, k->arena, &none);
    if (dir) l->profile_dir[n] = arena_printf(k->arena, "%s/profiles/%s", dir, l->model->name);
    return 0;
}

static int load_site(const struct json_at *at, const char *ref, struct lookup *k, struct loaded *l) {
    const char *path, *as;
    cJSON *tree = open_named(at, ref, "sites", k->site_text, k, &path, &as, &l->site_text);
    if (tree) tree = inputs_fill_site(path, tree, k, &l->site_text);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    l->site = ARENA_NEW(k->arena, struct site);
    int rc = inputs_site(&root, as, inputs_stem_of(path, k->arena), l->site, k->arena, k->e);
    if (close_named(at, path, tree, rc, k)) return -1;
    l->profile = ARENA_ARRAY(k->arena, const struct profile *, l->site->n_gpu);
    return 0;
}

int inputs_load_model(const struct json_at *at, struct lookup *k, struct loaded *l) {
    const char *ref;
    return named(at, &ref, k) || load_model(at, ref, k, l) ? -1 : 0;
}

int inputs_load_stand_in(struct lookup *k, struct loaded *l) {
    const struct json_at file = {.file = l->model->file}, at = {.up = &file, .key = "stands_for"};
    memset(l->profile_dir, 0, sizeof l->profile_dir);
    if (!load_model(&at, l->model->stands_for, k, l)) return 0;
    if (strstr(file.file, ": /")) inputs_join_paths(file.file, k->e); /* an object of the job's */
    return -1;
}

int inputs_load_site(const struct json_at *at, struct lookup *k, struct loaded *l) {
    const char *ref;
    return named(at, &ref, k) || load_site(at, ref, k, l) ? -1 : 0;
}

/* Parses a profile, which must be for this GPU type and, if it names an element type, for this one. */
static int parse_profile(int gpu, const char *path, const char *text, const char *dtype, struct lookup *k,
                         struct loaded *l) {
    const char *name = l->site->gpu[gpu].name;
    cJSON *tree = json_parse(path, text, strlen(text), k->e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), at = json_member(&root, "gpu"),
                   in = json_member(&root, "dtype");
    struct profile *p = ARENA_NEW(k->arena, struct profile);
    int rc = inputs_profile(&root, l->model, p, k->arena, k->e);
    if (rc == 0 && strcmp(p->gpu, name) != 0)
        rc = json_fail(&at, k->e, "\"%.60s\"; expected \"%.60s\", the name of the file", p->gpu, name);
    if (rc == 0 && p->dtype && strcmp(p->dtype, dtype) != 0)
        rc = json_fail(&in, k->e, "\"%s\"; expected \"%s\", the type of the plan (or a file %s.%s.json)",
                       p->dtype, dtype, name, dtype);
    cJSON_Delete(tree);
    l->profile[gpu] = p;
    l->profile_text[gpu] = text;
    return rc;
}

/* Estimates the profile of a model with a shape, if the GPU has a data sheet. */
static int estimate_profile(int gpu, const char *dtype, const struct plan_options *o, struct lookup *k,
                            struct loaded *l) {
    const char *text, *name = l->site->gpu[gpu].name;
    const char *framework = l->framework ? l->framework->name : NULL;
    int rc = profile_estimate(l->model, name, dtype, framework, o, k->inputs, &text, k->arena, k->e);
    if (rc) return rc < 0 ? -1 : 0;
    return parse_profile(gpu, arena_printf(k->arena, "estimated profile %s", name), text, dtype, k, l);
}

/* Adapts a measured profile to options that it was not measured with. */
static int adapt_profile(const struct json_at *root, int gpu, const char *dtype, const struct plan_options *o,
                         struct lookup *k, struct loaded *l) {
    const struct profile *measured = l->profile[gpu],
                         *more = inputs_profile_recomputed(measured, l->model, o, k->arena);
    l->profile[gpu] = more;
    if (more) return 0;
    if (l->model->shape && estimate_profile(gpu, dtype, o, k, l)) return -1;
    return l->profile[gpu] ? 0 : inputs_no_profile_for(root, measured, o, k->e);
}

const char *inputs_profile_path(int gpu, const char *dtype, const struct lookup *k, const struct loaded *l) {
    const char *name = l->site->gpu[gpu].name;
    if (strchr(name, '/')) return NULL;
    for (int i = 0; i < 3 && l->profile_dir[i]; i++) {
        char *path = arena_printf(k->arena, "%s/%s.%s.json", l->profile_dir[i], name, dtype);
        if (!exists(path)) path = arena_printf(k->arena, "%s/%s.json", l->profile_dir[i], name);
        if (exists(path)) return path;
    }
    return NULL;
}

int inputs_load_profile(const struct json_at *root, int gpu, const char *dtype, const struct plan_options *o,
                        struct lookup *k, struct loaded *l) {
    const char *path = inputs_profile_path(gpu, dtype, k, l);
    if (!path) return l->model->shape ? estimate_profile(gpu, dtype, o, k, l) : 0;
    const char *text = file_read_text(path, NULL, k->arena, k->e);
    if (!text || parse_profile(gpu, path, text, dtype, k, l)) return -1;
    return inputs_profile_serves(l->profile[gpu], o) ? 0 : adapt_profile(root, gpu, dtype, o, k, l);
}

struct workload inputs_workload(const struct loaded *l) {
    return (struct workload){.site = l->site,
                             .model = l->model,
                             .profile = l->profile,
                             .platform = l->platform,
                             .element_bytes = 4,
                             .state_bytes_per_param = ADAM_STATE_BYTES,
                             .dtype = inputs_dtypes[0],
                             .framework = l->framework,
                             .options = inputs_own_options(l->model)};
}

int inputs_load_workload(const struct json_at *plan, const char *dtype, struct lookup *k,
                         struct workload *w) {
    struct loaded l = {0};
    struct json_at model = json_member(plan, "model"), site = json_member(plan, "site");
    struct option_choices c;
    struct options_mode *mode;
    if (inputs_load_model(&model, k, &l) || inputs_load_site(&site, k, &l) ||
        inputs_load_framework(plan, k, &l))
        return -1;
    if (inputs_options(plan, false, l.model, &c, k->e)) return -1;
    *w = inputs_workload(&l);
    if (inputs_training(plan, NULL, NULL, w, k->e)) return -1;
    int n = inputs_modes(&c, l.model, &mode, k->arena);
    for (int g = 0; g < l.site->n_gpu; g++)
        if (inputs_load_profile(plan, g, dtype, &mode->o, k, &l)) return -1;
    if (inputs_platform(&l, dtype, k)) return -1;
    inputs_in_training(l.platform, l.profile, l.site->n_gpu, l.model->n_layer, k->arena);
    w->profile = mode->profile = l.profile;
    w->platform = l.platform;
    inputs_set_options(w, &c, mode, n, k->arena);
    return 0;
}

/* Stands in for the place in a file if a name is from the command line. */
static const struct json_at arguments = {.file = "arguments"};
static const struct json_at model_argument = {.up = &arguments, .key = "model"};
static const struct json_at site_argument = {.up = &arguments, .key = "site"};

int workload_load(const char *model, const char *site, const char *inputs, struct workload *w,
                  struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct loaded l = {0};
    if (load_model(&model_argument, model, &k, &l) || load_site(&site_argument, site, &k, &l)) return -1;
    struct plan_options own = inputs_own_options(l.model);
    for (int g = 0; g < l.site->n_gpu; g++)
        if (inputs_load_profile(&arguments, g, inputs_dtypes[0], &own, &k, &l)) return -1;
    if (inputs_platform(&l, inputs_dtypes[0], &k)) return -1;
    inputs_in_training(l.platform, l.profile, l.site->n_gpu, l.model->n_layer, a);
    *w = inputs_workload(&l);
    return 0;
}

int model_load(const char *model, const char *inputs, struct workload *w, struct arena *a, struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct loaded l = {0};
    int rc = load_model(&model_argument, model, &k, &l);
    *w = (struct workload){.model = l.model};
    return rc;
}

int site_load(const char *site, const char *inputs, struct workload *w, const char **text, struct arena *a,
              struct err *e) {
    struct lookup k = {.inputs = inputs, .arena = a, .e = e};
    struct loaded l = {0};
    int rc = load_site(&site_argument, site, &k, &l);
    *w = (struct workload){.site = l.site};
    *text = l.site_text;
    return rc;
}

/* Adam has two moments, SGD one. */
double inputs_shared_bytes(const struct workload *w) {
    const struct framework *f = w->framework;
    if (f) return f->optimizer_bytes / (w->sgd ? 2 : 1) + f->master_bytes;
    return (w->sgd ? 4 : 8) + (w->element_bytes == 2 ? 4 : 0);
}

int inputs_training(const struct json_at *at, const char **dtype, const char **optimizer, struct workload *w,
                    struct err *e) {
    static const char *const optimizers[] = {"adam", "sgd"};
    struct json_at d = json_member(at, "dtype"), o = json_member(at, "optimizer");
    int di = 0, oi = 0;
    if (d.node && json_name(&d, inputs_dtypes, DTYPES, "an element type", &di, e)) return -1;
    if (o.node && json_name(&o, optimizers, 2, "an optimizer", &oi, e)) return -1;
    if (dtype) *dtype = inputs_dtypes[di];
    if (optimizer) *optimizer = optimizers[oi];
    w->dtype = inputs_dtypes[di];
    w->element_bytes = di == 0 ? 4 : 2;
    w->sgd = oi == 1;
    const struct framework *f = w->framework;
    struct json_at as = json_member(at, "framework");
    w->state_bytes_per_param = ADAM_STATE_BYTES - (w->sgd ? 4 : 0);
    if (!f) return 0;
    if (f->parameter_bytes < w->element_bytes)
        return json_fail(
            &as, e,
            "%s keeps %g bytes per parameter, fewer than %s has; expected dtype bf16 or fp16, or "
            "another framework",
            f->name, f->parameter_bytes, w->dtype);
    w->state_bytes_per_param = f->parameter_bytes + f->gradient_bytes + inputs_shared_bytes(w);
    return 0;
}
