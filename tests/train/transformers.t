#!/usr/bin/env bash
# TAP. Small random models of Hugging Face's transformers, where Python has it: torch_transformers.py.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
"$python" -c 'import h5py, torch, transformers' 2>"$tmp/err" || {
    echo "1..0 # SKIP no reference for whole models: $(tail -n 1 "$tmp/err") (python3-torch, and transformers from PyPI)"
    exit 0
}
"$python" tests/train/torch_transformers.py "$train" "$tmp" "$sailor"
