#!/usr/bin/env python3
"""Draw where the search in a file of `sailor plan -o OUT.h5` went.

For each row: the time spent on each pair of microbatch size and replicas; and the bounds of those that had to be searched,
against the best plan. With --log, the standard error of the same run, also the best plan and the bound over time.
"""

import argparse
import re

import plot_plan as base

np, plt = base.np, base.plt
from matplotlib import colors, ticker  # noqa: E402

LINE = re.compile(
    r"\[ *([0-9.]+) s\] row (\d+) of \d+ .*?(?:  best ([0-9.e+-]+) \w+)?(?:  bound ([0-9.e+-]+) \w+)?(?:  gap .*)?$"
)


def read_units(path):
    with base.seal.opened(path) as f:
        if "unit" not in f or "status" not in f["unit"] or not len(f["unit/status"]):
            base.fail(f"{path}: has no parts of a search; expected what the planner exact wrote")
        return base.table(f["unit"])


def read_log(path):
    """Return {row: [(time, best, bound), ...]} of the lines of progress. A search of less than a second prints none."""
    out, other = {}, False
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                hit = LINE.search(line.rstrip())
                if hit:
                    value = [float(x) if x else np.nan for x in (hit[1], hit[3], hit[4])]
                    out.setdefault(int(hit[2]), []).append(value)
                other |= not hit and not line.startswith("sailor: ") and bool(line.strip())
    except OSError as error:
        base.fail(f"{path}: {error.strerror}")
    if not out and other:
        base.fail(f"{path}: no line of progress; expected the standard error of sailor plan without -q")
    return {row: np.array(lines) for row, lines in out.items()}


def draw_time(ax, units):
    """A point for each pair of microbatch size and replicas: the larger and darker, the longer."""
    pairs = {}
    for m, d, s in zip(units["micro_batch_size"], units["data_parallel"], units["seconds"]):
        pairs[m, d] = pairs.get((m, d), 0.0) + s
    place = {m: i for i, m in enumerate(sorted({m for m, _ in pairs}))}
    x = np.array([d for _, d in pairs], dtype=float)
    y = np.array([place[m] for m, _ in pairs], dtype=float)
    s = np.array(list(pairs.values()))
    long = s >= max(1e-3, s.max() / 1000)
    ax.scatter(x[~long], y[~long], s=4, color="#CCCCCC", zorder=2, label="next to nothing")
    if long.any():
        norm = colors.LogNorm(max(1e-3, s.max() / 1000), max(s.max(), 2e-3))
        image = ax.scatter(
            x[long], y[long], s=20 + 180 * np.sqrt(s[long] / s.max()), c=s[long], cmap="viridis_r", norm=norm,
            edgecolor=base.INK, linewidth=0.4, zorder=3,
        )  # fmt: skip
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02, format=ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        bar.ax.set_title("s", fontsize=8)
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=7)
    if x.max() > 20:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(ticker.NullLocator())
    else:
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    ax.set_yticks(list(place.values()), [str(m) for m in place])
    ax.set_ylim(-0.6, len(place) - 0.4)
    ax.set_xlabel("replicas", fontsize=8)
    ax.set_ylabel("microbatch", fontsize=8)
    ax.set_title(f"time spent on the parts of the search, {s.sum():.3g} s of CPU in all", fontsize=9, loc="left")
    ax.grid(color="#F3F3F3", zorder=0)
    base.plain(ax)


STATES = (("to do", "#BBBBBB"), ("searched through", "#228833"), ("excluded by its bound", "#66CCEE"), ("left open", "#EE6677"))
MOST = 60  # parts that are shown


