#!/usr/bin/env bash
# TAP. `sailor site`: a golden file and its remarks for every source, combined sources, and malformed ones.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
dir=tests/site

golden() { # name, arguments: the file and what is said are those of tests/site/NAME.json and NAME.says
    local name=$1
    shift
    run "$sailor" site --name "$name" "$@"
    if [ "${UPDATE:-0}" = 1 ]; then cp "$tmp/out" "$dir/$name.json"; cp "$tmp/err" "$dir/$name.says"; fi
    [ "$rc" = 0 ] && cmp "$tmp/out" "$dir/$name.json" && cmp "$tmp/err" "$dir/$name.says"
    ok $? "$name"
    "$sailor" site -m "$dir/$name.json" >"$tmp/again" 2>/dev/null && cmp -s "$tmp/again" "$dir/$name.json"
    ok $? "$name is a site file, and stays the same when nothing is added"
}
golden slurm --slurm $dir/nodes.txt
golden slurm-memory --slurm $dir/nodes.txt --memory a40=48 --map l4=L40S-48
golden partition --slurm $dir/nodes.txt --partition debug --memory a40=48
golden sinfo --slurm $dir/sinfo.txt --memory a40=48
golden tree-conf --slurm $dir/nodes.txt --topology $dir/topology.conf
golden tree-top --slurm $dir/nodes.txt --topology $dir/topology.show --level 1
golden tree-yaml --slurm $dir/nodes.txt --topology $dir/topology.yaml --gpus L4-24
golden nccl-text13 --preset H100-80 --nccl-tests $dir/allreduce-2.17.txt
golden nccl-text21 --preset H100-80 --nccl-tests $dir/allreduce-2.18.txt --from cluster/H100-80 --to other/L4-24
golden nccl-node --nccl-topology $dir/topo.xml --nccl-tests $dir/allreduce-2.19.json
golden nccl-sendrecv --nccl-topology $dir/topo.xml --nccl-tests $dir/sendrecv-2.19.json --from cluster/L4-24
golden preset --preset H100-80,L4-24 --zone here
golden preset-links --preset H100-80,L4-24,eth-100g --slurm $dir/nodes.txt --map a100_80gb=H100-80 --topology $dir/topology.conf
golden skypilot --skypilot $dir/skypilot-zones.csv
golden skypilot-spot --skypilot $dir/skypilot-zones.csv --spot --gpus L4-24 --zones home=mid-east1-b
golden skypilot-regions --skypilot $dir/skypilot-regions.csv --map A6000=A6000-48
golden gpuhunt --gpuhunt $dir/gpuhunt.csv --egress us-1:eu-1=0.02,eu-1:us-1=0.02
golden gpuhunt-spot --gpuhunt $dir/gpuhunt.csv --spot

# other forms of the same input
cmp -s <("$sailor" site --slurm $dir/nodes-o.txt 2>/dev/null | grep -v source) <(grep -v source $dir/slurm.json | sed 's/"slurm"/"site"/')
ok $? "scontrol show node -o says the same"
cmp -s <("$sailor" site --slurm /dev/stdin 2>/dev/null <$dir/nodes.txt | grep -v source) \
    <("$sailor" site --slurm $dir/nodes.txt 2>/dev/null | grep -v source)
ok $? "from a pipe, too"
mkdir "$tmp/bin"
printf '#!/bin/sh\ncase "$*" in "show node -o") cat %s;; "show topology") cat %s;; *) exit 1;; esac\n' \
    "$PWD/$dir/nodes-o.txt" "$PWD/$dir/topology.show" >"$tmp/bin/scontrol"
chmod +x "$tmp/bin/scontrol"
run env PATH="$tmp/bin:$PATH" "$sailor" site --topology --slurm
expect 0 "live: scontrol is run"
has out '"zones": ["leaf1", "leaf2"]' "for the topology as well"
printf '#!/bin/sh\necho "slurm_load_node error: Unable to contact slurm controller" >&2\nexit 1\n' >"$tmp/bin/scontrol"
run env PATH="$tmp/bin:$PATH" "$sailor" site --slurm
expect 2 "live: scontrol fails"
has err "Unable to contact slurm controller" "its first line is shown"

# a link between zones, for all their types; egress between them, and none inside
run "$sailor" site -m $dir/skypilot.json --preset eth-100g --from mid-east1-a --to mid-east1-b --egress 0.05
expect 0 "a zone as the end of a preset's link"
has out '["mid-east1-a", "*", "mid-east1-b", "*", "eth-100g"]' "means all its types"
has out '"mid-east1-a": {"mid-east1-a": 0, "mid-east1-b": 0.05}' "--egress is between zones"
run "$sailor" site -m $dir/skypilot.json --preset eth-100g --from H100-80 --to mid-east1-b
expect 2 "an end that is no zone"
has err "expected a zone of the site or ZONE/GPU" "says what is expected"

