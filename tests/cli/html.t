#!/usr/bin/env bash
# TAP. `sailor report --html`: one page that loads nothing, read by a parser, and opened and clicked if there is Chromium.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

cat >"$tmp/parse.py" <<'EOF'
"""The page is well formed and loads nothing; prints what it is made of."""
import json, re, sys
from html.parser import HTMLParser
VOID = {"meta", "br", "link", "img"}
class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.count, self.text, self.ids, self.title = [], {}, [], [], ""
    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attributes:
            assert name not in ("src", "href", "xlink:href", "srcset", "action") and not name.startswith("on"), (tag, name)
            if name == "id": self.ids.append(value)
        if tag not in VOID: self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID: self.handle_endtag(tag)
    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())
    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|eval|innerHTML", data), data[:80]
        if self.open == ["html", "head", "title"]: self.title += data
        self.text.append(data)
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
assert not page.open, page.open
assert len(set(page.ids)) == len(page.ids), page.ids
print(json.dumps({"count": page.count, "text": " ".join(page.text), "title": page.title}))
EOF
page() { run "$python" "$tmp/parse.py" "$1"; } # then json

job "$tmp/plain.json" frontier
sed 's/"format"/"name": "<script>alert(1)<\/script> \& \\"x\\" '"'y'"'", "format"/' "$tmp/plain.json" >"$tmp/job.json"
run "$sailor" plan "$tmp/job.json" -q -o "$tmp/a.h5"
run "$sailor" report "$tmp/a.h5" --html "$tmp/a.html"
expect 0 "report --html"
[ ! -s "$tmp/out" ]
ok $? "prints nothing"
page "$tmp/a.html"
expect 0 "the page is well formed and loads nothing"
json "o[0]['count']['script'] == 1 and o[0]['title'] == \
 '''<script>alert(1)</script> & \"x\" 'y\\'''' " "names in files are text, whatever is in them"
json "o[0]['count']['section'] == 3 and o[0]['count']['svg'] >= 6" "a section for each row, with pictures of plan, frontier and search"
json "o[0]['count']['circle'] > 3 and 'infeasible' in o[0]['text']" "points of the frontier, and the row without a plan"
"$sailor" report "$tmp/a.h5" --json >"$tmp/out"
low=$("$python" -c "import json; print('%.4g' % json.loads(open('$tmp/out').readline())['iteration_time_low_s'])")
grep -q "<b>$low to [0-9.]*</b>s in 9 of 10 runs" "$tmp/a.html" && [ "$(grep -c 'class="span"' "$tmp/a.html")" -gt 3 ]
ok $? "how far the estimates may be off: of a row, and at each point of the frontier"
cp "$tmp/a.html" "$tmp/before.html"
run "$sailor" report "$tmp/a.h5" --html "$tmp/a.html"
expect 2 "over a file"
has err "use -f to overwrite" "needs -f"
cmp -s "$tmp/a.html" "$tmp/before.html"
ok $? "what was there stays"
run "$sailor" report "$tmp/a.h5" --html "$tmp/a.html" -f
cmp -s "$tmp/a.html" "$tmp/before.html"
ok $? "the same bytes again"
run "$sailor" report "$tmp/a.h5" --html "$tmp/one.html" --row 2
page "$tmp/one.html"
json "o[0]['count']['section'] == 1" "--row: that row alone"
"$python" - "$tmp/one.html" <<'EOF'
import re, sys
ticks = re.findall('class="(?:y )?tick"[^>]*>([^<]*)<', open(sys.argv[1], encoding="utf-8").read())
sys.exit(not ticks or any(f"{float(t):.3g}" != t for t in ticks))
EOF
ok $? "the ticks of its frontier are round"
run "$sailor" report "$tmp/a.h5" --html "$tmp/none/a.html"
expect 1 "where nothing can be written"
run "$sailor" report "$tmp/job.json" --html "$tmp/b.html"
expect 2 "of another file"
[ ! -e "$tmp/b.html" ]
ok $? "writes nothing"
run "$sailor" plan fig8b --planner metis --states 200 -q --top 1 -o "$tmp/m.h5"
run "$sailor" report "$tmp/m.h5" --html "$tmp/m.html"
page "$tmp/m.html"
json "o[0]['count']['section'] == 3" "a published planner's answers"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$browser" ]; then
    cat >"$tmp/click.html" <<'EOF'
<script>
const seen = [], shown = () => [...document.querySelectorAll('section')].filter(s => !s.hidden).map(s => s.id).join();
seen.push(shown());
document.querySelector('#rows tbody tr[data-row="2"]').click();
seen.push(shown());
document.querySelector('#row-2 circle').dispatchEvent(new MouseEvent('mouseenter'));
seen.push(document.getElementById('tip-2').textContent.includes('A100-40'), document.querySelectorAll('tr.on[data-point]').length);
document.querySelector('#row-2 tr[data-point="2-1"]').click();
seen.push(document.querySelector('circle.on').dataset.point);
document.title = 'clicked ' + seen.join(' ');
</script>
EOF
    cat "$tmp/a.html" "$tmp/click.html" >"$tmp/driven.html"
    LIMIT=120 run "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/profile" --dump-dom "file://$tmp/driven.html"
    has out "<title>clicked row-0 row-2 true 1 2-1</title>" "opened and clicked in Chromium: rows, points, tips"
else
    ok 0 "opened and clicked in Chromium # SKIP there is none"
fi
finish
