#!/usr/bin/env python3
"""Draw the plans in a file of `sailor plan -o OUT.h5`.

Each pool row is drawn as one strip: the pipeline (stages from left to right, replicas in ring order from top to bottom,
coloured by GPU type, hatched by zone), the memory of the fullest GPU of each stage, how the time of an iteration is spent
and, if the search was for the frontier, cost against time. --timeline adds the 1F1B schedule. The numbers in the picture
are printed as well.

Needs only h5py, numpy and matplotlib. Exit status: 0 drawn, 1 failed, 2 wrong usage.
"""

import argparse
import sys

sys.dont_write_bytecode = True
import seal  # noqa: E402
import texts  # noqa: E402

try:
    import h5py
    import numpy as np
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle
except ImportError as error:
    sys.exit(
        f"sailor-plot: error: {error}; on Debian: apt-get install python3-h5py python3-matplotlib, then use /usr/bin/python3"
    )

GIB = 2.0**30
# Paul Tol's light scheme: colour-blind readers can tell the colours apart, and dark text is readable on all
COLOURS = ["#77AADD", "#EE8866", "#EEDD88", "#44BB99", "#FFAABB", "#BBCC33", "#99DDFF", "#DDDDDD", "#AAAA00"]
HATCHES = ["", "///", "...", "\\\\\\", "xx", "oo", "++", "**"]
INK, SOFT = "#222222", "#888888"
COMPUTE, COMM, SYNC, IDLE = "#4477AA", "#EE6677", "#CCBB44", "#E6E6E6"


NAME = ["plot_plan.py"]


def use_name(name):
    """The name of the program, as errors have it."""
    NAME[0] = name


def fail(text):
    sys.exit(f"{NAME[0]}: error: {texts.escape(text)}")


def save(fig, path):
    try:
        fig.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def table(group):
    """Return a group of columns as a dict of arrays, with fixed-length text as str."""
    out = {}
    for name, column in group.items():
        values = column[:]
        out[name] = np.array([texts.label(v.decode()) for v in values], dtype=object) if values.dtype.kind == "S" else values
    return out


def select(t, mask):
    return {name: values[mask] for name, values in t.items()}


def load(path):
    try:
        with seal.opened(path) as f:
            attrs = dict(f.attrs)
            if not str(attrs.get("schema", "")).startswith("sailor-results/"):
                fail(f"{path}: not written by sailor plan -o")
            return texts.labels(attrs), {name: table(f[name]) for name in ("row", "pool", "plan", "stage", "replica", "gpu", "zone")}
    except (OSError, KeyError, ValueError) as error:
        fail(f"{path}: {error}")


class Plan:
    """Plan number `index` of the file, with the stages and replicas of its first pipeline."""

    def __init__(self, data, index):
        self.figures = {k: v[index] for k, v in data["plan"].items()}
        stages = select(data["stage"], (data["stage"]["plan"] == index) & (data["stage"]["pipeline"] == 0))
        self.stages = [{k: v[i] for k, v in stages.items()} for i in range(len(stages["stage"]))]
        for s in self.stages:
            r = select(data["replica"], data["replica"]["stage"] == s["stage"])
            s["groups"] = [{k: v[i] for k, v in r.items()} for i in range(len(r["replica"]))]

    def __getitem__(self, key):
        return self.figures[key]


class Look:
    """Gives each GPU type a colour and each zone a hatch, the same in the whole figure."""

    def __init__(self, data, plans):
        groups = [g for p in plans for s in p.stages for g in s["groups"]]
        self.gpus = [g for g in data["gpu"]["name"] if any(x["gpu"] == g for x in groups)]
        self.zones = [z for z in data["zone"]["name"] if any(x["zone"] == z for x in groups)]
        self.memory = dict(zip(data["gpu"]["name"], data["gpu"]["memory_bytes"]))

    def colour(self, gpu):
        return COLOURS[self.gpus.index(gpu) % len(COLOURS)]

    def hatch(self, zone):
        return HATCHES[self.zones.index(zone) % len(HATCHES)]

    def legend(self):
        items = [
            Patch(facecolor=self.colour(g), edgecolor=INK, label=f"{g} ({self.memory[g] / GIB:.0f} GiB)")
            for g in self.gpus
        ]
        if len(self.zones) > 1:
            items += [Patch(facecolor="white", edgecolor=INK, hatch=self.hatch(z), label=z) for z in self.zones]
        return items


