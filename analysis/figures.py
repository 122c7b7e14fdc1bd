#!/usr/bin/env python3
"""Draw the figures of the published comparison from a file of `sailor figures -o FIGURES.h5`.

There is one picture for each figure that the file contains (5a, 5b, 7, 8b, 10, 11, 12), one of the time/cost plane for each
exact frontier, and one of the search times. --table writes all numbers, ours beside the published ones, as a Markdown
table. docs/figures.md explains the pictures and their marks.

Needs only h5py, numpy and matplotlib. Exit status: 0 drawn, 1 cannot be written, 2 wrong usage or not a file of figures.
"""

import argparse
import math
import os
import sys

sys.dont_write_bytecode = True
import seal  # noqa: E402
import texts  # noqa: E402


PROGRAM = ["figures.py"]


def fail(status, text):
    print(f"{PROGRAM[0]}: error: {texts.escape(text)}", file=sys.stderr)
    sys.exit(status)


try:
    import h5py
    import numpy as np
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import matplotlib.colors
    import matplotlib.ticker
    import matplotlib.transforms
    from matplotlib.lines import Line2D
    from matplotlib.markers import CARETDOWN, CARETLEFT
    from matplotlib.patheffects import Normal, Stroke
except ImportError as error:
    fail(1, f"{error}; on Debian: apt-get install python3-h5py python3-matplotlib, then use /usr/bin/python3")

# The order in all pictures; the project's own planner and estimator come last and are black. The others have Paul Tol's
# muted scheme, and the paper's own a strong orange. Every bar and point has a name, so colour is never the only key.
NAME = {
    "varuna": "Varuna",
    "amp": "AMP",
    "piper": "Piper",
    "galvatron": "Galvatron",
    "aceso": "Aceso",
    "flashflex": "FlashFlex",
    "metis": "Metis",
    "dtfm": "DTFM",
    "atlas": "Atlas",
    "sailor": "Sailor",
    "exact": "exact",
    "native": "native",
}
INK, SOFT, FAINT = "#222222", "#777777", "#E4E4E4"
COLOUR = {
    "varuna": "#DDCC77",
    "amp": "#88CCEE",
    "piper": "#AA4499",
    "galvatron": "#44AA99",
    "aceso": "#999933",
    "flashflex": "#882255",
    "metis": "#332288",
    "dtfm": "#117733",
    "atlas": "#CC6677",
    "sailor": "#EE7733",
    "exact": INK,
    "native": INK,
}
FIGURES = ["fig7", "fig8b", "fig10", "fig11", "fig12"]
TITLE = {
    "fig5a": "Figure 5a. Estimated peak memory",
    "fig5b": "Figure 5b. Estimated iteration time",
    "fig7": "Figure 7. One GPU type, one zone",
    "fig8b": "Figure 8b. Two GPU types, one zone",
    "fig10": "Figure 10. One GPU type, five zones",
    "fig11": "Figure 11. Least cost",
    "fig12": "Figure 12. Most throughput",
}
FLOOR, BUDGET = 0.2, 1.2  # of figures 11 and 12: iterations/s, USD per iteration

COLUMNS = {
    "walk": {
        "figure": "S",
        "row": "i",
        "pool": "S",
        "planner": "S",
        "status": "i",
        "throughput_per_s": "f",
        "iteration_time_s": "f",
        "cost_usd_per_iteration": "f",
        "oom_plans": "i",
        "lower_bound": "f",
        "gap": "f",
        "search_s": "f",
        "published_throughput_per_s": "f",
        "published_cost_usd": "f",
        "published_oom_plans": "i",
        "published_search_s": "f",
        "note": "S",
    },
    "estimate": {
        "run": "S",
        "estimator": "S",
        "measured_time_s": "f",
        "measured_peak_bytes": "f",
        "time_error_percent": "f",
        "memory_error_percent": "f",
        "published_time_s": "f",
        "published_peak_bytes": "f",
    },
    "frontier": {
        "figure": "S",
        "row": "i",
        "iteration_time_s": "f",
        "cost_usd_per_iteration": "f",
        "gap": "f",
        "search_s": "f",
    },
}


# ---- reading ----------------------------------------------------------------------------------------------------


def column(path, table, name, kind, group):
    if name not in group:
        fail(2, f"{path}: /{table}/{name}: missing")
    data = group[name]
    kinds = {"S": "S", "i": "iu", "f": "f"}[kind]
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 or data.dtype.kind not in kinds:
        fail(2, f"{path}: /{table}/{name}: not a column of the expected type")
    if kind == "S":
        return [texts.label(v.decode()) for v in data[:]]
    return [number(v) for v in data[:].tolist()]


def number(v):
    """Return a count, time, cost or share: not negative, or NaN (for infinite values, too)."""
    if isinstance(v, float) and not math.isfinite(v):
        return math.nan
    if not (-1 <= v <= 1e18 if isinstance(v, int) else -1e-9 <= v <= 1e18):
        raise ValueError(f"{v:g} is not a count, time or cost")
    return v if isinstance(v, int) else 0.0 if v < 1e-15 else v


