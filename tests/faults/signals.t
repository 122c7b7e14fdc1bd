#!/usr/bin/env bash
# TAP: see signals.py.
cd "$(dirname "$0")/../.." || exit 1
exec "${PYTHON:-/usr/bin/python3}" tests/faults/signals.py
