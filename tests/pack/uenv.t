#!/usr/bin/env python3
"""TAP. The uenv recipe has the keys that stackinator takes (docs/recipes.md of eth-cscs/stackinator, version 2 of recipes)
and the libraries that the build looks for."""

import os
import sys

try:
    import yaml
except ImportError:
    print("1..0 # SKIP no PyYAML (Debian: python3-yaml)")
    sys.exit(0)

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "packaging", "uenv"))


def read(name):
    with open(name + ".yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


CONFIG, COMPILERS, ENVIRONMENTS = read("config"), read("compilers"), read("environments")
ONLY = ENVIRONMENTS["sailor"]
VIEW = ONLY["views"]["default"]


def config():
    return (set(CONFIG) == {"name", "description", "store", "default-view", "version", "spack"} and CONFIG["version"] == 2
            and set(CONFIG["spack"]) == {"repo", "commit", "packages"} and set(CONFIG["spack"]["packages"]) == {"repo", "commit"})


def compilers():
    return set(COMPILERS) == {"gcc"} and all(isinstance(c["version"], str) and name in COMPILERS
                                             for name, c in COMPILERS.items()) and set(ONLY["compiler"]) <= set(COMPILERS)


def environment():
    return list(ENVIRONMENTS) == ["sailor"] and set(ONLY) == {
        "compiler", "network", "unify", "specs", "variants", "views"} and "mpi" in ONLY["network"]


def view():
    return CONFIG["default-view"] in ONLY["views"] and set(VIEW) == {"link", "uenv"} and VIEW["link"] == "roots" and all(
        isinstance(paths, list) for paths in VIEW["uenv"]["prefix_paths"].values())


def specs():
    names = {spec.split()[0] for spec in ONLY["specs"]}
    return {"cjson", "hdf5", "openblas", "cuda", "nccl", "aws-ofi-nccl", "pkgconf"} <= names and "+mpi" in ONLY["variants"] and (
        "PKG_CONFIG_PATH" in VIEW["uenv"]["prefix_paths"])


CASES = [(config, "config.yaml"), (compilers, "compilers.yaml"), (environment, "one environment"),
         (view, "its view is loaded unless another is asked for"), (specs, "it has what make looks for, where pkg-config does")]
failed = False
for n, (case, what) in enumerate(CASES, 1):
    good = case()
    print("ok" if good else "not ok", n, "- " + what)
    failed = failed or not good
print("1..%d" % len(CASES))
sys.exit(failed)
