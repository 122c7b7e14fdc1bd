#include "io/results.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/schema.h"

/* Writing. The file is made in memory (HDF5's core driver) and written with write(2): HDF5 1.10 cannot be
 * closed cleanly once a disk is full, and bytes in memory can be renamed into place, read by one rank and
 * broadcast. */

const char *const row_status_name[4] = {"todo", "optimal", "feasible", "infeasible"};

static void *add(struct rows *t, int which, struct arena *a) {
    size_t size = table_def[which].record;
    if (t->n == t->room) {
        int room = t->room ? 2 * t->room : 64;
        char *more = arena_alloc(a, size * (size_t)room);
        if (t->n) memcpy(more, t->rec, size * (size_t)t->n);
        t->rec = more, t->room = room;
    }
    return t->rec + size * (size_t)t->n++;
}

/* ---- HDF5, writing ---- */

/* Writing into memory fails only for want of memory: one flag is enough. */
struct writer {
    hid_t file, vl_text, space;
    bool failed;
    const char *objective_units;
};

static hid_t ok(struct writer *w, hid_t id) {
    if (id < 0) w->failed = true;
    return id;
}

static void attr(struct writer *w, hid_t at, const char *name, hid_t file_type, hid_t memory_type,
                 const void *value) {
    hid_t id = ok(w, H5Acreate2(at, name, file_type, w->space, H5P_DEFAULT, H5P_DEFAULT));
    if (id < 0) return;
    if (H5Awrite(id, memory_type, value) < 0) w->failed = true;
    H5Aclose(id);
}

static void attr_text(struct writer *w, hid_t at, const char *name, const char *value) {
    if (!value) value = "";
    attr(w, at, name, w->vl_text, w->vl_text, &value);
}

static void attr_int(struct writer *w, hid_t at, const char *name, int value) {
    attr(w, at, name, H5T_STD_I32LE, H5T_NATIVE_INT, &value);
}

