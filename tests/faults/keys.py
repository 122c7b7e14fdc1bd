"""TAP. Every number in every input file, and wherever a number belongs, replaced by what is none, or by one that is too large,
too small or no whole number. A command refuses it in one line that names the file and the place, or has an answer without
infinities, NaN or negative times. KEYS=all tries every number; otherwise each value meets some of them."""
import json, os, re, shutil, subprocess, sys, tempfile

BIN = os.environ["BIN"]
SAILOR, TRAIN = BIN + "/sailor", BIN + "/sailor-train"
ALL = os.environ.get("KEYS") == "all"
VALUES = ["0", "-1", "0.5", "1e400", "-1e400", "1e-400", "5e-324", "1e308", "2147483647", "2147483648", "9223372036854775808", "1e300",
          "NaN", '"1"', "null", "true", "[]", "{}"]
FITTING = ["0", "1e-400", "null", "0.5", "2147483647", "2147483648", "9223372036854775808"]  # of the right type somewhere
MARK = "@here@"


def layers(*x):
    """6 layers: the first, four blocks, the last."""
    return [x[0]] + [x[1]] * 4 + [x[2]]


def times(mbs, tp, one):
    return {"micro_batch_size": mbs, "tp": tp, "forward_s": layers(one / 9, one, one / 2), "backward_s": layers(one / 9, 2 * one, one),
            "update_s": one / 4, "forward_spread_s": layers(one / 90, one / 10, one / 20),
            "backward_spread_s": layers(one / 90, one / 10, one / 20), "update_spread_s": one / 40}


def profile(gpu, one):
    return {"format": "sailor-profile/1", "model": "m", "gpu": gpu, "times": [times(b, t, one * b / t) for b in (1, 2) for t in (1, 2)],
            "memory": {"process_bytes": 3e8, "state_bytes_per_param": 20, "message": 16384,
                       "tp": {t: {"act_mem": layers(200, 6e5, 3e5), "work": 4e5} for t in ("1", "2")}}}


SHEET = {"memory_GiB": 16, "memory_GBps": 900, "cache_MB": 6, "gpus_per_node": 8, "node_GBps": 150, "network_GBps": 6.25,
         "achieved": {"product": 0.75, "attention": 0.4, "memory": 0.85, "cache_speedup": 2.4, "node": 0.66, "network": 0.45,
                      "hidden_collectives": 0.5},
         "latency_us": {"launch": 26, "collective": 120, "collective_step": 20, "network": 20}, "context_GB": 1.5, "tf32_backward": 0.6,
         "launch_bound": 0.9, "gradient_rings": 0.6, "source": "-"}
