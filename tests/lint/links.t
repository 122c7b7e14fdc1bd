#!/usr/bin/env python3
"""TAP. What texts point to is there: files named in the documents, in the manual pages and in the comments of sources and
scripts, the links of the documents and their anchors, manual pages, targets of the Makefile."""

import glob
import itertools
import os
import re
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
ROOTS = ["src", "tests", "docs", "inputs", "jobs", "man", "analysis", "packaging", ".ci"]
TOP = [name for name in os.listdir(".") if os.path.isfile(name)]
ALL = [
    os.path.join(folder, name)
    for root in ROOTS
    for folder, _, names in os.walk(root)
    for name in names
]
DOCUMENTS = [f for f in ALL + TOP if f.endswith((".md", ".1"))]
SOURCES = [f for f in ALL if f.endswith((".c", ".h", ".cu", ".cuh", ".cc"))]
PYTHON = [f for f in ALL if f.endswith(".py")]
SCRIPTS = [f for f in ALL if f.endswith((".t", ".sh", ".sbatch"))] + [
    "Makefile", "quickstart", "tests/run", ".ci/run", "jobs/grid-plan", "jobs/submit-validation",
    "packaging/deb"]

# Ours by their name alone: a comment may say space.h for src/search/space.h. What follows -o is written, not read.
NAME = re.compile(r"(?<!-o )(?<![\w./*$<>{}-])((?:[\w-]+/)*[\w-]+\.(?:c|h|cu|cuh|cc|md|sh|sbatch|t))(?![\w/*.-]*\w)")
PATH = re.compile(r"(?<!-o )(?<![\w./$:~<>{}-])((?:%s)/[\w./*{},-]*)" % "|".join(map(re.escape, ROOTS)))
# An upper-case word that stands for a name the reader chooses: MODEL, SITE, GPU
CHOSEN = re.compile(r"[A-Z][A-Z_]*")
# Headers and programs of others, and an example of a name
FOREIGN = {
    "cJSON.h", "cblas.h", "cuda_runtime.h", "hdf5.h", "metis.h", "mpi.h", "nccl.h", "omp.h",
    "llm.c", "FILE.md", "layer/file.h"}
# What the reader of an example writes there
WRITTEN = ("inputs/profiles/gpt-tiny",)


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def comments_c(text):
    """(line, text) of every comment; a string may hold what looks like one."""
    token = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
    for match in token.finditer(text):
        if match.group().startswith("/"):
            yield text.count("\n", 0, match.start()) + 1, match.group()


def comments_shell(text):
    for number, line in enumerate(text.split("\n"), 1):
        match = re.search(r"(?:^|\s)#(?!!)(.*)", line)
        if match:
            yield number, match.group(1)


def comments_python(text):
    yield from comments_shell(text)
    for match in re.finditer(r'"""(.*?)"""', text, re.S):
        yield text.count("\n", 0, match.start()) + 1, match.group(1)


def texts():
    """(file, line, text) of everything that is read by people."""
    for path in DOCUMENTS:
        for number, line in enumerate(text_of(path).split("\n"), 1):
            yield path, number, re.sub(r"\\f[BIRP]|\\-", lambda m: "-" if m.group() == r"\-" else "", line)
    for files, comments in (SOURCES, comments_c), (SCRIPTS, comments_shell), (PYTHON, comments_python):
        for path in files:
            if path == "tests/lint/links.t":
                continue
            for first, text in comments(text_of(path)):
                for number, line in enumerate(text.split("\n"), first):
                    yield path, number, line


def spread(path):
    """a{b,c} -> ab, ac"""
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    parts = [[",".join(part)] if i % 2 == 0 else part for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def chosen(part):
    """MODEL -> *, GPU.json -> *.json"""
    stem, end = os.path.splitext(part)
    return "*" + end if CHOSEN.fullmatch(stem) else part


def there(path, of):
    path = path.rstrip(".,")
    if path.startswith(WRITTEN):
        return True
    for one in spread(path):
        pattern = "/".join(map(chosen, one.split("/")))
        beside = os.path.join(os.path.dirname(of), pattern)
        if not glob.glob(pattern) and not glob.glob(pattern + ".*") and not glob.glob(beside):
            return False
    return True


def anchors(path):
    titles = re.findall(r"^#+ +(.*)$", text_of(path), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def paths():
    for file, number, line in texts():
        for name in PATH.findall(line):
            if not there(name, file):
                yield f"{file}:{number}: {name}: no such file"


def names():
    known = ["/" + path for path in ALL + TOP]
    for file, number, line in texts():
        for name in NAME.findall(line):
            if name.split("/")[0] in ROOTS or name in FOREIGN:
                continue
            if not any(path.endswith("/" + name) for path in known):
                yield f"{file}:{number}: {name}: no such file"


def links():
    for file in DOCUMENTS:
        if not file.endswith(".md"):
            continue
        for number, line in enumerate(text_of(file).split("\n"), 1):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                path = os.path.normpath(os.path.join(os.path.dirname(file), path)) if path else file
                if not os.path.exists(path):
                    yield f"{file}:{number}: {target}: no such file"
                elif anchor and anchor not in anchors(path):
                    yield f"{file}:{number}: {target}: no such heading"


def pages():
    for file in [f for f in DOCUMENTS if f.endswith(".1")]:
        for number, line in enumerate(text_of(file).split("\n"), 1):
            for name in re.findall(r"(sailor(?:-[a-z]+)?)(?:\\fR)? ?\(1\)", line.replace(r"\-", "-")):
                if not os.path.exists(f"man/{name}.1"):
                    yield f"{file}:{number}: {name}(1): no such manual page"


def targets():
    known = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.M))
    for file, number, line in texts():
        for words in re.findall(r"`make ([^`]*)`", line):
            for word in words.split():
                if re.fullmatch(r"[a-z][a-z-]*", word) and word not in known:
                    yield f"{file}:{number}: make {word}: no such target"


GATES = [
    (paths, "files named by their path in documents, manual pages and comments"),
    (names, "files named alone there"),
    (links, "links from document to document"),
    (pages, "manual pages that others name"),
    (targets, "targets of the Makefile"),
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