def load(path):
    """Return (attributes, {table: [entry as dict, ...]})."""
    try:
        with seal.opened(path) as f:
            attrs = dict(f.attrs)
            if attrs.get("schema") != "sailor-figures/1":
                fail(2, f"{path}: not written by sailor figures")
            out = {}
            for table, columns in COLUMNS.items():
                if table not in f or not isinstance(f[table], h5py.Group):
                    fail(2, f"{path}: /{table}: missing")
                values = [column(path, table, name, kind, f[table]) for name, kind in columns.items()]
                if len({len(v) for v in values}) != 1:
                    fail(2, f"{path}: /{table}: columns of different length")
                out[table] = [dict(zip(columns, entry)) for entry in zip(*values)]
            return texts.labels(attrs), out
    except seal.Refused as error:
        fail(2, f"{path}: {error}")
    except OSError as error:
        fail(2, f"{path}: {error.strerror or 'cannot be read as HDF5'}")
    except (KeyError, RuntimeError, ValueError, TypeError, UnicodeDecodeError) as error:
        fail(2, f"{path}: damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


def place(name):
    known = list(NAME)
    return (known.index(name) if name in known else len(known) - 2.5, name)


def colour(name):
    return COLOUR.get(name, "#BBBBBB")


def is_plan(w):
    return math.isfinite(w["throughput_per_s"]) and w["throughput_per_s"] > 0


def known(x):
    return math.isfinite(x)


def pool_text(text, short=True):
    """Write '32 A100-40 z1 + 32 A100-40 z2' as '2 zones × 32 A100'."""
    zones = {}
    for part in text.split(" + "):
        words = part.split(" ", 2)
        if len(words) != 3:
            return text
        gpu = words[1].split("-")[0] if short else words[1]
        zones.setdefault(words[2], []).append(f"{words[0]} {gpu}")
    each = {" + ".join(v) for v in zones.values()}
    if len(each) != 1:
        return text
    one = each.pop()
    if len(zones) == 1:
        return one
    return f"{len(zones)} zones × ({one})" if " + " in one else f"{len(zones)} zones × {one}"


def groups_of(walks, figure):
    """Return [(pool, [entries in the order of all pictures]), ...] by row."""
    rows = {}
    for w in walks:
        if w["figure"] == figure:
            rows.setdefault(w["row"], []).append(w)
    return [(pool_text(rows[r][0]["pool"]), sorted(rows[r], key=lambda w: place(w["planner"]))) for r in sorted(rows)]


# ---- drawing ----------------------------------------------------------------------------------------------------

plt.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 8.5,
        "axes.labelsize": 8,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 7,
        "axes.edgecolor": INK,
        "axes.linewidth": 0.7,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "axes.unicode_minus": False,
    }
)
WHITE = [Stroke(linewidth=2.2, foreground="white"), Normal()]  # around text
if "text.parse_math" in plt.rcParams:
    plt.rcParams["text.parse_math"] = False  # $ is a dollar
HALO = [Stroke(linewidth=2.6, foreground="white"), Normal()]
PUBLISHED = Line2D([], [], color=INK, linewidth=1.1, label="published")
BOUND = Line2D([], [], color=INK, marker=CARETDOWN, linestyle="none", markersize=5, label="proven bound")
STAR = Line2D(
    [],
    [],
    color="white",
    marker="*",
    linestyle="none",
    markersize=8,
    markeredgecolor=INK,
    markeredgewidth=0.8,
    label="USD",
)
NO_PLAN = Line2D([], [], color=INK, marker="x", linestyle="none", markersize=4.5, label="no plan")


def plain(ax, right=False):
    ax.spines["top"].set_visible(False)
    ax.spines["right"].set_visible(right)
    ax.set_axisbelow(True)


def heading(ax, text, attrs, handles=()):
    """Put the title at the left and the key to the marks below it."""
    mode = attrs.get("mode", "faithful")
    ax.set_title(
        text + ("" if mode == "faithful" else f" ({mode})"), loc="left", weight="bold", x=0, pad=19 if handles else 6
    )
    if handles:
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncol=len(handles),
            frameon=False,
            borderaxespad=0.1,
            borderpad=0.3,
            handlelength=1.4,
            handletextpad=0.5,
            columnspacing=1.4,
        )


def published_mark(ax, x, y, half, inside):
    """Draw a thin line across the bar; inside the bar it needs a white rim."""
    ax.plot(
        [x - half, x + half],
        [y, y],
        color=INK,
        linewidth=1.1,
        solid_capstyle="butt",
        path_effects=HALO if inside else None,
        zorder=5,
    )


def caret(ax, x, y):
    ax.plot(
        [x],
        [y],
        marker=CARETDOWN,
        color=INK,
        markersize=5,
        linestyle="none",
        markeredgewidth=0,
        zorder=6,
        clip_on=False,
    )


def proof_text(w):
    if not known(w["gap"]):
        return ""
    return "optimal" if w["gap"] == 0 else f"gap {100 * w['gap']:.2g} %"


def footnotes(ax, groups, down):
    """Mark odd plans with a dagger at the bar and put the explanation below the picture."""
    notes = dict.fromkeys(w["note"] for _, walks in groups for w in walks if w["note"] and is_plan(w))
    for i, note in enumerate(notes):
        ax.annotate(
            "†" * (i + 1) + " " + note,
            (0, 0),
            (0, -down - 9 * i),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=6,
            color=SOFT,
            va="top",
            ha="left",
            annotation_clip=False,
        )
    return {note: "†" * (i + 1) for i, note in enumerate(notes)}