def plain(ax):
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=8, colors=INK)


def draw_pipeline(ax, plan, look):
    n = len(plan.stages)
    most = max(sum(g["count"] for g in s["groups"]) for s in plan.stages)
    for i, s in enumerate(plan.stages):
        total, top = sum(g["count"] for g in s["groups"]), 0.0
        for g in s["groups"]:
            height = g["count"] / total
            box = Rectangle(
                (i + 0.06, 1 - top - height),
                0.88,
                height,
                facecolor=look.colour(g["gpu"]),
                edgecolor=SOFT,
                hatch=look.hatch(g["zone"]),
                linewidth=0,
            )  # the colour of the edge is that of the hatch
            ax.add_patch(box)
            ax.add_patch(Rectangle(box.get_xy(), 0.88, height, facecolor="none", edgecolor=INK, linewidth=1.0))
            if total <= 48:  # one line per replica, as long as the lines can be told apart
                for k in range(1, g["count"]):
                    y = 1 - top - k / total
                    ax.plot([i + 0.06, i + 0.94], [y, y], color=INK, linewidth=0.35, alpha=0.5)
            text = f"{g['count']} × tp{g['tp']}"
            if n <= 8:
                text += f"\n{g['gpu']}" if height > 0.16 else f"  {g['gpu']}"
            if height > 0.05:
                ax.text(
                    i + 0.5,
                    1 - top - height / 2,
                    text,
                    ha="center",
                    va="center",
                    fontsize=8 if n <= 8 else 6.5,
                    color=INK,
                    bbox=dict(facecolor=look.colour(g["gpu"]), edgecolor="none", pad=1.2, alpha=0.9),
                )
            top += height
        if i + 1 < n:
            ax.annotate("", (i + 1.07, 0.5), (i + 0.93, 0.5), arrowprops=dict(arrowstyle="-|>", color=INK, lw=1.1))
        ax.text(
            i + 0.5,
            1.03,
            (
                f"stage {i}\nlayers {s['first_layer']}–{s['end_layer'] - 1}"
                if n <= 10
                else f"{i}\n{s['first_layer']}–{s['end_layer'] - 1}"
            ),
            ha="center",
            va="bottom",
            fontsize=8 if n <= 10 else 6.5,
        )
    ax.set_xlim(0, n)
    ax.set_ylim(0, 1.0)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_ylabel(f"{most} replicas", fontsize=9)


def draw_memory(ax, plan, look):
    for i, s in enumerate(plan.stages):
        gpus = list(dict.fromkeys(g["gpu"] for g in s["groups"]))
        ax.bar(
            i, s["memory_bytes"] / GIB, width=0.62, color=look.colour(gpus[0]), edgecolor=INK, linewidth=0.8, zorder=2
        )
        for gpu in gpus:
            limit = look.memory[gpu] / GIB
            if plan["fits"] and limit * GIB < s["memory_bytes"]:
                continue  # a smaller type in a mixed stage, which holds less
            ax.plot([i - 0.42, i + 0.42], [limit, limit], color=INK, linewidth=1.8, zorder=3)
            ax.bar(i, limit, width=0.62, color="none", edgecolor=SOFT, linewidth=0.6, linestyle=":", zorder=1)
        ax.text(i, s["memory_bytes"] / GIB, f"{s['memory_bytes'] / GIB:.0f}", ha="center", va="bottom", fontsize=7.5)
    ax.set_xticks(range(len(plan.stages)))
    ax.set_xlim(-0.6, len(plan.stages) - 0.4)
    ax.set_ylim(0, None)
    ax.set_xlabel("stage", fontsize=8)
    ax.set_ylabel("GiB", fontsize=8)
    ax.set_title("memory of the fullest GPU", fontsize=9, loc="left")
    plain(ax)