# combined, step by step or at once: a pool of two types in two zones, without a number written by hand
run "$sailor" site --preset H100-80,L4-24 --skypilot $dir/skypilot-zones.csv --zones a=mid-east1-a,b=mid-east1-b --nccl-tests \
    $dir/allreduce-2.17.txt --from a/H100-80 -o "$tmp/mine.json"
expect 0 "-o"
run "$sailor" site -m "$tmp/mine.json" -o "$tmp/mine.json" --nccl-tests $dir/sendrecv-2.19.json --from b/L4-24
expect 2 "over a file"
has err "use -f" "needs -f"
run "$sailor" site -m "$tmp/mine.json" -o "$tmp/mine.json" -f --nccl-tests $dir/sendrecv-2.19.json --from b/L4-24
expect 0 "-m adds a link"
run "$sailor" site -m "$tmp/mine.json" -o "$tmp/mine.json" -f --nccl-tests $dir/allreduce-2.18.txt --from a/H100-80 --to b/L4-24
expect 0 "and one between zones"
cat >"$tmp/job.json" <<'EOF'
{"format": "sailor-job/1", "model": "llama-3.1-8b", "site": "./mine.json", "global_batch_size": 64, "dtype": "bf16",
 "pools": [{"gpus": [{"zone": "a", "gpu": "H100-80", "count": 8}, {"zone": "b", "gpu": "L4-24", "count": 8}]}]}
EOF
run "$sailor" plan "$tmp/job.json" -q --json
expect 0 "the site is planned on"
json "o[0]['plan']" "and there is a plan"

# malformed: one line that names the file, the line if there is one, and what is expected
bad() { # title, option, part of the message; stdin: the file
    cat >"$tmp/bad"
    run "$sailor" site --preset H100-80 "--$2" "$tmp/bad"
    expect 2 "$1"
    has err "$tmp/bad$3" "it says where and why"
}
bad "Slurm: nothing" slurm ": empty; expected" <<<""
bad "Slurm: another text" slurm ':1: neither "NodeName=" nor columns' <<<"slurm_load_node error: no controller"
bad "Slurm: sinfo without GRES" slurm ":1: neither" <<<"PARTITION AVAIL TIMELIMIT NODES STATE NODELIST"
bad "Slurm: a node without a name" slurm ":1: NodeName= without a name" <<<"NodeName= Gres=gpu:a100:4"
bad "Slurm: cut off" slurm ":1: node a without Gres=; expected all of the output" <<<$'NodeName=a Arch=x86_64\n   CPUAlloc=0'
bad "Slurm: GRES without a count" slurm ':1: no count in "gpu:a100:four"' <<<$'NodeName=a\n Gres=gpu:a100:four'
bad "Slurm: an open bracket" slurm ':1: brackets do not match' <<<"NodeName=a Gres=gpu:a100:4(S:0"
bad "Slurm: too many" slurm ':1: no GPUs of a node: "gpu:a100:4000"' <<<"NodeName=a Gres=gpu:a100:4000"
bad "Slurm: no GPUs" slurm ": no GPU in 1 node; expected" <<<"NodeName=a Gres=(null)"
bad "sinfo: a list that is none" slurm ':2: "a[1-"; expected nodes as in' <<<$'NODELIST GRES\na[1- gpu:a100:4'
bad "sinfo: a column too few" slurm ':2: 1 columns; expected 2' <<<$'NODELIST GRES\na1'
bad "NCCL: nothing" nccl-tests ": no measurement; expected" <<<""
bad "NCCL: no ranks" nccl-tests ': no "Rank 0 ... on HOST"' <<<"65536 1 float sum -1 1 1 1 0 1 1 1 0"
bad "NCCL: 12 fields" nccl-tests ":1: 12 fields; expected a row of 13 or 21" <<<"65536 1 float sum -1 1 1 1 0 1 1 1"
bad "NCCL: a word for a time" nccl-tests ':1: "fast"' <<<"65536 1 float sum -1 fast 1 1 0 1 1 1 0"
bad "NCCL: wrong results" nccl-tests ":1: wrong results" <<<"65536 1 float sum -1 1 1 1 3 1 1 1 3"
bad "NCCL: a rank without a host" nccl-tests ":1: no rank" <<<"#  Rank  0 Group 0 somewhere"
bad "NCCL: JSON without devices" nccl-tests ": /config/devices: missing" <<<'{"results": []}'
bad "NCCL: JSON cut off" nccl-tests ": /results" <<<'{"config": {"devices": []}, "results": ['
bad "NCCL: alltoall" nccl-tests ': "alltoall_perf" measures no single link' < \
    <(sed 's/all_reduce_perf/alltoall_perf/' $dir/allreduce-2.17.txt)