STAGE = {"layers": [0, 3], "replicas": [{"gpu": "A", "tp": 2, "zone": "y", "count": 2}]}
FITS = [[-0.2, 1.5, 8, 2.5e10], [-0.2, 1.5, 6, 2e10]]
WORLD = {
    "models/m.json": dict(json.load(open("inputs/models/llama-tiny.json")), name="m"),
    "models/n.json": dict(json.load(open("inputs/models/llama-tiny.json")), name="n"),  # has no profile
    "profiles/m/A.json": profile("A", 3e-3), "profiles/m/B.json": profile("B", 5e-3),
    "sites/s.json": {
        "format": "sailor-site/1", "name": "s", "zones": ["y", "z"],
        "gpus": [{"name": "A", "memory_bytes": 16e9, "gpus_per_node": 4, "planner_memory_bytes": 15e9, "context_bytes": 1e9},
                 {"name": "B", "memory_bytes": 12e9, "gpus_per_node": 2, "context_bytes": 1e9}],
        "usd_per_gpu_hour": {"y": {"A": 3, "B": 1}, "z": {"A": 2, "B": 1}},
        "egress_usd_per_GB": {"y": {"y": 0, "z": 0.02}, "z": {"y": 0.02, "z": 0}},
        "available": {"y": {"A": 8, "B": 8}, "z": {"A": 8, "B": 8}},
        "links": {"fits": FITS, "rows": [["y", "A", 1, "y", "A", 1, 0], ["y", "A", 2, "y", "A", 2, 1], ["y", "B", 1, "y", "B", 1, 0]],
                  "presets": {"p": {"GBps": 10, "achieved": 0.8, "latency_us": 20, "per": "node"}},
                  "pairs": [["*", "*", "*", "*", "p"], ["y", "*", "y", "*", "eth"]]},
        "intra_node": {"A": {"2": [-0.2, 2, 50, 1e11], "4": [-0.2, 2, 60, 1.2e11]}, "B": {"2": [-0.2, 2, 30, 1e11]}}},
    "links.json": {"format": "sailor-links/1", "links": [{"name": "eth", "GBps": 3, "achieved": 0.9, "latency_us": 30, "per": "node"}]},
    "devices.json": {"format": "sailor-devices/1", "devices": [
        {"names": [name], "tflops": {"fp32": 15.7, "tf32": 80, "bf16": 120, "fp16": 125}, "source": "-", "sheet": SHEET}
        for name in ("A", "B", "cpu")]},
    "frameworks.json": json.load(open("inputs/frameworks.json")),
    "residuals.json": {
        "format": "sailor-residuals/1",
        "estimators": [{"names": ["native", "events", "sailor"], "time_percent": 20, "memory_percent": 9, "runs": 15}],
        "sheets": [{"names": ["A"], "time_percent": 13, "memory_percent": 2, "runs": 20}],
        "other_sheets": {"time_percent": 26, "memory_percent": 10}},
    "job.json": {
        "format": "sailor-job/1", "model": "m", "site": "s", "global_batch_size": 16, "objective": "frontier", "train_tokens": 1e9,
        "max_hours": 9000, "max_usd": 90000, "max_usd_per_iteration": 9, "min_iterations_per_s": 0.01, "zero": [0, 1],
        "pools": [{"time_s": 5, "gpus": [{"zone": "y", "gpu": "A", "count": 4, "gpus_per_node": 2},
                                         {"zone": "z", "gpu": "B", "count": [0, 2, 2]}]}]},
    "pinned.json": {
        "format": "sailor-job/1", "model": "m", "site": "s", "global_batch_size": 16, "zero": 1,
        "pin": {"micro_batch_size": 2, "stages": 2, "data_parallel": 2, "tp": {"A": 2}},
        "pools": [{"gpus": [{"zone": "y", "gpu": "A", "count": 8}]}]},
    "sheet.json": {"format": "sailor-job/1", "model": "n", "site": "s", "global_batch_size": 8, "objective": "cost",
                   "pools": [{"gpus": [{"zone": "y", "gpu": "A", "count": 4}]}]},
    "plan.json": {
        "format": "sailor-plan/1", "model": "m", "site": "s", "global_batch_size": 16, "micro_batch_size": 2, "zero": 1,
        "pipelines": [{"stages": [STAGE, dict(STAGE, layers=[3, 6])]}], "measured": {"iteration_time_s": 1.5, "peak_memory_bytes": 2e9}},
    "virtual.json": {
        "format": "sailor-plan/1", "model": "m", "site": "s", "global_batch_size": 16, "micro_batch_size": 2, "virtual_stages": 2,
        "pipelines": [{"stages": [STAGE, dict(STAGE, layers=[3, 6])]}]},
    "small.json": {
        "format": "sailor-plan/1", "model": "n", "site": "s2", "global_batch_size": 4, "micro_batch_size": 2, "zero": 0,
        "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local", "count": 1}]}]}]},
    "sites/s2.json": json.load(open("inputs/sites/local.json")),
}
WORLD["sites/s2.json"].update(name="s2")
PLAN = [SAILOR, "plan", "--json", "-q", "--threads", "1", "--time-limit", "20"]
SIMULATE = [SAILOR, "simulate", "--json"]
RUN = [TRAIN, "run", "small.json", "--steps", "1", "--threads", "1", "-q", "--json"]
COMMANDS = {  # what reads it
    "models/m.json": [PLAN + ["job.json"], SIMULATE + ["plan.json"]],
    "models/n.json": [PLAN + ["sheet.json"], RUN, [SAILOR, "profile", "n", "--gpu", "A"]],
    "profiles/m/A.json": [PLAN + ["job.json"], SIMULATE + ["plan.json", "--estimator", "events"]],
    "profiles/m/B.json": [],
    "sites/s.json": [PLAN + ["job.json"], SIMULATE + ["plan.json"]],
    "links.json": [SIMULATE + ["plan.json"]],
    "devices.json": [PLAN + ["sheet.json"], [SAILOR, "profile", "n", "--gpu", "A"], RUN],
    "frameworks.json": [PLAN + ["sheet.json"]],
    "residuals.json": [SIMULATE + ["plan.json"]],
    "job.json": [PLAN + ["job.json"]],
    "pinned.json": [PLAN + ["pinned.json"]],
    "sheet.json": [],
    "plan.json": [SIMULATE + ["plan.json"], SIMULATE + ["plan.json", "--estimator", "events"], [SAILOR, "validate", "plan.json", "--json"]],
    "virtual.json": [SIMULATE + ["virtual.json"]],
    "small.json": [RUN],
    "sites/s2.json": [RUN],
}