def draw_time(ax, plan):
    m, total = plan["n_microbatch"], plan["iteration_time_s"]
    for i, s in enumerate(plan.stages):
        parts = [(m * s["compute_s"], COMPUTE), (m * s["comm_s"], COMM), (s["sync_s"], SYNC)]
        left = 0.0
        ax.barh(i, total, height=0.7, color=IDLE, zorder=1)
        for length, colour in parts:
            ax.barh(i, length, left=left, height=0.7, color=colour, zorder=2)
            left += length
    ax.axvline(total, color=INK, linewidth=1.2)
    ax.set_yticks(range(len(plan.stages)))
    ax.set_ylim(len(plan.stages) - 0.4, -0.6)
    ax.set_xlim(0, total * 1.02)
    ax.set_ylabel("stage", fontsize=8)
    ax.set_xlabel("s per iteration", fontsize=8)
    ax.set_title("how an iteration is spent", fontsize=9, loc="left")
    handles = [
        Patch(color=c, label=t) for c, t in ((COMPUTE, "compute"), (COMM, "comm"), (SYNC, "sync"), (IDLE, "waiting"))
    ]
    ax.legend(
        handles=handles,
        fontsize=7,
        ncol=4,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.22),
        frameon=False,
        handlelength=1.0,
        columnspacing=1.0,
    )
    plain(ax)


def draw_frontier(ax, data, row, chosen, scale):
    mask = (data["plan"]["row"] == row) & (data["plan"]["kind"] == 1)
    p = select(data["plan"], mask)
    time, cost, gap = p["iteration_time_s"], p["cost_usd_per_iteration"], data["row"]["gap"][row]
    ax.step(time, cost, where="post", color=COMPUTE, linewidth=1.2, zorder=1)
    bound = ""
    if gap > 0:
        ax.step((1 - gap) * time, (1 - gap) * cost, where="post", color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
        bound = ", dashed: bound"
    ax.scatter(time, cost, s=16, color=COMPUTE, zorder=2)
    ax.scatter([chosen["iteration_time_s"]], [chosen["cost_usd_per_iteration"]], s=70, marker="*", color=COMM, zorder=3)
    if len(time):
        scale(ax.xaxis, time, 5)
        scale(ax.yaxis, cost, 6)
    ax.set_xlabel("s per iteration", fontsize=8)
    ax.set_ylabel("USD per iteration", fontsize=8)
    ax.set_title(f"frontier, {len(time)} plans (★ drawn{bound})", fontsize=9, loc="left")
    ax.grid(color="#EEEEEE", zorder=0)
    plain(ax)


def describe(data, row, plan, index, attrs):
    pool = select(data["pool"], data["pool"]["row"] == row)
    have = " + ".join(
        f"{c} {g}" + (f" {z}" if len(set(data["pool"]["zone"])) > 1 else "")
        for c, g, z in zip(pool["count"], pool["gpu"], pool["zone"])
    )
    if len(have) > 110:  # many zones: only count them
        names = dict.fromkeys(pool["gpu"])
        have = " + ".join(
            f"{pool['count'][pool['gpu'] == g].sum()} {g} in {(pool['gpu'] == g).sum()} zones" for g in names
        )
    status = ["not searched", "optimal", "feasible", "infeasible"][data["row"]["status"][row]]
    if data["row"]["status"][row] == 2:
        status += f" (gap {100 * data['row']['gap'][row]:.2g} %)"
    cost = plan["cost_usd_per_iteration"]
    money = "" if np.isnan(cost) else f", {cost:.4g} USD per iteration"
    text = (
        f"{plan['iteration_time_s']:.4g} s per iteration ({plan['throughput_per_s']:.4g}/s){money};  microbatch "
        f"{plan['micro_batch_size']}, {plan['n_microbatch']} microbatches, {plan['gpus']} GPUs;  {status}"
    )
    texts.say(f"row {row}, plan {index}: {have}: {text}")
    for s in plan.stages:
        groups = ", ".join(f"{g['count']} x {g['gpu']} tp{g['tp']} {g['zone']}" for g in s["groups"])
        texts.say(
            f"  stage {s['position']}: layers {s['first_layer']}-{s['end_layer'] - 1}: {groups}; compute {1e3 * s['compute_s']:.4g} ms, "
            f"comm {1e3 * s['comm_s']:.4g} ms, sync {1e3 * s['sync_s']:.4g} ms, {s['memory_bytes'] / GIB:.2f} GiB"
        )
    return f"row {row}:  {have}", text


def choose(data, args, path):
    """Return the (row, plan number) pairs to draw."""
    plans = data["plan"]
    kind, rank = (1, args.frontier) if args.frontier is not None else (0, args.rank)
    rows = range(len(data["row"]["row"])) if args.row is None else [args.row]
    out = []
    for row in rows:
        hit = np.flatnonzero((plans["row"] == row) & (plans["kind"] == kind) & (plans["rank"] == rank))
        if len(hit) == 0 and args.frontier is None and rank == 0:
            hit = np.flatnonzero((plans["row"] == row) & (plans["kind"] == 1) & (plans["rank"] == 0))
        if len(hit):
            out.append((row, int(hit[0])))
    if not out:
        fail(f"{path}: has no such plan")
    if len(out) > args.max_rows:
        print(
            f"{NAME[0]}: drawing the first {args.max_rows} of {len(out)} rows; see --max-rows and --row",
            file=sys.stderr,
        )
    return out[: args.max_rows]


def add_choice_of_plans(parser):
    parser.add_argument("file", metavar="OUT.h5", help="result file written by sailor plan -o")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT.png",
        help="picture to write; its suffix gives the format: .png, .pdf or .svg",
    )
    parser.add_argument("--row", type=int, metavar="R", help="draw only pool row R, from 0; default: all rows")
    parser.add_argument(
        "--rank",
        type=int,
        default=0,
        metavar="K",
        help="draw the plan of rank K in each row (sailor plan --top); default 0, the best",
    )
    parser.add_argument(
        "--frontier", type=int, metavar="I", help="draw point I of the frontier instead, from 0, the fastest"
    )
    parser.add_argument("--max-rows", type=int, default=8, metavar="N", help="draw at most N rows; default 8")


