#include "train/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef SAILOR_VERSION
#define SAILOR_VERSION "unknown"
#endif

const char *const train_backends[] = {"cpu", NULL};
const char *const train_comms[] = {"mpi", NULL};
const char *const train_dtypes[] = {"fp32", "bf16", NULL};

enum elem train_elem(int dtype) { return dtype ? ELEM_BF16 : ELEM_F32; }

const char *train_version(void) { return SAILOR_VERSION; }

int train_fail(const struct err *e) {
    fflush(stdout);
    fprintf(stderr, "sailor-train: error: %s\n", e->text);
    return e->code;
}

bool train_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
                 struct arena *a, int *status) {
    struct err e;
    switch (opt_parse(c, argc, argv, files, n_file, a, &e)) {
    case OPT_OK:
        return true;
    case OPT_HELP:
        if (mpx_launch_rank() == 0) fputs(opt_help(c, a), stdout);
        *status = EXIT_OK;
        return false;
    case OPT_ERROR:
        break;
    }
    *status = mpx_launch_rank() == 0 ? train_fail(&e) : (int)e.code;
    return false;
}

int train_open(const struct mpx *m, int threads, enum elem elem, struct backend *b, struct comm *c,
               struct err *e) {
    if (!threads) threads = m->cpus;
    if ((elem == ELEM_BF16 ? backend_cpu_bf16_open : backend_cpu_open)(b, threads, e)) return -1;
    comm_mpi_open(c, m->comm);
    return 0;
}

int train_write_text(const char *path, const char *text, struct err *e) {
    char temp[4200];
    if (!path) return fputs(text, stdout), 0;
    snprintf(temp, sizeof temp, "%.4000s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(temp, "w");
    int bad = !f || fputs(text, f) < 0 || fflush(f) || fsync(fileno(f)) ? errno : 0;
    if (f && fclose(f) && !bad) bad = errno;
    if (!bad && rename(temp, path)) bad = errno;
    if (!bad) return 0;
    if (f) unlink(temp);
    return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, strerror(bad));
}
