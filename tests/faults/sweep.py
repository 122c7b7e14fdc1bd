"""TAP. System calls that fail: the n-th open, write, fsync, rename, close, truncate, mmap or malloc of the program (shim.c),
for a spread of n up to 300, in commands that read and write files, alone and under mpirun -n 2. Whatever fails, a command
ends within a minute, does not crash, says why when it fails, keeps the file that was there before or leaves a whole new
one, and has the right result when its status is 0. FAULTS=all tries all of these n, otherwise a few."""
import filecmp, os, re, shutil, signal, subprocess, sys, tempfile

BIN, MPIEXEC = os.environ["BIN"], os.environ.get("MPIEXEC") or "mpirun"
SHIM = os.environ["SHIM"]
ALL = os.environ.get("FAULTS") == "all"
KINDS = ["open", "write", "fsync", "rename", "close", "truncate", "mmap", "malloc"]
SPREAD = [*range(1, 11), 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 130, 160, 200, 250, 300] if ALL else [1, 2, 4, 12, 60, 300]
SAILOR, TRAIN = BIN + "/sailor", BIN + "/sailor-train"
JOB = """{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32, "objective": "throughput",
 "pools": [{"time_s": 10, "gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 4}]},
           {"gpus": [{"zone": "us-central1-a", "gpu": "V100-16", "count": 0}]},
           {"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 2}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 2}]}]}"""
STAGES = {1: '{"layers":[0,6],"replicas":[{"gpu":"cpu","tp":1,"zone":"local"}]}'}
STAGES[2] = STAGES[1].replace("0,6", "0,3") + "," + STAGES[1].replace("0,6", "3,6")
PLAN = ("""{"format":"sailor-plan/1","model":"gpt-tiny","site":"local","global_batch_size":2,"micro_batch_size":1,
 "pipelines":[{"stages":[%s]}]}""")


def run(argv, fail=None, limit=60):
    """Status, stdout and stderr; status None: it hung."""
    env = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    if fail:
        env["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=0:" + env.get("ASAN_OPTIONS", "")
        at = argv.index(SAILOR) if SAILOR in argv else argv.index(TRAIN)
        argv = argv[:at] + ["env", "LD_PRELOAD=" + SHIM, "FAIL=" + fail, "FAIL_MARK=failed"] + argv[at:]
    p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = p.communicate(timeout=limit)
        return p.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGTERM)
        try:
            p.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
        return None, "", ""


def must(argv, status=0):
    rc, out, err = run(argv)
    if rc != status:
        sys.exit("Bail out! %s: status %s: %s" % (" ".join(argv), rc, err))
    return out


def steady(text, err=""):
    """Without what differs from run to run: times, and paths; and without what err says is left out."""
    vary = r"search_s|[a-z_]*time_s|tokens_per_s|written|command|history"
    if "no MFU: " in err:
        vary += "|mfu"
    if "no intervals: " in err:
        vary += r"|[a-z_]*_(?:low|high)_(?:s|bytes)"
    return re.sub(r',?"(%s)": *("[^"]*"|[-+.0-9eE]+|null)' % vary, "", text)


def losses(text):
    return re.findall(r'"loss": *([-+.0-9eE]+)', text)


class Case:
    """A command, the files it finds, and what is wrong with what it left."""

    def __init__(self, name, argv, files, check):
        self.name, self.argv, self.files, self.check = name, argv, files, check


