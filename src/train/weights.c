/* Public weights in and out: `run --weights`, and the command `weights`, which turns a checkpoint into a file
 * of safetensors. */
#include "train/weights.h"
#include "formats/inputs.h"
#include "io/file.h"
#include "io/h5read.h"
#include "io/mpx_comm.h"
#include "io/program.h"
#include "train/checkpoint.h"
#include "train/cmd.h"
#include "train/public.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct public_tensor *list(const struct arch *a, int *n, struct arena *arena, struct err *e) {
    if (arch_grouped(a) && a->activation != ACTIVATION_SWIGLU) {
        err_set(e, EXIT_INPUT,
                "grouped key/value heads without SwiGLU: no family has names for it; expected "
                "one of gpt2, gpt_neo, opt, llama, mistral, qwen2");
        return NULL;
    }
    *n = public_tensors(a, NULL);
    struct public_tensor *all = ARENA_ARRAY(arena, struct public_tensor, *n);
    public_tensors(a, all);
    return all;
}

/* ---- in ---- */

/* A rank's part of one of our tensors, on the host. */
struct piece {
    float *value;
    size_t first, n; /* elements of the whole tensor */
};

static int fill(const struct piece *x, const struct st_file *f, const struct arch *a,
                const struct public_tensor *p, struct err *e) {
    const struct st_tensor *t = public_find(f, a, p, e);
    if (!t) return e->code ? -1 : 0;
    for (size_t r = 0; r < p->rows; r++)
        for (size_t c = 0; c < p->columns; c++) {
            size_t at = public_place(p, r, c);
            if (at < x->first || at >= x->first + x->n) continue;
            double value = st_value(t, r * p->columns + c);
            if (!isfinite(value))
                return err_set(e, EXIT_INPUT, "%s: %s: element %zu is not finite; expected finite numbers",
                               t->path, t->name, r * p->columns + c);
            x->value[at - x->first] = (float)value;
        }
    return 0;
}

static int read_param(struct trainer *t, const struct st_file *f, const struct public_tensor *all, int n,
                      int layer, int tensor, struct err *e) {
    struct net *net = &t->net;
    struct backend *b = t->backend;
    const struct param *p = &net->layer[layer - net->first].param[tensor];
    size_t row = p->tensor->row;
    struct piece x = {.first = p->part.first * row, .n = p->part.rows * row};
    int rc = 0;
    if (p->again) return 0;
    if (p->tensor->tied) {
        layer = 0;
        tensor = EMBEDDING_TOKENS;
    }
    if (x.n && !(x.value = malloc(x.n * sizeof *x.value)))
        return err_set(e, EXIT_INTERNAL, "%s: out of memory", f->path);
    for (int i = 0; i < n && !rc; i++)
        if (all[i].layer == layer && all[i].tensor == tensor) rc = fill(&x, f, t->arch, &all[i], e);
    if (!rc && x.n && net->master) {
        net_put_state(net, net->master, p->offset, x.value, x.n);
        net_round(net, p, x.value);
    } else if (!rc && x.n) {
        b->upload(b, elem_at(net->weight, p->offset, ELEM_F32), x.value, x.n * sizeof *x.value);
    }
    free(x.value);
    return rc;
}

static int read_all(struct trainer *t, const struct st_file *f, struct arena *a, struct err *e) {
    int n;
    const struct public_tensor *all = list(t->arch, &n, a, e);
    if (!all) return -1;
    for (int l = t->net.first; l < t->net.end; l++)
        for (int i = 0; i < arch_tensors(arch_kind(t->arch, l)); i++)
            if (read_param(t, f, all, n, l, i, e)) return -1;
    return 0;
}

struct mapped {
    void *bytes;
    size_t size;
};

/* A file of weights, which stays mapped. */
static int map_file(struct mapped *m, struct st_file *f, const char *path, struct arena *a, struct err *e) {
    struct stat st;
    int fd = file_open_regular(path, e), rc = fd < 0 ? -1 : 0;
    void *bytes = MAP_FAILED;
    if (!rc && fstat(fd, &st)) rc = err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno));
    if (!rc && st.st_size > 0) bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (!rc && bytes == MAP_FAILED)
        rc = err_set(e, EXIT_INPUT, "%s: %s; expected a safetensors file", path,
                     st.st_size > 0 ? strerror(errno) : "empty");
    if (fd >= 0) close(fd);
    if (bytes != MAP_FAILED) *m = (struct mapped){bytes, (size_t)st.st_size};
    return rc ? -1 : st_parse(f, path, m->bytes, m->size, a, e);
}

static bool ends(const char *text, const char *with) {
    size_t n = strlen(text), k = strlen(with);
    return n >= k && !strcmp(text + n - k, with);
}

