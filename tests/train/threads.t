#!/usr/bin/env bash
# TAP. How many threads large products really have, in every program that multiplies: a library in front of the BLAS
# watches. Those that were asked for take part, each with a call of its own, and the BLAS has no threads besides.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
bench=${BIN:-build}/bench_train
unset OMP_NUM_THREADS OMP_THREAD_LIMIT
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}

nm -D "$train" | grep -q ' U cblas_sgemm' || { ok 0 "# SKIP the BLAS is linked statically"; finish; }
cat >"$tmp/seen.c" <<'EOT'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern int openblas_get_num_threads(void) __attribute__((weak));
extern long bli_thread_get_num_threads(void) __attribute__((weak));
static atomic_int threads, own;

/* An int or a long as a parameter is 64 bits wide, in registers and on the stack. */
typedef void gemm(int, int, int, long, long, long, float, const float *, long, const float *, long, float, float *, long);
gemm cblas_sgemm;
void cblas_sgemm(int order, int ta, int tb, long m, long n, long k, float alpha, const float *a, long lda, const float *b,
                 long ldb, float beta, float *c, long ldc) {
    static __thread int counted;
    gemm *real = (gemm *)dlsym(RTLD_NEXT, "cblas_sgemm");
    int of_blas = openblas_get_num_threads ? openblas_get_num_threads() : 1;
    if (bli_thread_get_num_threads && bli_thread_get_num_threads() > of_blas) of_blas = (int)bli_thread_get_num_threads();
    if ((double)(int)m * (int)n * (int)k > 1 << 20) { /* neither a head nor a first product */
        if (!counted) threads++;
        counted = 1;
        if (own < of_blas) own = of_blas;
    }
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static __attribute__((destructor)) void say(void) {
    char name[4000];
    snprintf(name, sizeof name, "%s/%d", getenv("SEEN"), (int)getpid());
    FILE *f = threads ? fopen(name, "w") : NULL;
    if (f) fprintf(f, "%d threads, %d of the BLAS\n", threads, own), fclose(f);
}
EOT
cc -O1 -shared -fPIC -o "$tmp/seen.so" "$tmp/seen.c" -ldl || { ok 1 "the library builds"; finish; }

# saw N RANKS TITLE: in each of the processes of the last run
saw() {
    local got
    got=$(cat "$SEEN"/* 2>/dev/null)
    [ "$rc" = 0 ] && [ "$got" = "$(for ((i = 0; i < $2; i++)); do echo "$1 threads, 1 of the BLAS"; done)" ]
    ok $? "$3 (saw: ${got//$'\n'/; })"
}
watch() { SEEN=$(mktemp -d "$tmp/XXXXXX"); run env "SEEN=$SEEN" "LD_PRELOAD=$tmp/seen.so" "$@"; }

site_of "$tmp/site.json" cpu 8
plan() { # FILE REPLICAS
    local r='{"gpu": "cpu", "tp": 1, "zone": "a"}' list
    list=$r; [ "$2" = 1 ] || list="$r, $r"
    echo "{\"format\": \"sailor-plan/1\", \"model\": \"gpt-tiny\", \"site\": \"$tmp/site.json\", \"global_batch_size\": 2," \
         "\"micro_batch_size\": 1, \"pipelines\": [{\"stages\": [{\"layers\": [0, 6], \"replicas\": [$list]}]}]}" >"$1"
}
plan "$tmp/1.json" 1
plan "$tmp/2.json" 2
for t in 1 2 3; do
    watch "$train" run "$tmp/1.json" --steps 1 --threads $t -q
    saw $t 1 "sailor-train run --threads $t"
done
watch env OMP_NUM_THREADS=2 "$train" run "$tmp/1.json" --steps 1 -q -o "$tmp/run.h5"
saw 2 1 "sailor-train run, OMP_NUM_THREADS=2"
watch "$mpiexec" -n 2 "$train" run "$tmp/2.json" --steps 1 --threads 2 -q
saw 2 2 "two ranks with two threads each"
watch env OMP_NUM_THREADS=2 "$train" profile gpt-tiny --gpu cpu --largest 1 --repeat 1 -q
saw 2 1 "sailor-train profile, OMP_NUM_THREADS=2"
for t in 1 2; do
    watch env OMP_NUM_THREADS=$t "$bench" gpt-tiny fp32 1 1 1
    saw $t 1 "bench_train, OMP_NUM_THREADS=$t"
    has out ", $t threads" "and says so"
done
finish
