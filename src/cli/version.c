#include "cli/cli.h"
#include "io/mpx.h"

#include <cjson/cJSON.h>
#include <hdf5.h>

#ifndef SAILOR_VERSION
#define SAILOR_VERSION "unknown"
#endif

const char *cli_version(void) { return SAILOR_VERSION; }

void cli_print_version(FILE *out) {
    unsigned major = 0, minor = 0, release = 0;
    char mpi[120];
    H5get_libversion(&major, &minor, &release);
    mpx_version(mpi, sizeof mpi);
    fprintf(out, "sailor %s\n", cli_version());
#ifdef __clang__
    fprintf(out, "compiler    clang %s\n", __clang_version__);
#else
    fprintf(out, "compiler    gcc %s\n", __VERSION__);
#endif
#ifdef _OPENMP
    fprintf(out, "OpenMP      %d\n", _OPENMP);
#else
    fprintf(out, "OpenMP      none\n");
#endif
    fprintf(out, "MPI         %s\n", mpi);
#ifdef H5_HAVE_PARALLEL
    fprintf(out, "HDF5        %u.%u.%u (parallel build)\n", major, minor, release);
#else
    fprintf(out, "HDF5        %u.%u.%u\n", major, minor, release);
#endif
    fprintf(out, "cJSON       %s\n", cJSON_Version());
    fprintf(out, "planners   ");
    for (const char *const *p = cli_planners(); *p; p++) fprintf(out, " %s", *p);
    fprintf(out, "\nestimators ");
    for (const char *const *p = cli_estimators(true); *p; p++) fprintf(out, " %s", *p);
    fputc('\n', out);
}