def numbers(o, path=""):
    """Paths of the numbers of a value; of a list of numbers the first and the last."""
    if isinstance(o, dict):
        for k, v in o.items():
            yield from numbers(v, path + "/" + k)
    elif isinstance(o, list):
        plain = all(isinstance(v, (int, float)) for v in o)
        for i, v in enumerate(o):
            if not plain or i in (0, len(o) - 1) or len(o) < 5:
                yield from numbers(v, path + "/%d" % i)
    elif isinstance(o, (int, float)) and not isinstance(o, bool):
        yield path


def replaced(o, path, token):
    o = json.loads(json.dumps(o))
    *way, last = path.split("/")[1:]
    at = o
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = MARK
    return json.dumps(o).replace('"%s"' % MARK, token)


def refuse_constant(name):
    raise ValueError(name)


def signs(o, key=""):
    """What no answer may have: a negative time, cost or size."""
    if isinstance(o, dict):
        for k, v in o.items():
            yield from signs(v, k)
    elif isinstance(o, list):
        for v in o:
            yield from signs(v, key)
    elif isinstance(o, (int, float)) and o < 0 and re.search(r"(_s|_bytes|usd|_per_iteration|bound)$", key):
        yield "%s = %s" % (key, o)


def judge(argv, file, value):
    try:
        p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    except subprocess.TimeoutExpired:
        return "hangs"
    out, err, rc = p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"), p.returncode
    if rc < 0 or rc >= 128 or "Sanitizer" in err or "runtime error" in err:
        return "crashes (%d): %s" % (rc, err[:300])
    lines = err.splitlines()
    if rc == 2:
        if len(lines) != 1:
            return "%d lines: %s" % (len(lines), err)
        # numbers that do not fit each other may be said of either
        named = [file] if value not in FITTING else [f for f in WORLD if os.path.basename(f) in err]
        if not any(re.search(r"\b%s: /" % re.escape(os.path.basename(f)), err) for f in named):
            return "does not name the file and the place: " + err
        return None
    if rc not in (0, 1, 3, 75):
        return "status %d: %s" % (rc, err)
    if rc in (1, 3) and not err:
        return "fails without a word"
    if re.search(r"(?<![\w.-])-?(inf|nan)\b", err + out, re.I):
        return "inf or nan: " + (re.search(r".{0,60}\b(inf|nan)\b.{0,30}", err + out, re.I).group(0))
    for line in out.splitlines():
        try:
            o = json.loads(line, parse_constant=refuse_constant)
        except ValueError:
            if "profile" in argv:
                o = json.loads(out, parse_constant=refuse_constant)
            else:
                return "prints no JSON: " + line[:200]
        for wrong in signs(o):
            return wrong
    return None


def main():
    tmp = tempfile.mkdtemp()
    os.chdir(tmp)
    os.environ["SAILOR_INPUTS"] = tmp
    os.environ["OMP_NUM_THREADS"] = "1"
    for file, o in WORLD.items():
        os.makedirs(os.path.dirname("./" + file), exist_ok=True)
        with open(file, "w") as f:
            json.dump(o, f)
    tests = bad_tests = tried = turn = 0
    only = sys.argv[1:]
    try:
        for file, commands in COMMANDS.items():
            for argv in commands:
                if argv[0] == TRAIN and not os.path.exists(TRAIN) or only and file not in only:
                    continue
                wrong = judge(argv, file, "0")
                p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                bad = ["as it is: " + (wrong or p.stdout.decode())] if wrong or p.returncode else []
                count = 0
                for path in [] if bad else numbers(WORLD[file]):
                    for value in VALUES:
                        turn += 1
                        if not ALL and turn % 17:
                            continue
                        with open(file, "w") as f:
                            f.write(replaced(WORLD[file], path, value))
                        count += 1
                        wrong = judge(argv, file, value)
                        if wrong:
                            bad.append("%s = %s: %s" % (path, value, wrong.strip()))
                with open(file, "w") as f:
                    json.dump(WORLD[file], f)
                tests += 1
                tried += count
                bad_tests += bool(bad)
                what = " ".join([os.path.basename(argv[0])] + argv[1:2])
                print("%sok %d - %s: %d wrong numbers in %s" % ("not " if bad else "", tests, what, count, file))
                for line in bad:
                    print("# " + line.replace("\n", " | "))
                sys.stdout.flush()
    finally:
        os.chdir("/")
        shutil.rmtree(tmp)
    print("# %d wrong numbers" % tried)
    print("1..%d" % tests)
    return 1 if bad_tests else 0


sys.exit(main())