def cases(ranks):
    mpi = [MPIEXEC, "-n", str(ranks)] if ranks > 1 else []
    name = " (mpirun -n %d)" % ranks if ranks > 1 else ""
    plan = mpi + [SAILOR, "plan", "job.json", "--json", "--quiet", "--threads", "1"]
    must(plan + ["-f", "-o", "whole.h5"])
    whole = must([SAILOR, "report", "whole.h5", "--json"])
    answer = steady(whole)
    must(plan + ["-f", "-o", "stopped.h5", "--time-limit", "0"], 75)

    def file_of_plans(path, before):
        def check(rc, out, err):
            if not os.path.exists(path):
                return "the file is gone"
            if rc and filecmp.cmp(path, before, shallow=False):
                return None
            status, said, err = run([SAILOR, "report", path, "--json"])
            if status not in (0, 75) and not (status == 0):
                return "the file cannot be read: " + err
            if rc == 0 and steady(said) != answer:
                return "the file has another answer"
            return None

        return check

    def said(rc, out, err):
        return "another answer" if rc == 0 and steady(out, err) != steady(whole, err) else None

    yield Case("plan -o" + name, plan + ["-f", "-o", "a.h5"], {"a.h5": "whole.h5"}, file_of_plans("a.h5", "whole.h5"))
    yield Case("plan --resume" + name, plan + ["--resume", "s.h5"], {"s.h5": "stopped.h5"}, file_of_plans("s.h5", "stopped.h5"))
    if ranks == 1:
        yield Case("report", [SAILOR, "report", "whole.h5", "--json"], {}, said)
    if not os.path.exists(TRAIN):
        return

    with open("train%d.json" % ranks, "w") as f:
        f.write(PLAN % STAGES[ranks])
    train = mpi + [TRAIN, "run", "train%d.json" % ranks, "--threads", "1", "-q", "--json", "-f"]
    old, new = "old%d.h5" % ranks, "new%d.h5" % ranks
    must(train + ["--steps", "1", "--checkpoint", old])
    right = losses(must(train + ["--steps", "2", "--resume", old, "--checkpoint", new]))
    third = losses(must(train + ["--steps", "1", "--resume", new]))

    def checkpoint(rc, out, err):
        if rc == 0 and losses(out) != right:
            return "other losses"
        if not os.path.exists("c.h5"):
            return "the checkpoint is gone"
        if rc and filecmp.cmp("c.h5", old, shallow=False):
            return None
        status, goes_on, err = run(train + ["--steps", "1", "--resume", "c.h5"])
        if status:
            return "the checkpoint cannot be resumed: " + err
        if rc == 0 and losses(goes_on) != third:
            return "the checkpoint is not that of the last step"
        if rc == 0 and not os.path.getsize("m.h5"):
            return "no measurement"
        return None

    argv = train + ["--steps", "2", "--resume", old, "--checkpoint", "c.h5", "--checkpoint-every", "1", "-o", "m.h5"]
    yield Case("sailor-train run" + name, argv, {"c.h5": old}, checkpoint)


def judge(case, rc, out, err):
    if rc is None:
        return "hung"
    if rc < 0 or rc >= 128:
        return "crashed with %d" % rc
    if rc and not err:
        return "failed without a word"
    return case.check(rc, out, err)


def main():
    tmp = tempfile.mkdtemp()
    tests = bad_tests = tried = survived = 0
    os.environ.setdefault("SAILOR_INPUTS", os.getcwd() + "/inputs")
    os.chdir(tmp)
    with open("job.json", "w") as f:
        f.write(JOB)
    try:
        for ranks in (1, 2):
            for case in cases(ranks):
                for to, source in case.files.items():
                    shutil.copy(source, to)
                rc, out, err = run(case.argv, "open:1000000")
                if rc:  # else nothing would fail below, without harm
                    print("Bail out! %s does not run with %s: status %s: %s" % (case.name, SHIM, rc, err))
                    return 1
                for kind in KINDS:
                    count, bad = 0, []
                    for n in SPREAD:
                        for path in ("failed", "m.h5"):
                            if os.path.exists(path):
                                os.remove(path)
                        for to, source in case.files.items():
                            shutil.copy(source, to)
                        rc, out, err = run(case.argv, "%s:%d" % (kind, n))
                        if not os.path.exists("failed"):
                            break  # there are not so many calls
                        count += 1
                        wrong = judge(case, rc, out, err)
                        if wrong:
                            bad.append("%s %d: %s (status %s): %s" % (kind, n, wrong, rc, err[:200].replace("\n", " | ")))
                    tests += 1
                    tried += count
                    survived += count - len(bad)
                    bad_tests += bool(bad)
                    print("%sok %d - %s: %s fails, %d places" % ("not " if bad else "", tests, case.name, kind, count))
                    for line in bad:
                        print("# " + line)
                    sys.stdout.flush()
    finally:
        os.chdir("/")
        shutil.rmtree(tmp)
    print("# %d calls failed, %d of them without harm" % (tried, survived))
    print("1..%d" % tests)
    return 1 if bad_tests else 0


sys.exit(main())
