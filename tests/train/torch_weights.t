#!/usr/bin/env bash
# TAP. Weights as safetensors, in PyTorch and back, where Python has it: torch_weights.py.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
"$python" -c 'import h5py, torch' 2>"$tmp/err" || {
    echo "1..0 # SKIP no reference for gradients: $(tail -n 1 "$tmp/err") (Debian: python3-torch, 0.6 GB)"
    exit 0
}
"$python" tests/train/torch_weights.py "$train" "$tmp"
