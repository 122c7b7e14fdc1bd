#!/usr/bin/env bash
# TAP. clang-format would change nothing. Versions format differently: the one of Debian 12 decides.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
wanted=14
tool=$(command -v "clang-format-$wanted" || command -v clang-format)
version=$([ -z "$tool" ] || "$tool" --version | sed -nE 's/.*version ([0-9]+)\..*/\1/p')
if [ "$version" != "$wanted" ]; then
    skip "needs clang-format $wanted, found ${version:-none} (Debian 12: clang-format)"
    finish
fi
mapfile -t files < <(sources)
gate "the C, C++ and CUDA files are formatted (make format)" \
    < <("$tool" --dry-run "${files[@]}" 2>&1 | grep -E '^[^ ]+: (warning|error)' | sort -u)
finish