bad "NCCL: 7 ranks on a node" nccl-tests ": 15 ranks on 2 nodes" < <(sed '/Rank  0 /d' $dir/allreduce-2.17.txt)
bad "NCCL: two sizes" nccl-tests ": 2 sizes between" < <(grep -E '^#|^ +(65536|262144) ' $dir/allreduce-2.17.txt)
bad "XML: another file" nccl-topology ":1: no <system>" <<<"<html></html>"
bad "XML: cut off" nccl-topology ":7: the file ends inside <pci>" < <(head -n 6 $dir/topo.xml)
bad "XML: two nodes" nccl-topology ":28: another <system>; expected the file of one node" < <(cat $dir/topo.xml $dir/topo.xml)
bad "XML: no quote" nccl-topology ":1: an attribute without its closing quote" <<<'<system version="1>'
bad "XML: no GPU" nccl-topology ": no <gpu>; expected" <<<'<system version="1"></system>'
bad "SkyPilot: another header" skypilot ":1: no column AcceleratorName" <<<"instance_name,gpu_count"
bad "SkyPilot: a word for a price" skypilot ':2: Price: "cheap"; expected a number' <<EOF
InstanceType,AcceleratorName,AcceleratorCount,Price,Region
i,H100,8,cheap,r
EOF
bad "SkyPilot: a cell too few" skypilot ":2: 4 cells; expected 5" <<EOF
InstanceType,AcceleratorName,AcceleratorCount,Price,Region
i,H100,8,1
EOF
bad "SkyPilot: an open quote" skypilot ":2: a quote stays open, or more than" <<EOF
InstanceType,AcceleratorName,AcceleratorCount,Price,Region
"i,H100,8,1,r
EOF
bad "SkyPilot: no GPU of ours" skypilot ": no price of a GPU type of the site" <<EOF
InstanceType,AcceleratorName,AcceleratorCount,Price,Region
i,V100,8,8,r
EOF
bad "gpuhunt: another header" gpuhunt ":1: no column gpu_name" <<<"InstanceType,AcceleratorName"
topology() { # title, part of the message; stdin: the file
    cat >"$tmp/bad"
    run "$sailor" site --slurm $dir/nodes.txt --topology "$tmp/bad"
    expect 2 "$1"
    has err "$tmp/bad$2" "it says where and why"
}
topology "topology: nothing" ": no switch with nodes" <<<""
topology "topology: another text" ":1: expected KEY=VALUE" <<<"No topology information available"
topology "topology: a switch without anything" ":1: a switch has a name, and nodes or switches" <<<"SwitchName=s0"
topology "topology: a switch twice" ':2: switch "s0" again' <<<$'SwitchName=s0 Nodes=a\nSwitchName=s0 Nodes=b'
topology "topology: a child that is not there" ':1: switch "s9" is not there' <<<"SwitchName=s0 Switches=s9"
topology "topology: a circle" ":1: switches above each other in a circle" \
    <<<$'SwitchName=a Nodes=n\nSwitchName=b Switches=a,c\nSwitchName=c Switches=b'
topology "topology: no list of nodes" ":1: no list of nodes" <<<"SwitchName=s0 Nodes=a[1"
topology "topology: too many zones" ": 17 switches at level 0; a site has at most 16" < <(printf 'SwitchName=s%d Nodes=n%d\n' {1..17}{,})
topology "topology.yaml: nodes of no switch" ':2: nodes of no switch' <<<$'- topology: t\n  nodes: a'
topology "topology.yaml: a tab" ":2: a tab" <<<$'- topology: t\n\tflat: true'
topology "topology.yaml: another YAML" ':2: expected "key: value"' <<<$'- topology: t\n  tree: {switches: []}'
run "$sailor" site --topology $dir/topology.conf -m clariden
expect 2 "a topology without nodes"
run "$sailor" site --slurm $dir/nodes.txt --topology $dir/topology.conf --level 7
expect 2 "a level that is not there"
run "$sailor" site --preset Z80
expect 2 "a preset without a data sheet"
run "$sailor" site --preset H100
expect 0 "a preset that is known by another name"
run "$sailor" site -m "$tmp/mine.json" --preset ib-ndr --from a/H100-80 --to b/L4-24
expect 0 "a named link between two ends"
has out '["a", "H100-80", "b", "L4-24", "ib-ndr"]' "becomes a pair"
run "$sailor" site -m "$tmp/mine.json" --preset ib-ndr --from a/H100-81
expect 2 "an end that is not there"
run "$sailor" site -m inputs/examples/three-types/site.json
expect 0 "a site with links by name"
has out '"pairs": [' "keeps them"
run "$sailor" site -m none
expect 2 "a site that is not there"
run "$sailor" site --skypilot $dir/skypilot-zones.csv --zones mid-east1-c
expect 2 "a zone that is not in the catalog"
has err "did you mean mid-east1-a?" "the nearest is named"
run "$sailor" site -m clariden --egress free
expect 2 "an egress price that is none"
run "$sailor" site -m clariden --nccl-tests $dir/allreduce-2.17.txt --from cluster/GH-96
has err "sailor: --from: zone cluster is new; the site had clariden" "a zone that the site did not have is pointed out"
run "$sailor" site -m clariden --nccl-tests $dir/allreduce-2.17.txt --from clariden
expect 2 "--from without a type"
run "$sailor" site --slurm $dir/nodes.txt -o "$tmp/no/such.json"
expect 1 "where nothing can be written"
finish
