#!/usr/bin/env bash
# TAP. No line is longer than an editor shows beside another one.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
longer_than() { # columns; stdin: files
    # shellcheck disable=SC2016 # for awk
    xargs awk -v most="$1" 'length($0) > most { print FILENAME ":" FNR ": " length($0) " columns, at most " most }'
}
gate "sources: 120 columns" < <(sources | longer_than 120)
finish
