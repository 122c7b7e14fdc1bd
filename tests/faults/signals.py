"""TAP. Signals at random moments: to the launcher, to one rank, or to all, in commands that write files, alone and under
mpirun -n 2. Whatever is hit, the command ends within a minute, with a status that is not 0 unless it had done its work; under
the name of its output stands what was there before or a whole new file, and no process is left. SIGNALS=N draws N moments of
each kind (1), SEED=N others."""
import os, random, shutil, signal, subprocess, sys, tempfile, time

BIN, MPIEXEC = os.environ["BIN"], os.environ.get("MPIEXEC") or "mpirun"
SAILOR, TRAIN = BIN + "/sailor", BIN + "/sailor-train"
MOMENTS = int(os.environ.get("SIGNALS", "1"))
draw = random.Random(int(os.environ.get("SEED", "1")))
KINDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGKILL]
STAGE = '{"layers":[%s],"replicas":[{"gpu":"cpu","tp":1,"zone":"local"}]}'
PLAN = ('{"format":"sailor-plan/1","model":"gpt-tiny","site":"local","global_batch_size":2,"micro_batch_size":1,'
        '"pipelines":[{"stages":[%s]}]}')
JOB = """{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 256, "objective": "frontier",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 48},
                     {"zone": "us-central1-a", "gpu": "V100-16", "count": 144}]}]}"""


