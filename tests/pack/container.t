#!/usr/bin/env python3
"""TAP. What needs no container engine of packaging/container/Containerfile and jobs/sailor.toml: their keys are those that CSCS
documents, their steps are shell, what they copy and install is there. packaging/container/chroot runs the steps."""

import os
import re
import subprocess
import sys

try:
    import tomllib
except ImportError:
    print("1..0 # SKIP Python before 3.11 reads no TOML")
    sys.exit(0)

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def instructions():
    text = open("packaging/container/Containerfile", encoding="utf-8").read()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "")
    return [line.split(None, 1) for line in text.splitlines() if line]


STEPS = instructions()
with open("jobs/sailor.toml", "rb") as file:
    EDF = tomllib.load(file)
with open("jobs/env/clariden-container.sh", encoding="utf-8") as file:
    SITE = file.read()


def known():
    return [words[0] for words in STEPS][:2] == ["ARG", "FROM"] and {words[0] for words in STEPS} <= {
        "ARG", "FROM", "ENV", "RUN", "COPY"}


def shell():
    return all(subprocess.run(["sh", "-n", "-c", rest], check=False).returncode == 0 for word, rest in STEPS if word == "RUN")


def copied():
    """what the Makefile installs is in the image"""
    sources = {source for word, rest in STEPS if word == "COPY" for source in rest.split()[:-1]}
    installed = re.search(r"for d in ([\w ]+); do if", open("Makefile", encoding="utf-8").read()).group(1).split()
    return all(map(os.path.exists, sources)) and {"Makefile", "VERSION", "src", "man", *installed} <= sources


def there():
    """Debian has the packages; those of Ubuntu have the same names"""
    text = next(rest for word, rest in STEPS if word == "RUN" and "apt-get install" in rest)
    names = text.split("--no-install-recommends")[1].split()
    shown = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=False).stdout.split()
    return set(names) <= set(shown) if "libfabric-dev" in shown else None


def edf():
    hook = EDF["annotations"]["com"]["hooks"]["aws_ofi_nccl"]
    return set(EDF) == {"image", "mounts", "workdir", "annotations"} and EDF["image"].endswith(".sqsh") and hook == {
        "enabled": "true", "variant": "cuda-dl"} and all(re.fullmatch(r"[^:]+:/?[^:]+", mount) for mount in EDF["mounts"])


def site():
    return "--environment=sailor" in SITE and "EDF_PATH=$SAILOR_HOME/jobs " in SITE and "/usr/local/bin/sailor-train" in SITE


CASES = [(known, "instructions that any engine knows"), (shell, "each step is read by a shell"),
         (copied, "what is built and installed is copied"), (there, "the packages exist"),
         (edf, "the environment definition file"), (site, "the site file names it, and the programs of the image")]
failed = False
for n, (case, what) in enumerate(CASES, 1):
    good = case()
    print("not ok" if good is False else "ok", n, "# SKIP no list of packages: " + what if good is None else "- " + what)
    failed = failed or good is False
print("1..%d" % len(CASES))
sys.exit(failed)
