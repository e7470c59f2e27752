#!/bin/sh
# Runs what the bundle beside this script holds, on a machine with a GPU:
#   run.sh [RESULTS [SECTION…]]
# unpacks beside itself, runs the sections (all of them without a name, about 8 minutes) and leaves
# in RESULTS (`results` beside the script) one file for each: table, log, and records as CSV, each
# written line by line, so that what was done survives an end by force.
#   tests      the tests of the device                                         table
#   nests      every example nest, its result checked                          table, nests.csv
#   bandwidth  nests bound by memory traffic, against PyTorch and a copy       bandwidth.csv
#   polybench  stencils and O(n^3) kernels, against CUDA from nvcc             polybench.csv
#   compile    time from text to PTX                                           compile.csv
#   launch     time from text to a launched kernel, cold and hot (if named)     launch.csv
#   gemm       products of matrices, against cublasLt (not run unless named)   gemm.csv
#   memcheck, racecheck  compute-sanitizer on some nests                       table
#   random     1,000 random nests with random schedules, each checked          table, random.csv
# BANDWIDTH, POLYBENCH and GEMM in the environment are arguments of `warploom-bench gpu-bandwidth`,
# `gpu-polybench` and `gpu-gemm` (GEMM=quick: a few cases in half a minute). Each section has a time
# limit, all together have LIMIT seconds (540).
# Exit code: 0 when all that must hold did: tests, nests, sanitizer.
set -u
started=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd) || exit 2
results=${1:-$here/results}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- tests nests polybench bandwidth compile memcheck racecheck random
mkdir -p "$results" && results=$(cd "$results" && pwd) || exit 2
mkdir -p "$here/unpacked" && tar -xJf "$here/warploom.tar.xz" -C "$here/unpacked" || exit 2
cd "$here/unpacked/warploom" || exit 2
table=$results/table
log=$results/log
: >>"$table"
failed=0
# libraries that this machine lacks come from the bundle
if ldd ./warploom | grep -q 'not found'; then
    LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader --id=0 2>/dev/null | head -n 1)
where="$(date -u +%F),$(cat commit),${gpu:-unknown}"
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# one line of the table: name, ok or exit code, words
note() {
    printf '%-28s %-8s %s\n' "$1" "$2" "$3" >>"$table"
}

# runs a command for at most $1 seconds, and no longer than all sections may
limited() {
    left=$((started + ${LIMIT:-540} - $(date +%s)))
    seconds=$1
    shift
    [ "$left" -lt "$seconds" ] && seconds=$left
    [ "$seconds" -gt 0 ] || return 124
    timeout -k 5 "$seconds" "$@"
}

# the end of a command's name and output, for the log
keep() {
    { echo "== $1"; tail -c 20000 "$output"; } >>"$log"
}

section_tests() {
    for test in cuda cuda_fault gpu_block_programs "gpu_polybench on_a_gpu"; do
        # shellcheck disable=SC2086 # the second word says which tests
        limited 200 ./$test --nocapture >"$output" 2>&1
        code=$?
        keep "$test"
        if [ $code -eq 0 ]; then
            note "test $test" ok "$(grep 'test result' "$output")"
        else
            note "test $test" "exit $code" "see the log"
            failed=1
        fi
    done
}

# runs one nest: file, sizes, what the record calls them; where it fails, says how the CPU fares
nest() {
    name=$(basename "$1" .nest)
    limited 30 ./warploom run "$1" --size "$2" --device cuda --verify >"$output" 2>&1
    code=$?
    keep "$name"
    line="$name,$(dirname "$1"),\"$3\""
    if [ $code -eq 0 ]; then
        note "$name" ok "$(grep 'compiled in' "$output"); $(grep '^verified' "$output")"
        sed -n "s|^verified \([0-9]*\) elements .*: largest error \(.*\), bound there \(.*\)|\
$line,\1,\2,\3,$where|p" "$output" >>"$results/nests.csv"
        return
    fi
    words=$(grep -o 'E[0-9][0-9][0-9][0-9]' "$output" | head -n 1)
    echo "$line,refused ${words:-$code},,,$where" >>"$results/nests.csv"
    words=$(head -n 2 "$output" | tr '\n' ' ')
    limited 30 ./warploom run "$1" --size "$2" --device cpu --verify >"$output" 2>&1
    note "$name" "exit $code" "(cpu: exit $?) $words"
    failed=1
}

