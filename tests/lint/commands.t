#!/usr/bin/env python3
"""TAP. A bare Debian that quickstart has set up has every command that the scripts start, and every module that the Python
programs import: each is in the tables below with its package, and quickstart (or .ci/run, for the tests alone) names that."""

import glob
import os
import re
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# Package -> commands. Debian installs those of the first table always.
ESSENTIAL = {
    "apt": "apt-get apt-cache",
    "bash": "bash",
    "coreutils": "basename cat chmod chown cp cut date dd df dirname du env expr head id ln ls mkdir mkfifo mktemp mv nohup nproc"
                 " od paste readlink realpath rm rmdir seq sha256sum sleep sort stat stdbuf tac tail tee timeout touch tr"
                 " truncate uname uniq wc yes nice sync chroot mknod",
    "dash": "sh",
    "diffutils": "cmp diff",
    "dpkg": "dpkg dpkg-deb",
    "findutils": "find xargs",
    "grep": "grep",
    "hostname": "hostname",
    "libc-bin": "getent iconv ldd",
    "mawk": "awk",
    "mount": "mount umount",
    "ncurses-bin": "tput",
    "sed": "sed",
    "tar": "tar",
    "util-linux": "findmnt unshare setpriv setsid taskset mountpoint",
}
INSTALLED = {
    "build-essential": "cc gcc g++ make nm objdump readelf dpkg-buildpackage",
    "clang": "clang clang++",
    "clang-format": "clang-format",
    "debhelper": "dh",
    "gcc-aarch64-linux-gnu": "aarch64-linux-gnu-gcc",
    "git": "git",
    "hdf5-tools": "h5diff h5dump h5ls",
    "lintian": "lintian",
    "mpich": "mpicc mpicc.mpich mpiexec mpirun mpirun.mpich",
    "munge": "munged",
    "perl": "perl",
    "pkg-config": "pkg-config",
    "procps": "pgrep ps",
    "python3": "python3",
    "qemu-user": "qemu-aarch64",
    "shellcheck": "shellcheck",
    "slurm-wlm": "sbatch scancel scontrol sinfo slurmctld slurmd squeue srun",
}
# What a machine may have, and scripts ask for before they use it
ASKED_FOR = ("chromium chromium-browser compute-sanitizer debootstrap google-chrome megatron nvidia-smi spack spack_repo sudo torchtitan"
             " transformers uenv yaml zsh")
MODULES = {"h5py": "python3-h5py", "matplotlib": "python3-matplotlib", "numpy": "python3-h5py", "torch": "python3-torch"}

SCRIPTS = sorted(
    [path for root in ("tests", "jobs", "packaging") for path in glob.glob(root + "/**", recursive=True)
     if os.path.isfile(path) and re.match(r"#!.*\b(ba)?sh\b|# shellcheck", open(path, errors="replace").readline())]
    + ["quickstart", ".ci/run"])
# Where a command may stand: first, behind what separates and opens, and behind what starts another one
BEFORE = (r"(?:^|[;|&{(`]|!\s|(?<![\w/.])(?:then|do|else|if|elif|while|until|exec|xargs|command -v|env|have|quietly|run)\s"
          r"|\btimeout(?: -k \S+)? \S+\s)\s*")
COMMAND = re.compile(BEFORE + r"(?=(?:[A-Za-z_]\w*=[^\s(]*\s+)*([a-z][\w+.-]*)(?:[\s;|&)]|$))", re.M)
NO_COMMANDS = [re.compile(pattern, re.M | re.S) for pattern in (
    r"\(\((?:[^()]|\([^()]*\))*\)\)",
    r"(?<==)\([^()$]*\)",  # an array
    r"\[\[.*?\]\]",
    r"\bfor \w+",
    r"^\s*(?:[\w*?.-]+ \| )*[\w*?.-]+\)",  # a pattern of case
)]
HERE = re.compile(r"<<-?\s*['\"\\]?(\w+)['\"]?(.*?\n).*?^\s*\1$", re.M | re.S)
SUBSTITUTED = re.compile(r"\$\((?:[^()\"]|\"[^\"]*\"|\((?:[^()]|\([^()]*\))*\))*\)")
QUOTED = re.compile(r"(?:^|(?<=\s))#[^\n]*|(?<!\\)'[^']*'|(?<!\\)\"((?:\\.|%s|[^\"\\])*)\"" % SUBSTITUTED.pattern,
                    re.M | re.S)  # a comment, or a string