def bars(fig, ax, groups, rotate, gap=1.2, throughput_bound=True, aside=0.0):
    """Draw a bar for each entry and a group for each pool row; return [(x, entry, top of all marks, dagger)]."""
    at, out, ticks, down = 0.0, [], [], 44 if rotate else 17
    marks = footnotes(ax, groups, down + 14 if len(groups) > 1 else down)
    for pool, walks in groups:
        first = at
        for w in walks:
            high, own = 0.0, w["planner"] == "exact"
            if is_plan(w):
                high = w["throughput_per_s"]
                ax.bar(at, high, width=0.8, color=colour(w["planner"]), edgecolor=INK, linewidth=0.5, zorder=2)
            else:
                ax.plot(
                    [at],
                    [0],
                    marker="x",
                    color=INK,
                    markersize=4.5,
                    markeredgewidth=1.2,
                    zorder=5,
                    clip_on=False,
                    transform=ax.get_xaxis_transform()
                    + matplotlib.transforms.ScaledTranslation(0, 5 / 72, fig.dpi_scale_trans),
                )
            was = w["published_throughput_per_s"]
            if known(was) and was > 0:
                published_mark(ax, at, was, 0.48, was < 0.985 * high)
                high = max(high, was)
            if own and is_plan(w) and throughput_bound and known(w["lower_bound"]) and w["lower_bound"] > 0:
                caret(ax, at - aside, 1 / w["lower_bound"])
                high = max(high, 1 / w["lower_bound"])
            out.append((at, w, high, marks.get(w["note"], "")))
            ticks.append(at)
            at += 1
        middle = (first + at - 1) / 2
        if len(groups) > 1:
            ax.annotate(
                pool,
                (middle, 0),
                (0, -down),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                annotation_clip=False,
            )
        at += gap - 0.2
    ax.set_xticks(ticks)
    ax.set_xticklabels(
        [NAME.get(w["planner"], w["planner"]) for _, w, _, _ in out], rotation=90 if rotate else 0, fontsize=7
    )
    for label, (_, w, _, _) in zip(ax.get_xticklabels(), out):
        label.set_weight("bold" if w["planner"] == "exact" else "normal")
    ax.tick_params(axis="x", length=0, pad=2)
    ax.set_xlim(-0.75, at - gap + 0.2 - 1 + 0.75)
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    plain(ax)
    return out


def above(ax, x, y, lines, rotate=False, size=6.5, shift=0.0):
    ax.annotate(
        "\n".join(t for t in lines if t),
        (x, y),
        (0, 3 + shift),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=size,
        rotation=90 if rotate else 0,
        linespacing=1.05,
        zorder=7,
    )


def keys(drawn):
    out = []
    if any(known(w["published_throughput_per_s"]) for _, w, _, _ in drawn):
        out.append(PUBLISHED)
    if any(known(w["gap"]) for _, w, _, _ in drawn):
        out.append(BOUND)
    if any(not is_plan(w) for _, w, _, _ in drawn):
        out.append(NO_PLAN)
    return out


def draw_bars(attrs, groups, figure):
    """Figures 7, 8b and 10."""
    n = sum(len(walks) for _, walks in groups)
    labels = figure != "fig7"
    rotate = n > 12
    fig, ax = plt.subplots(figsize=(min(7.1, 1.6 + (0.33 if labels else 0.19) * (n + len(groups))), 2.5))
    drawn = bars(fig, ax, groups, rotate)
    top = max([high for _, _, high, _ in drawn] + [1e-9])
    for x, w, high, mark in drawn:
        proof = proof_text(w) if w["planner"] == "exact" else ""
        lift = 4 if proof else 0
        if not is_plan(w):
            if figure == "fig8b" and w["oom_plans"] > 0:
                above(ax, x, 0, [f"{w['oom_plans']} OOM"], shift=10)
            continue
        if not labels:
            if proof or mark:
                above(ax, x, high, [proof + mark], rotate=True, shift=lift)
            continue
        cost = w["cost_usd_per_iteration"]
        oom = f"{w['oom_plans']} OOM" if figure == "fig8b" and w["oom_plans"] > 0 else ""
        above(ax, x, high, [mark, proof, oom, f"${cost:.2f}" if known(cost) else ""], shift=lift)
    ax.set_ylim(0, top * (1.2 if labels else 1.3))
    ax.set_ylabel("iterations/s")
    heading(ax, TITLE[figure], attrs, keys(drawn))
    if labels:
        oom = figure == "fig8b" and any(w["oom_plans"] > 0 for _, w, _, _ in drawn)
        ax.annotate(
            ("OOM: plans ranked higher but out of memory;  " if oom else "") + "$: USD per iteration",
            (1, 1),
            (0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
        )
    return fig


def draw_limited(attrs, groups, figure):
    """Figures 11 and 12: bars of throughput, stars of cost on an axis of their own."""
    fig, ax = plt.subplots(figsize=(min(7.1, 1.3 + 0.46 * sum(len(w) + 1 for _, w in groups)), 2.6))
    drawn = bars(fig, ax, groups, False, throughput_bound=figure == "fig12", aside=0.29)
    usd_axis = ax.twinx()
    costs = [w["cost_usd_per_iteration"] for _, w, _, _ in drawn if is_plan(w) and known(w["cost_usd_per_iteration"])]
    top, usd_top = 1.25 * max([high for _, _, high, _ in drawn] + [FLOOR]), 1.25 * max(costs + [BUDGET])
    ax.set_ylim(0, top)
    usd_axis.set_ylim(0, usd_top)
    for x, w, high, mark in drawn:
        cost, own = w["cost_usd_per_iteration"], w["planner"] == "exact"
        if not is_plan(w):
            continue
        lines = [mark, proof_text(w) if own else ""]
        if known(cost) and high - 0.16 * top < cost / usd_top * top < high + 0.12 * top:
            high = max(high, (cost / usd_top + 0.1) * top)  # keep clear of the star's label
        if any(lines):
            above(ax, x, high, lines, shift=4 if own and figure == "fig12" else 0)
        if not known(cost):
            continue
        usd_axis.plot(
            [x],
            [cost],
            marker="*",
            color="white",
            markersize=8.5,
            markeredgecolor=INK,
            markeredgewidth=0.8,
            linestyle="none",
            zorder=6,
            path_effects=[Stroke(linewidth=2.4, foreground="white"), Normal()],
        )
        usd_axis.annotate(
            f"{cost:.2f}",
            (x, cost),
            (0, 6.5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.5,
            zorder=7,
            bbox=dict(boxstyle="round,pad=0.15", facecolor="white", edgecolor="none"),
        )
        if figure == "fig11" and own and known(w["lower_bound"]):
            usd_axis.plot(
                [x + 0.2],
                [w["lower_bound"]],
                marker=CARETLEFT,
                color="white",
                markersize=5,
                markeredgewidth=0,
                linestyle="none",
                zorder=7,
            )
    handles = [STAR] + keys(drawn)
    if figure == "fig11":
        ax.axhline(FLOOR, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=4, path_effects=HALO)
        handles.append(Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label=f"floor {FLOOR:g} it/s"))
    else:
        usd_axis.axhline(BUDGET, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=4, path_effects=HALO)
        handles.append(
            Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)), label=f"budget {BUDGET:g} USD")
        )
    ax.set_ylabel("iterations/s (bars)")
    usd_axis.set_ylabel("USD per iteration (stars)")
    plain(usd_axis, right=True)
    limit = f"at {FLOOR:g} it/s or more" if figure == "fig11" else f"for {BUDGET:g} USD or less"
    heading(ax, f"{TITLE[figure]} {limit}", attrs, handles)
    return fig


