"""Names from files, so that they control neither a terminal nor a picture: as `sailor` prints them, and without formulas."""

import re
import sys

# the same as src/base/text.c: Unicode's separators of lines and controls of writing direction, too
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text):
    return CONTROL.sub(lambda m: "".join(f"\\x{b:02x}" for b in m[0].encode("utf-8", "surrogateescape")), str(text))


def label(text):
    """For pictures, in which what is between two dollars would be a formula."""
    return escape(text).replace("$", "\\$")


def labels(attributes):
    return {k: label(v) if isinstance(v, str) else v for k, v in attributes.items()}


def say(text):
    """Print a line of labels, in whatever encoding the terminal has."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.replace("\\$", "$").encode(encoding, "backslashreplace").decode(encoding))
