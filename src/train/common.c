#include "train/cmd.h"
#include "io/file.h"
#include "io/program.h"

#include <string.h>

const char *const train_backends[] = {"cpu", NULL};
const char *const train_comms[] = {"mpi", NULL};
const char *const train_dtypes[] = {"fp32", "bf16", NULL};

enum elem train_elem(int dtype) { return dtype ? ELEM_BF16 : ELEM_F32; }

const char *train_version(void) { return program_version(); }

int train_fail(const struct err *e) { return program_fail(&run_command, e); }

bool train_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
                 struct arena *a, int *status) {
    return program_parse(c, argc, argv, files, n_file, a, status);
}

int train_open(const struct mpx *m, int threads, enum elem elem, struct backend *b, struct comm *c,
               struct err *e) {
    if (!threads) threads = m->cpus;
    if ((elem == ELEM_BF16 ? backend_cpu_bf16_open : backend_cpu_open)(b, threads, e)) return -1;
    comm_mpi_open(c, m->comm);
    return 0;
}

int train_write_text(const char *path, const char *text, struct err *e) {
    return file_write(path, text, strlen(text), e);
}
