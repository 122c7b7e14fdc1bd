#!/usr/bin/env bash
# TAP. `sailor completion`: what bash's completion function offers, and zsh's, where there is one.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

run "$sailor" completion bash
expect 0 "completion bash"
cp "$tmp/out" "$tmp/complete.bash"
bash -n "$tmp/complete.bash" && shellcheck -s bash "$tmp/complete.bash" >/dev/null
ok $? "is a script that shellcheck has nothing against"
run "$sailor" completion fish
expect 2 "a shell that is not known"
run "$sailor" completion
expect 2 "no shell"
for words in "completion --help" "completion -h" "help completion" "help version" "help help"; do
    # shellcheck disable=SC2086
    run "$sailor" $words
    expect 0 "$words"
    has out "completion" "is answered"
done
# shellcheck disable=SC1090
. "$tmp/complete.bash"
offers() { # title, words wanted (all of them, in any order), the command line; a last word '' is one to begin
    local title=$1 wanted=$2
    shift 2
    COMP_WORDS=("$sailor" "$@") COMP_CWORD=$#
    _sailor
    [ "$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)" = "$(xargs -n 1 <<<"$wanted" | sort | xargs)" ]
    ok $? "$title" || echo "# ${COMPREPLY[*]}"
}
has_offer() { # title, one word, the command line
    local title=$1 wanted=$2
    shift 2
    COMP_WORDS=("$sailor" "$@") COMP_CWORD=$#
    _sailor
    printf '%s\n' "${COMPREPLY[@]}" | grep -qx -- "$wanted"
    ok $? "$title"
}
offers "commands" "plan profile" p
offers "all commands" "$("$sailor" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')" ''
offers "options" "--model" plan --mod
has_offer "help is an option of all" --help simulate --h
offers "choices of an option" "throughput" plan --objective t
offers "choices that are filled in at run time" "aceso amp atlas" plan --planner a
offers "choices behind =" "cost" plan --objective = c
offers "all of them right behind =" "throughput cost frontier" plan --objective =
offers "a short option takes what its long one does" "VERSION" model -o VERS
offers "files" "VERSION" export VERS
has_offer "names of models" opt-350m plan --model opt
has_offer "names of sites" clariden plan --site cl
has_offer "names of jobs" fig8b plan fig8
offers "nothing where a number is wanted" "" plan --top ''
offers "words that a command takes" "models" list m
offers "commands to get help on" "figures" help f
offers "shells" "zsh" completion z
offers "an unknown command" "" nonsense --x
missing=$(for c in plan whatif replan simulate validate export report import figures list model profile site; do
    for o in $("$sailor" "$c" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        COMP_WORDS=("$sailor" "$c" "$o") COMP_CWORD=2
        _sailor
        printf '%s\n' "${COMPREPLY[@]}" | grep -qx -- "$o" || echo "$c $o"
    done
done)
[ -z "$missing" ]
ok $? "every option of every command's help is offered${missing:+: not $missing}"
if [ -x "$train" ]; then
    "$train" completion bash >"$tmp/train.bash" && . "$tmp/train.bash"
    COMP_WORDS=("$train" run --back) COMP_CWORD=2
    _sailor_train
    [ "${COMPREPLY[*]}" = --backend ]
    ok $? "sailor-train has its own"
fi

# sailor-plot's scripts are files; they must offer what --help lists
plot=analysis/sailor-plot
run "$plot" completion bash
[ "$rc" = 0 ] && bash -n "$tmp/out" && shellcheck -s bash "$tmp/out" >"$tmp/err"
ok $? "sailor-plot completion bash"
. "$tmp/out"
plots() { # title, words wanted in any order, the command line
    local title=$1 wanted=$2
    shift 2
    COMP_WORDS=(sailor-plot "$@") COMP_CWORD=$#
    _sailor_plot
    [ "$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)" = "$(xargs -n 1 <<<"$wanted" | sort | xargs)" ]
    ok $? "$title" || echo "# ${COMPREPLY[*]}"
}
plots "its kinds" "plans" pl
plots "files where a kind may stand" "VERSION" VERS
plots "files behind a kind" "VERSION" frontier VERS
plots "files behind -o" "VERSION" timeline a.h5 -o VERS
plots "files behind --log=" "VERSION" search --log = VERS
plots "nothing where a number is wanted" "" a.h5 --row ''
plots "options of the first kind without its name" "--rank --row" a.h5 --r
plots "shells" "bash zsh" completion ''
run "$plot" completion fish
[ "$rc" = 2 ] && has err "expected bash or zsh" "another shell"
if SAILOR_PYTHON=$python "$plot" --help >/dev/null 2>&1; then
    differ=
    for kind in plans timeline frontier search measured loss figures; do
        COMP_WORDS=(sailor-plot "$kind" --) COMP_CWORD=2
        _sailor_plot
        offered=$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)
        own=$(SAILOR_PYTHON=$python "$plot" $kind --help | grep -E '^  -' | grep -oE -- '--[a-z-]+' | sort | xargs)
        [ "$offered" = "$own" ] || differ+=" $kind"
    done
    [ -z "$differ" ]
    ok $? "every option of every kind, and no other${differ:+: not of$differ}"