def errors(estimates, memory):
    """Return {estimator: (our errors, published errors)} in %, without estimators that have no such model."""
    out = {}
    for x in estimates:
        ours, was = out.setdefault(x["estimator"], ([], []))
        e = x["memory_error_percent" if memory else "time_error_percent"]
        published, measured = (
            (x["published_peak_bytes"], x["measured_peak_bytes"])
            if memory
            else (x["published_time_s"], x["measured_time_s"])
        )
        if known(e):
            ours.append(e)
        if known(published) and known(measured) and measured > 0:
            was.append(100 * abs(published - measured) / measured)
    return {name: out[name] for name in sorted(out, key=place) if out[name][0]}


def draw_errors(attrs, table, figure):
    fig, ax = plt.subplots(figsize=(1.2 + 0.5 * len(table), 2.5))
    most = 0.0
    for x, (name, (ours, was)) in enumerate(table.items()):
        box = ax.boxplot(
            [ours],
            positions=[x],
            widths=0.62,
            showfliers=False,
            patch_artist=True,
            whis=(0, 100),
            manage_ticks=False,
            zorder=2,
        )
        for part in ("boxes", "whiskers", "caps", "medians"):
            for line in box[part]:
                line.set(color=INK, linewidth=1.6 if part == "medians" else 0.7)
        box["boxes"][0].set(facecolor=matplotlib.colors.to_rgba(colour(name), 0.4))
        spread = [0.2 * math.sin(2.4 * i) for i in range(len(ours))]  # keeps points apart, the same way in every run
        ax.scatter(
            [x + s for s in spread], sorted(ours), s=7, color=colour(name), edgecolors=INK, linewidths=0.35, zorder=4
        )
        if was:
            y = float(np.median(was))
            ax.plot(
                [x + 0.4], [y], marker=CARETLEFT, color=INK, markersize=5, markeredgewidth=0, linestyle="none", zorder=6
            )
            most = max(most, y)
        most = max([most] + ours)
    if most > 150:  # errors of 5 % and of 300 % in one picture
        ax.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        ax.set_yticks([t for t in (0, 5, 10, 25, 50, 100, 200, 300, 500, 1000) if t <= 1.1 * most])
        ax.set_ylabel("absolute error (%), root scale")
    else:
        ax.set_ylabel("absolute error (%)")
    ax.set_ylim(0, 1.05 * most if most > 0 else 1)
    ax.set_xticks(range(len(table)))
    ax.set_xticklabels([NAME.get(n, n) for n in table], fontsize=7)
    ax.tick_params(axis="x", length=0, pad=3)
    ax.set_xlim(-0.6, len(table) - 0.4)
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    plain(ax)
    handles = [
        Line2D([], [], color=INK, linewidth=1.6, label="median"),
        Line2D([], [], color=INK, marker="o", markersize=2.8, linestyle="none", label="measured run"),
    ]
    if any(was for _, was in table.values()):
        handles.append(
            Line2D([], [], color=INK, marker=CARETLEFT, markersize=5, linestyle="none", label="published median")
        )
    heading(ax, TITLE[figure], attrs, handles)
    return fig


# ---- time and cost ----------------------------------------------------------------------------------------------


def frontiers_of(data):
    """Return [(figure, row, entries by time, walks of the same pool)]."""
    out = {}
    for p in data["frontier"]:
        if 0 < p["iteration_time_s"] < math.inf and 0 < p["cost_usd_per_iteration"] < math.inf:
            out.setdefault((p["figure"], p["row"]), []).append(p)
    result = []
    for (figure, row), points in sorted(
        out.items(), key=lambda k: (FIGURES.index(k[0][0]) if k[0][0] in FIGURES else 9, k[0])
    ):
        pool = next((w["pool"] for w in data["walk"] if w["figure"] == figure and w["row"] == row), None)
        walks = [
            w
            for w in data["walk"]
            if w["pool"] == pool
            and is_plan(w)
            and 0 < w["iteration_time_s"] < math.inf
            and 0 < w["cost_usd_per_iteration"] < math.inf
        ]
        result.append((figure, row, points, walks))
    return result


def staircase(points, walks):
    """Return the (time, cost) pairs that no other beats, from the frontier and the exact answers of the same pool."""
    pairs = sorted(
        {(p["iteration_time_s"], p["cost_usd_per_iteration"]) for p in points}
        | {(w["iteration_time_s"], w["cost_usd_per_iteration"]) for w in walks if w["planner"] == "exact"}
    )
    out = []
    for t, c in pairs:
        if not out or c < out[-1][1]:
            out.append((t, c))
    return out


