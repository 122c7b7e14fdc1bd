#!/usr/bin/env python3
"""TAP. Compares the output of `sailor simulate simulate.json --estimator sailor --json` (file 2) with the `expect` of
every plan in simulate.json (file 1): each number within 1e-9 relative, fits exactly."""
import json
import sys

# our key -> key in "expect"
FIELDS = {"iteration_time_s": "iteration_time_s", "sync_time_s": "sync_time_s", "egress_usd": "egress_usd",
          "peak_memory_bytes": "peak_memory_bytes_gh200", "fits": "fits"}
TOLERANCE = 1e-9
CASES = 400


def objects(text):
    """The JSON objects of a text: an array, or one object after the other."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return found
        value, at = decoder.raw_decode(text, at)
        found.extend(value if isinstance(value, list) else [value])


def differs(got, want):
    if isinstance(want, bool) or isinstance(got, bool):
        return got is not want
    if not isinstance(got, (int, float)):
        return True
    return not abs(got - want) <= TOLERANCE * max(abs(got), abs(want))


def main():
    with open(sys.argv[1]) as f:
        plans = json.load(f)["plans"]
    with open(sys.argv[2]) as f:
        results = objects(f.read())
    print(f"1..{1 + len(FIELDS)}")
    same = len(plans) == len(results) == CASES
    print(f"{'ok' if same else 'not ok'} 1 - {len(results)} results for {len(plans)} plans")
    failed = not same
    for n, (ours, theirs) in enumerate(FIELDS.items(), 2):
        bad = [(i, r.get(ours), p["expect"][theirs]) for i, (p, r) in enumerate(zip(plans, results))
               if differs(r.get(ours), p["expect"][theirs])]
        for i, got, want in bad[:5]:
            print(f"# plan {i}: {ours} {got!r}; expected {want!r}")
        print(f"{'not ok' if bad or not same else 'ok'} {n} - {ours} of {len(plans)} plans within {TOLERANCE}")
        failed = failed or bool(bad)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
