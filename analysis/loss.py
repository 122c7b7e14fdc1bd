#!/usr/bin/env python3
"""Draw the losses in a file of `sailor-train run -o MEAS.h5` over time.

The picture has the training loss of every step and, if the run used --evaluate, the loss on held-out sequences. If the
model was trained on a file (--data), the entropies of the file are drawn, too. The order-0 entropy is the lowest loss of a
guess that knows only how often each token occurs; the order-1 entropy is that of a guess that also knows the token before.
The time at which the held-out loss fell below each of them is printed. Time counts the training steps only, without
start-up, evaluations and checkpoints.

Needs only h5py, numpy and matplotlib. Exit status: 0 drawn, 1 cannot be written, 2 wrong usage or not a measurement.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True
import seal  # noqa: E402
import texts  # noqa: E402


PROGRAM = ["loss.py"]


def fail(status, text):
    print(f"{PROGRAM[0]}: error: {texts.escape(text)}", file=sys.stderr)
    sys.exit(status)


try:
    import h5py  # noqa: F401, that seal needs
    import numpy as np
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError as error:
    fail(1, f"{error}; on Debian: apt-get install python3-h5py python3-matplotlib, then use /usr/bin/python3")

INK, SOFT, TRAIN, HELD_OUT = "#222222", "#888888", "#AFC6DD", "#EE7733"


def load(path):
    """Return the attributes, the seconds from the start to the end of each step, and the columns of /step.

    held_out_loss is NaN at steps that were not evaluated.
    """
    try:
        with seal.opened(path) as f:
            if f.attrs.get("schema") != "sailor-measurement/1":
                fail(2, f"{path}: not written by sailor-train run -o")
            step = {k: f["step"][k][:] for k in ("step", "loss", "held_out_loss", "iteration_time_s")}
            attrs = dict(f.attrs)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        fail(2, f"{path}: {error}")
    if not len(step["step"]):
        fail(2, f"{path}: has no steps")
    return attrs, np.cumsum(step["iteration_time_s"]), step


def read_tokens(path):
    """Read the tokens as sailor-train does: bytes, a .bin of ids of 16 or 32 bits after a header of 256 ints, or an .idx with
    its ids."""
    try:
        if path.endswith(".bin"):
            wide = list(np.fromfile(path, "<i4", count=1)) == [20240801]
            return np.fromfile(path, "<u4" if wide else "<u2", offset=1024)
        if path.endswith(".idx"):
            code = np.fromfile(path, "u1", count=18)[17]
            return np.fromfile(path[:-4] + ".bin", {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 8: "<u2"}[code])
        return np.fromfile(path, "u1")
    except (IndexError, KeyError):
        fail(2, f"{path}: not an index of tokens; expected Megatron's")
    except OSError as error:
        fail(2, f"{path}: {error.strerror}; name the file with --data")


def entropies(tokens):
    """Return the entropies of order 0 (single tokens) and 1 (given the token before), in nats per token."""

    def of(values):
        p = np.unique(values, return_counts=True)[1] / len(values)
        return -(p * np.log(p)).sum()

    pairs = tokens[:-1].astype("i8") << 32 | tokens[1:]
    return of(tokens), of(pairs) - of(tokens[:-1])


def draw(output, title, time, step, levels):
    fig, ax = plt.subplots(figsize=(7.6, 4.0))
    seen = ~np.isnan(step["held_out_loss"])
    ax.plot(time, step["loss"], color=TRAIN, linewidth=0.8, label="training, every step")
    if seen.any():
        ax.plot(
            time[seen],
            step["held_out_loss"][seen],
            color=HELD_OUT,
            linewidth=1.4,
            marker=".",
            markersize=4,
            label="held out",
        )
    for name, level in levels:
        ax.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.annotate(
            f"{name} entropy of the text, {level:.3f}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=INK,
        )
    ax.set_xlim(0, time[-1])
    ax.set_xlabel("seconds of training", fontsize=9)
    ax.set_ylabel("cross entropy, nats per token", fontsize=9)
    ax.set_title(title, fontsize=9, loc="left", color=INK)
    ax.legend(fontsize=8, frameon=False, loc="upper center")
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    try:
        fig.savefig(output, dpi=110)
    except (OSError, ValueError) as error:
        fail(1, f"{output}: {error}")


def main(argv=None, prog=None):
    if prog:
        PROGRAM[0] = prog
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.split("\n\n")[0],
        epilog="example: sailor-plot loss run.h5 -o loss.png",
    )
    parser.add_argument("file", metavar="MEAS.h5", help="measurement written by sailor-train run -o")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT.png",
        help="picture to write; its suffix gives the format: .png, .pdf or .svg",
    )
    parser.add_argument(
        "--data", metavar="FILE", help="text on which the model was trained; default: the file named in MEAS.h5"
    )
    args = parser.parse_args(argv)

    attrs, time, step = load(args.file)
    held_out, levels, data = step["held_out_loss"], [], args.data or attrs["data"]
    if data != "synthetic":
        levels = list(zip(("order-0", "order-1"), entropies(read_tokens(data))))
    for name, level in levels:
        below = np.flatnonzero(held_out < level)  # NaN is never below
        texts.say(
            f"{name} entropy of {texts.escape(data)}: {level:.4f} nats per token; held-out loss below it: "
            + (f"after {time[below[0]]:.0f} s (step {step['step'][below[0]]})" if len(below) else "never")
        )
    if not np.isnan(held_out).all():
        best = np.nanargmin(held_out)
        print(f"lowest held-out loss: {held_out[best]:.4f} after {time[best]:.0f} s (step {step['step'][best]})")
    draw(
        args.output,
        f"{texts.label(os.path.basename(data))}; {attrs['ranks']} ranks × {attrs['threads']} threads, {texts.label(attrs['device'])}",
        time,
        step,
        levels,
    )


if __name__ == "__main__":
    main()