def plane_points(walks):
    """Return {(time, cost): {label: planner}}.

    A plan shared by several figures or planners is one point; labels name the figure only where the figures differ.
    """
    many = {
        w["planner"]
        for w in walks
        for v in walks
        if v["planner"] == w["planner"] and not math.isclose(v["iteration_time_s"], w["iteration_time_s"], rel_tol=1e-9)
    }
    out = {}
    for w in sorted(walks, key=lambda w: place(w["planner"])):
        label = NAME.get(w["planner"], w["planner"])
        if w["planner"] in many:
            label += f" ({w['figure'][3:]})"
        key = next(
            (
                k
                for k in out
                if math.isclose(k[0], w["iteration_time_s"], rel_tol=1e-6)
                and math.isclose(k[1], w["cost_usd_per_iteration"], rel_tol=1e-6)
            ),
            (w["iteration_time_s"], w["cost_usd_per_iteration"]),
        )
        labels = out.setdefault(key, {})
        labels[label] = w["planner"]
    return out


def overlap(a, b):
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def place_labels(ax, points, line, texts):
    """Put names beside points.

    Each name takes the free place that costs least, crowded points first; a distant name gets a thin line.
    """
    fig = ax.figure
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    scale = fig.dpi / 72
    frame = ax.get_window_extent(renderer).extents
    centre = [ax.transData.transform(p) for p, _ in points]
    taken = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in centre]
    taken += [t.get_window_extent(renderer).extents for t in texts]
    track = []  # the staircase as thin boxes
    for (t0, c0), (t1, c1) in zip(line, line[1:]):
        (x0, y0), (x1, y1) = ax.transData.transform([(t0, c0), (t1, c1)])
        track += [(x0, y0 - scale, x1, y0 + scale), (x1 - scale, y1, x1 + scale, y0)]
    crowd = sorted(range(len(points)), key=lambda i: -sum(math.dist(centre[i], c) < 60 * scale for c in centre))
    for i in crowd:
        (time, cost), (text, ink) = points[i]
        label = ax.annotate(
            text,
            (time, cost),
            (0, 0),
            textcoords="offset points",
            fontsize=7,
            color=ink,
            ha="center",
            va="center",
            zorder=8,
            path_effects=WHITE,
        )
        box = label.get_window_extent(renderer)
        w, h = box.width / scale, box.height / scale
        best = None
        for far in (0, 6, 13, 22, 33, 46):
            for k in range(24):
                angle = 2 * math.pi * k / 24
                dx, dy = math.cos(angle) * (6 + far + w / 2), math.sin(angle) * (6 + far + h / 2)
                x, y = centre[i][0] + dx * scale, centre[i][1] + dy * scale
                here = (x - (w / 2 + 1) * scale, y - (h / 2) * scale, x + (w / 2 + 1) * scale, y + (h / 2) * scale)
                out = (here[2] - here[0]) * (here[3] - here[1]) - overlap(here, frame)
                near = [
                    math.dist(c, (min(max(c[0], here[0]), here[2]), min(max(c[1], here[1]), here[3]))) for c in centre
                ]
                price = (
                    sum(overlap(here, b) for j, b in enumerate(taken)) * 50
                    + out * 200
                    + sum(overlap(here, b) for b in track) * 4
                ) / scale**2
                price += 6 * far + 10 * (abs(math.sin(angle)) > 0.5) * (0.3 < abs(math.cos(angle)))
                price += (
                    4 * max(0.0, near[i] - min(n for j, n in enumerate(near) if j != i) + 8 * scale) / scale
                    if len(near) > 1
                    else 0
                )
                lead = (
                    [(centre[i][0] + f * dx * scale, centre[i][1] + f * dy * scale) for f in (0.25, 0.4, 0.55, 0.7)]
                    if far
                    else []
                )
                price += 60 * sum(
                    b[0] < u < b[2] and b[1] < v < b[3] for u, v in lead for j, b in enumerate(taken) if j != i
                )
                if best is None or price < best[0]:
                    best = (price, dx, dy, here, far)
        _, dx, dy, here, far = best
        label.set_position((dx, dy))
        if far >= 6:
            end = (max(-w / 2, min(w / 2, -dx)) + dx, max(-h / 2, min(h / 2, -dy)) + dy)
            ax.annotate(
                "",
                (time, cost),
                end,
                textcoords="offset points",
                zorder=3,
                arrowprops=dict(arrowstyle="-", color=SOFT, linewidth=0.5, shrinkA=0, shrinkB=3),
            )
        taken.append(here)


