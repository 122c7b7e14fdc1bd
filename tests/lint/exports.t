#!/usr/bin/env bash
# TAP. Every function that src/ exports is used in another file of src/: one used only in its own file is static, and none is
# there only for tests. $OBJECTS is the directory of the objects.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
export LC_ALL=C
objects=${OBJECTS:-build/release}

# name, and why it is exported anyway
read -rd '' exceptions <<'EOF'
main                the program
cuda_version        looked up by name (dlsym) in sailor-train-cuda.so
backend_cuda_open   likewise
comm_nccl_open      likewise
arch_params         for the benchmarks, which count parameters
search_problem_of   for tests and a benchmark, which search without a planner
plan_from_json      for tests and a fuzz harness: what is stored reads as what was stored
import_try          the door of a fuzz harness and of the tests of refusals
cpus_quota_of       for a test with control groups of its own making
json_number         compared with the digits wanted, one by one
product_time_s      worked out by hand in tests, like the three that follow
run_microbatches    likewise
run_stage_blocks    likewise
run_stage_memory    likewise
schedule_concurrent_s   schedules and bounds of docs/estimator.md, which tests hold against each other
schedule_interleaved_bound_s  likewise
schedule_lower_bound_s  likewise
schedule_upper_bound_s  likewise
mt19937_next        compared with the numbers that its authors publish
mt19937_real        for a test that draws as the published planner does
EOF
list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
object_of() { # src/LAYER/FILE.c -> its object; those of the plugin exist without CUDA too, built for the tests
    local o=$objects/${1%.*}.o
    case $1 in
    *.cu) o=$objects/tests/train/emulated/$(basename "${1%.cu}").o ;;
    src/train/comm_nccl.c) o=$objects/tests/train/nccl/comm_nccl.o ;;
    esac
    echo "$o"
}
missing=
while read -r source; do
    o=$(object_of "$source")
    [ -e "$o" ] || { missing+="$source "; continue; }
    nm -P -g "$o" | awk -v file="$source" '{ print file, $1, $2 }' >>"$list"
done < <(find src -name '*.c' -o -name '*.cu' | sort)
gate "every source has an object to look into" <<<"${missing:+no object for $missing}"

unused=$(awk '$3 == "U" { used[$2] = 1; next }
    $3 ~ /^[TDBR]$/ && $2 !~ /^_Z/ { where[$2] = $1 }
    END { for (name in where) if (!(name in used)) print where[name] ": " name }' "$list" | sort)
except=$(awk '{ print ": " $1 "$" }' <<<"$exceptions")
gate "what src/ exports is used by another file of src/" < <(grep -v -f <(echo "$except") <<<"$unused")
gate "the exceptions to that are still needed" < <(while read -r name _; do
    grep -q ": $name\$" <<<"$unused" || echo "$name: is no exception any more; take it off the list in $0"
done <<<"$exceptions")
finish