/* The files that an index names, all of them mapped. */
static int map_pieces(struct mapped **m, int *n, struct st_file *all, const char *path, struct arena *a,
                      struct err *e) {
    struct st_index x;
    size_t size;
    const char *text = file_read_text(path, &size, a, e), *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash + 1 - path) : 0;
    if (!text || st_read_index(&x, path, text, size, a, e)) return -1;
    *m = ARENA_ARRAY(a, struct mapped, x.files);
    *all = (struct st_file){.path = path};
    for (*n = 0; *n < x.files; ++*n) {
        struct st_file piece;
        const char *at = arena_printf(a, "%.*s%s", dir, path, x.file[*n]);
        (*m)[*n] = (struct mapped){0};
        if (map_file(&(*m)[*n], &piece, at, a, e)) return ++*n, -1;
        st_join(all, &piece, &x, *n, a);
    }
    return 0;
}

int weights_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e) {
    struct arena a = {0};
    struct st_file f;
    struct mapped one = {0}, *mapped = &one;
    int n = 1, rc = ends(path, ".json") ? (n = 0, map_pieces(&mapped, &n, &f, path, &a, e))
                                        : map_file(&one, &f, path, &a, e);
    if (!rc) rc = read_all(t, &f, &a, e);
    for (int i = 0; i < n; i++)
        if (mapped[i].bytes) munmap(mapped[i].bytes, mapped[i].size);
    arena_free(&a);
    return mpx_agree(m, rc, e);
}

/* ---- out ---- */