def draw_frontier(attrs, figure, points, walks):
    line = staircase(points, walks)
    marks = plane_points(walks)
    fig, ax = plt.subplots(figsize=(4.8, 3.3))
    slow = max([t for t, _ in marks] + [line[0][0]])
    right = min(line[-1][0] * 1.15, 2 * slow) if marks else line[-1][0] * 1.15
    left = 0.86 * min([line[0][0]] + [t for t, _ in marks])
    shown = [p for p in line if p[0] <= right]
    cheapest = min(c for _, c in shown + list(marks))
    costliest = max(c for _, c in shown + list(marks))
    gap, took = max(p["gap"] for p in points), points[0]["search_s"]
    if 0 < gap < 0.5:
        left, cheapest = left * (1 - gap), cheapest * (1 - gap)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(cheapest / 1.25, costliest * 1.25)
    steps = [(line[0][0], 10 * costliest)] + line + [(10 * right, line[-1][1])]
    ax.step(*zip(*steps), where="post", color=INK, linewidth=1.1, zorder=2)
    ax.fill_between(
        *zip(*([(left / 2, 10 * costliest)] + steps)),
        y2=cheapest / 100,
        step="post",
        color="#F1F1F1",
        linewidth=0,
        zorder=0,
    )
    ax.scatter(*zip(*shown), s=6, color=INK, zorder=3, linewidths=0)
    names = []
    for key, labels in marks.items():
        planner = list(labels.values())[-1]
        own = planner == "exact"
        first = colour(next(iter(labels.values())))  # a point shared by several planners has two colours
        ax.plot(
            *key,
            marker="D" if own else "o",
            color=first,
            markerfacecoloralt=colour(planner),
            linestyle="none",
            zorder=5,
            fillstyle="left" if len(labels) > 1 else "full",
            markersize=5.5 if own else 6,
            markeredgecolor="white" if own else INK,
            markeredgewidth=0.8 if own else 0.5,
        )
        names.append((key, (", ".join(labels), INK)))
    texts = []
    if any(w["figure"] in ("fig11", "fig12") for w in walks):
        ax.axvline(1 / FLOOR, color=SOFT, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        ax.axhline(BUDGET, color=SOFT, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
        texts.append(
            ax.text(
                1 / FLOOR,
                0.985,
                f" floor {FLOOR:g} it/s",
                fontsize=6.5,
                color=SOFT,
                va="top",
                transform=ax.get_xaxis_transform(),
            )
        )
        texts.append(
            ax.text(
                0.995,
                BUDGET,
                f"budget {BUDGET:g} USD ",
                fontsize=6.5,
                color=SOFT,
                ha="right",
                va="bottom",
                transform=ax.get_yaxis_transform(),
            )
        )
    for axis, low, high in ((ax.xaxis, left, right), (ax.yaxis, cheapest / 1.25, costliest * 1.25)):
        fine = [m * 10.0**e for e in range(-4, 6) for m in ((1, 2, 3, 5) if high / low < 30 else (1, 2, 5))]
        if high / low < 4:
            fine = [m * 10.0**e for e in range(-4, 6) for m in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)]
        axis.set_major_locator(matplotlib.ticker.FixedLocator([v for v in fine if low <= v <= high]))
        axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.grid(color=FAINT, linewidth=0.5, zorder=0)
    ax.set_xlabel("time of an iteration (s)")
    ax.set_ylabel("USD per iteration")
    plain(ax)
    if 0 < gap < 0.5:  # time and cost may both be better by this fraction
        ax.step(
            [t * (1 - gap) for t, _ in steps],
            [c * (1 - gap) for _, c in steps],
            where="post",
            color=INK,
            linewidth=0.7,
            linestyle=":",
            zorder=1,
        )
    proof = (
        "proven: no plan lies below the line"
        if gap == 0
        else (
            "proven: no plan lies below the dotted line"
            if gap < 0.5
            else f"best found in {took:.0f} s; the proof takes longer"
        )
    )
    texts.append(
        ax.text(0.015, 0.02, proof, transform=ax.transAxes, fontsize=6.5, color=SOFT, va="bottom", path_effects=WHITE)
    )
    if len(shown) < len(line):
        texts.append(
            ax.annotate(
                f"continues to {line[-1][1]:.2g} USD\nat {line[-1][0]:.0f} s →",
                (right, shown[-1][1]),
                (-2, 6),
                textcoords="offset points",
                fontsize=6.5,
                color=SOFT,
                ha="right",
                va="bottom",
                linespacing=1.1,
            )
        )
    figures = [f for f in FIGURES if any(w["figure"] == f for w in walks)] or [figure]
    pool = pool_text(walks[0]["pool"]) if walks else figure
    which = "Figure" if len(figures) == 1 else "Figures"
    handles = [
        Line2D(
            [],
            [],
            color=INK,
            linewidth=1.1,
            marker="o",
            markersize=2.2,
            label="exact frontier" if gap <= 0.01 else "best frontier found",
        ),
        Line2D(
            [],
            [],
            color=SOFT,
            marker="o",
            markersize=5.5,
            markeredgecolor=INK,
            markeredgewidth=0.5,
            linestyle="none",
            label="planner's plan",
        ),
        Line2D([], [], color=INK, marker="D", markersize=4.5, linestyle="none", label="exact, under the job's limits"),
    ]
    heading(ax, f"{which} {' and '.join(f[3:] for f in figures)}: {pool}", attrs, handles if marks else handles[:1])
    place_labels(ax, names, [(line[0][0], costliest * 1.25)] + shown + [(right, shown[-1][1])], texts)
    return fig


# ---- search times -----------------------------------------------------------------------------------------------


def speedups(walks):
    return [w["published_search_s"] / w["search_s"] for w in walks if w["search_s"] > 0 and w["published_search_s"] > 0]


def times(x):
    """A factor for people: 3 digits, no exponent."""
    if x < 10:
        return f"{x:.2g}×"
    digits = 10.0 ** (math.floor(math.log10(x)) - 1)
    return f"{round(x / digits) * digits:,.0f}×".replace(",", " ")


def geometric(v):
    return math.exp(sum(map(math.log, v)) / len(v))


def seconds(v, _=None):
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if v >= 0.999 * unit:
            return f"{v / unit:,.0f} {name}".replace(",", " ")
    return f"{v:g} s"


def draw_search(attrs, walks):
    figures = [f for f in FIGURES if any(w["figure"] == f and w["search_s"] > 0 for w in walks)]
    lines = {f: list(dict.fromkeys(w["planner"] for _, g in groups_of(walks, f) for w in g)) for f in figures}
    lines = {f: sorted(v, key=place) for f, v in lines.items()}
    total = sum(len(v) for v in lines.values())
    fig, axes = plt.subplots(
        len(figures),
        1,
        figsize=(5.2, 0.55 + 0.19 * total + 0.26 * len(figures)),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [len(v) + 0.4 for v in lines.values()], "hspace": 0.16},
    )
    low = min(w["search_s"] for w in walks if w["search_s"] > 0)
    high = max(
        [w["search_s"] for w in walks] + [w["published_search_s"] for w in walks if known(w["published_search_s"])]
    )
    for ax, figure in zip(axes[:, 0], figures):
        names = lines[figure]
        for y, name in enumerate(names):
            mine = sorted(
                (w for w in walks if w["figure"] == figure and w["planner"] == name and w["search_s"] > 0),
                key=lambda w: w["row"],
            )
            for i, w in enumerate(mine):
                at = y + (i - (len(mine) - 1) / 2) * 0.26
                if known(w["published_search_s"]) and w["published_search_s"] > 0:
                    ax.plot(
                        [w["search_s"], w["published_search_s"]],
                        [at, at],
                        color=colour(name),
                        linewidth=0.8,
                        alpha=0.6,
                        zorder=2,
                    )
                    ax.plot(
                        [w["published_search_s"]],
                        [at],
                        marker="o",
                        color="white",
                        markeredgecolor=colour(name),
                        markersize=3.6,
                        markeredgewidth=0.9,
                        zorder=3,
                    )
                ax.plot(
                    [w["search_s"]],
                    [at],
                    marker="D" if name == "exact" else "o",
                    color=colour(name),
                    markersize=3.8,
                    markeredgewidth=0,
                    zorder=4,
                )
            ratio = speedups(mine)
            if ratio:
                ax.annotate(
                    times(geometric(ratio)),
                    (1.01, y),
                    xycoords=("axes fraction", "data"),
                    fontsize=6.5,
                    va="center",
                    annotation_clip=False,
                )
        ax.set_yticks(range(len(names)))
        ax.set_yticklabels([NAME.get(n, n) for n in names], fontsize=7)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xscale("log")
        ax.set_ylabel(f"Fig. {figure[3:]}", fontsize=7.5, weight="bold")
        ax.grid(axis="x", color=FAINT, linewidth=0.6)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", length=0 if ax is not axes[-1, 0] else 2.5)
        plain(ax)
    last = axes[-1, 0]
    last.set_xlim(low / 1.8, high * 1.8)
    ticks = [10.0**e for e in range(-7, 7) if low / 1.8 <= 10.0**e <= high * 1.8]
    last.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    last.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(seconds))
    last.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    last.tick_params(axis="x", labelsize=7)
    last.set_xlabel("search time of a pool (wall clock, different machines)")
    fig.align_ylabels(axes[:, 0])
    heading(
        axes[0, 0],
        "Search time",
        attrs,
        [
            Line2D([], [], color=SOFT, marker="o", linestyle="none", markersize=3.8, label="this program"),
            Line2D(
                [],
                [],
                color=SOFT,
                marker="o",
                markerfacecolor="white",
                linestyle="none",
                markersize=3.8,
                label="original (right: its time over ours)",
            ),
        ],
    )
    return fig


