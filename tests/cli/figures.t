#!/usr/bin/env bash
# TAP. `sailor figures`, its file as h5py sees it, and analysis/figures.py, which draws it.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export LIMIT=200
run "$sailor" figures --figure fig7 --frontier-limit 60 -o "$tmp/f.h5" --threads 2
expect 0 "figures --figure fig7"
[ "$(grep -c '^fig7 row . [a-z]*: ' "$tmp/err")" -ge 6 ] && has err "fig7 row 2 frontier: " "a line on stderr for each search"
has out "0.41753" "the table has the published numbers"
! grep -q fig8b "$tmp/out" && ! grep -q estimator "$tmp/out"
ok $? "and only this figure"
run "$sailor" figures --figure fig7 -o "$tmp/f.h5"
expect 2 "an existing file is not overwritten"
has err "-f overwrites it" "and -f is named"
run "$sailor" figures --figure fig9 -o "$tmp/g.h5"
expect 2 "--figure fig9"
has err "expected fig5, fig7, fig8b, fig10, fig11 or fig12" "the known ones are listed"
run "$sailor" figures --figure fig5 --corrected -q -o "$tmp/five.h5"
expect 0 "figures --figure fig5 --corrected -q"
[ ! -s "$tmp/err" ]
ok $? "-q is silent"
run "$sailor" figures --figure fig5 -o "$tmp/no/such/g.h5"
expect 1 "a directory that is not there"
run "$sailor" figures --frontier-limit -1 -o "$tmp/g.h5"
expect 2 "--frontier-limit -1"
run "$sailor" figures --inputs /nonexistent -o "$tmp/g.h5"
expect 2 "no inputs"
[ ! -e "$tmp/g.h5" ]
ok $? "nothing is written then"

if ! "$python" -c 'import h5py, matplotlib' 2>/dev/null; then
    n=$((n + 1)); echo "ok $n - h5py and analysis/figures.py # SKIP $python has no h5py or matplotlib"
    finish
fi
cat >"$tmp/read.py" <<'EOT'
import json, sys
import h5py, numpy as np
with h5py.File(sys.argv[1], "r") as f:
    assert f.attrs["schema"] == "sailor-figures/1" and f.attrs["mode"] == "faithful" and f.attrs["estimator"] == "sailor"
    assert set(f) == {"walk", "estimate", "frontier"}
    for group in f.values():
        assert isinstance(group.attrs["description"], str)
        first = group[next(iter(group))]
        assert list(first[:]) == list(range(len(first)))
        for d in group.values():
            for key in "units", "description":
                assert isinstance(d.attrs[key], str) and d.attrs[key], d.name
            assert d.shape == first.shape, d.name
    w = {k: v[:] for k, v in f["walk"].items()}
    assert f["walk/status"].attrs["flag_meanings"] == "todo optimal feasible infeasible"
    assert set(w["figure"]) == {b"fig7"} and set(w["row"]) == {0, 1, 2} and len(f["estimate/run"]) == 0
    exact = w["planner"] == b"exact"
    assert exact.sum() == 3 and all(w["status"][exact] == 1) and all(w["gap"][exact] == 0) and np.isnan(w["gap"][~exact]).all()
    published = w["published_throughput_per_s"]
    assert np.isnan(published[exact]).all() and not np.isnan(published[w["planner"] == b"amp"]).any()
    for row in range(3):  # nothing beats the proven optimum (aceso has a simulator of its own)
        here = (w["row"] == row) & (w["planner"] != b"aceso")
        assert w["throughput_per_s"][here].max() <= w["throughput_per_s"][exact & here][0] * (1 + 1e-9)
    found = w["throughput_per_s"] > 0
    assert np.allclose(1 / w["iteration_time_s"][found], w["throughput_per_s"][found]) and np.isnan(w["iteration_time_s"][~found]).all()
    assert json.loads(w["plan"][exact][0])["format"] == "sailor-plan/1"
    p = {k: v[:] for k, v in f["frontier"].items()}
    assert len(p["point"]) > 5 and all(np.diff(p["iteration_time_s"]) > 0) and all(np.diff(p["cost_usd_per_iteration"]) < 0)
EOT
run "$python" "$tmp/read.py" "$tmp/f.h5"
expect 0 "h5py reads it: units and descriptions everywhere, the optimum is the best, the frontier falls"

export MPLCONFIGDIR=$tmp
# draws DIR NAME...: DIR holds these pictures and no others, each a PNG of some size
draws() {
    local dir=$1 name good=0
    shift
    [ "$(cd "$dir" && echo *)" = "$(printf '%s.png\n' "$@" | LC_ALL=C sort | paste -sd' ')" ] || good=1
    for name; do
        [ "$(head -c 4 "$dir/$name.png" | tail -c 3)" = PNG ] && [ "$(wc -c <"$dir/$name.png")" -gt 8000 ] || good=1
    done
    return $good
}
export LC_ALL=C.UTF-8
run "$python" analysis/figures.py "$tmp/f.h5" -o "$tmp/new/pictures" --table "$tmp/f.md"
expect 0 "figures.py makes its directory"
[ ! -s "$tmp/err" ] && draws "$tmp/new/pictures" fig7 frontier-fig7-row2 search
ok $? "and draws what the file holds"
grep -qF '| 128 A100 | exact | 0.41753 | – | – | 0.3128 |' "$tmp/f.md" &&
    grep -qF '| 128 A100 | AMP | 0.32379 | 0.32379 | 0 | 0.4034 | 0.4034 | 0 |' "$tmp/f.md"