def mine():
    """Processes that carry our mark in their environment: ranks have sessions of their own."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                marked = (b"FAULTS_MARK=" + MARK) in f.read()
            with open("/proc/%s/stat" % pid) as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
            if marked and state != "Z" and int(pid) != os.getpid():
                found.append(int(pid))
        except OSError:
            pass
    return found


def is_rank(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return os.path.basename(f.read().split(b"\0")[0].decode()) in ("sailor", "sailor-train")
    except OSError:
        return False


def identity(path):
    """Which file it is: the number of one that is gone may be given to the next."""
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns


MARK = b"%d" % os.getpid()


def run(argv, hit=None, at=0, whom="all"):
    env = dict(os.environ, FAULTS_MARK=MARK.decode(), OMP_NUM_THREADS="1")
    p = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    if hit is not None:
        time.sleep(at)
        ranks = sorted(filter(is_rank, mine()))
        targets = {"launcher": [p.pid], "one rank": ranks[-1:], "all": mine()}[whom]
        for pid in targets:
            try:
                os.kill(pid, hit)
            except ProcessLookupError:
                pass
    try:
        out, err = p.communicate(timeout=60)
        rc = p.returncode
    except subprocess.TimeoutExpired:
        rc, out, err = None, b"", b""
    end = time.time() + 20  # a proxy gives the ranks of a killed launcher a moment
    while mine() and time.time() < end:
        time.sleep(0.1)
    left = mine()
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if rc is None:
        p.communicate()
    return rc, out.decode(errors="replace"), err.decode(errors="replace"), left


def cases():
    for n in 1, 2:
        mpi = [MPIEXEC, "-n", str(n)] if n > 1 else []
        yield (mpi + [SAILOR, "plan", "job.json", "-q", "--threads", "1", "--time-limit", "3", "-f", "-o", "plan.h5"], "plan.h5",
               [SAILOR, "report", "plan.h5"], (0, 75))
        if not os.path.exists(TRAIN):
            continue
        yield (mpi + [TRAIN, "run", "plan%d.json" % n, "--steps", "20", "--threads", "1", "-q", "-f", "--checkpoint", "c%d.h5" % n,
                      "--checkpoint-every", "5"], "c%d.h5" % n,
               mpi + [TRAIN, "run", "plan%d.json" % n, "--steps", "1", "--threads", "1", "-q", "--resume", "c%d.h5" % n], (0,))
        yield (mpi + [TRAIN, "run", "plan%d.json" % n, "--steps", "20", "--threads", "1", "-q", "-f", "-o", "m%d.h5" % n], "m%d.h5" % n,
               [SAILOR, "validate", "m%d.h5" % n], (0,))
    if os.path.exists(TRAIN):
        yield ([MPIEXEC, "-n", "2", TRAIN, "netbench", "--seconds", "0.02", "--largest", "20", "-q", "-f", "-o", "site.json"], "site.json",
               [sys.executable, "-m", "json.tool", "site.json"], (0,))
        yield ([MPIEXEC, "-n", "2", TRAIN, "profile", "gpt-tiny", "--gpu", "cpu", "--repeat", "2", "--largest", "1", "-f", "-o", "p.json"],
               "p.json", [sys.executable, "-m", "json.tool", "p.json"], (0,))
    yield ([MPIEXEC, "-n", "2", SAILOR, "validate", "opt-350m-gh200.json"], None, None, (0,))


def main():
    tmp = tempfile.mkdtemp()
    os.environ.setdefault("SAILOR_INPUTS", os.getcwd() + "/inputs")
    shutil.copy("inputs/validation/opt-350m-gh200.json", tmp)
    os.chdir(tmp)
    tests = bad_tests = tried = survived = 0
    with open("job.json", "w") as f:
        f.write(JOB)
    for n, stages in (1, STAGE % "0,6"), (2, STAGE % "0,3" + "," + STAGE % "3,6"):
        with open("plan%d.json" % n, "w") as f:
            f.write(PLAN % stages)
    try:
        for argv, file, reads, whole in cases():
            if sys.argv[1:] and not set(sys.argv[1:]) & set(argv):
                continue
            mpi = argv[1] == "-n"
            began = time.time()
            rc, out, err, left = run(argv)
            lasts = time.time() - began
            if rc not in whole or left:
                print("Bail out! %s: status %s: %s" % (" ".join(argv), rc, err))
                return 1
            if file:
                shutil.copy(file, "before")
            files = set(os.listdir("."))
            for hit in KINDS:
                bad = []
                for _ in range(MOMENTS):
                    if file:
                        shutil.copy("before", file)
                        found = identity(file)
                    whom = draw.choice(["launcher", "one rank", "all"]) if mpi else "all"
                    at = draw.uniform(0, 1.05 * lasts)
                    rc, out, err, left = run(argv, hit, at, whom)
                    wrong = None
                    if rc is None:
                        wrong = "hangs"
                    elif left:
                        wrong = "leaves %d processes" % len(left)
                    elif file and not os.path.exists(file):
                        wrong = "the file is gone"
                    elif rc == 0 and file and identity(file) == found and (not mpi or whom == "one rank"):  # else mpirun's status
                        wrong = "status 0, and no new file"
                    elif file and open(file, "rb").read() != open("before", "rb").read():
                        status, _, said, _ = run(reads)
                        if status not in (0, 75) and "no profile of" not in said:
                            wrong = "a broken file: " + said
                    elif rc not in whole and file and hit not in (signal.SIGKILL, signal.SIGPIPE) and not err and rc > 0 and not mpi:
                        wrong = "fails without a word"
                    extra = set(os.listdir(".")) - files
                    # a killed rank leaves its unfinished file beside the other; SIGPIPE kills a launcher, which kills its ranks
                    if extra and hit != signal.SIGKILL and (hit, whom) != (signal.SIGPIPE, "launcher") and not wrong:
                        wrong = "leaves " + " ".join(sorted(extra))
                    for name in extra:
                        os.remove(name)
                    tried += 1
                    survived += not wrong
                    if wrong:
                        bad.append("%s to %s after %.2f of %.2f s: %s (status %s): %s" % (
                            hit.name, whom, at, lasts, wrong, rc, err[-300:].replace("\n", " | ")))
                tests += 1
                bad_tests += bool(bad)
                name = "mpirun -n 2 " * mpi + os.path.basename(argv[3 * mpi]) + " " + argv[3 * mpi + 1]
                to = " -> " + file if file else ""
                print("%sok %d - %s%s, %s, moments: %d" % ("not " if bad else "", tests, name, to, hit.name, MOMENTS))
                for line in bad:
                    print("# " + line)
                sys.stdout.flush()
    finally:
        os.chdir("/")
        shutil.rmtree(tmp)
    print("# %d signals, %d of them without harm" % (tried, survived))
    print("1..%d" % tests)
    return 1 if bad_tests else 0


sys.exit(main())