def draw_bounds(ax, units, best, unit, label):
    """Parts that their bound alone did not exclude, by that bound; a line from the bound to the best plan found in it."""
    bound, value = units["lower_bound"], units["value"]
    order = np.argsort(bound, kind="stable")
    order = order[np.isfinite(bound[order]) & (units["status"][order] != 2)]
    hidden, order = len(order) - MOST, order[:MOST]
    x, low = np.arange(len(order)), bound[order]
    high = np.where(np.isfinite(value[order]), np.maximum(value[order], low), low)
    status = units["status"][order]
    for k, (name, colour) in enumerate(STATES):
        mine = status == k
        if mine.any():
            ax.vlines(x[mine], low[mine], high[mine], color=colour, linewidth=3, alpha=0.5, zorder=2)
            ax.scatter(x[mine], low[mine], s=16, color=colour, zorder=3, label=f"{name} ({mine.sum()})")
    if np.isfinite(best):
        ax.axhline(best, color=base.INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label=label)
    ends = [v for v in (*low, *high, best) if np.isfinite(v) and v > 0]
    if ends and max(ends) > 6 * min(ends):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=20))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    elif ends and max(ends) < 1.001 * min(ends):
        ax.set_ylim(0.9 * ends[0], 1.1 * ends[0])
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.4g}"))
    step = max(1, len(order) // 8)
    ax.set_xticks(
        x[::step], [f"{units['micro_batch_size'][i]} × {units['data_parallel'][i]}" for i in order[::step]]
    )
    ax.set_xlim(-0.7, max(1, len(order)) - 0.3)
    excluded = int((units["status"] == 2).sum())
    more = f"; {hidden} worse ones are not shown" if hidden > 0 else ""
    ax.set_xlabel(f"parts, microbatch × replicas; {excluded} more were excluded by their bound alone{more}", fontsize=8)
    ax.set_ylabel(unit, fontsize=8)
    ax.set_title("parts that were searched: their bound, and up to the best plan in them", fontsize=9, loc="left")
    ax.legend(fontsize=7, frameon=False, loc="best")
    base.plain(ax)


def draw_progress(ax, lines, unit):
    time = lines[:, 0]
    ax.step(time, lines[:, 1], where="post", color=base.COMM, linewidth=1.4, label="best plan", marker=".", markersize=4)
    ax.step(time, lines[:, 2], where="post", color=base.COMPUTE, linewidth=1.4, label="bound", marker=".", markersize=4)
    both = ~np.isnan(lines[:, 1]) & ~np.isnan(lines[:, 2])
    ax.fill_between(time[both], lines[both, 1], lines[both, 2], step="post", color=base.IDLE, zorder=0)
    ax.set_xlabel("s since the start", fontsize=8)
    ax.set_ylabel(unit, fontsize=8)
    ax.set_title("progress", fontsize=9, loc="left")
    ax.legend(fontsize=7, frameon=False)
    base.plain(ax)


def main(argv=None, prog="plot_search.py"):
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n\n")[0])
    parser.add_argument("file", metavar="OUT.h5", help="result file written by sailor plan -o")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.png", help="picture to write: .png, .pdf or .svg")
    parser.add_argument("--log", metavar="FILE", help="standard error of the same sailor plan, without -q")
    parser.add_argument("--row", type=int, metavar="R", help="draw only pool row R, from 0; default: the first six")
    args = parser.parse_args(argv)
    base.use_name(prog)
    attrs, data = base.load(args.file)
    units = read_units(args.file)
    log = read_log(args.log) if args.log else {}
    rows = [r for r in sorted(set(units["row"])) if args.row in (None, r)][:6]
    if not rows:
        base.fail(f"{args.file}: row {args.row} has no parts; expected one of those that were searched")
    unit = "USD per iteration" if attrs["objective"] == "cost" else "s per iteration"
    value = "cost_usd_per_iteration" if attrs["objective"] == "cost" else "iteration_time_s"
    columns = 3 if log else 2
    fig, axes = plt.subplots(len(rows), columns, figsize=(6.3 * columns, 3.4 * len(rows) + 0.5), squeeze=False)
    for at, row in enumerate(rows):
        mine = base.select(units, units["row"] == row)
        plans = data["plan"][value][data["plan"]["row"] == row]
        best = plans.min() if len(plans) else np.nan
        draw_time(axes[at][0], mine)
        fastest = "fastest plan" if attrs["objective"] == "frontier" else "best plan"
        draw_bounds(axes[at][1], mine, best, unit, f"{fastest}, {best:.4g}")
        if log and row in log:
            draw_progress(axes[at][2], log[row], unit)
        elif log:
            axes[at][2].set_axis_off()
        count = np.bincount(mine["status"], minlength=4)
        gap = 100 * data["row"]["gap"][row]
        print(
            f"row {row}: {len(mine['status'])} parts: "
            + ", ".join(f"{n} {name}" for n, (name, _) in zip(count, STATES) if n)
            + f"; {mine['seconds'].sum():.3g} s; gap {gap:.3g} %"
        )
        axes[at][0].annotate(
            f"row {row}", (0, 1), xytext=(-38, 18), xycoords="axes fraction", textcoords="offset points", fontsize=10, weight="bold"
        )
    fig.suptitle(
        f"{attrs['model']} on {attrs['site']}, global batch {attrs['global_batch_size']}, objective {attrs['objective']}",
        x=0.02,
        ha="left",
        fontsize=11,
        color=base.INK,
    )
    fig.tight_layout()
    base.save(fig, args.output)


if __name__ == "__main__":
    main()
