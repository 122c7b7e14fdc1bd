#!/usr/bin/env bash
# TAP. clang reads every file without a warning: the C files as MPI's compiler would compile them, the CUDA backend with the
# headers of the emulated GPU.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
export MPICH_CC=clang OMPI_CC=clang LC_ALL=C
if ! command -v clang >/dev/null; then
    skip "clang is not installed"
    finish
fi
if ! echo '#include <omp.h>' | clang -fopenmp -fsyntax-only -x c - 2>/dev/null; then
    skip "clang has no OpenMP here (Debian: libomp-dev)"
    finish
fi
if ! ${CC:-mpicc} --version 2>/dev/null | grep -q clang; then
    skip "${CC:-mpicc} does not start the compiler that MPICH_CC or OMPI_CC names"
    finish
fi

strict="${WARN:--Wall -Wextra} -Werror -fsyntax-only"
# with the flags that mpicc adds, but nothing to link
export C_LINE="${CC:-mpicc} -std=c11 -fopenmp -Itests/train/nccl ${CPPFLAGS:--D_GNU_SOURCE -DH5_USE_110_API -Isrc} $strict \
    -Wno-unused-command-line-argument"
export CUDA_LINE="clang++ -x c++ -std=c++17 -D_GNU_SOURCE -Itests/train/emulated -Isrc -Wall -Wextra -Wno-unknown-pragmas \
    -Werror -fsyntax-only"
complaints() { # name of a variable that holds a command line; stdin: files
    # shellcheck disable=SC2016 # for the shells that xargs starts
    xargs -P 2 -n 8 bash -c 'for f; do
        out=$(${!0} "$f" 2>&1) || printf "%s: clang says:\n%s\n" "$f" "$(head -n 5 <<<"$out")"
    done' "$1"
}
gate "clang: the C files of src/ and tests/" < <(find src tests -name '*.c' | sort | complaints C_LINE)
gate "clang++: the CUDA backend and the emulated GPU" \
    < <(find src/train tests/train/emulated -name '*.cu' -o -name '*.cc' | sort | complaints CUDA_LINE)
finish
