#!/usr/bin/env bash
# TAP. The layers of src/ include only what is below them; base, sim and import know neither MPI nor HDF5. Every header
# compiles alone. Every test program is named t_*.c, so that the Makefile runs it.
set -u
cd "$(dirname "$0")/../.." || exit 1
n=0 failed=0
ok() { # status, what, and on stdin the reasons
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; sed 's/^/# /'; fi
}
# lines FILE:LINE:#include ... in layer $1 that name something matching $2
includes() { grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" "src/$1" 2>/dev/null; }

# who may include whom, besides itself
declare -A below=(
    [base]="" [sim]="base" [io]="base"
    [search]="base sim io" [formats]="base sim io" [import]="base sim io formats" [export]="base sim io"
    [planners]="base sim io formats search" [cli]="base sim io formats import export search planners"
    [train]="base sim io formats"
)
for layer in $(printf '%s\n' "${!below[@]}" | sort); do
    allowed="$layer ${below[$layer]}"
    bad=$(grep -rnE --include='*.[ch]' --include='*.cu' --include='*.cuh' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "src/$layer" |
          grep -vE "\"(${allowed// /|})/[^/]*\"" )
    ok $((${#bad} > 0)) "$layer includes ${below[$layer]:-nothing} and itself only, by directory" <<<"$bad"
done
for layer in base sim import; do
    bad=$(includes "$layer" 'mpi\.h|hdf5|H5|hdf5_hl')
    ok $((${#bad} > 0)) "$layer knows neither MPI nor HDF5" <<<"$bad"
done
# the lowest two layers neither print nor end the process (except oom.c, when out of memory)
bad=$(grep -nE '(^|[^[:alnum:]_])(_?exit|abort|[vf]*printf|f?puts|f?putc|putchar|fwrite|perror)[[:space:]]*\(' \
          src/base/*.[ch] src/sim/*.[ch] |
      grep -vE '^src/base/oom\.c:|^[^:]*:[0-9]+:[[:space:]]*(/?\*|//)')
ok $((${#bad} > 0)) "base and sim neither print nor exit" <<<"$bad"
bad=$(find src -mindepth 1 -maxdepth 1 -type d | sed 's,src/,,' | grep -vxE "$(IFS='|'; echo "${!below[*]}")")
ok $((${#bad} > 0)) "every directory of src/ is a known layer" <<<"$bad"

bad=$(for layer in "${!below[@]}"; do # the table's last column
    row=$(sed -nE "s/^\| \`$layer\` \|.*\|([^|]*)\|\$/\1/p" CONTRIBUTING.md | tr -d '\`' | xargs)
    [ "$row" = "${below[$layer]}" ] || echo "$layer includes '${below[$layer]}', the table says '$row'"
done)
ok $((${#bad} > 0)) "the table of CONTRIBUTING.md says who includes whom" <<<"$bad"

read -ra flags <<<"${CPPFLAGS:--Isrc} -idirafter tests/train/nccl" # without CUDA: the tests' header for the host
while read -r header; do
    out=$("${CC:-mpicc}" "${flags[@]}" -std=c11 -D_GNU_SOURCE -fopenmp -Wall -Wextra -Werror -fsyntax-only -x c - \
        <<<"#include \"${header#src/}\"" 2>&1)
    ok $? "$header compiles alone" <<<"$out"
done < <(find src -name '*.h' | sort)

bad=$(grep -lE '^int[[:space:]]+main[[:space:]]*\(' tests/{unit,mpi,property,train}/*.c 2>/dev/null | grep -v '/t_[^/]*$')
ok $((${#bad} > 0)) "every test program is named t_*.c" <<<"$bad"
echo "1..$n"
exit $failed