# ---- numbers ----------------------------------------------------------------------------------------------------


def num(x, digits=5):
    return f"{x:.{digits}f}" if known(x) else "–"


def short(x):
    return f"{x:.3g}" if known(x) else "–"


def deviation(ours, was):
    if not known(ours) or not known(was) or was == 0:
        return "–"
    return "0" if abs(ours - was) <= 1e-6 * abs(was) else f"{100 * (ours - was) / was:+.2f}"


def markdown(attrs, data):
    walks, out = data["walk"], []

    def line(*cells):
        out.append("| " + " | ".join(str(c) for c in cells) + " |")

    def head(left, *right):
        line(*left, *right)
        line(*["---"] * len(left), *["---:"] * len(right))

    out.append("# The published comparison, run again\n")
    out.append(
        f"sailor {attrs.get('version', '?')}, mode {attrs.get('mode', '?')}, common simulator `{attrs.get('estimator', '?')}`, "
        f"{attrs.get('threads', '?')} threads on {attrs.get('host', '?')}, "
        f"written {attrs.get('written_utc', '?')}. Deviations are ours minus published, "
        "in % of the published number. Search times are wall-clock times on different machines.\n"
    )
    table = {m: errors(data["estimate"], m) for m in (True, False)}
    for memory, figure in ((True, "fig5a"), (False, "fig5b")):
        if table[memory]:
            out.append(f"## {TITLE[figure]}: absolute error in %\n")
            head(["estimator"], "runs", "mean", "median", "max", "published mean", "published median", "published max")
            for name, (ours, was) in table[memory].items():
                line(
                    NAME.get(name, name),
                    len(ours),
                    *(f"{f(ours):.2f}" for f in (np.mean, np.median, np.max)),
                    *(f"{f(was):.2f}" if was else "–" for f in (np.mean, np.median, np.max)),
                )
            out.append("")
    for figure in FIGURES:
        groups = groups_of(walks, figure)
        if not groups:
            continue
        out.append(f"## {TITLE[figure]}\n")
        head(
            ["pool", "planner"],
            "iterations/s",
            "published",
            "%",
            "USD/iteration",
            "published",
            "%",
            "OOM",
            "published",
            "search s",
            "original s",
            "speed-up",
            "gap %",
        )
        for pool, entries in groups:
            for w in entries:
                rate = w["throughput_per_s"] if is_plan(w) else 0.0
                was = w["published_throughput_per_s"]
                ratio = speedups([w])
                line(
                    pool,
                    NAME.get(w["planner"], w["planner"]),
                    num(rate) if rate else "no plan",
                    "no plan" if was == 0 else num(was),
                    deviation(rate, was) if rate else "0" if was == 0 else deviation(0.0, was),
                    num(w["cost_usd_per_iteration"], 4),
                    num(w["published_cost_usd"], 4),
                    deviation(w["cost_usd_per_iteration"], w["published_cost_usd"]),
                    w["oom_plans"],
                    w["published_oom_plans"] if w["published_oom_plans"] >= 0 else "–",
                    short(w["search_s"]),
                    short(w["published_search_s"]),
                    times(ratio[0]) if ratio else "–",
                    f"{100 * w['gap']:.2g}" if known(w["gap"]) else "–",
                )
        out.append("")
        for note in dict.fromkeys(w["note"] for _, entries in groups for w in entries if w["note"]):
            out.append(f"Note: {note}.\n")
        exact = {w["row"]: w for _, entries in groups for w in entries if w["planner"] == "exact" and is_plan(w)}
        others = sorted({w["planner"] for _, entries in groups for w in entries} - {"exact"}, key=place)
        if exact and others:
            head(
                ["planner"],
                "pools",
                "exact: mean throughput ratio",
                "planner: mean cost ratio",
                "search speed-up over the original (geometric mean)",
            )
            for name in others:
                mine = [w for _, entries in groups for w in entries if w["planner"] == name]
                both = [(w, exact[w["row"]]) for w in mine if is_plan(w) and w["row"] in exact]
                cost = [
                    w["cost_usd_per_iteration"] / x["cost_usd_per_iteration"]
                    for w, x in both
                    if known(w["cost_usd_per_iteration"]) and x["cost_usd_per_iteration"] > 0
                ]
                ratio = speedups(mine)
                line(
                    NAME.get(name, name),
                    f"{len(both)} of {len(mine)}",
                    f"{np.mean([x['throughput_per_s'] / w['throughput_per_s'] for w, x in both]):.3f}" if both else "–",
                    f"{np.mean(cost):.3f}" if cost else "–",
                    times(geometric(ratio)) if ratio else "–",
                )
            out.append(
                "\nThroughput ratio: iterations/s of exact divided by the planner's. "
                "Cost ratio: USD of the planner's plan divided by exact's. "
                "Both are means over the pools where both have a plan.\n"
            )
    for figure, row, points, entries in frontiers_of(data):
        line_of = staircase(points, entries)
        gap, took = max(p["gap"] for p in points), points[0]["search_s"]
        out.append(f"## Time/cost frontier: {figure}, row {row}\n")
        out.append(
            f"{pool_text(entries[0]['pool']) if entries else ''}: {len(line_of)} plans, "
            f"from {line_of[0][0]:.4g} s and {line_of[0][1]:.4g} USD to "
            f"{line_of[-1][0]:.4g} s and {line_of[-1][1]:.4g} USD; proven within {100 * gap:.3g} %, {took:.3g} s of search.\n"
        )
        if entries:
            head(
                ["planner"],
                "s/iteration",
                "USD/iteration",
                "cheapest as fast: USD",
                "% saved",
                "fastest for the same USD: s",
                "% saved",
            )
            for (t, c), labels in plane_points(entries).items():
                cheaper = min([x for s, x in line_of if s <= t * (1 + 1e-9)], default=math.nan)
                faster = min([s for s, x in line_of if x <= c * (1 + 1e-9)], default=math.nan)
                line(
                    ", ".join(labels),
                    num(t, 3),
                    num(c, 4),
                    num(cheaper, 4),
                    f"{max(0.0, 100 * (1 - cheaper / c)):.1f}" if known(cheaper) else "–",
                    num(faster, 3),
                    f"{max(0.0, 100 * (1 - faster / t)):.1f}" if known(faster) else "–",
                )
            out.append("")
    return "\n".join(out).rstrip() + "\n"


