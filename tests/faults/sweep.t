#!/usr/bin/env bash
# TAP: see sweep.py.
cd "$(dirname "$0")/../.." || exit 1
exec "${PYTHON:-/usr/bin/python3}" tests/faults/sweep.py
