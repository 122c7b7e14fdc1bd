#include "train/safetensors.h"
#include "io/json.h"
#include "train/elem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_name[ST_TYPES] = {"F32", "F16", "BF16", "F64"};
static const int type_bytes[ST_TYPES] = {4, 2, 2, 8};
enum { LENGTH = 8, ST_PIECES_MAX = 4096 }; /* bytes before the header; files of an index */

static uint64_t little(const unsigned char *p, int bytes) {
    uint64_t x = 0;
    for (int i = bytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

/* ---- reading ---- */

static int known_type(const cJSON *x) {
    const char *s = cJSON_GetStringValue(x);
    for (int i = 0; s && i < ST_TYPES; i++)
        if (!strcmp(s, type_name[i])) return i;
    return -1;
}

/* One member of the header. 1: a kind of tensor that is not read here. */
static int read_tensor(const struct json_at *at, struct st_tensor *t, const unsigned char *data, size_t size,
                       struct arena *a, struct err *e) {
    t->path = at->up->file;
    struct json_at shape = json_member(at, "shape"), offsets = json_member(at, "data_offsets");
    const double *where, *dims;
    int type = known_type(cJSON_GetObjectItemCaseSensitive(at->node, "dtype"));
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "not an object; expected one with dtype and shape");
    if (json_array(&shape, 0, 16, &t->dims, e)) return -1;
    if (!(where = json_reals(&offsets, 2, 0, 9e15, a, e))) return -1;
    if (!(where[0] <= where[1] && where[1] <= (double)size))
        return json_fail(&offsets, e, "%.0f to %.0f; expected a range within the %zu bytes of data", where[0],
                         where[1], size);
    if (type < 0 || t->dims < 1 || t->dims > 2) return 1;
    if (!(dims = json_reals(&shape, t->dims, 0, 1e9, a, e))) return -1;
    t->shape[0] = (size_t)dims[0];
    t->shape[1] = t->dims == 2 ? (size_t)dims[1] : 1;
    t->type = (enum st_type)type;
    t->data = data + (size_t)where[0];
    t->name = arena_strdup(a, at->key);
    if (dims[0] == floor(dims[0]) &&
        (double)t->shape[0] * (double)t->shape[1] * type_bytes[type] == where[1] - where[0])
        return 0;
    return json_fail(&offsets, e, "%.0f bytes; expected %zu x %zu x %d", where[1] - where[0], t->shape[0],
                     t->shape[1], type_bytes[type]);
}

int st_parse(struct st_file *f, const char *path, const unsigned char *bytes, size_t size, struct arena *a,
             struct err *e) {
    *f = (struct st_file){.path = path};
    uint64_t n = size < LENGTH ? 0 : little(bytes, LENGTH);
    if (size < LENGTH || n < 2 || n > size - LENGTH || n > JSON_TEXT_MAX || bytes[LENGTH] != '{')
        return err_set(e, EXIT_INPUT,
                       "%s: not a safetensors file; expected the size of a header, and a header", path);
    char *text = arena_alloc(a, (size_t)n + 1);
    memcpy(text, bytes + LENGTH, (size_t)n);
    text[n] = 0;
    cJSON *tree = json_parse(path, text, (size_t)n, e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree);
    f->tensor = ARENA_ARRAY(a, struct st_tensor, cJSON_GetArraySize(tree) + 1);
    int i = 0, rc = cJSON_IsObject(tree) ? 0 : json_fail(&root, e, "not an object; expected one of tensors");
    for (const cJSON *x = rc ? NULL : tree->child; x && rc >= 0; x = x->next, i++) {
        struct json_at at = json_element(&root, i, x);
        if (!strcmp(x->string, "__metadata__")) continue;
        rc = read_tensor(&at, &f->tensor[f->n], bytes + LENGTH + n, size - LENGTH - (size_t)n, a, e);
        if (!rc) f->n++;
    }
    cJSON_Delete(tree);
    return rc < 0 ? -1 : 0;
}

/* ---- pieces ---- */

static int by_name(const void *x, const void *y) {
    return strcmp(((const struct st_place *)x)->name, ((const struct st_place *)y)->name);
}

/* The number of the file of this name; a new file gets the next one. */
static int file_number(const char **file, int *files, const char *name) {
    for (int i = *files; i-- > 0;) /* tensors of one file are adjacent */
        if (!strcmp(file[i], name)) return i;
    file[*files] = name;
    return (*files)++;
}

static int read_places(const struct json_at *map, struct st_index *x, struct arena *a, struct err *e) {
    int n = cJSON_IsObject(map->node) ? cJSON_GetArraySize(map->node) : 0;
    if (!n) return json_fail(map, e, "no tensors; expected an object with the file of each");
    const char **file = ARENA_ARRAY(a, const char *, ST_PIECES_MAX);
    struct st_place *place = ARENA_ARRAY(a, struct st_place, n);
    for (const cJSON *node = map->node->child; node; node = node->next) {
        struct json_at at = json_element(map, x->n, node);
        const char *name;
        if (json_string(&at, &name, a, e)) return -1;
        if (strchr(name, '/') || !strcmp(name, "..") || !strcmp(name, "."))
            return json_fail(&at, e, "\"%.80s\"; expected the name of a file beside this one", name);
        if (x->files == ST_PIECES_MAX)
            return json_fail(&at, e, "one file more than %d; expected fewer", ST_PIECES_MAX);
        place[x->n++] = (struct st_place){arena_strdup(a, node->string), file_number(file, &x->files, name)};
    }
    qsort(place, (size_t)x->n, sizeof *place, by_name);
    x->file = file;
    x->tensor = place;
    return 0;
}

int st_read_index(struct st_index *x, const char *path, const char *text, size_t size, struct arena *a,
                  struct err *e) {
    *x = (struct st_index){.path = path};
    cJSON *tree = json_parse(path, text, size, e);
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), map = json_member(&root, "weight_map");
    int rc = read_places(&map, x, a, e);
    cJSON_Delete(tree);
    return rc;
}

