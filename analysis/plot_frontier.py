#!/usr/bin/env python3
"""Draw the frontiers in files of `sailor plan --objective frontier -o OUT.h5`, all rows in one picture.

Each row is a line of steps, with a plan at each point: a pie of its GPU types, as large as it has GPUs. The shaded band goes
down to what is proven: no plan of the row is both faster and cheaper than the band's lower edge. Where the proof is exact there
is no band.
"""

import argparse
import os

import plot_plan as base

np, plt = base.np, base.plt
from matplotlib import ticker  # noqa: E402

LINES = ["#332288", "#117733", "#CC6677", "#882255", "#44AA99", "#999933", "#AA4499", "#661100"]
LOG_FROM = 6  # an axis on which the largest is so many times the smallest is logarithmic


class Row:
    def __init__(self, data, row, label):
        plans = data["plan"]
        self.index = np.flatnonzero((plans["row"] == row) & (plans["kind"] == 1))
        self.index = self.index[np.argsort(plans["iteration_time_s"][self.index])]
        self.time = plans["iteration_time_s"][self.index]
        self.cost = plans["cost_usd_per_iteration"][self.index]
        self.gap = float(data["row"]["gap"][row])
        self.label = label
        self.mixes = [mix(data, i) for i in self.index]


def mix(data, index):
    """Return {GPU type: how many of them} of a plan."""
    out = {}
    at = np.flatnonzero(data["replica"]["plan"] == index)
    for i in at:
        gpu = data["replica"]["gpu"][i]
        out[gpu] = out.get(gpu, 0) + int(data["replica"]["count"][i]) * int(data["replica"]["tp"][i])
    return out


def mix_text(gpus):
    return " + ".join(f"{n} {gpu}" for gpu, n in sorted(gpus.items()))


def pool_text(data, row):
    pool = base.select(data["pool"], data["pool"]["row"] == row)
    total = {}
    for count, gpu in zip(pool["count"], pool["gpu"]):
        total[gpu] = total.get(gpu, 0) + int(count)
    zones = len(set(pool["zone"][pool["count"] > 0]))
    return mix_text({g: n for g, n in total.items() if n}) + (f" in {zones} zones" if zones > 1 else "")


def read(paths):
    rows = []
    for path in paths:
        attrs, data = base.load(path)
        for row in range(len(data["row"]["row"])):
            label = pool_text(data, row) or "no GPUs"
            if len(paths) > 1:
                label = f"{base.texts.label(os.path.basename(path))}: {label}"
            found = Row(data, row, label)
            if len(found.index) and not np.isnan(found.cost).any():
                rows.append(found)
        headline = f"{attrs['model']} on {attrs['site']}, global batch {attrs['global_batch_size']}, {attrs['estimator']}"
    if not rows:
        base.fail(f"{paths[0]}: has no frontier; expected what sailor plan --objective frontier -o wrote")
    return rows, headline


def pie(ax, x, y, gpus, colours, size):
    """A marker of sectors."""
    total, start = sum(gpus.values()), 0.25
    for gpu, n in sorted(gpus.items()):
        turn = np.linspace(start, start - n / total, 24) * 2 * np.pi
        corners = np.column_stack([np.cos(turn), np.sin(turn)])
        if len(gpus) > 1:
            corners = np.vstack([[0, 0], corners])
        # a marker is scaled by its largest coordinate
        ax.scatter(
            [x],
            [y],
            marker=corners,
            s=size * np.abs(corners).max() ** 2,
            facecolor=colours[gpu],
            edgecolor=base.INK,
            linewidth=0.5,
            zorder=4,
        )
        start -= n / total