static void attr_real(struct writer *w, hid_t at, const char *name, double value) {
    attr(w, at, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static hid_t write_column(struct writer *w, hid_t group, const struct column *c, const struct rows *t,
                          size_t record) {
    size_t width = column_size(c->type);
    hid_t file_type = column_on_disk(c->type), memory_type = column_native(c->type);
    if (c->type == COLUMN_TEXT) {
        width = 1;
        for (int i = 0; i < t->n; i++) {
            size_t n = strlen(*(const char **)(t->rec + record * (size_t)i + c->at));
            if (n > width) width = n;
        }
        file_type = memory_type = text_type(width);
    }
    char *buf = calloc((size_t)t->n + 1, width);
    if (!buf) w->failed = true;
    for (int i = 0; buf && i < t->n; i++) {
        const char *from = t->rec + record * (size_t)i + c->at;
        if (c->type == COLUMN_TEXT)
            memcpy(buf + width * (size_t)i, *(const char *const *)from, strlen(*(const char *const *)from));
        else
            memcpy(buf + width * (size_t)i, from, width);
    }
    hsize_t n = (hsize_t)t->n;
    hid_t space = H5Screate_simple(1, &n, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t id = ok(w, H5Dcreate2(group, c->name, file_type, space, H5P_DEFAULT, create, H5P_DEFAULT));
    if (id >= 0) {
        if (n && buf && H5Dwrite(id, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buf) < 0) w->failed = true;
        attr_text(w, id, "units", c->units ? c->units : w->objective_units);
        attr_text(w, id, "description", c->about);
        if (c->flags) { /* CF conventions for enumerations */
            unsigned char value[16];
            hsize_t k = 1;
            for (const char *p = c->flags; *p; p++) k += *p == ' ';
            for (unsigned i = 0; i < k; i++) value[i] = (unsigned char)i;
            hid_t s = H5Screate_simple(1, &k, NULL);
            hid_t at = ok(w, H5Acreate2(id, "flag_values", H5T_STD_U8LE, s, H5P_DEFAULT, H5P_DEFAULT));
            if (at >= 0) {
                H5Awrite(at, H5T_NATIVE_UCHAR, value);
                H5Aclose(at);
            }
            H5Sclose(s);
            attr_text(w, id, "flag_meanings", c->flags);
        }
    }
    free(buf);
    H5Pclose(create);
    H5Sclose(space);
    if (c->type == COLUMN_TEXT) H5Tclose(file_type);
    return id;
}

/* The first column is the dimension scale of the others (netCDF, xarray). Written by hand: H5DSattach_scale()
 * rewrites the scale's list for every column, and libhdf5_hl would be needed for nothing else. */
static void attach_scale(struct writer *w, const hid_t *column, const struct table_def *d) {
    struct back {
        hobj_ref_t dataset;
        unsigned dimension;
    } back[32];
    hobj_ref_t scale;
    hid_t name = H5Tcopy(H5T_C_S1), vl = H5Tvlen_create(H5T_STD_REF_OBJ);
    hsize_t one = 1, others = (hsize_t)d->n_column - 1;
    hid_t line = H5Screate_simple(1, &one, NULL), list = H5Screate_simple(1, &others, NULL);
    H5Tset_size(name, sizeof "DIMENSION_SCALE");
    attr(w, column[0], "CLASS", name, name, "DIMENSION_SCALE");
    H5Tset_size(name, strlen(d->name) + 1);
    attr(w, column[0], "NAME", name, name, d->name);
    if (H5Rcreate(&scale, column[0], ".", H5R_OBJECT, -1) < 0) w->failed = true;
    for (int i = 1; i < d->n_column; i++) {
        hvl_t v = {1, &scale};
        hid_t at = ok(w, H5Acreate2(column[i], "DIMENSION_LIST", vl, line, H5P_DEFAULT, H5P_DEFAULT));
        if (at >= 0) {
            if (H5Awrite(at, vl, &v) < 0) w->failed = true;
            H5Aclose(at);
        }
        if (H5Rcreate(&back[i - 1].dataset, column[i], ".", H5R_OBJECT, -1) < 0) w->failed = true;
        back[i - 1].dimension = 0;
    }
    hid_t pair = H5Tcreate(H5T_COMPOUND, sizeof(struct back));
    H5Tinsert(pair, "dataset", offsetof(struct back, dataset), H5T_STD_REF_OBJ);
    H5Tinsert(pair, "dimension", offsetof(struct back, dimension), H5T_NATIVE_UINT);
    hid_t at = ok(w, H5Acreate2(column[0], "REFERENCE_LIST", pair, list, H5P_DEFAULT, H5P_DEFAULT));
    if (at >= 0) {
        if (H5Awrite(at, pair, back) < 0) w->failed = true;
        H5Aclose(at);
    }
    H5Tclose(pair);
    H5Tclose(vl);
    H5Tclose(name);
    H5Sclose(line);
    H5Sclose(list);
}

static void write_table(struct writer *w, const struct table_def *d, const struct rows *t) {
    hid_t column[32], create = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t group = ok(w, H5Gcreate2(w->file, d->name, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    if (group < 0) return;
    attr_text(w, group, "description", d->about);
    for (int i = 0; i < d->n_column; i++) column[i] = write_column(w, group, &d->column[i], t, d->record);
    if (!w->failed) attach_scale(w, column, d);
    for (int i = 0; i < d->n_column; i++)
        if (column[i] >= 0) H5Dclose(column[i]);
    H5Gclose(group);
}

/* The inputs can be megabytes: a scalar dataset, not an attribute, so that h5dump -A stays readable. */
static void write_inputs(struct writer *w, const char *json) {
    hid_t type = text_type(*json ? strlen(json) : 1);
    hid_t id = ok(w, H5Dcreate2(w->file, "inputs", type, w->space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    if (id >= 0) {
        if (H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, json) < 0) w->failed = true;
        attr_text(w, id, "units", "1");
        attr_text(w, id, "description",
                  "everything the search was given, as JSON text: job, model, site, profiles");
        H5Dclose(id);
    }
    H5Tclose(type);
}

static void utc_now(char buf[32]) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void write_attributes(struct writer *w, const struct results *r) {
    const struct workload *wl = &r->job->workload;
    const struct model *m = wl->model;
    char now[32], history[64];
    utc_now(now);
    snprintf(history, sizeof history, "%.30s", r->started_utc ? r->started_utc : now);
    size_t n = strlen(history) + strlen(r->command_line ? r->command_line : "") + 2;
    char *line = malloc(n);
    if (line) snprintf(line, n, "%s %s", history, r->command_line ? r->command_line : "");
    attr_text(w, w->file, "schema", schema_name);
    attr_int(w, w->file, "schema_version", SCHEMA_VERSION);
    attr_text(w, w->file, "title", "plans for distributed training, found by sailor plan");
    attr_text(w, w->file, "source", r->version);
    attr_text(w, w->file, "history", line);
    attr_text(w, w->file, "Conventions", "CF-1.10");
    unsigned char complete = r->complete;
    attr(w, w->file, "complete", H5T_STD_U8LE, H5T_NATIVE_UCHAR, &complete);
    attr_text(w, w->file, "command_line", r->command_line);
    attr_text(w, w->file, "version", r->version);
    attr_text(w, w->file, "host", r->host);
    attr_int(w, w->file, "ranks", r->ranks);
    attr_int(w, w->file, "threads", r->threads);
    attr_text(w, w->file, "started_utc", r->started_utc);
    attr_text(w, w->file, "written_utc", now);
    attr_real(w, w->file, "wall_s", r->wall_s);
    attr_text(w, w->file, "planner", r->planner);
    attr_text(w, w->file, "estimator", r->estimator);
    attr_text(w, w->file, "objective", objective_name[r->objective]);
    attr_int(w, w->file, "top_k", r->top_k);
    attr_real(w, w->file, "proof_gap", r->proof_gap);
    attr_text(w, w->file, "job", r->job->name);
    attr_text(w, w->file, "model", m->name);
    attr_text(w, w->file, "site", wl->site->name);
    attr_text(w, w->file, "dtype", r->job->dtype);
    attr_text(w, w->file, "optimizer", r->job->optimizer);
    attr_int(w, w->file, "global_batch_size", wl->global_batch_size);
    attr_int(w, w->file, "sequence_length", m->sequence_length);
    attr_int(w, w->file, "n_layer", m->n_layer);
    attr_int(w, w->file, "element_bytes", wl->element_bytes);
    attr_real(w, w->file, "state_bytes_per_param", wl->state_bytes_per_param);
    attr_real(w, w->file, "train_tokens", r->job->train_tokens);
    attr_real(w, w->file, "max_usd_per_iteration", r->job->max_usd_per_iteration);
    attr_real(w, w->file, "min_iterations_per_s", r->job->min_iterations_per_s);
    free(line);
}

static void add_plan(struct rows t[TABLES], const struct site *s, const struct found_plan *f, int row,
                     int kind, int rank, struct arena *a) {
    const struct plan *p = f->plan;
    const struct estimate *x = &f->est;
    struct plan_rec *r = add(&t[TABLE_PLAN], TABLE_PLAN, a);
    int plan = t[TABLE_PLAN].n - 1, gpus = 0, k = 0;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int j = 0; j < p->pipeline[i].n_stage; j++, k++) {
            const struct stage *st = &p->pipeline[i].stage[j];
            struct stage_rec *sr = add(&t[TABLE_STAGE], TABLE_STAGE, a);
            int stage = t[TABLE_STAGE].n - 1, in_stage = 0;
            for (int g = 0; g < st->n_group; g++) {
                const struct replicas *q = &st->group[g];
                struct replica_rec *rr = add(&t[TABLE_REPLICA], TABLE_REPLICA, a);
                *rr = (struct replica_rec){t[TABLE_REPLICA].n - 1, stage,           plan, g, q->tp, q->count,
                                           s->gpu[q->gpu].name,    s->zone[q->zone]};
                for (int v = 0; v < q->n_vm; v++) {
                    struct vm_rec *vm = add(&t[TABLE_VM], TABLE_VM, a);
                    *vm =
                        (struct vm_rec){t[TABLE_VM].n - 1, t[TABLE_REPLICA].n - 1, s->gpu[q->vm_gpu[v]].name};
                }
                in_stage += q->count * q->tp;
            }
            struct stage_estimate none = {NAN, NAN, NAN, NAN}, e = x->stage ? x->stage[k] : none;
            *sr = (struct stage_rec){
                stage,    plan,        i,        j,        st->first,     st->end, stage_replicas(st),
                in_stage, e.compute_s, e.comm_s, e.sync_s, e.memory_bytes};
            gpus += in_stage;
        }
    *r = (struct plan_rec){.plan = plan,
                           .row = row,
                           .rank = rank,
                           .kind = (unsigned char)kind,
                           .n_pipeline = p->n_pipeline,
                           .n_stage = p->pipeline[0].n_stage,
                           .data_parallel = stage_replicas(&p->pipeline[0].stage[0]),
                           .micro_batch_size = p->micro_batch_size,
                           .n_microbatch = x->n_microbatch,
                           .gpus = gpus,
                           .fits = x->fits,
                           .unfit_pipeline = x->unfit_pipeline,
                           .unfit_stage = x->unfit_stage,
                           .iteration_time_s = x->iteration_time_s,
                           .pipeline_time_s = x->pipeline_time_s,
                           .sync_time_s = x->sync_time_s,
                           .throughput_per_s = 1 / x->iteration_time_s,
                           .compute_usd = x->compute_usd,
                           .egress_usd = x->egress_usd,
                           .cost_usd_per_iteration = x->cost_usd,
                           .peak_memory_bytes = x->peak_memory_bytes,
                           .planner_time_s = f->planner_time_s,
                           .planner_cost_usd = f->planner_cost_usd};
}

/* Results to flat tables. */
static void flatten(const struct results *r, struct rows t[TABLES], struct arena *a) {
    const struct site *s = r->job->workload.site;
    for (int i = 0; i < r->n_row; i++) {
        const struct row_result *q = &r->row[i];
        struct row_rec *rr = add(&t[TABLE_ROW], TABLE_ROW, a);
        *rr = (struct row_rec){.row = i,
                               .status = (unsigned char)q->status,
                               .reason = q->reason ? q->reason : "",
                               .note = q->note ? q->note : "",
                               .time_s = r->job->pool[i].time_s,
                               .lower_bound = q->lower_bound,
                               .gap = q->gap,
                               .search_s = q->search_s,
                               .plans_evaluated = q->plans_evaluated,
                               .oom_plans = q->oom_plans};
        for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
            if (r->job->pool[i].count[k] < 1) continue;
            struct pool_rec *p = add(&t[TABLE_POOL], TABLE_POOL, a);
            *p = (struct pool_rec){t[TABLE_POOL].n - 1, i, r->job->pool[i].count[k], s->zone[k / s->n_gpu],
                                   s->gpu[k % s->n_gpu].name};
        }
        for (int k = 0; k < q->n_plan; k++) add_plan(t, s, &q->plan[k], i, KIND_TOP, k, a);
        for (int k = 0; k < q->n_frontier; k++) add_plan(t, s, &q->frontier[k], i, KIND_FRONTIER, k, a);
        for (int k = 0; k < q->n_unit; k++) {
            const struct unit_result *u = &q->unit[k];
            struct unit_rec *ur = add(&t[TABLE_UNIT], TABLE_UNIT, a);
            *ur = (struct unit_rec){.unit = t[TABLE_UNIT].n - 1,
                                    .row = i,
                                    .micro_batch_size = u->micro_batch_size,
                                    .data_parallel = u->data_parallel,
                                    .status = (unsigned char)u->status,
                                    .lower_bound = u->lower_bound,
                                    .value = u->value,
                                    .gap = u->gap,
                                    .attempts = u->attempts,
                                    .seconds = u->seconds,
                                    .nodes = u->nodes,
                                    .plans_evaluated = u->plans_evaluated};
        }
    }
    for (int z = 0; z < s->n_zone; z++)
        *(struct zone_rec *)add(&t[TABLE_ZONE], TABLE_ZONE, a) = (struct zone_rec){z, s->zone[z]};
    for (int g = 0; g < s->n_gpu; g++)
        *(struct gpu_rec *)add(&t[TABLE_GPU], TABLE_GPU, a) =
            (struct gpu_rec){g, s->gpu[g].gpus_per_node, s->gpu[g].name, s->gpu[g].memory_bytes};
}

/* ---- the file in memory ---- */

/* Where the core driver keeps the file. H5Fget_file_image() would be the simple way, but in 1.10 it clears a
 * flag in its copy of the superblock and leaves the checksum as it was, so that no one can open the copy. The
 * driver lets us own its memory instead: what it would free when the closed file is complete, we keep. */
struct image {
    char *bytes;
    size_t size, room;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *ctx) {
    (void)op;
    ((struct image *)ctx)->room = size;
    return calloc(1, size);
}

static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *ctx) {
    struct image *im = ctx;
    char *p = realloc(old, size);
    (void)op;
    if (!p) return NULL;
    if (size > im->room)
        memset(p + im->room, 0, size - im->room); /* gaps in a file are zeros, not our memory */
    im->room = size;
    return p;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *ctx) {
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        ((struct image *)ctx)->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *same_ctx(void *ctx) { return ctx; }
static herr_t keep_ctx(void *ctx) { return (void)ctx, 0; }

/* The superblock (version 2) has the end of the file at byte 28. */
static size_t end_of_file(const struct image *im) {
    uint64_t end = 0;
    if (!im->bytes || im->room < 48 || im->bytes[8] != 2) return 0;
    for (int i = 0; i < 8; i++) end |= (uint64_t)(unsigned char)im->bytes[28 + i] << (8 * i);
    return end <= im->room ? (size_t)end : 0;
}

/* The whole file in memory; free() the bytes, which are NULL if HDF5 failed: why[] says how. */
static struct image build_image(const struct results *r, char why[200]) {
    struct arena a = {0};
    struct rows t[TABLES] = {{0}};
    struct writer w = {.objective_units = r->objective == OBJECTIVE_COST ? "USD" : "s"};
    struct image im = {0};
    H5FD_file_image_callbacks_t own = {image_malloc, NULL, image_realloc, image_free, same_ctx,
                                       keep_ctx,     &im};
    flatten(r, t, &a);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fapl_core(access, 1 << 18, 0);
    H5Pset_file_image_callbacks(access, &own);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18,
                         H5F_LIBVER_V18); /* checksums on metadata; any reader since 1.8 */
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    w.vl_text = H5Tcopy(H5T_C_S1);
    H5Tset_size(w.vl_text, H5T_VARIABLE);
    H5Tset_cset(w.vl_text, H5T_CSET_UTF8);
    w.space = H5Screate(H5S_SCALAR);
    w.file = ok(&w, H5Fcreate("sailor-results", H5F_ACC_TRUNC, create, access));
    if (w.file >= 0) {
        write_attributes(&w, r);
        for (int i = 0; i < TABLES; i++) write_table(&w, &table_def[i], &t[i]);
        write_inputs(&w, r->inputs_json ? r->inputs_json : "");
        if (H5Fclose(w.file) < 0) w.failed = true;
    }
    if (w.failed) hdf5_why(why);
    im.size = w.failed ? 0 : end_of_file(&im);
    char *sealed = im.size ? realloc(im.bytes, im.size + SEAL_BYTES + 1) : NULL;
    if (sealed) {
        seal_make(sealed, im.size, sealed + im.size);
        im.bytes = sealed, im.size += SEAL_BYTES;
    } else {
        free(im.bytes);
        im.bytes = NULL;
    }
    H5Sclose(w.space);
    H5Tclose(w.vl_text);
    H5Pclose(create);
    H5Pclose(access);
    arena_free(&a);
    return im;
}

/* ---- files ---- */

static void parent_of(const char *path, char dir[4096]) {
    snprintf(dir, 4096, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash)
        strcpy(dir, ".");
    else if (slash == dir)
        dir[1] = 0;
    else
        *slash = 0;
}

/* The temporary name beside `path`; the process id keeps two runs apart. */
static void temporary_of(const char *path, char temp[4096]) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    snprintf(temp, 4096, "%.*s.%.200s.%ld", (int)(base - path), path, base, (long)getpid());
}

static int open_temporary(const char *path, char temp[4096], struct err *e) {
    temporary_of(path, temp);
    unlink(temp); /* left by a killed run that had our process id */
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(errno));
    return fd;
}

int results_can_create(const char *path, bool force, struct err *e) {
    struct stat st;
    char temp[4096];
    if (strlen(path) > 3800) return err_set(e, EXIT_INPUT, "%.80s...: file name too long", path);
    if (!stat(path, &st)) {
        if (S_ISCHR(st.st_mode)) return 0; /* /dev/null and its like are written, not replaced */
        if (!S_ISREG(st.st_mode))
            return err_set(e, EXIT_INTERNAL, "%s: cannot be written: not a regular file", path);
        if (!force)
            return err_set(e, EXIT_INPUT, "%s: exists; -f overwrites it, --resume continues it", path);
    } else if (errno != ENOENT) {
        return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(errno));
    }
    int fd = open_temporary(path, temp, e); /* the surest test of a directory is to use it */
    if (fd < 0) return -1;
    close(fd);
    unlink(temp);
    return 0;
}

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = write(fd, p, n > (1 << 30) ? 1 << 30 : n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return -1;
        p += k, n -= (size_t)k;
    }
    return 0;
}