else
    ok 0 "every option of every kind # SKIP no Python with h5py and matplotlib"
fi

if command -v zsh >/dev/null; then
    run "$sailor" completion zsh
    expect 0 "completion zsh"
    cp "$tmp/out" "$tmp/_sailor"
    zsh -n "$tmp/_sailor"
    ok $? "is a script of zsh"
    cat >"$tmp/stub" <<'EOF'
compdef() { : }
_describe() { print -l -- "${(@P)2}" }
_arguments() { print -l -- "$@" }
source $1
words=(sailor '') CURRENT=2; _sailor
words=(sailor plan --objective '') CURRENT=4; _sailor
EOF
    run zsh -f "$tmp/stub" "$tmp/_sailor"
    expect 0 "its function runs"
    has out "site:Make or edit a site file" "commands with what they do"
    has out ":objective:(throughput cost frontier)" "choices"
    has out ":planner:(exact varuna" "those of run time"
    # as zsh loads them: files in $fpath, whose first call must already complete
    mkdir "$tmp/functions"
    "$sailor" completion zsh >"$tmp/functions/_sailor"
    "$plot" completion zsh >"$tmp/functions/_sailor-plot"
    [ ! -x "$train" ] || "$train" completion zsh >"$tmp/functions/_sailor-train"
    cat >"$tmp/first" <<'EOF'
fpath=($1 $fpath)
compdef() { print "only registered" }
_files() { print files }
_describe() { print -l -- "${(@P)2}" }
_arguments() { print -l -- "$@" }
words=("${@[2,-1]}") CURRENT=$(( $# - 1 ))
autoload -Uz _$2
_$2
EOF
    first() { # title, text, command line
        run zsh -f "$tmp/first" "$tmp/functions" "${@:3}"
        ! grep -q "only registered" "$tmp/out" && has out "$2" "$1"
    }
    first "the first TAB: sailor" "--runnable-by[" sailor plan --
    [ ! -x "$train" ] || first "the first TAB: sailor-train" "--backend[" sailor-train run --
    first "the first TAB: sailor-plot" "timeline:their schedules" sailor-plot ''
    first "its options" "--log[" sailor-plot search --
    first "of the first kind without its name" "--max-rows[" sailor-plot a.h5 --
    run zsh -f "$tmp/first" "$tmp/functions" sailor-plot search --
    ! grep -q -- --rank "$tmp/out"
    ok $? "and none of another kind"
else
    n=$((n + 1)); echo "ok $n - completion zsh # SKIP zsh is not installed"
fi
finish
