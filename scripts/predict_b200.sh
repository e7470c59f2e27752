#!/usr/bin/env bash
# Prints the tables of docs/performance-model.md for a B200: what the model predicts of products and
# of emulated products. Predictions, not measurements; no GPU is needed.
# In: the program, by default target/release/warploom. Out: Markdown on standard output.
# Requires: awk.
set -euo pipefail
program=$(realpath "${1:-"$(dirname "$0")/../target/release/warploom"}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# TFLOP/s of a product of n x n matrices, and what limits it, of what `explain` says
rate() {
    awk -v n="$1" '/^predicted, not measured/ {
        for (i = 1; i < NF; i++) if ($(i + 1) == "us," || $(i + 1) == "us") time = $i
        limit = $0; sub(/.*limited by /, "", limit)
        printf "%.3g (%s)", 2 * n * n * n / time / 1e6, limit
    }
    /^no predicted time/ { printf "none" }'
}

# n, spec, types
plain() {
    local n=$1 spec=$2
    shift 2
    "$program" explain "$spec" --size "m=$n,n=$n,k=$n" --target sm_100a "$@" | rate "$n"
}

# n, slices
first() {
    local n=$1 nest=$folder/first.nest script=$folder/first.sched
    # bits with which sums of all terms are exact: 2 bits - 2 + log2(terms) is 24
    local bits=13 terms
    for ((terms = n; terms > 1; terms /= 4)); do ((bits--)); done
    local asked=(ozaki "mk,kn->mn" --scheme 1 --slices "$2" --slice-type bf16 --terms "$n" --slice-bits "$bits")
    "$program" "${asked[@]}" >"$nest"
    "$program" "${asked[@]}" --schedule-for sm_100a --size "M=$n,N=$n,K=$n" >"$script"
    "$program" explain "$nest" --schedule "$script" --size "M=$n,N=$n,K=$n" --target sm_100a |
        rate "$n"
}

# n, the nest of products with scales
scaled() {
    "$program" explain "$2" --size "M=$1,N=$1,K=$1" --target sm_100a | rate "$1"
}

# n
second() {
    "$program" ozaki "mk,kn->mn" --moduli 14 >"$folder/second.nest"
    "$program" explain "$folder/second.nest" --size "M=$1,N=$1,K=$1" --target sm_100a | rate "$1"
}

echo "predicted TFLOP/s on one B200"
echo
echo "| n | f16 | e5m2 to f16 | tf32 | f64 | Ozaki II, 14 moduli |"
echo "|---|---|---|---|---|---|"
for n in 1024 2048 4096 8192 16384 32768; do
    half=$(plain "$n" "mk,kn->mn" --dtype f16 --acc f32 --out-dtype f16)
    bytes=$(plain "$n" "mk,kn->mn" --dtype e5m2 --acc f32 --out-dtype f16)
    tf32=$(plain "$n" "mk,nk->mn" --dtype tf32 --acc f32 --out-dtype f32)
    double=$(plain "$n" "mk,kn->mn" --dtype f64)
    echo "| $n | $half | $bytes | $tf32 | $double | $(second "$n") |"
done
echo
echo "Ozaki I by slices of bf16 (products)"
echo
echo "| n | 9 (45) | 8 (36) | 7 (28) | 6 (21) | 5 (15) |"
echo "|---|---|---|---|---|---|"
for n in 1024 2048 4096 8192 16384 32768; do
    line="| $n |"
    for slices in 9 8 7 6 5; do line+=" $(first "$n" "$slices") |"; done
    echo "$line"
done
echo
echo "Products of e4m3 with scales of 32 terms, in words for neighbouring rows and in rows; without;"
echo "of e2m1 with scales of 32 terms (mxf4) and of 16 (nvf4), in words"
echo
echo "| n | words | rows | without scales | e2m1 by ue8m0 | e2m1 by ue4m3 |"
echo "|---|---|---|---|---|---|"
nests=$(dirname "$0")/../examples/nests
sed -e 's/floor((K + 127) \/ 128), \([MN]\), 4/\1, floor((K + 31) \/ 32)/g' \
    -e 's/floor(k \/ 128), \([mn]\), floor(k \/ 32) mod 4/\1, floor(k \/ 32)/g' \
    "$nests/gemm_mxfp8.nest" >"$folder/rows.nest"
for n in 1024 2048 4096 8192 16384; do
    plain=$(plain "$n" "mk,nk->mn" --dtype e4m3 --acc f32 --out-dtype f32)
    words=$(scaled "$n" "$nests/gemm_mxfp8.nest")
    halves="$(scaled "$n" "$nests/gemm_mxfp4.nest") | $(scaled "$n" "$nests/gemm_nvfp4.nest")"
    echo "| $n | $words | $(scaled "$n" "$folder/rows.nest") | $plain | $halves |"
done