def bare(text):
    """Without comments and strings; what a string substitutes stays, on lines of its own."""
    return QUOTED.sub(lambda m: "''" + "".join("\n%s\n" % bare(part) for part in SUBSTITUTED.findall(m.group(1) or "")), text)


def commands_of(text):
    """The words of a bash script that stand where a command may: what patterns find, no parser."""
    text = bare(HERE.sub(r"\2", text))
    for pattern in NO_COMMANDS:
        text = pattern.sub("", text)
    return set(COMMAND.findall(text))


def of_bash():
    names = subprocess.run(["bash", "-c", "compgen -bk"], capture_output=True, text=True, check=True)
    return set(names.stdout.split())


def listed_in(table):
    return {command: package for package, commands in table.items() for command in commands.split()}


def packages_of_quickstart():
    text = open("quickstart").read()
    lists = re.findall(r"\b(?:packages|optional)\+?=\(([^)]*)\)", text)
    ci = re.findall(r"EXTRA_PACKAGES=([\w-]+)", open(".ci/run").read())
    return set(" ".join(lists + ci).split())


def used():
    """command -> where it is used first"""
    texts = {path: open(path).read() for path in SCRIPTS}
    functions = {name for text in texts.values() for name in re.findall(r"(?:^|[;&{])\s*(\w+)\(\) *\{", text, re.M)}
    first = {}
    for path, text in texts.items():
        for command in commands_of(text) - of_bash() - functions:
            first.setdefault(command, path)
    return first


def imports():
    # build/ may hold a whole Debian (make check-fresh, packaging/container/chroot)
    modules = [path for path in glob.glob("**/*.py", recursive=True) if not path.startswith("build/")]
    ours = {os.path.basename(path)[:-3] for path in modules}
    for path in modules + glob.glob("tests/**/*.t", recursive=True):
        text = open(path).read()
        written = set(re.findall(r"(\w+)\.py\b", text))
        for line in re.findall(r"^ *(?:import|from) +([\w., ]+)", text, re.M):
            for part in line.split(" import")[0].split(","):
                name = part.split()[0].split(".")[0]
                if name not in sys.stdlib_module_names and name not in ours | written:
                    yield path, name


def unknown_commands():
    known = set(listed_in(ESSENTIAL)) | set(listed_in(INSTALLED)) | set(ASKED_FOR.split())
    for command, path in sorted(used().items()):
        if command not in known:
            yield f"{path}: {command}: in no table of {sys.argv[0]}"


def unknown_modules():
    for path, name in sorted(set(imports())):
        if name not in MODULES and name not in ASKED_FOR.split():
            yield f"{path}: {name}: in no table of {sys.argv[0]}"


def packages_left_out():
    named = packages_of_quickstart()
    for package in sorted(set(listed_in(INSTALLED).values()) | set(MODULES.values())):
        if package not in named:
            yield f"{package}: quickstart does not install it"


GATES = [
    (unknown_commands, "the package of every command is known"),
    (unknown_modules, "the package of every Python module is known"),
    (packages_left_out, "quickstart installs each of them"),
]
failed = False
for n, (gate, what) in enumerate(GATES, 1):
    found = list(gate())
    print(("not ok" if found else "ok"), n, "- " + what)
    for line in found:
        print("#", line)
    failed = failed or bool(found)
print(f"1..{len(GATES)}")
sys.exit(failed)
