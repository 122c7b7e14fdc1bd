#!/usr/bin/env bash
# TAP. Lines are at most 120 columns long in sources, 140 in scripts and documents. Tables and code in documents, and the manual
# pages with their sentence a line, may be longer.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
longer_than() { # columns; stdin: files
    # shellcheck disable=SC2016 # for awk
    xargs awk -v most="$1" 'FILENAME ~ /\.md$/ && /^(    |\|)/ { next }
        length($0) > most { print FILENAME ":" FNR ": " length($0) " columns, at most " most }'
}
scripts() {
    printf '%s\n' Makefile quickstart .ci/run
    find jobs tests analysis packaging -type f ! -path 'tests/fuzz/corpus/*' ! -path 'tests/bad/*' ! -path 'tests/site/*' \
        ! -path 'tests/export/*' ! -name '*.[ch]' ! -name '*.cu' ! -name '*.cuh' ! -name '*.cc' ! -name '*.json' \
        ! -path '*/__pycache__/*'
}
gate "sources: 120 columns" < <(sources | longer_than 120)
gate "scripts: 140 columns" < <(scripts | longer_than 140)
gate "documents: 140 columns" < <(printf '%s\n' ./*.md docs/*.md | longer_than 140)
finish
