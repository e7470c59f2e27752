#!/usr/bin/env bash
# Fuzzes one parser for some seconds and appends a line to bench/record/fuzz.csv.
# In: `fuzz/run.sh TARGET SECONDS`, TARGET one of fuzz_targets/. Out: the corpus it grew and what it
# found under target/fuzz/; exit code 1 with a finding. Requires: a C++ compiler for libFuzzer.
set -euo pipefail
cd "$(dirname "$0")"
target=$1 seconds=$2
cargo build --release --quiet --locked --bin "$target"
out=../target/fuzz/$target
mkdir -p "$out/corpus" "$out/found"
folders=("$out/corpus" "seeds/$target")
case $target in
nest) folders+=(../examples/nests ../examples/polybench) ;;
script) folders+=(../examples/schedules) ;;
esac
# the readers of files get theirs in memory where there is such a folder
[ -d /dev/shm ] && export TMPDIR=/dev/shm
code=0
nice -n 19 "../target/fuzz/x86_64-unknown-linux-gnu/release/$target" "${folders[@]}" \
    -dict="dict/$target.dict" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=4096 -artifact_prefix="$out/found/" -print_final_stats=1 >"$out/log" 2>&1 || code=$?
# `#123 DONE cov: 45 ft: 67 corp: 8/90b …`, `stat::number_of_executed_units: 123`
count() { grep -o "stat::$1: *[0-9]*" "$out/log" | grep -o '[0-9]*$' || true; }
last=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$out/log" | tail -1)
read -r _ covered _ features _ inputs <<<"$last"
found=$(find "$out/found" -type f | wc -l)
ran=$(grep -o 'in [0-9]* second' "$out/log" | grep -o '[0-9]*' || echo "less than $seconds")
record=../bench/record/fuzz.csv
[ -f "$record" ] ||
    echo "target,seconds,processes,executions,edges_covered,features,corpus_inputs,findings,date,commit" >"$record"
commit=$(git rev-parse --short HEAD)
echo "$target,$ran,1,$(count number_of_executed_units),$covered,$features,$inputs,$found,$(date +%F),$commit" >>"$record"
tail -1 "$record"
exit "$code"