int results_write(const char *path, const struct results *r, struct err *e) {
    char why[200] = "", temp[4096], target[4096], dir[4096];
    struct stat st;
    struct image im = build_image(r, why);
    if (!im.bytes) return err_set(e, EXIT_INTERNAL, "%s: cannot be written: HDF5: %s", path, why);
    if (!stat(path, &st) && S_ISCHR(st.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        int bad = fd < 0 || write_all(fd, im.bytes, im.size) ? errno : 0;
        if (fd >= 0 && close(fd) && !bad) bad = errno;
        free(im.bytes);
        return bad ? err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(bad)) : 0;
    }
    char *real = realpath(path, NULL); /* a symbolic link keeps pointing to its file */
    snprintf(target, sizeof target, "%s", real ? real : path);
    free(real);
    int fd = open_temporary(target, temp, e), bad = 0;
    if (fd < 0) {
        free(im.bytes);
        return -1;
    }
    if (write_all(fd, im.bytes, im.size) || fsync(fd)) bad = errno;
    if (close(fd) && !bad) bad = errno;
    free(im.bytes);
    if (!bad && rename(temp, target)) bad = errno;
    if (bad) {
        unlink(temp);
        return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(bad));
    }
    parent_of(target, dir);
    if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >=
        0) { /* the new name, too, survives a power cut */
        fsync(fd);
        close(fd);
    }
    return 0;
}
