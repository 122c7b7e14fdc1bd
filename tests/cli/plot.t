#!/usr/bin/env bash
# TAP. sailor-plot: each kind of picture is drawn, prints its numbers, and refuses other files in one line.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export MPLCONFIGDIR=$tmp OMP_NUM_THREADS=1 SAILOR_PYTHON=$python
plot=analysis/sailor-plot
if ! "$python" -c 'import h5py, matplotlib' 2>/dev/null && ! /usr/bin/python3 -c 'import h5py, matplotlib' 2>/dev/null; then
    ok 0 "sailor-plot # SKIP no Python with h5py and matplotlib"
    finish
fi
drawn() { # title
    [ "$rc" = 0 ] && [ ! -s "$tmp/err" ] && [ "$(head -c 4 "$tmp/a.png" | tail -c 3)" = PNG ]
    ok $? "$1"
    rm -f "$tmp/a.png"
}
refused() { # status, text, title
    [ "$rc" = "$1" ] && [ ! -e "$tmp/a.png" ] && [ "$(grep -c 'sailor-plot[a-z ]*: error: ' "$tmp/err")" = 1 ] && grep -q "$2" "$tmp/err"
    ok $? "$3"
}
job "$tmp/job.json" frontier
sed 's/"count": 4/"count": 1/; s/"global_batch_size": 32/"global_batch_size": 64/; s/"train_tokens"/"pin": {"micro_batch_size": 1}, &/' \
    "$tmp/job.json" | sed 's/frontier/throughput/' >"$tmp/one.json"
"$sailor" plan "$tmp/job.json" -q -o "$tmp/f.h5" >/dev/null 2>&1
"$sailor" plan "$tmp/one.json" -q -o "$tmp/t.h5" >/dev/null 2>&1

run "$plot" --help
[ "$rc" = 0 ] && has out "sailor-plot frontier" "help"
missing=$(for kind in plans timeline frontier search measured loss figures; do "$plot" "$kind" --help; done |
    grep -oE -- '^  (-[a-z].*, )?--[a-z-]+' |
    grep -oE -- '--[a-z-]+' | sort -u |
    while read -r o; do grep -qF -- "${o//-/\\-}" man/sailor-plot.1 || echo "$o"; done)
[ -z "$missing" ]
ok $? "every option is in the manual page${missing:+ (missing: $missing)}"
run "$plot" "$tmp/f.h5" -o "$tmp/a.png" --timeline
drawn "plans"
run "$plot" timeline "$tmp/t.h5" -o "$tmp/a.png"
drawn "schedules"
cat >"$tmp/cut.py" <<'EOF_PY'
"""The schedule is played to its end, and only its middle is cut."""
import sys
sys.path.insert(0, "analysis")
import plot_timeline as t
class Plan:
    def __init__(self, n, m):
        self.stages = [{"compute_s": 3.0, "comm_s": 0.5, "sync_s": 1.0 + i} for i in range(n)]
        self.m = m
    def __getitem__(self, key): return {"n_microbatch": self.m}[key]
for n, m in ((1, 1), (3, 2), (4, 25), (4, 26), (2, 2000), (5, 600)):
    bars, cut = t.bars(Plan(n, m))
    assert {k for _, k, *_ in bars if k is not None} >= {0, m - 1}
    assert sum(k is None for _, k, *_ in bars) == n
    for i in range(n):
        own = sorted((s, s + d) for j, _, s, d, _ in bars if j == i)
        assert all(a[1] <= b[0] + 1e-9 for a, b in zip(own, own[1:])), "passes of a stage overlap"
        assert own[-1][1] - own[-1][0] == 1.0 + i, "the all-reduce is last"
        assert own[-1][1] >= 3.0 * m
    assert (cut is None) == (m <= 2 * max(10, 2 * n) + n) and (cut is None or cut[0] < cut[1])
EOF_PY
py=$python
"$py" -c 'import h5py, matplotlib' 2>/dev/null || py=/usr/bin/python3
run "$py" -B "$tmp/cut.py"
expect 0 "a schedule begins with its first microbatch and ends with its last and the all-reduce"
run "$plot" frontier "$tmp/f.h5" "$tmp/f.h5" -o "$tmp/a.png"
cp "$tmp/out" "$tmp/said"
drawn "frontiers of several files"
"$sailor" report "$tmp/f.h5" --json >"$tmp/out"
json "sum(len(x['frontier']) for x in o if x.get('frontier')) * 2 == sum(l.startswith('  ') for l in open('$tmp/said'))" \
    "with every plan of them"