def scale(axis, values, most=12):
    """A logarithmic axis where it is wanted, with a few ticks that are numbers."""
    low, high = min(values), max(values)
    if high > LOG_FROM * low > 0:
        (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
        steps = (1, 1.5, 2, 3, 4, 5, 7) if high < 30 * low and most > 6 else (1, 2, 5)
        axis.set_major_locator(ticker.LogLocator(subs=steps, numticks=30))
        axis.set_minor_locator(ticker.NullLocator())
    else:
        axis.set_major_locator(ticker.MaxNLocator(min(8, most), steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.4g}"))


def draw(ax, rows, colours):
    most = max(sum(m.values()) for r in rows for m in r.mixes)
    ends = []
    for i, r in enumerate(rows):
        line = LINES[i % len(LINES)]
        width = 1.4 + 1.3 * (len(rows) - 1 - i) / max(1, len(rows) - 1)  # rows that share points stay visible
        right = r.time[-1] * 1.12
        time, cost = np.append(r.time, right), np.append(r.cost, r.cost[-1])
        gap = "proven exactly" if r.gap == 0 else f"proven within {100 * r.gap:.2g} %"
        ax.step(time, cost, where="post", color=line, linewidth=width, zorder=2, label=f"{r.label}, {gap}")
        if r.gap > 0:
            below = (1 - r.gap) * time, (1 - r.gap) * cost
            grid = np.unique(np.concatenate([time, below[0]]))
            grid = grid[grid >= below[0][0]]
            at = lambda t, c: np.where(grid < t[0], c[0] * 1.06, c[np.maximum(np.searchsorted(t, grid, "right") - 1, 0)])  # noqa: E731
            ax.fill_between(grid, at(*below), at(time, cost), step="post", color=line, alpha=0.18, linewidth=0, zorder=1)
            ax.step(*below, where="post", color=line, linewidth=0.8, linestyle=(0, (3, 2)), zorder=2)
        for t, c, gpus in zip(r.time, r.cost, r.mixes):
            pie(ax, t, c, gpus, colours, 40 + 160 * sum(gpus.values()) / most)
        for k in {0, len(r.time) - 1}:
            ends.append((r.time[k], r.cost[k], mix_text(r.mixes[k]), line))
    for t, c, text, line in {(t, c, text): (t, c, text, line) for t, c, text, line in reversed(ends)}.values():
        ax.annotate(
            text, (t, c), xytext=(9, 6), textcoords="offset points", fontsize=8, color=line, zorder=5,
            bbox=dict(facecolor="white", edgecolor="none", alpha=0.75, pad=0.8),
        )


def main(argv=None, prog="plot_frontier.py"):
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n\n")[0])
    parser.add_argument("file", metavar="OUT.h5", nargs="+", help="result files with frontiers, of one model")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.png", help="picture to write: .png, .pdf or .svg")
    args = parser.parse_args(argv)
    base.use_name(prog)
    rows, headline = read(args.file)
    gpus = sorted({g for r in rows for m in r.mixes for g in m})
    colours = {g: base.COLOURS[i % len(base.COLOURS)] for i, g in enumerate(gpus)}
    fig, ax = plt.subplots(figsize=(11, 6.4))
    draw(ax, rows, colours)
    scale(ax.xaxis, [t for r in rows for t in r.time])
    scale(ax.yaxis, [c for r in rows for c in r.cost])
    ax.set_xlabel("s per iteration", fontsize=10)
    ax.set_ylabel("USD per iteration", fontsize=10)
    ax.set_title(headline, fontsize=11, loc="left", color=base.INK)
    ax.grid(color="#EEEEEE", zorder=0)
    ax.margins(x=0.08, y=0.08)
    base.plain(ax)
    lines = ax.legend(fontsize=8.5, loc="upper right", title="available", title_fontsize=8.5, frameon=False)
    ax.add_artist(lines)
    ax.legend(
        handles=[base.Patch(facecolor=colours[g], edgecolor=base.INK, label=g) for g in gpus],
        fontsize=8.5,
        loc="center right",
        title="GPUs of a plan",
        title_fontsize=8.5,
        frameon=False,
    )
    for r in rows:
        base.texts.say(f"{r.label}: {len(r.time)} plans, gap {100 * r.gap:.3g} %")
        for t, c, gpus in zip(r.time, r.cost, r.mixes):
            base.texts.say(f"  {t:.6g} s  {c:.5g} USD  {mix_text(gpus)}")
    fig.tight_layout()
    base.save(fig, args.output)


if __name__ == "__main__":
    main()
