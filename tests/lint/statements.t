#!/usr/bin/env python3
"""TAP. One statement a line: no `a = b, c = d;` in src/, which hides the second assignment. Headers of loops may have several."""

import glob
import os
import re

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

NOT_CODE = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|/\*.*?\*/|//[^\n]*', re.S)
PLACE = r"\**[A-Za-z_]\w*(?:(?:->|\.)\w+|\[[^\]]*\])*"
CHANGE = re.compile(rf"\s*(?:{PLACE}\s*(?:(?:[-+*/|&^%]|<<|>>)?=(?!=)|\+\+|--)|(?:\+\+|--){PLACE}|\(void\))")
OPENING = re.compile(r"\s*(?:\}\s*)?(?:else\s+)?(?:if|for|while|switch)\s*\(|\s*(?:\}\s*)?else\b|\s*do\b|\s*case\b[^:]*:|\s*default:")


def parts(text, separators):
    """The pieces between the separators outside of all brackets."""
    piece, depth = "", 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c in separators and depth == 0:
            yield piece
            piece = ""
        else:
            piece += c
    yield piece


def behind_heads(text):
    """A statement without the if (...), else, for (...) in front of it."""
    while match := OPENING.match(text):
        if not match.group().endswith("("):
            text = text[match.end():]
            continue
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        text = text[at:]
    return text


def statements(source):
    """(line, text) of what ends with a semicolon and begins behind one, or behind a brace."""
    source = NOT_CODE.sub(lambda m: '""' + "\n" * m.group().count("\n") if m.group()[0] != "/" else "\n" * m.group().count("\n"),
                          source)
    begin, depth = 0, 0
    for at, c in enumerate(source):
        depth += (c == "(") - (c == ")")
        if depth == 0 and c in ";{}":
            if c == ";":
                yield source.count("\n", 0, at) + 1, source[begin:at]
            begin = at + 1


def hidden(text):
    pieces = list(parts(behind_heads(text), ","))
    return len(pieces) > 1 and all(CHANGE.match(piece) for piece in pieces)


found = []
files = sorted(path for end in ("c", "h", "cu", "cuh") for path in glob.glob(f"src/**/*.{end}", recursive=True))
for path in files:
    with open(path, encoding="utf-8") as f:
        found += [f"{path}:{line}: {' '.join(text.split())}" for line, text in statements(f.read()) if hidden(text)]

KNOWN = {"a = b, c++": True, "if (x) a->b[i] += f(x, y), c = 1": True, "else (void)a, (void)b": True, "int a = b, c = d": False,
         "f(a = b, c)": False, "for (a = 0, b = 1; a < b; a++) c = f(a, b)": False, "a = f(b, c)": False}
wrong = [text for text, is_hidden in KNOWN.items() if hidden(text) != is_hidden]
print("1..2")
print("not ok" if wrong else "ok", "1 - the check finds what it is for")
for text in wrong:
    print("#", text)
print("not ok" if found or not files else "ok", "2 - one statement a line in src/")
for text in found:
    print("#", text)
raise SystemExit(bool(found or wrong or not files))
