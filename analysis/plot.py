#!/usr/bin/env python3
"""sailor-plot: pictures of what sailor writes.

  sailor-plot OUT.h5 -o OUT.png               the plans of sailor plan -o (also: sailor-plot plans ...)
  sailor-plot timeline OUT.h5 -o OUT.png      their schedules: the beginning and the end, and the all-reduce
  sailor-plot frontier OUT.h5... -o OUT.png   time against cost, all rows in one picture
  sailor-plot search OUT.h5 -o OUT.png        where the search spent its time; with --log FILE also how it got there
  sailor-plot measured FILE... -o OUT.png     measured against predicted: what sailor validate --json prints
  sailor-plot loss MEAS.h5 -o OUT.png         the losses that sailor-train run -o kept
  sailor-plot figures FIGURES.h5 -o DIR       the published comparison: what sailor figures -o wrote
  sailor-plot completion bash|zsh             a script that completes command lines

The suffix of OUT gives the format: .png, .pdf or .svg (figures: --format). sailor-plot KIND --help has the options of each.
Exit status: 0 drawn, 1 failed, 2 wrong usage."""

import importlib
import sys

sys.dont_write_bytecode = True
KINDS = {
    "plans": "plot_plan",
    "timeline": "plot_timeline",
    "frontier": "plot_frontier",
    "search": "plot_search",
    "measured": "plot_measured",
    "loss": "loss",
    "figures": "figures",
}


def main():
    args = sys.argv[1:]
    if args and args[0] in ("-h", "--help"):
        print(__doc__)
        return
    if not args:
        print(f"sailor-plot: error: nothing to draw; expected a file, or one of {', '.join(KINDS)} and a file", file=sys.stderr)
        sys.exit(2)
    kind = args.pop(0) if args[0] in KINDS else "plans"
    importlib.import_module(KINDS[kind]).main(args, "sailor-plot" if kind == "plans" else f"sailor-plot {kind}")


if __name__ == "__main__":
    main()
