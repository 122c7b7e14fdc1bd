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

/* What a rank holds of one of our tensors, on the host. */
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
                               f->path, t->name, r * p->columns + c);
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
    if (p->tensor->tied) layer = 0, tensor = EMBEDDING_TOKENS;
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

static int read_all(struct trainer *t, const char *path, const unsigned char *bytes, size_t size,
                    struct arena *a, struct err *e) {
    struct st_file f;
    int n;
    const struct public_tensor *all = list(t->arch, &n, a, e);
    if (!all || st_parse(&f, path, bytes, size, a, e)) return -1;
    for (int l = t->net.first; l < t->net.end; l++)
        for (int i = 0; i < arch_tensors(arch_kind(t->arch, l)); i++)
            if (read_param(t, &f, all, n, l, i, e)) return -1;
    return 0;
}

int weights_read(struct trainer *t, const struct mpx *m, const char *path, struct err *e) {
    struct arena a = {0};
    struct stat st;
    int fd = file_open_regular(path, e), rc = fd < 0 ? -1 : 0;
    void *bytes = MAP_FAILED;
    if (!rc && fstat(fd, &st)) rc = err_set(e, EXIT_INPUT, "%s: %s", path, strerror(errno));
    if (!rc && st.st_size > 0) bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (!rc && bytes == MAP_FAILED)
        rc = err_set(e, EXIT_INPUT, "%s: %s; expected a safetensors file", path,
                     st.st_size > 0 ? strerror(errno) : "empty");
    if (!rc) rc = read_all(t, path, bytes, (size_t)st.st_size, &a, e);
    if (bytes != MAP_FAILED) munmap(bytes, (size_t)st.st_size);
    if (fd >= 0) close(fd);
    arena_free(&a);
    return mpx_agree(m, rc, e);
}

/* ---- out ---- */

static const char *const dtypes[] = {"fp32", "bf16", NULL};
static struct {
    const char *inputs, *model, *output;
    int dtype;
    bool force;
} o;
static const struct opt options[] = {
    OPTION_TEXT(0, "model", "MODEL", &o.model,
                "model that was trained: a name in inputs/models, or the path of a model file (required)"),
    OPTION_TEXT('o', "output", "FILE.safetensors", &o.output, "file to write (required)"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_CHOICE(0, "dtype", dtypes, &o.dtype, "element type of the file; default fp32"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command weights_command = {
    .program = "sailor-train",
    .name = "weights",
    .usage = "CKPT.h5 --model MODEL -o FILE.safetensors",
    .about =
        "Write the weights of a checkpoint as safetensors, with the names of Hugging Face's transformers.",
    .details = "example:\n  sailor-train weights c.h5 --model llama-tiny -o model.safetensors\n",
    OPT_COMMAND_TAKES(options, 1, 1),
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

/* One of our tensors, whole; `have` says which one is there already. */
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

static int write_tensor(int fd, const struct whole *w, const struct public_tensor *p, enum st_type type,
                        struct err *e) {
    size_t width = type == ST_F32 ? 4 : 2;
    float *value = malloc(p->columns * sizeof *value);
    unsigned char *bytes = malloc(p->columns * width);
    int rc = value && bytes ? 0 : err_set(e, EXIT_INTERNAL, "%s: out of memory", o.output);
    for (size_t r = 0; r < p->rows && !rc; r++) {
        for (size_t c = 0; c < p->columns; c++) value[c] = w->value[public_place(p, r, c)];
        st_put(bytes, type, value, p->columns);
        rc = put(fd, o.output, bytes, p->columns * width, e);
    }
    free(value);
    free(bytes);
    return rc;
}

static int write_all(int fd, const struct h5_reader *r, const struct arch *arch, struct arena *a,
                     struct err *e) {
    struct whole w = {0};
    enum st_type type = o.dtype ? ST_BF16 : ST_F32;
    size_t size;
    int n, there = 0;
    const struct public_tensor *all = list(arch, &n, a, e);
    if (!all) return -1;
    struct st_tensor *t = ARENA_ARRAY(a, struct st_tensor, n);
    for (int i = 0; i < n; i++)
        if (!all[i].absent)
            t[there++] = (struct st_tensor){.name = all[i].name,
                                            .type = type,
                                            .dims = all[i].dims,
                                            .shape = {all[i].rows, all[i].columns}};
    const char *header = st_header(t, there, arena_printf(a, "sailor-train %s", program_version()), &size, a);
    int rc = put(fd, o.output, header, size, e);
    for (int i = 0; i < n && !rc; i++)
        if (!all[i].absent)
            rc = read_whole(&w, r, arch, &all[i], e) || write_tensor(fd, &w, &all[i], type, e) ? -1 : 0;
    free(w.value);
    return rc;
}

static int weights(const char **file, int n, struct arena *a, struct err *e) {
    struct workload w;
    struct arch arch;
    struct h5_reader r;
    struct file_temp out;
    (void)n;
    if (!o.model)
        return err_set(e, EXIT_INPUT, "weights: --model: missing; expected the model that was trained");
    if (!o.output) return err_set(e, EXIT_INPUT, "weights: --output: missing; expected a file to write");
    if (file_spare(o.output, file[0], e) || file_spare(o.output, o.model, e)) return -1;
    if (file_can_create(o.output, o.force, "-f overwrites it", e)) return -1;
    if (model_load(o.model, o.inputs, &w, a, e) || arch_make(&arch, w.model, e)) return -1;
    if (h5_check(file[0], e) || checkpoint_open(&r, file[0], &arch, a, e)) return -1;
    int rc = file_spare_read(o.output, NULL, e) ? -1 : file_begin(&out, o.output, e);
    if (!rc && (rc = write_all(out.fd, &r, &arch, a, e)))
        file_drop(&out);
    else if (!rc)
        rc = file_end(&out, e);
    h5_close(&r);
    return rc;
}

int cmd_weights(int argc, char **argv) { return program_run(&weights_command, argc, argv, weights); }
