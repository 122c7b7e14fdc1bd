#!/usr/bin/env python3
"""Draw measured against predicted: what `sailor validate FILE... --json` prints.

Each run is a point, with the interval in which 9 of 10 such runs are expected. On the line in the middle prediction and
measurement agree; in the band they differ by a tenth at most. The runs that are furthest off are named.
"""

import argparse
import json
import os
import sys

import plot_plan as base

np, plt = base.np, base.plt
from matplotlib import ticker  # noqa: E402

NAMED = 3
COLOURS = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB"]
MARKERS = "osD^v"


def read(paths):
    runs = []
    for path in paths:
        try:
            with sys.stdin if path == "-" else open(path, encoding="utf-8") as f:
                for line in f:
                    run = json.loads(line)
                    if isinstance(run, dict) and "iteration_time_s" in run and "time_error_percent" in run:
                        runs.append(run)
        except (OSError, ValueError) as error:
            base.fail(f"{path}: {error.strerror if isinstance(error, OSError) else error}; expected JSON of sailor validate")
    if not runs:
        base.fail(f"{paths[0]}: no runs; expected what sailor validate --json printed")
    return runs


def group(run):
    return base.texts.label(
        " on ".join(str(run[k]) for k in ("model", "gpu") if run.get(k)) or os.path.basename(str(run.get("where", "")).split(": ")[0])
    )


def name(run):
    if run.get("name"):
        return base.texts.label(run["name"])
    degrees = [f"{k} {run[k]}" for k in ("tp", "pp", "dp") if run.get(k)]
    return ", ".join([group(run)] + degrees + ([f"line {run['line']}"] if run.get("line") else []))


def numbers(runs, key):
    return np.array([np.nan if r.get(key) is None else float(r[key]) for r in runs])


def draw(ax, runs, measured, predicted, low, high, unit, title, groups):
    x, y = numbers(runs, measured), numbers(runs, predicted)
    lows, highs = numbers(runs, low), numbers(runs, high)
    if "memory" in title:
        x, y, lows, highs = (v / base.GIB for v in (x, y, lows, highs))
    there = np.isfinite(x) & np.isfinite(y)
    if not there.any():
        ax.set_axis_off()
        ax.set_title(f"{title}: not measured", fontsize=10, loc="left")
        return
    ends = np.array([min(x[there].min(), y[there].min()) / 1.15, max(x[there].max(), y[there].max()) * 1.15])
    ax.fill_between(ends, ends * 0.9, ends * 1.1, color=base.IDLE, zorder=0, label="within 10 %")
    ax.plot(ends, ends, color=base.INK, linewidth=0.8, zorder=1)
    for i, g in enumerate(groups):
        mine = there & np.array([group(r) == g for r in runs])
        if not mine.any():
            continue
        colour = COLOURS[i % len(COLOURS)]
        bars = mine & np.isfinite(lows) & np.isfinite(highs)
        ax.vlines(x[bars], lows[bars], highs[bars], color=colour, alpha=0.35, linewidth=2, zorder=2)
        ax.scatter(x[mine], y[mine], s=24, color=colour, marker=MARKERS[i // len(COLOURS) % len(MARKERS)], edgecolor="white",
                   linewidth=0.4, zorder=3, label=g)  # fmt: skip
    error = np.where(there, np.abs(y / x - 1), -1)
    worst = np.argsort(-error)[: min(NAMED, there.sum())]
    labels = {}
    for k, i in enumerate(worst):  # equal runs share a place
        labels.setdefault((float(f"{x[i]:.3g}"), float(f"{y[i]:.3g}")), []).append(str(k + 1))
    for place, numbered in labels.items():
        ax.annotate(", ".join(numbered), place, xytext=(7, -9), textcoords="offset points", fontsize=8, weight="bold", zorder=5)
    lines = [f"{k + 1}  {name(runs[i])}: {100 * (y[i] / x[i] - 1):+.1f} %" for k, i in enumerate(worst)]
    ax.text(
        0.98, 0.02, "\n".join(["furthest off:"] + lines), transform=ax.transAxes, ha="right", va="bottom", fontsize=8, color=base.INK
    )
    logarithmic = ends[1] > 8 * ends[0]
    for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        if logarithmic:
            set_scale("log")
            axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
            axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.4g}"))
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    ax.set_box_aspect(1)
    ax.set_xlabel(f"measured, {unit}", fontsize=9)
    ax.set_ylabel(f"predicted, {unit}", fontsize=9)
    inside = np.isfinite(lows) & there
    covered = f"; {(inside & (lows <= x) & (x <= highs)).sum()} of {inside.sum()} in their intervals" if inside.any() else ""
    ax.set_title(f"{title}: {there.sum()} runs, mean error {100 * error[there].mean():.1f} %{covered}", fontsize=10, loc="left")
    ax.legend(fontsize=7.5, frameon=False, loc="upper left")
    base.plain(ax)
    print(f"{title}: {there.sum()} runs, mean error {100 * error[there].mean():.2f} %, most {100 * error[there].max():.2f} %")


def main(argv=None, prog="plot_measured.py"):
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.split("\n\n")[0],
        epilog=f"example: sailor validate runs.csv --json | {prog} - -o runs.png",
    )
    parser.add_argument("file", metavar="FILE", nargs="+", help="what sailor validate --json printed; -: standard input")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.png", help="picture to write: .png, .pdf or .svg")
    args = parser.parse_args(argv)
    base.use_name(prog)
    runs = read(args.file)
    groups = list(dict.fromkeys(group(r) for r in runs))
    fig, axes = plt.subplots(1, 2, figsize=(14, 7.5), layout="constrained")
    draw(axes[0], runs, "measured_iteration_time_s", "iteration_time_s", "iteration_time_low_s", "iteration_time_high_s",
         "s per iteration", "iteration time", groups)  # fmt: skip
    draw(axes[1], runs, "measured_peak_memory_bytes", "peak_memory_bytes", "peak_memory_low_bytes", "peak_memory_high_bytes",
         "GiB", "peak memory", groups)  # fmt: skip
    base.save(fig, args.output)


if __name__ == "__main__":
    main()
