#!/usr/bin/env bash
# TAP. Help, version, misuse: what a user sees first. Also: every option of --help is in the man page.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

commands="plan whatif replan simulate validate export report import figures list model profile site"
touch "$tmp/figures.h5"
run "$sailor" --help
expect 0 "--help"
for c in $commands; do grep -q "^  $c " "$tmp/out" || rc=$c; done
expect 0 "--help names every command"
sed -n '/^commands:/,/^$/p' "$tmp/out" | awk 'length > 100 { exit 1 }'
ok $? "in lines of at most 100 columns"
[ "$(grep -c '^  \(sailor\|mpirun\)' "$tmp/out")" -ge 3 ]
ok $? "--help has three examples"
run "$sailor" --version
expect 0 "--version"
for word in compiler MPI HDF5 cJSON planners estimators exact native; do grep -q "$word" "$tmp/out" || rc=$word; done
expect 0 "--version names compiler, libraries, planners, estimators"
for c in $commands; do
    run "$sailor" "$c" --help
    cp "$tmp/out" "$tmp/help"
    expect 0 "$c --help"
    [ ! -s "$tmp/err" ] && has out "usage: sailor $c" "$c --help shows the usage"
    run "$sailor" help "$c"
    cmp -s "$tmp/out" "$tmp/help"
    ok $? "help $c is the same"
    run "$sailor" "$c" --no-such-option
    expect 2 "$c refuses an unknown option"
    run env -C "$tmp" "$(realpath "$sailor")" "$c"
    expect 2 "$c without arguments"
    case $c in
    figures) has err "figures.h5: exists" "$c needs none: it writes figures.h5, and over nothing" ;;
    *) has err "missing argument; usage: sailor $c" "$c says what it needs" ;;
    esac
    man=man/sailor-$c.1
    missing=$(grep -oE '^ +(-[a-z], )?--[a-z-]+' "$tmp/help" | grep -oE -- '--[a-z-]+' | grep -v -- '--help' |
              while read -r o; do grep -qF -- "${o//-/\\-}" "$man" || echo "$o"; done)
    [ -e "$man" ] && [ -z "$missing" ]
    ok $? "every option of $c is in $man${missing:+ (missing: $missing)}"
done
run "$mpiexec" -n 1 true : -n 1 "$sailor" plan --no-such-option
[ "$rc" = 2 ] && [ ! -s "$tmp/err" ]
ok $? "under a launcher only rank 0 reports misuse"

run "$sailor"
expect 2 "no command"
run "$sailor" pln
expect 2 "unknown command"
has err "did you mean plan?" "the nearest command is named"
run "$sailor" plan x.json --estimater sailor
has err "did you mean --estimator?" "the nearest option is named"
run "$sailor" plan x.json --estimator nonsense
expect 2 "unknown estimator"
has err "sailor, native" "the known ones are listed"
run "$sailor" plan x.json --planner nonsense
expect 2 "unknown planner"
has err "exact" "the planners of this build are listed"
run "$sailor" plan x.json --planner metiss
has err "did you mean metis?" "the nearest is named"
run "$sailor" plan --model opt-351m --gpus A100-40:8 --batch 8
has err "did you mean opt-350m?" "so is the nearest model"
run "$sailor" profile llama-3.1-8b --gpu H100
has err "did you mean H100-80?" "and the nearest GPU type"
run "$sailor" plan x.json --top 0
expect 2 "--top 0"
run "$sailor" plan x.json --threads 1.5
expect 2 "--threads 1.5"
run "$sailor" plan x.json --time-limit nan
expect 2 "--time-limit nan"
run "$sailor" plan x.json -o
expect 2 "-o without a file"
run "$sailor" plan x.json y.json
expect 2 "two jobs"
run "$sailor" plan -- --x.json
expect 2 "after -- a name may start with a dash"
run bash -c '"$0" --help >/dev/full' "$sailor"
expect 1 "standard output cannot be written"
finish
