"""Parts of jobs/elastic: what Slurm says of the nodes, plans for them, and the table of where the seconds went."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

ME = "elastic.sbatch"
# The paper of Sailor (SOSP'25): one reconfiguration took 11.35 s; the broadcast is that of the plan.
PUBLISHED = {"how": "published", "cleanup_s": 3, "plan_s": 0.1, "launch_s": 1.25, "connect_s": 4.5, "model_s": 2, "data_s": 0.5,
             "total_s": 11.35}
TIMES = ("detect", "queue", "cleanup", "plan", "launch", "connect", "model", "data", "first_step", "total")


def fail(text, status=2):
    print(ME + ": " + text, file=sys.stderr)
    sys.exit(status)


def say(text):
    print("%s: %s" % (ME, text), flush=True)


def setting(name, default, whole=False):
    text = os.environ.get("SAILOR_" + name) or str(default)
    if not re.match(r"\d{1,9}$" if whole else r"\d{1,9}(\.\d+)?$", text):
        fail("SAILOR_%s=%s: expected a %s" % (name, text, "count" if whole else "number"))
    return int(text) if whole else float(text)


def unblocked():
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def ask(*command, timeout=60):
    """What a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout, preexec_fn=unblocked)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def step_environment():
    """Without what Slurm says of the whole job, which srun would take for options."""
    return {key: value for key, value in os.environ.items() if not re.match(r"SLURM_(NTASKS|TASKS_PER_NODE|NPROCS|NNODES|GPUS_PER)", key)}


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # cut short when its writer died
            continue
    return [line for line in found if isinstance(line, dict)]


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


# ---- nodes ------------------------------------------------------------------------------------------------------------------


class Types:
    """The types of GPU that nodes may have, each as (zone, GPU, ranks on a node)."""

    def __init__(self, zone, gpu, per_node):
        self.usual, self.by_word = (zone, gpu, per_node), {}
        for word in (os.environ.get("SAILOR_TYPES") or "").split():
            found = re.match(r"(?:([^/:=]+)/)?([^/:=]+)(?::([1-9]\d{0,3}))?=([^/:=]+)$", word)
            if not found:
                fail("SAILOR_TYPES: %s: expected [ZONE/]GPU[:RANKS]=WORD, with a feature or GRES type of its nodes" % word)
            self.by_word[found.group(4)] = (found.group(1) or zone, found.group(2), int(found.group(3) or per_node))

    def of(self, features, gres):
        """Of a node with these features and this GRES, as Slurm prints them: "gpu:a100:4(S:0-1)"."""
        words = set(re.split(r"[,:()]", features + "," + gres))
        return next((kind for word, kind in self.by_word.items() if word in words), self.usual)


class Nodes:
    """The nodes of this job as Slurm has them, and which of them answer: Slurm itself may take minutes to notice."""

    def __init__(self, job_id, partition, types):
        self.job_id, self.partition, self.types = job_id, partition, types
        self.held, self.address, self.kinds = [], {}, {}
        port = re.search(r"^SlurmdPort\s*=\s*(\d+)", ask("scontrol", "show", "config") or "", re.M)
        self.port = int(port.group(1)) if port else 6818

    def learn(self, names):
        for line in (ask("scontrol", "show", "node", "-o", names) or "").splitlines():
            said = dict(re.findall(r"\b(NodeName|NodeAddr|Port|ActiveFeatures|Gres)=(\S+)", line))
            if "NodeName" in said and "NodeAddr" in said:
                name = said["NodeName"]
                self.address[name] = (said["NodeAddr"], int(said.get("Port", self.port)))
                self.kinds[name] = self.types.of(said.get("ActiveFeatures", ""), said.get("Gres", ""))

    def allocated(self):
        names = (ask("squeue", "--noheader", "--jobs=" + self.job_id, "--format=%N") or "").strip()
        listed = (ask("scontrol", "show", "hostnames", names) or "").split() if names else []
        if listed:  # else the controller is away: what was known stays
            self.held = listed
        if any(name not in self.address for name in self.held):
            self.learn(names)
        return self.held

    def answers(self, name):
        for again in (False, True):
            try:
                if again:
                    time.sleep(0.5)
                socket.create_connection(self.address.get(name, ("", 0)), timeout=5).close()
                return True
            except OSError:
                continue
        return False

    def alive(self, names):
        """Those of them whose daemon takes a connection."""
        with ThreadPoolExecutor(max_workers=64) as pool:
            return [name for name, is_there in zip(names, pool.map(self.answers, names)) if is_there]

    def kinds_of(self, names):
        return [self.kinds.get(name, self.types.usual) for name in names]

    def idle(self):
        """The types of the idle nodes."""
        text = ask("sinfo", "--noheader", "--Node", "--partition=" + self.partition, "--states=idle", "--format=%b|%G") or ""
        return [self.types.of(*line.split("|")) for line in text.splitlines() if line.count("|") == 1]


