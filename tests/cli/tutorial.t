#!/usr/bin/env bash
# TAP. docs/tutorial.md is right: its commands run in sequence, and every line shown under a command is one that it prints, in
# this order. The page has no lines with a time of the search.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

ln -s "$PWD/inputs" "$tmp/inputs"
mkdir "$tmp/bin"
ln -s "$(realpath "$sailor")" "$tmp/bin/sailor"
export OMP_NUM_THREADS=2
cat >"$tmp/walk.py" <<'EOF'
import os, subprocess, sys
tmp, page = sys.argv[1:]
steps, count = [], 0
for line in open(page):
    if line.startswith("    $ "):
        steps.append((line[6:].rstrip("\n"), []))
    elif line.startswith("    ") and steps:
        steps[-1][1].append(line[4:].rstrip("\n"))
env = dict(os.environ, PATH=tmp + "/bin:" + os.environ["PATH"])
at = tmp
for command, shown in steps:
    if command.startswith("cd "):
        at = os.path.join(at, command[3:])
        continue
    got = subprocess.run(["bash", "-c", command], cwd=at, env=env, capture_output=True, text=True, timeout=250)
    lines = (got.stderr + got.stdout).split("\n")
    missing = None
    for want in shown:
        if want not in lines:
            missing = want
            break
        lines = lines[lines.index(want) + 1:]
    fine = got.returncode == 0 or any("error" in s or "infeasible" in s for s in shown)
    count += 1
    print(f"{'ok' if fine and missing is None else 'not ok'} {count} - {command}")
    if not fine or missing is not None:
        print(f"# status {got.returncode}; not printed: {missing}")
        print("".join(f"#   {s[:150]}\n" for s in (got.stderr + got.stdout).split("\n")[:20]), end="")
print(f"1..{count}")
EOF
"$python" "$tmp/walk.py" "$tmp" docs/tutorial.md