ok $? "--table: ours beside the published"
grep -qF '| AMP | 3 of 3 | 1.243 |' "$tmp/f.md" && grep -q 'Time/cost frontier: fig7, row 2' "$tmp/f.md"
ok $? "--table: mean ratios and the frontier"
awk '/^\|/ { n = gsub(/\|/, "|"); if (inside && n != width) bad = 1; width = n; inside = 1; next }
     { inside = 0 } END { exit bad }' "$tmp/f.md"
ok $? "--table: every row has the columns of its head"
run "$python" analysis/figures.py "$tmp/five.h5" -o "$tmp/five" --format png,pdf
expect 0 "a file with figure 5 alone"
mkdir "$tmp/pdf" && mv "$tmp/five"/*.pdf "$tmp/pdf" && draws "$tmp/five" fig5a fig5b
ok $? "gives 5a and 5b"
[ "$(head -qc 4 "$tmp/pdf/fig5a.pdf" "$tmp/pdf/fig5b.pdf")" = %PDF%PDF ]
ok $? "--format png,pdf"
run "$python" analysis/figures.py "$tmp/five.h5" --table "$tmp/five.md"
[ "$rc" = 0 ] && grep -q '^| native | 15 |' "$tmp/five.md"
ok $? "--table alone"

# refuses RC TITLE ARGS...: one line on stderr, nothing drawn
refuses() {
    local want=$1 title=$2
    shift 2
    run "$python" analysis/figures.py "$@"
    [ "$rc" = "$want" ] && [ ! -s "$tmp/out" ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -q '^figures.py: error: ' "$tmp/err"
    ok $? "figures.py refuses $title"
}
refuses 2 "a file that is not there" "$tmp/none.h5" -o "$tmp/x"
refuses 2 "a directory" "$tmp" -o "$tmp/x"
refuses 2 "a device" /dev/zero -o "$tmp/x"
echo '{}' >"$tmp/text.h5"
refuses 2 "a text file" "$tmp/text.h5" -o "$tmp/x"
head -c 5000 "$tmp/f.h5" >"$tmp/half.h5"
refuses 2 "half a file" "$tmp/half.h5" -o "$tmp/x"
{ head -c 9000 "$tmp/f.h5"; printf XYZ; tail -c +9004 "$tmp/f.h5"; } >"$tmp/flip.h5"
refuses 2 "a damaged file" "$tmp/flip.h5" -o "$tmp/x"
has err "checksum" "and says how it knows"
job "$tmp/job.json" throughput
run "$sailor" plan "$tmp/job.json" -o "$tmp/plan.h5"
refuses 2 "a file of another kind" "$tmp/plan.h5" -o "$tmp/x"
has err "not written by sailor figures" "and says so"
"$python" - "$tmp" <<'EOT'
import shutil, sys
import h5py
for name in ("column", "length", "type", "value", "group"):
    path = f"{sys.argv[1]}/bad-{name}.h5"
    shutil.copy(f"{sys.argv[1]}/f.h5", path)
    with h5py.File(path, "r+") as f:
        if name == "group":
            del f["frontier"]
            continue
        old = f["walk/search_s"][:]
        if name == "value":
            f["walk/search_s"][0] = -5.0
            continue
        del f["walk/search_s"]
        if name == "length":
            f["walk/search_s"] = old[1:]
        if name == "type":
            f["walk/search_s"] = [b"1"] * len(old)
EOT
refuses 2 "a missing column" "$tmp/bad-column.h5" -o "$tmp/x"
has err "/walk/search_s: missing" "and names it"
refuses 2 "a column of another length" "$tmp/bad-length.h5" -o "$tmp/x"
refuses 2 "a column of another type" "$tmp/bad-type.h5" -o "$tmp/x"
refuses 2 "a negative time" "$tmp/bad-value.h5" -o "$tmp/x"
refuses 2 "a missing table" "$tmp/bad-group.h5" -o "$tmp/x"
refuses 2 "an unknown format" "$tmp/f.h5" -o "$tmp/x" --format gif
refuses 2 "to do nothing" "$tmp/f.h5"
[ ! -e "$tmp/x" ]
ok $? "and has made no directory"
refuses 1 "a directory that cannot be made" "$tmp/f.h5" -o /proc/nothing/here
refuses 1 "a file in place of the directory" "$tmp/f.h5" -o "$tmp/f.md"
refuses 1 "a table that cannot be written" "$tmp/f.h5" --table "$tmp/no/such/f.md"
finish