static const char *const dtypes[] = {"fp32", "bf16", NULL};
static struct {
    const char *inputs, *model, *output;
    int dtype;
    double piece_gb;
    bool force;
} o = {.piece_gb = 5};
static const struct opt options[] = {
    OPTION_TEXT(0, "model", "MODEL", &o.model,
                "model that was trained: a name in inputs/models, or the path of a model file (required)"),
    OPTION_TEXT('o', "output", "FILE.safetensors", &o.output,
                "file to write (required); NAME.safetensors.index.json for several files with an index"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_CHOICE(0, "dtype", dtypes, &o.dtype, "element type of the file; default fp32"),
    OPTION_REAL(0, "piece-gb", "X", 1e-6, 1e6, &o.piece_gb,
                "with an index: size of the largest file, in 1e9 bytes; default 5. A tensor is never cut"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command weights_command = {
    .usage = "CKPT.h5 --model MODEL -o FILE.safetensors",
    .about =
        "Write the weights of a checkpoint as safetensors, with the names of Hugging Face's transformers.",
    .details = "example:\n  sailor-train weights c.h5 --model llama-tiny -o model.safetensors\n",
    TRAIN_COMMAND("weights", options, 1, 1),
};

static int put(int fd, const char *path, const void *bytes, size_t n, struct err *e) {
    for (const char *at = bytes; n;) {
        ssize_t some = write(fd, at, n);
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(errno));
        at += some;
        n -= (size_t)some;
    }
    return 0;
}

/* One of our tensors, whole; `have` says which one is loaded. */
struct whole {
    int layer, tensor;
    float *value;
};

static int read_whole(struct whole *w, const struct h5_reader *r, const struct arch *a,
                      const struct public_tensor *p, struct err *e) {
    const struct tensor *t = &a->tensor[arch_kind(a, p->layer)][p->tensor];
    size_t n = t->rows * t->row;
    char path[CHECKPOINT_PATH];
    if (w->value && w->layer == p->layer && w->tensor == p->tensor) return 0;
    free(w->value);
    *w = (struct whole){p->layer, p->tensor, malloc(n * sizeof(float))};
    if (!w->value) return err_set(e, EXIT_INTERNAL, "%s: out of memory", r->path);
    checkpoint_weight_path(path, a, p->layer, p->tensor);
    return h5_read_rows(r, path, n, 0, n, H5T_NATIVE_FLOAT, w->value, e);
}

static int write_tensor(int fd, const char *path, const struct whole *w, const struct public_tensor *p,
                        enum st_type type, struct err *e) {
    size_t width = type == ST_F32 ? 4 : 2;
    float *value = malloc(p->columns * sizeof *value);
    unsigned char *bytes = malloc(p->columns * width);
    int rc = value && bytes ? 0 : err_set(e, EXIT_INTERNAL, "%s: out of memory", path);
    for (size_t r = 0; r < p->rows && !rc; r++) {
        for (size_t c = 0; c < p->columns; c++) value[c] = w->value[public_place(p, r, c)];
        st_put(bytes, type, value, p->columns);
        rc = put(fd, path, bytes, p->columns * width, e);
    }
    free(value);
    free(bytes);
    return rc;
}

/* What is written: tensors in their order, and the file of each. */
struct output {
    int n, files;
    struct public_tensor *ours;
    struct st_tensor *theirs;
    int *of;
    const char **name;      /* [files] */
    struct file_temp *temp; /* [files] */
};

static int make_list(struct output *out, const struct arch *arch, struct arena *a, struct err *e) {
    int n;
    const struct public_tensor *all = list(arch, &n, a, e);
    if (!all) return -1;
    *out = (struct output){.ours = ARENA_ARRAY(a, struct public_tensor, n),
                                               .theirs = ARENA_ARRAY(a, struct st_tensor, n),
                                                                     .of = ARENA_ARRAY(a, int, n)};
    for (int i = 0; i < n; i++) {
        if (all[i].absent) continue;
        struct public_tensor *p = &out->ours[out->n];
        *p = all[i];
        out->theirs[out->n++] = (struct st_tensor){.name = p->name,
                                                   .type = o.dtype ? ST_BF16 : ST_F32,
                                                   .dims = p->dims,
                                                   .shape = {p->rows, p->columns}};
    }
    return 0;
}

/* Plans one file, or as few as hold the tensors in order. */
static int deal(struct output *out, bool pieces, struct arena *a, struct err *e) {
    static const char end[] = ".safetensors.index.json";
    double room = 0;
    for (int i = 0; i < out->n; i++) {
        double bytes = (double)st_bytes(&out->theirs[i]);
        if (!i || (pieces && bytes > room)) {
            room = 1e9 * o.piece_gb;
            out->files++;
        }
        room -= bytes;
        out->of[i] = out->files - 1;
    }
    out->name = ARENA_ARRAY(a, const char *, out->files);
    out->temp = ARENA_ARRAY(a, struct file_temp, out->files);
    int base = (int)(strlen(o.output) - (pieces ? strlen(end) : 0));
    for (int k = 0; k < out->files; k++) {
        out->name[k] =
            pieces ? arena_printf(a, "%.*s-%05d-of-%05d.safetensors", base, o.output, k + 1, out->files)
                   : o.output;
        if (file_can_create(out->name[k], o.force, "-f overwrites it", e)) return -1;
    }
    return 0;
}

static int write_file(const struct output *out, int k, const struct h5_reader *r, const struct arch *arch,
                      struct arena *a, struct err *e) {
    struct whole w = {0};
    int first = 0, end, fd = out->temp[k].fd;
    size_t size;
    while (out->of[first] < k) first++;
    for (end = first; end < out->n && out->of[end] == k;) end++;
    const char *made_by = arena_printf(a, "sailor-train %s", program_version()),
               *header = st_header(out->theirs + first, end - first, made_by, &size, a);
    int rc = put(fd, out->name[k], header, size, e);
    for (int i = first; i < end && !rc; i++)
        rc = read_whole(&w, r, arch, &out->ours[i], e) ||
                     write_tensor(fd, out->name[k], &w, &out->ours[i], out->theirs[i].type, e)
                 ? -1
                 : 0;
    free(w.value);
    return rc;
}

/* All files are written before the first one gets its name. */
static int write_files(struct output *out, const struct h5_reader *r, const struct arch *arch,
                       struct arena *a, struct err *e) {
    int begun = 0, done = 0, rc = 0;
    for (int k = 0; k < out->files && !rc; k++) {
        rc = file_begin(&out->temp[k], out->name[k], e);
        if (!rc) {
            begun++;
            rc = write_file(out, k, r, arch, a, e);
        }
    }
    while (!rc && done < begun) rc = file_end(&out->temp[done++], e);
    while (done < begun) file_drop(&out->temp[done++]);
    return rc;
}

static int write_index(const struct output *out, struct arena *a, struct err *e) {
    size_t size;
    const char **beside = ARENA_ARRAY(a, const char *, out->files);
    for (int k = 0; k < out->files; k++) {
        const char *slash = strrchr(out->name[k], '/');
        beside[k] = slash ? slash + 1 : out->name[k];
    }
    const char *text = st_index_text(out->theirs, out->n, beside, out->of, &size, a);
    return file_write(o.output, text, size, e);
}

static int weights(const char **file, int n, struct arena *a, struct err *e) {
    struct workload w;
    struct arch arch;
    struct h5_reader r;
    struct output out;
    (void)n;
    if (!o.model)
        return err_set(e, EXIT_INPUT, "weights: --model: missing; expected the model that was trained");
    if (!o.output) return err_set(e, EXIT_INPUT, "weights: --output: missing; expected a file to write");
    bool pieces = ends(o.output, ".safetensors.index.json");
    if (!pieces && ends(o.output, ".json"))
        return err_set(e, EXIT_INPUT,
                       "weights: --output %s; expected NAME.safetensors.index.json, or a file of weights",
                       o.output);
    if (file_spare(o.output, file[0], e) || file_spare(o.output, o.model, e)) return -1;
    if (file_can_create(o.output, o.force, "-f overwrites it", e)) return -1;
    if (model_load(o.model, o.inputs, &w, a, e) || arch_make(&arch, w.model, e)) return -1;
    if (make_list(&out, &arch, a, e) || deal(&out, pieces, a, e)) return -1;
    for (int k = 0; k < out.files; k++)
        if (file_spare(out.name[k], file[0], e) || file_spare(out.name[k], o.model, e)) return -1;
    if (h5_check(file[0], e) || checkpoint_open(&r, file[0], &arch, a, e)) return -1;
    int rc = file_spare_read(o.output, NULL, e);
    for (int k = 0; k < out.files && !rc; k++) rc = file_spare_read(out.name[k], NULL, e);
    if (!rc) rc = write_files(&out, &r, &arch, a, e);
    h5_close(&r);
    return rc || !pieces ? rc : write_index(&out, a, e);
}

int cmd_weights(int argc, char **argv) { return program_run(&weights_command, argc, argv, weights); }