run "$plot" search "$tmp/f.h5" -o "$tmp/a.png"
drawn "a search"
printf '%s\n' '[   1.0 s] row 0 of 3  1/9 units  2 plans/s  best 4.4 s  bound 2.2 s  gap 50 %  eta 3 s' x \
    '[   2.0 s] row 0 of 3  2/9 units  2 plans/s  best 4 s' >"$tmp/log"
run "$plot" search "$tmp/f.h5" -o "$tmp/a.png" --log "$tmp/log"
drawn "and its progress"
"$sailor" validate inputs/validation/simumax-b200.csv --json >"$tmp/v.json"
run "$plot" measured "$tmp/v.json" -o "$tmp/a.png"
cp "$tmp/out" "$tmp/said"
drawn "measured against predicted"
cp "$tmp/v.json" "$tmp/out"
json "'mean error %.2f %%' % o[-1]['time_error_mean_percent'] in open('$tmp/said').read()" "with the mean that validate prints"
"$sailor" validate inputs/validation/opt-350m-gh200.json --json >"$tmp/v.json"
run bash -c "$plot measured - -o $tmp/a.png <$tmp/v.json"
drawn "of plans, from standard input"

for kind in plans timeline frontier search; do
    run "$plot" $kind "$tmp/job.json" -o "$tmp/a.png"
    refused 1 "job.json" "$kind of another file"
done
for kind in loss figures; do
    run "$plot" $kind "$tmp/job.json" -o "$tmp/a.png"
    refused 2 "job.json" "$kind of another file"
done
run "$plot" frontier "$tmp/t.h5" -o "$tmp/a.png"
refused 1 "has no frontier" "a frontier that is none"
run "$plot" measured "$tmp/job.json" -o "$tmp/a.png"
refused 1 "expected" "measured of another file"
run "$plot" measured "$tmp/none" -o "$tmp/a.png"
refused 1 "No such file" "a file that is not there"
run "$plot" search "$tmp/f.h5" -o "$tmp/a.png" --log "$tmp/job.json"
refused 1 "no line of progress" "a log without progress"
echo "sailor: row 0: a remark" >"$tmp/quick.log"
run "$plot" search "$tmp/f.h5" -o "$tmp/quick.png" --log "$tmp/quick.log"
[ "$rc" = 0 ] && [ -s "$tmp/quick.png" ]
ok $? "a log of a search that was over in less than a second"
# names that control a terminal, break a picture's XML, are formulas to matplotlib, or that the terminal's encoding lacks
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
zones = ["z\x1b[31m\u202e--><", "$x^{$\u00fc"]
write("odd-site.json", {
    "format": "sailor-site/1", "name": "s\n\x07", "zones": zones, "gpus": ["A100-40"],
    "usd_per_gpu_hour": {z: {"A100-40": 2} for z in zones},
    "egress_usd_per_GB": {x: {y: 0 for y in zones} for x in zones}, "links": {"pairs": [["*", "*", "*", "*", "ib-ndr"]]}})
write("odd.json", {
    "format": "sailor-job/1", "model": "opt-350m", "site": "./odd-site.json", "global_batch_size": 8, "objective": "frontier",
    "pools": [{"gpus": [{"zone": z, "gpu": "A100-40", "count": 2} for z in zones]}]})
EOF
"$sailor" plan "$tmp/odd.json" -q -o "$tmp/odd.h5" >/dev/null 2>&1
sed 's/"model":"[^"]*"/"model":"m\\u001b[31m$^{$"/' "$tmp/v.json" >"$tmp/odd-v.json"
odd() { # kind file: a picture of it, in an encoding of 128 characters
    run env PYTHONIOENCODING=ascii "$plot" "$1" "$2" -o "$tmp/odd.svg"
    [ "$rc" = 0 ] && [ ! -s "$tmp/err" ] && ! LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' "$tmp/out" "$tmp/odd.svg" &&
        "$py" -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$tmp/odd.svg"
    ok $? "hostile names: $1"
}
for kind in plans timeline frontier search; do odd $kind "$tmp/odd.h5"; done
run "$plot" "$tmp/odd.h5" -o "$tmp/odd.svg"
has out 'z\x1b[31m\xe2\x80\xae--><' "which are printed as sailor prints them"
has out "\$x^{\$ü" "with their dollars and umlauts"
odd measured "$tmp/odd-v.json"
mkfifo "$tmp/pipe"
for kind in plans timeline frontier search loss figures; do
    LIMIT=20 run "$plot" $kind "$tmp/pipe" -o "$tmp/a.png"
    refused "$(case $kind in loss) echo 2 ;; figures) echo 2 ;; *) echo 1 ;; esac)" "not a regular file" "$kind of a pipe"
done
run "$plot"
refused 2 "nothing to draw" "no file"
run "$plot" frontier
[ "$rc" = 2 ]
ok $? "a kind without a file"
finish