def headline(fig, attrs, total):
    fig.suptitle(
        f"{attrs['model']} on {attrs['site']}, global batch {attrs['global_batch_size']}, objective {attrs['objective']}, "
        f"estimator {attrs['estimator']}" + ("" if attrs["complete"] else "   (search incomplete)"),
        x=0.045,
        y=1 - 0.12 / total,
        ha="left",
        va="top",
        fontsize=12,
        color=INK,
    )


def main(argv=None, prog="plot_plan.py"):
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__.split("\n\n")[0], epilog=f"example: {prog} fig7.h5 -o fig7.png --timeline"
    )
    add_choice_of_plans(parser)
    parser.add_argument("--timeline", action="store_true", help="add the 1F1B schedule of each plan")
    args = parser.parse_args(argv)
    use_name(prog)
    import plot_frontier, plot_timeline  # which import this one

    plt.rcParams["hatch.linewidth"] = 0.5
    attrs, data = load(args.file)
    chosen = [(row, index, Plan(data, index)) for row, index in choose(data, args, args.file)]
    look = Look(data, [p for _, _, p in chosen])
    has_frontier = bool((data["plan"]["kind"] == 1).any())

    heights = []
    for _, _, plan in chosen:
        heights.append(2.35 + 0.22 * max(0, len(plan.stages) - 5))
        if args.timeline:
            heights.append(0.7 + 0.26 * len(plan.stages))
    blocks = len(chosen)
    total = sum(heights) + blocks * (1.55 + (0.85 if args.timeline else 0)) + 0.95
    fig = plt.figure(figsize=(16 if has_frontier else 13.5, total))
    inches = total - 0.72
    headline(fig, attrs, total)
    fig.legend(
        handles=look.legend(),
        loc="upper left",
        bbox_to_anchor=(0.04, 1 - 0.38 / total),
        ncol=8,
        fontsize=9,
        frameon=False,
        handleheight=1.1,
    )
    widths = [5.2, 2.2, 3.2] + ([3.2] if has_frontier else [])
    step = sum(widths)
    at = 0
    for row, index, plan in chosen:
        inches -= 0.92
        height = heights[at]
        left, span, gap = 0.045, 0.94, 0.045
        axes = []
        for w in widths:
            share = (span - gap * (len(widths) - 1)) * w / step
            axes.append(fig.add_axes([left, (inches - height) / total, share, height / total]))
            left += share + gap
        draw_pipeline(axes[0], plan, look)
        draw_memory(axes[1], plan, look)
        draw_time(axes[2], plan)
        if has_frontier:
            draw_frontier(axes[3], data, row, plan, plot_frontier.scale)
        title, text = describe(data, row, plan, index, attrs)
        fig.text(0.045, (inches + 0.72) / total, title, fontsize=10, weight="bold", va="center", color=INK)
        fig.text(0.045, (inches + 0.53) / total, text, fontsize=9, va="center", color=INK)
        inches -= height + 0.63
        at += 1
        if args.timeline:
            height = heights[at]
            inches -= 0.3
            plot_timeline.draw(fig, (0.045, (inches - height) / total, 0.94, height / total), plan)
            inches -= height + 0.55
            at += 1
    save(fig, args.output)


if __name__ == "__main__":
    main()
