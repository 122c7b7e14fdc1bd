#!/usr/bin/env bash
# TAP. `sailor report --scaling`: a stored search, dealt again to more ranks.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1 HDF5_USE_FILE_LOCKING=FALSE
cat >"$tmp/job.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 256, "pools": [{"gpus": [
 {"zone": "us-central1-a", "gpu": "A100-40", "count": 8}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 8},
 {"zone": "us-central1-a", "gpu": "GH-96", "count": 8}]}]}
EOF
run "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5" --estimator sailor --gap 0 -q
expect 0 "a search of a second"
run "$sailor" report "$tmp/a.h5" --scaling --json
json 'len(o) == 13 and [x["ranks"] for x in o] == [1 << k for k in range(13)]' "1 to 4,096 ranks"
json 'o[0]["efficiency"] == 1 and "limit" not in o[0]' "one rank waits for nobody"
json 'all(x["time_s"] >= o[0]["time_s"] / x["ranks"] * (1 - 1e-9) for x in o)' "no more than an equal share is gained"
json 'o[1]["time_s"] < o[0]["time_s"]' "two ranks are faster"
json 'all(0 < x["limit_s"] <= x["time_s"] for x in o[1:])' "what the others wait for is a part of the time"
json 'all(abs(sum(f["time_s"] for f in x["phases"]) - x["time_s"]) < 1e-9 for x in o)' "the phases make up the time"
run "$sailor" report "$tmp/a.h5" --scaling --row 0
has out "row 0: " "a table for the row"
run "$sailor" report "$tmp/a.h5" --scaling --max-usd 1
expect 2 "not with a limit"
has err "--scaling: not together with --max-usd" "which is said"
run "$sailor" report "$tmp/a.h5" --scaling --html "$tmp/a.html"
expect 2 "not with a page"
run "$sailor" plan fig7 --planner atlas -o "$tmp/b.h5" -q
run "$sailor" report "$tmp/b.h5" --scaling
expect 2 "a published planner deals nothing"
has err "no tasks are stored" "which is said, too"

# tasks of a known length: a set-up of 1 s, eight climbs of 0.5 s, and a round of 100 tasks of 0.2 s and one of 2 s
if ! "$python" -c 'import h5py' 2>/dev/null; then
    ok 0 "the table of known tasks # SKIP no h5py"
    ok 0 "an older file # SKIP no h5py"
    finish
fi
"$python" - "$tmp/a.h5" "$tmp/known.h5" "$tmp/old.h5" <<'EOF'
import shutil, sys, h5py, numpy as np
stored, known, old = sys.argv[1:]
tasks = [(0, 0, 1.0)] + [(1, 1, 0.5)] * 8 + [(2, 5, 0.2)] * 100 + [(2, 5, 2.0)]
column = dict(zip(("round", "kind", "seconds"), zip(*tasks)), task=range(len(tasks)), row=[0] * len(tasks))
shutil.copy(stored, known)
shutil.copy(stored, old)
with h5py.File(known, "r+") as f:
    for name, values in column.items():
        dtype = f["task"][name].dtype
        del f["task"][name]
        f["task"].create_dataset(name, data=np.array(values, dtype=dtype))
with h5py.File(old, "r+") as f:
    del f["task"]
EOF
run "$sailor" report "$tmp/known.h5" --scaling
cat >"$tmp/want" <<'EOF'
row 0: 110 tasks
ranks  time s  efficiency  most lost s  to
    1    27.0       1.000
    2    15.0       0.900          1.0  proof: the last task of a round
    4    9.00       0.750          1.5  proof: the last task of a round
    8    5.90       0.572          1.7  proof: the last task of a round
   16    4.70       0.359          1.8  proof: the last task of a round
   32    4.10       0.206          1.9  proof: the last task of a round
   64    3.70       0.114          1.9  proof: the last task of a round
  128    3.50       0.060          1.8  proof: fewer tasks than ranks
  256    3.50       0.030          1.9  proof: fewer tasks than ranks
  512    3.50       0.015          2.0  proof: fewer tasks than ranks
 1024    3.50       0.008          2.0  proof: fewer tasks than ranks
 2048    3.50       0.004          2.0  proof: fewer tasks than ranks
 4096    3.50       0.002          2.0  proof: fewer tasks than ranks

phase                        tasks  rounds  work s  longest s  s on 8  s on 64  s on 256
what every rank does itself      1       1    1.00       1.00    1.00     1.00      1.00
climbs                           8       1    4.00      0.500   0.500    0.500     0.500
proof                          101       1    22.0       2.00    4.40     2.20      2.00

Assumed: ranks of one thread, as fast as the one that did the tasks, 64 on a node;
    tasks in the order and with the effort recorded, whatever number of ranks;
    a pause every 3 s to tell what is found; 10 us for each step of a message. Longest:
    the longest tasks of all rounds of a phase, one after the other.
EOF
diff "$tmp/want" "$tmp/out"
ok $? "the table of known tasks"
run "$sailor" report "$tmp/old.h5" --scaling
has err "no tasks are stored" "an older file has none"
run "$sailor" report "$tmp/old.h5" --json
expect 0 "but its plans"
finish
