#include "base/names.h"
#include "formats/inputs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a word on the command line means that may be a path or a name: jobs, and measured runs. */

struct kind {
    const char *const *folder, *const *suffix; /* where such files are, and how their names end */
    bool (*is)(const char *path);
    const char *unknown;
    const char *ending; /* of words that are paths, whatever is there; NULL: none */
};

/* Does a JSON file say that it is a job? Its beginning is enough to tell. */
static bool is_job(const char *path) {
    char head[4096];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(head, 1, sizeof head - 1, f) : 0;
    if (f) fclose(f);
    head[n] = '\0';
    return strstr(head, "\"sailor-job/") != NULL;
}

static bool is_there(const char *path) { return !access(path, F_OK); }

static const struct kind jobs = {
    (const char *const[]){"", "examples/", NULL}, (const char *const[]){".json", NULL}, is_job,
    "no such file, and no job of that name; expected one that `sailor list jobs` names", ".json"};
static const struct kind runs = {
    (const char *const[]){"validation/", NULL}, (const char *const[]){".json", ".csv", "", NULL}, is_there,
    "no such file, and no measured runs of that name; expected those in inputs/validation", NULL};

static bool is_file(const struct kind *k, const char *ref) {
    size_t n = strlen(ref), end = k->ending ? strlen(k->ending) : n;
    return strchr(ref, '/') || (n > end && !strcmp(ref + n - end, k->ending)) || is_there(ref);
}

static const char *path_of(const struct kind *k, const char *dir, const char *name, struct arena *a) {
    for (int f = 0; k->folder[f]; f++)
        for (int s = 0; k->suffix[s]; s++) {
            const char *path = arena_printf(a, "%s/%s%s%s", dir, k->folder[f], name, k->suffix[s]);
            if (k->is(path)) return path;
        }
    return NULL;
}

static const char *path_named(const struct kind *k, const char *ref, const char *inputs, struct arena *a) {
    struct err ignored;
    const char *dir = is_file(k, ref) ? NULL : inputs_dir(inputs, a, &ignored),
               *path = dir ? path_of(k, dir, ref, a) : NULL;
    return path ? path : ref;
}

static void name_unknown(const struct kind *k, const char *ref, const char *inputs, struct arena *a,
                         struct err *e) {
    struct err ignored;
    const char *dir = is_file(k, ref) ? NULL : inputs_dir(inputs, a, &ignored), **names, *near = "";
    if (!dir) return;
    for (int f = 0; k->folder[f]; f++)
        for (int s = 0; k->suffix[s] && *k->suffix[s] && !*near; s++) {
            int n = inputs_names_ending(dir, k->folder[f], k->suffix[s], &names, a), known = 0;
            for (int i = 0; i < n; i++)
                if (path_of(k, dir, names[i], a)) names[known++] = names[i];
            near = name_hint(ref, names, known, a);
        }
    err_set(e, EXIT_INPUT, "%.200s: %s%s", ref, k->unknown, near);
}

const char *job_named(const char *dir, const char *name, struct arena *a) {
    return path_of(&jobs, dir, name, a);
}

const char *job_path(const char *ref, const char *inputs, struct arena *a) {
    return path_named(&jobs, ref, inputs, a);
}

const char *runs_path(const char *ref, const char *inputs, struct arena *a) {
    return path_named(&runs, ref, inputs, a);
}

void job_name_unknown(const char *ref, const char *inputs, struct arena *a, struct err *e) {
    name_unknown(&jobs, ref, inputs, a, e);
}

void runs_name_unknown(const char *ref, const char *inputs, struct arena *a, struct err *e) {
    name_unknown(&runs, ref, inputs, a, e);
}
