#!/usr/bin/env python3
"""Draw the schedules of the plans in a file of `sailor plan -o OUT.h5`.

For each plan the 1F1B schedule of its first pipeline, from the first forward pass to the end of the all-reduce. Where there are
many microbatches the middle, which repeats itself, is cut out, and the picture says which.
"""

import argparse

import plot_plan as base

np, Rectangle = base.np, base.Rectangle
FORWARD, BACKWARD = "#88BBDD", base.COMPUTE
EDGE = 10  # microbatches shown at the begin and at the end; twice as many stages if that is more
LONGEST = 512  # after that many, all are alike


def schedule(forward, backward, transfer, m):
    """Return the 1F1B start times of the forward and backward pass of each (stage, microbatch)."""
    n = len(forward)
    f, b = np.full((n, m), np.nan), np.full((n, m), np.nan)
    order = []
    for i in range(n):
        warm = min(n - i, m)
        steps = [("f", k) for k in range(warm)]
        for k in range(m):
            steps.append(("b", k))
            if warm + k < m:
                steps.append(("f", warm + k))
        order.append(steps)
    at, free = [0] * n, [0.0] * n
    while any(at[i] < len(order[i]) for i in range(n)):
        for i in range(n):
            while at[i] < len(order[i]):
                kind, k = order[i][at[i]]
                if kind == "f":
                    ready = 0.0 if i == 0 else f[i - 1, k] + forward[i - 1] + transfer[i - 1]
                else:
                    ready = f[i, k] + forward[i] if i == n - 1 else b[i + 1, k] + backward[i + 1] + transfer[i]
                if np.isnan(ready):
                    break
                start = max(ready, free[i])
                (f if kind == "f" else b)[i, k] = start
                free[i] = start + (forward[i] if kind == "f" else backward[i])
                at[i] += 1
    return f, b


def bars(plan):
    """Return the bars of the schedule, (stage, microbatch or None, start, length, colour), and the times between which it
    may be cut, or None."""
    n, m = len(plan.stages), int(plan["n_microbatch"])
    compute = np.array([s["compute_s"] for s in plan.stages])
    forward, backward = compute / 3, compute * 2 / 3
    # The comm time of a stage covers both directions of a microbatch. Half of the smaller side stands for one
    # transfer across the boundary.
    comm = np.array([s["comm_s"] for s in plan.stages])
    transfer = np.minimum(comm[:-1], comm[1:]) / 2
    played = min(m, max(LONGEST, 4 * n))
    f, b = schedule(forward, backward, transfer, played)
    edge = max(EDGE, 2 * n)
    out = []
    later = 0.0 if played == m else (m - played) * (b[-1, -1] - b[-1, -2])
    for i in range(n):
        for k in range(played):
            if played < m and edge + n < k < played - edge - n:
                continue
            at_end = k >= played // 2
            number, shift = (k + m - played, later) if at_end else (k, 0.0)
            out.append((i, number, f[i, k] + shift, forward[i], FORWARD))
            out.append((i, number, b[i, k] + shift, backward[i], BACKWARD))
        out.append((i, None, b[i, -1] + backward[i] + later, plan.stages[i]["sync_s"], base.SYNC))
    if m <= 2 * edge + n:
        return out, None
    return out, (b[0, edge] + backward[0], f[-1, played - edge] + later)


def draw_bars(ax, plan, what, window, number):
    n = len(plan.stages)
    for i, k, start, length, colour in what:
        left, right = max(start, window[0]), min(start + length, window[1])
        if right <= left or length == 0:
            continue
        ax.add_patch(
            Rectangle((left, i - 0.4), right - left, 0.8, facecolor=colour, edgecolor="white", linewidth=0.4)
        )
        if number and k is not None and right - left > 0.9 * length:
            ax.text(
                start + length / 2,
                i,
                str(k),
                ha="center",
                va="center",
                fontsize=6,
                color=base.INK if colour == FORWARD else "white",
            )
    ax.set_xlim(*window)
    ax.set_ylim(n - 0.45, -0.55)
    ax.set_xlabel("s", fontsize=8)
    base.plain(ax)


def draw(fig, place, plan):
    """Draw the schedule of a plan in the rectangle (left, bottom, width, height) of a figure."""
    what, cut = bars(plan)
    n, m = len(plan.stages), int(plan["n_microbatch"])
    end = max(start + length for _, _, start, length, _ in what) * 1.003
    windows = [(0.0, end)] if cut is None else [(0.0, cut[0]), (cut[1], end)]
    shown, gap = sum(b - a for a, b in windows), 0.012
    left, axes = place[0], []
    per_s = (place[2] - gap * (len(windows) - 1)) / shown
    visible = sum(any(start + length > a and start < b for a, b in windows) for _, _, start, length, _ in what)
    number = visible <= 120 * n and per_s * fig.get_figwidth() * 72 * min(s["compute_s"] for s in plan.stages) > 18
    for a, b in windows:
        ax = fig.add_axes([left, place[1], per_s * (b - a), place[3]])
        draw_bars(ax, plan, what, (a, b), number)
        axes.append(ax)
        left += per_s * (b - a) + gap
    axes[0].set_yticks(range(n))
    axes[0].set_ylabel("stage", fontsize=8)
    text = "1F1B schedule (light: forward, drawn as a third of compute; dark: backward; yellow: all-reduce; gaps: waiting)"
    if cut is not None:
        axes[1].set_yticks([])
        axes[1].spines["left"].set_visible(False)
        for ax, x in ((axes[0], 1), (axes[1], 0)):
            ax.plot([x], [0], marker=[(-0.6, -1), (0.6, 1)], markersize=9, color=base.INK, clip_on=False, transform=ax.transAxes)
        seen = {k for _, k, start, length, _ in what if start + length <= cut[0] or start >= cut[1]}
        hidden = [k for k in range(m) if k not in seen]
        if hidden:
            text += f"; cut out: microbatches {hidden[0]}–{hidden[-1]} of {m}, {cut[1] - cut[0]:.3g} s"
    axes[0].set_title(text, fontsize=9, loc="left")


def main(argv=None, prog="plot_timeline.py"):
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n\n")[0])
    base.add_choice_of_plans(parser)
    args = parser.parse_args(argv)
    base.use_name(prog)
    attrs, data = base.load(args.file)
    chosen = [(row, index, base.Plan(data, index)) for row, index in base.choose(data, args, args.file)]
    heights = [0.5 + 0.28 * len(plan.stages) for _, _, plan in chosen]
    total = sum(heights) + 1.35 * len(chosen) + 0.6
    fig = base.plt.figure(figsize=(14, total))
    base.headline(fig, attrs, total)
    at = total - 0.6
    for (row, index, plan), height in zip(chosen, heights):
        title, text = base.describe(data, row, plan, index, attrs)
        fig.text(0.045, (at - 0.1) / total, title, fontsize=10, weight="bold", va="center", color=base.INK)
        fig.text(0.045, (at - 0.29) / total, text, fontsize=9, va="center", color=base.INK)
        at -= 0.72 + height
        draw(fig, (0.045, at / total, 0.94, height / total), plan)
        at -= 0.63
    base.save(fig, args.output)


if __name__ == "__main__":
    main()