# ---- plans ----------------------------------------------------------------------------------------------------------------


def read_job(path):
    try:
        with open(path, encoding="utf-8") as file:
            job = json.load(file)
    except OSError as error:
        fail("%s: %s; expected a job file" % (path, error.strerror))
    except ValueError as error:
        fail("%s: no JSON (%s); expected a job file" % (path, error))
    if not isinstance(job, dict) or job.get("format") != "sailor-job/1":
        fail(path + ': /format: expected "sailor-job/1"')
    return job


def replicas_of(path):
    """(zone, GPU, degree) of each replica, in the order of the ranks."""
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    return [
        (group["zone"], group["gpu"], group["tp"])
        for pipeline in plan["pipelines"]
        for stage in pipeline["stages"]
        for group in stage["replicas"]
        for _ in range(group.get("count", 1))
    ]


def hosts_of(replicas, names, kinds):
    """The node of each rank: a replica stays within one of its type, and the largest are placed first. None: there is no room."""
    type_of = dict(zip(names, kinds))
    free = {name: kind[2] for name, kind in type_of.items()}
    place = {}
    for number in sorted(range(len(replicas)), key=lambda i: (-replicas[i][2], i)):
        zone, gpu, degree = replicas[number]
        fit = [name for name in names if type_of[name][:2] == (zone, gpu) and free[name] >= degree]
        if not fit:
            return None
        free[fit[0]] -= degree
        place[number] = fit[0]
    return [place[number] for number, replica in enumerate(replicas) for _ in range(replica[2])]


class Planner:
    def __init__(self, directory, alone, job):
        self.dir, self.alone, self.job = directory, alone, job
        self.program = os.environ["SAILOR"]
        self.options = (os.environ.get("SAILOR_PLAN_OPTIONS") or "--time-limit 30").split()

    def path(self, name):
        return os.path.join(self.dir, name)

    def begin(self, name, kinds, before=()):
        """Search for a plan for nodes of these types, beginning with the one that runs. `before`: words before the command."""
        counts = Counter()
        for zone, gpu, ranks in kinds:
            counts[zone, gpu] += ranks
        gpus = [{"zone": zone, "gpu": gpu, "count": counts[zone, gpu]} for zone, gpu in sorted(counts)]
        job = dict(self.job, pools=[{"gpus": gpus}])
        write(self.path(name + ".job.json"), json.dumps(job, indent=1) + "\n")
        command = self.alone + list(before) + [self.program, "plan", self.path(name + ".job.json"), "-q", "--json"]
        command += ["-f", "-o", self.path(name + ".h5")]
        if os.path.exists(self.path("plan.h5")):
            command += ["--warm", self.path("plan.h5")]
        with open(self.path(name + ".out"), "w") as out:
            return subprocess.Popen(command + self.options, stdout=out, preexec_fn=unblocked)

    def end(self, name, search):
        """Seconds of an iteration by the plan that was found; None: there is none. Ends the job where it cannot be searched."""
        status = search.wait()
        if status not in (0, 3, 75):
            sys.exit(status if status > 0 else 1)  # it has said why
        rows = lines_of(self.path(name + ".out"))
        if not rows or not rows[0].get("iteration_time_s"):
            return None
        command = self.alone + [self.program, "export", self.path(name + ".h5"), "--row", "0", "-f", "-o", self.path(name + ".json")]
        if subprocess.call(command, preexec_fn=unblocked):
            sys.exit(1)
        return rows[0]["iteration_time_s"]

    def take(self, name):
        for end in (".h5", ".json", ".out", ".job.json"):
            os.replace(self.path(name + end), self.path("plan" + end))


# ---- the table ------------------------------------------------------------------------------------------------------------


def table(starts):
    head = ["start", "how", "nodes", "ranks", "step", "redone"] + [name.replace("_", " ") for name in TIMES]
    rows = [head]
    for number, start in enumerate(starts + [PUBLISHED], 1):
        shown = start.get("start", "")
        times = [start.get(name + "_s") for name in TIMES]
        rows.append(
            [str(shown), start["how"]]
            + [str(start.get(key, "")) for key in ("nodes", "ranks", "first_step", "redone")]
            + ["" if x is None else "%.2f" % x for x in times]
        )
    width = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(w) if i == 1 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, width))).rstrip() + "\n" for row in rows
    )