# ---- main -------------------------------------------------------------------------------------------------------


def draw_all(attrs, data):
    """Yield (file name without suffix, figure)."""
    for figure, memory in (("fig5a", True), ("fig5b", False)):
        table = errors(data["estimate"], memory)
        if table:
            yield figure, draw_errors(attrs, table, figure)
    for figure in FIGURES:
        groups = groups_of(data["walk"], figure)
        if groups:
            yield figure, (draw_limited if figure in ("fig11", "fig12") else draw_bars)(attrs, groups, figure)
    for figure, row, points, walks in frontiers_of(data):
        yield f"frontier-{figure}-row{row}", draw_frontier(attrs, figure, points, walks)
    walks = [w for w in data["walk"] if w["figure"] in FIGURES and known(w["search_s"]) and w["search_s"] > 0]
    if walks:
        yield "search", draw_search(attrs, walks)


def main(argv=None, prog=None):
    if prog:
        PROGRAM[0] = prog
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__.split("\n\n")[0],
        epilog="example: sailor-plot figures figures.h5 -o figures --format png,pdf",
    )
    parser.add_argument("file", metavar="FIGURES.h5", help="file written by sailor figures -o")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="directory for the pictures; created if it does not exist"
    )
    parser.add_argument(
        "--format",
        default="png",
        metavar="LIST",
        help="formats of the pictures: png, pdf, svg or several of them, as in png,pdf; default png",
    )
    parser.add_argument(
        "--table", metavar="FILE.md", help="also write all numbers, ours and the published ones, as Markdown tables"
    )
    args = parser.parse_args(argv)
    formats = args.format.split(",")
    if not args.output and not args.table:
        fail(2, "nothing to do; expected -o DIR, --table FILE.md or both")
    if set(formats) - {"png", "pdf", "svg"}:
        fail(2, f"--format '{args.format}': expected png, pdf, svg or several of them: png,pdf")
    attrs, data = load(args.file)
    target = args.output
    try:
        if args.table:
            target = args.table
            with open(args.table, "w", encoding="utf-8") as f:
                f.write(markdown(attrs, data))
        if args.output:
            target = args.output
            os.makedirs(args.output, exist_ok=True)
            for name, fig in draw_all(attrs, data):
                for suffix in formats:
                    target = os.path.join(args.output, f"{name}.{suffix}")
                    fig.savefig(target, dpi=200, bbox_inches="tight", pad_inches=0.04)
                    print(target)
                plt.close(fig)
    except FileExistsError:
        fail(1, f"{target}: cannot be written: not a directory")
    except OSError as error:
        fail(1, f"{target}: cannot be written: {error.strerror or error}")


if __name__ == "__main__":
    main()
