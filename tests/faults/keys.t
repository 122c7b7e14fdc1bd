#!/usr/bin/env bash
# TAP: see keys.py.
cd "$(dirname "$0")/../.." || exit 1
exec "${PYTHON:-/usr/bin/python3}" tests/faults/keys.py
