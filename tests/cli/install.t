#!/usr/bin/env bash
# TAP. `make install` and `make uninstall` with spaces in a path: they touch their own files and nothing else.
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "$(dirname "$0")/tap.sh"
# install what is built: -o all
make=(make --no-print-directory -o all "PREFIX=$tmp/my tools" "DESTDIR=$tmp/a root")
place="$tmp/a root$tmp/my tools"
mkdir -p "$tmp/a root$tmp"
echo precious | tee "$tmp/my" "$tmp/a" >"$tmp/a root$tmp/my"

run "${make[@]}" install
[ "$rc" = 0 ] && [ -e "$place/share/man/man1/sailor.1" ] && [ -e "$place/share/sailor/inputs/fig8b.json" ]
ok $? "install into a path with spaces"
run "$place/bin/sailor" --version
expect 0 "what was installed starts"
run "$place/bin/sailor-plot" --help
[ "$rc" = 0 ] || grep -q "no Python with h5py" "$tmp/err"
ok $? "sailor-plot finds what it is made of"
bash -c '. "$1/share/bash-completion/completions/sailor" && declare -F _sailor' - "$place" >/dev/null &&
    [ -s "$place/share/zsh/site-functions/_sailor" ] && [ -s "$place/share/zsh/site-functions/_sailor-plot" ] &&
    bash -c '. "$1/share/bash-completion/completions/sailor-plot" && declare -F _sailor_plot' - "$place" >/dev/null
ok $? "completion for bash and zsh is where they look for it"
mkdir -p "$place/share/sailor/inputs/profiles/own"
echo precious | tee "$place/share/sailor/inputs/sites/own.json" >"$place/share/sailor/inputs/profiles/own/cpu.json"
run "${make[@]}" uninstall
[ "$rc" = 0 ] && [ "$(cd "$place" && find . -type f | sort | tr '\n' ' ')" = \
    "./share/sailor/inputs/profiles/own/cpu.json ./share/sailor/inputs/sites/own.json " ]
ok $? "uninstall leaves the files of others in its directories, and no other file"
rm -r "$place/share/sailor"
run "${make[@]}" install
run "${make[@]}" uninstall
[ "$rc" = 0 ] && [ -z "$(find "$place" -type f)" ] && [ ! -e "$place/share/sailor" ]
ok $? "uninstall leaves no file"
[ -s "$tmp/my" ] && [ -s "$tmp/a" ] && [ -s "$tmp/a root$tmp/my" ]
ok $? "and takes none of others"
# a path that make would read as another one
mkdir -p "$tmp/d/a/bin" && echo precious >"$tmp/d/a/bin/sailor"
two='a
b'
# shellcheck disable=SC2016
for odd in 'a$b' 'a$(b)' 'a${b}' "$two"; do
    for var in PREFIX DESTDIR BINDIR; do
        for target in install uninstall; do
            run make --no-print-directory -o all $target "PREFIX=$tmp/none" "$var=$tmp/d/$odd"
            [ "$rc" = 2 ] && grep -q "dash before all; expected a path" "$tmp/err" &&
                [ "$(find "$tmp/d" -type f)" = "$tmp/d/a/bin/sailor" ]
            ok $? "$target: $var with $(echo "$odd" | tr '\n' '|') is refused"
        done
    done
done
for target in install uninstall; do # options to the commands that make starts
    for odd in PREFIX=-v DESTDIR=-d DATADIR=--help; do
        run make --no-print-directory -o all $target "PREFIX=$tmp/none" "$odd"
        [ "$rc" = 2 ] && grep -q "a dash before all; expected a path" "$tmp/err" && [ ! -e "$tmp/none" ]
        ok $? "$target: $odd is refused"
    done
done
run env PREFIX="$tmp/d/a\$b" make --no-print-directory -o all uninstall
[ "$rc" = 2 ] && [ -s "$tmp/d/a/bin/sailor" ]
ok $? "from the environment, too"
run make --no-print-directory -o all install "PREFIX=$tmp/e/a\$\$b"
[ "$rc" = 0 ] && [ -x "$tmp/e/a\$b/bin/sailor" ]
ok $? "a dollar that is meant"
finish
