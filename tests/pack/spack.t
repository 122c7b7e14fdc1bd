#!/usr/bin/env python3
"""TAP. The Spack recipe above a Spack of a few lines, which knows this machine's libraries only: it names directives and methods
that Spack has, and what it hands to make is understood there. A Spack itself is not needed, and not tried."""

import glob
import importlib.util
import os
import subprocess
import sys
import tempfile
import types

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
RECIPE = "packaging/spack/spack_repo/sailor/packages/sailor/package.py"
MPICC = os.environ.get("CC") or "mpicc"
os.environ.pop("CPPFLAGS", None)  # of this machine's build: Spack has none
directives = []


class Path(str):
    """A prefix of Spack: prefix.bin.nvcc"""

    def __getattr__(self, name):
        return Path(os.path.join(self, name))


class Spec:
    """One that is concrete: the variants that are on, and every package under one prefix."""

    def __init__(self, on, arch=("none",)):
        self.on = on
        self.variants = {"cuda_arch": types.SimpleNamespace(value=arch)}

    def satisfies(self, variant):
        return variant.lstrip("+") in self.on

    def __getitem__(self, name):
        libraries = types.SimpleNamespace(ld_flags="-L/opt/%s/lib -l%s" % (name, name))
        return types.SimpleNamespace(prefix=Path("/opt/" + name), libs=libraries, mpicc=MPICC)


def stand_in():
    package = types.ModuleType("spack.package")
    for name in "version variant depends_on conflicts license".split():
        setattr(package, name, lambda *words, of=name, **more: directives.append((of, words, more)))
    package.make = lambda *words: made.append(words)
    package.which = lambda path: lambda *words, **_: subprocess.run([path, *words], capture_output=True, text=True, check=True).stdout
    package.__all__ = "version variant depends_on conflicts license make which".split()
    sys.modules["spack"], sys.modules["spack.package"] = types.ModuleType("spack"), package
    for name in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems"):
        sys.modules[name] = types.ModuleType(name)
    for name, what in (("makefile", "MakefilePackage"), ("cuda", "CudaPackage")):
        module = types.ModuleType("spack_repo.builtin.build_systems." + name)
        setattr(module, what, type(what, (), {}))
        sys.modules[module.__name__] = module


made = []
stand_in()
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("recipe", RECIPE)
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)


def package_of(on, prefix="/opt/sailor", arch=("none",)):
    package = recipe.Sailor()
    package.spec, package.prefix = Spec(on, arch), Path(prefix)
    return package


def output_of(*words):
    return subprocess.run(["make", "--no-print-directory", *words], capture_output=True, text=True, check=True).stdout


def names(directive):
    return [words[0] for of, words, _ in directives if of == directive]


def the_source():
    return recipe.Sailor.git == "file://" + os.path.realpath(".") and names("version") == ["main"]


def the_dependencies():
    wanted = {"mpi", "hdf5+mpi", "cjson", "openblas", "metis@5:", "nccl", "c", "cmocka"}
    return wanted <= set(names("depends_on")) and names("variant") == ["metis"]


def the_libraries():
    said = output_of(*package_of(["metis"]).options, "config")
    return "cuda not found" in " ".join(said.split()) and all(part in said for part in (
        "-L/opt/cjson/lib -lcjson", "-L/opt/openblas/lib -lopenblas", MPICC, "/opt/sailor"))


def the_flags():
    """of a compilation and a link, with and without the optional library"""
    words = ["-n", "V=1", "-W", "src/cli/main.c"]
    with_metis = output_of(*words, *package_of(["metis"]).build_targets)
    without = output_of(*words, *package_of([]).build_targets)
    return ("-lmetis" in with_metis and "-DHAVE_METIS" in with_metis and "-lmetis" not in without
            and "-DHAVE_METIS" not in without and "-L/opt/hdf5/lib -lhdf5" in without and "-isystem /opt/hdf5/include" in without)


def the_gpus():
    options = package_of(["cuda"], arch=("80", "90a")).options
    said = output_of(*options, "config")
    return ("CUDA_ARCHS=80 90a" in options and "NCCL_HOME=/opt/nccl" in options and "METIS_LIBS=" in options
            and "/opt/cuda/bin/nvcc" in said and "/opt/nccl" in said)


def the_check():
    package_of([]).check()
    return made and made[-1][-1] == "check-unit" and "PREFIX=/opt/sailor" in made[-1]


def the_installed_program():
    built = os.environ.get("BIN", "build")
    with tempfile.TemporaryDirectory() as prefix:
        package = package_of([], prefix)
        # what is built is installed: -o all
        output_of("-o", "all", *package.install_targets, "BIN=" + built)
        package.test_plan()
        return os.path.exists(prefix + "/share/sailor/inputs/fig7.json")


def the_repository():
    with open("packaging/spack/spack_repo/sailor/repo.yaml", encoding="utf-8") as file:
        return "namespace: sailor" in file.read() and len(glob.glob("packaging/spack/spack_repo/sailor/packages/*")) == 1


CASES = [
    (the_repository, "the repository has its name and one package"),
    (the_source, "the source is the clone that the recipe lies in"),
    (the_dependencies, "what it depends on, and its variant"),
    (the_libraries, "make takes the libraries that it names"),
    (the_flags, "compiler and linker do, with METIS and without"),
    (the_gpus, "CUDA, NCCL and the architectures"),
    (the_check, "Spack's own check runs the unit tests"),
    (the_installed_program, "what is installed plans a job: the recipe's own test"),
]
failed = False
for n, (case, what) in enumerate(CASES, 1):
    why = ""
    try:
        good = case()
    except (subprocess.CalledProcessError, AssertionError, AttributeError, OSError) as error:
        good, why = False, "%s %s" % (error, getattr(error, "stderr", ""))
    print("ok" if good else "not ok", n, "- " + what)
    for line in why.splitlines():
        print("#", line)
    failed = failed or not good
print("1..%d" % len(CASES))
sys.exit(failed)