void st_join(struct st_file *all, const struct st_file *piece, const struct st_index *x, int file,
             struct arena *a) {
    struct st_tensor *more = ARENA_ARRAY(a, struct st_tensor, all->n + piece->n + 1);
    if (all->n) memcpy(more, all->tensor, (size_t)all->n * sizeof *more);
    all->tensor = more;
    all->path = x->path;
    for (int i = 0; i < piece->n; i++) {
        const struct st_place key = {.name = piece->tensor[i].name},
                              *at = bsearch(&key, x->tensor, (size_t)x->n, sizeof key, by_name);
        if (at && at->file == file) more[all->n++] = piece->tensor[i];
    }
}

const struct st_tensor *st_find(const struct st_file *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->tensor[i].name, name)) return &f->tensor[i];
    return NULL;
}

static double half(unsigned bits) {
    int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    double x = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) x = fraction ? NAN : INFINITY;
    return bits >> 15 ? -x : x;
}

double st_value(const struct st_tensor *t, size_t i) {
    uint64_t bits = little(t->data + i * (size_t)type_bytes[t->type], type_bytes[t->type]);
    uint32_t single = (uint32_t)bits;
    float f;
    double d;
    switch (t->type) {
    case ST_F16:
        return half((unsigned)bits);
    case ST_BF16:
        return (double)bf16_value((bf16){(uint16_t)bits});
    case ST_F64:
        memcpy(&d, &bits, sizeof d);
        return d;
    default:
        memcpy(&f, &single, sizeof f);
        return (double)f;
    }
}

/* ---- writing ---- */

size_t st_bytes(const struct st_tensor *t) { return t->shape[0] * t->shape[1] * (size_t)type_bytes[t->type]; }

char *st_header(const struct st_tensor *tensor, int n, const char *made_by, size_t *size, struct arena *a) {
    struct text t = {0};
    size_t at = 0;
    text_add(&t, "{\"__metadata__\":{\"format\":\"pt\",\"source\":");
    text_string(&t, made_by);
    text_add(&t, "}");
    for (int i = 0; i < n; i++) {
        const struct st_tensor *x = &tensor[i];
        size_t bytes = st_bytes(x);
        text_add(&t, ",");
        text_string(&t, x->name);
        text_add(&t, ":{\"dtype\":\"%s\",\"shape\":[%zu", type_name[x->type], x->shape[0]);
        if (x->dims == 2) text_add(&t, ",%zu", x->shape[1]);
        text_add(&t, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    text_add(&t, "}");
    while (t.n % 8) text_add(&t, " "); /* the data begin at a multiple of 8 */
    char *out = arena_alloc(a, t.n + LENGTH);
    for (int i = 0; i < LENGTH; i++) out[i] = (char)((uint64_t)t.n >> 8 * i);
    memcpy(out + LENGTH, t.s, t.n);
    *size = t.n + LENGTH;
    text_free(&t);
    return out;
}

char *st_index_text(const struct st_tensor *tensor, int n, const char *const *file, const int *of,
                    size_t *size, struct arena *a) {
    struct text t = {0};
    size_t total = 0;
    for (int i = 0; i < n; i++) total += st_bytes(&tensor[i]);
    text_add(&t, "{\n  \"metadata\": {\"total_size\": %zu},\n  \"weight_map\": {", total);
    for (int i = 0; i < n; i++) {
        text_add(&t, "%s\n    ", i ? "," : "");
        text_string(&t, tensor[i].name);
        text_add(&t, ": ");
        text_string(&t, file[of[i]]);
    }
    text_add(&t, "\n  }\n}\n");
    char *out = arena_strdup(a, t.s);
    *size = t.n;
    text_free(&t);
    return out;
}

void st_put(unsigned char *to, enum st_type type, const float *value, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bf16_round(value[i]).bits;
        if (type == ST_F32) memcpy(&bits, &value[i], sizeof bits);
        for (int k = 0; k < type_bytes[type]; k++)
            to[i * (size_t)type_bytes[type] + (size_t)k] = (unsigned char)(bits >> 8 * k);
    }
}
