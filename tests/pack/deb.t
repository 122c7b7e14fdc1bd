#!/usr/bin/env bash
# TAP. The Debian package of the last commit (packaging/deb): it is built in an empty place, lintian finds no error, and the
# program in it works from wherever it is unpacked. Without optimization and unit tests, which take minutes.
# shellcheck source-path=SCRIPTDIR/../cli source=tap.sh
. "$(dirname "$0")/../cli/tap.sh"
for tool in git dpkg-buildpackage dh lintian; do
    command -v "$tool" >/dev/null || { echo "1..0 # SKIP $tool is not installed (Debian: git dpkg-dev debhelper lintian)"; exit 0; }
done
git rev-parse --verify --quiet HEAD >/dev/null || { echo "1..0 # SKIP this tree is no clone"; exit 0; }
[ -e /usr/include/metis.h ] || { echo "1..0 # SKIP a package that it is built with is not installed (libmetis-dev)"; exit 0; }
unset SAILOR_INPUTS

LIMIT=280 run env -u CFLAGS -u CPPFLAGS -u LDFLAGS DEB_BUILD_OPTIONS="nocheck noopt" packaging/deb "$tmp/deb dir"
cat "$tmp/out" "$tmp/err" >"$tmp/log"
tail -n 3 "$tmp/log" >"$tmp/err"
ok "$rc" "a package is built, without an error of lintian"
[ "$rc" = 0 ] || finish
grep -E '^[EW]: ' "$tmp/log" >"$tmp/err"
[ ! -s "$tmp/err" ]
ok $? "nor a warning"
[ ! -e debian ]
ok $? "the tree is as it was"

deb=("$tmp/deb dir"/sailor_*.deb)
run dpkg-deb --field "${deb[0]}" Version
[ "$(cut -d+ -f1 "$tmp/out")" = "$(git show HEAD:VERSION)" ]
ok $? "its version begins with that of the tree"
run dpkg-deb --field "${deb[0]}" Depends
[[ $(cat "$tmp/out") =~ libhdf5-mpich && $(cat "$tmp/out") =~ libmpich && $(cat "$tmp/out") =~ libcjson1 ]]
ok $? "it depends on the libraries that it is linked with"
root="$tmp/a root"
dpkg-deb --extract "${deb[0]}" "$root"
cd / || exit 1
run "$root/usr/bin/sailor" plan fig7 -q
[ "$rc" = 0 ] && [ "$(grep -c optimal "$tmp/out")" -ge 3 ]
ok $? "what was unpacked plans a job by its name"
run "$root/usr/bin/sailor-train" --version
ok "$rc" "and has the trainer"
[ -e "$root/usr/share/man/man1/sailor.1.gz" ] && [ -x "$root/usr/share/sailor/jobs/search.sbatch" ]
ok $? "manual pages and job scripts"
finish