section_nests() {
    echo nest,folder,sizes,elements_verified,largest_error,bound_there,date,commit,gpu \
        >"$results/nests.csv"
    while read -r name sizes; do
        nest "examples/nests/$name.nest" "$sizes" "$sizes"
    done <<'END'
attention Q=70,K=65,D=40
batched_matmul B=3,M=65,N=50,K=33
conv2d N=2,P=14,Q=15,K=16,R=3,S=3,C=8
jacobi2d_in_place T=5,N=40
lu N=40
matmul M=300,N=257,K=129
maxpool2d N=2,P=16,Q=17,C=9
meanpool2d N=2,P=16,Q=17,C=9
ozaki1_bf16 M=64,N=48,K=96
ozaki1_pointwise M=64,N=48,K=96
ozaki2_int8 M=64,N=48,K=96
permuted_matmul A=6,B=7,C=5,D=8,E=9,F=4
seidel2d T=5,N=40
softmax M=70,N=300
END
    # the kernels of PolyBench, every size 24
    for file in examples/polybench/*.nest; do
        sizes=$(sed -n 's/^param //p' "$file" | tr -d ' ' | sed 's/,/=24,/g; s/$/=24/')
        nest "$file" "$sizes" "all 24"
    done
}

# a benchmark: name of its record, seconds, command
bench() {
    record=$results/$1.csv
    name=$1
    seconds=$2
    shift 2
    limited "$seconds" ./warploom-bench "$@" >"$record" 2>"$output"
    code=$?
    keep "$name"
    [ $code -eq 0 ] && code=ok || code="exit $code"
    words="$(($(wc -l <"$record") - 1)) lines"
    if head -n 1 "$record" | grep -q ',status,'; then
        words="$words, $(grep -c ',ok,' "$record") of them ok"
    fi
    note "bench $name" "$code" "$words"
    grep -e 'geometric mean' -e '^gemm' -e '^launch' "$output" >>"$table"
}

section_random() {
    record=$results/random.csv
    echo first_seed,ran,counts,wrong,date,commit,gpu >"$record"
    limited 170 ./random 0 1000 --gpu >"$output" 2>&1
    code=$?
    keep random
    [ $code -eq 0 ] && words=ok || { words="exit $code" && failed=1; }
    summary=$(grep '^1000 pairs from' "$output")
    note "random pairs" "$words" "$summary"
    echo "$summary" | sed -n "s|^1000 pairs from 0: {\(.*\)}, \([0-9]*\) wrong|\
0,1000,\"\1\",\2,$where|p" >>"$record"
}

section_bandwidth() {
    # shellcheck disable=SC2086 # several words on purpose
    bench bandwidth 170 gpu-bandwidth ${BANDWIDTH:-}
}

section_polybench() {
    # shellcheck disable=SC2086 # several words on purpose
    bench polybench 220 gpu-polybench ${POLYBENCH:-limit=8}
}

# cudarc knows no name of cublasLt with a version beyond 12: a link has the plain name
find_cublaslt() {
    ldconfig -p | grep -q 'libcublasLt\.so ' && return
    for folder in /usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib \
        "$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)"/*/lib; do
        for file in "$folder"/libcublasLt.so "$folder"/libcublasLt.so.*; do
            if [ -e "$file" ]; then
                mkdir -p lt && ln -sf "$file" lt/libcublasLt.so
                LD_LIBRARY_PATH=$PWD/lt:$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
                export LD_LIBRARY_PATH
                return
            fi
        done
    done
}

section_gemm() {
    find_cublaslt
    # shellcheck disable=SC2086 # several words on purpose
    bench gemm 280 gpu-gemm ${GEMM:-seconds=240}
}

section_launch() {
    bench launch 90 gpu-launch
}

section_compile() {
    bench compile 40 gpu-compile
}

# compute-sanitizer on some nests: tool
sanitize() {
    for what in "nests/matmul M=70,N=65,K=33" "nests/softmax M=40,N=300" \
        "nests/attention Q=34,K=33,D=16" "nests/permuted_matmul A=6,B=7,C=5,D=8,E=9,F=4" \
        "polybench/jacobi-2d T=4,N=40" "polybench/lu N=40" "polybench/correlation M=40,N=36"; do
        file=${what% *}
        limited 40 compute-sanitizer --tool "$1" --error-exitcode 86 ./warploom run \
            "examples/$file.nest" --size "${what#* }" --device cuda >"$output" 2>&1
        code=$?
        keep "$1 $file"
        if [ $code -eq 0 ]; then
            note "$1 $file" ok "$(grep -o '[A-Z]* SUMMARY.*' "$output")"
        else
            note "$1 $file" "exit $code" "$(grep -m 1 '=========' "$output")"
            failed=1
        fi
    done
}

section_memcheck() {
    sanitize memcheck
}

section_racecheck() {
    sanitize racecheck
}

./warploom doctor
for section in "$@"; do
    case $section in
    tests | nests | bandwidth | polybench | compile | gemm | launch | memcheck | racecheck | random)
        before=$(date +%s)
        section_$section
        note "== $section" "" "$(($(date +%s) - before)) s"
        ;;
    *)
        echo "there is no section $section" >&2
        exit 2
        ;;
    esac
done

echo
cat "$table"
exit $failed
