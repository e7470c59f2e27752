#!/bin/sh
# Runs what the bundle beside this script holds, on a machine with a GPU:
#   run.sh [RESULTS [SECTION…]]
# unpacks beside itself, runs the sections (all of them without a name, about 8 minutes) and leaves
# in RESULTS (`results` beside the script) one file for each: table, log, and records as CSV, each
# written line by line, so that what was done survives an end by force.
#   tests      the tests of the device                                         table
#   nests      every example nest, its result checked                          table, nests.csv
#   kernels    kernels of examples/kernels, against the interpreter            table
#   bandwidth  nests bound by memory traffic, against PyTorch and a copy       bandwidth.csv
#   polybench  stencils and O(n^3) kernels, against CUDA from nvcc             polybench.csv
#   compile    time from text to PTX                                           compile.csv
#   launch     time from text to a launched kernel, cold and hot (if named)     launch.csv
#   gemm       products of matrices, against cublasLt (not run unless named)   gemm.csv
#   contractions  contractions in bf16, against PyTorch (if named)           contractions.csv
#   memcheck, racecheck  compute-sanitizer on some nests                       table
#   random     1,000 random nests with random schedules, each checked          table, random.csv
#   random-contractions  automatic schedules of CONTRACTIONS (1,000) random contractions of two
#              tensors, each checked (if named)                   random-contractions.csv
# and, if named, without a GPU, on all processors:
#   random-cpu 10,000 random nests with random scripts, judged from two sides  random-cpu.csv
#   fuzz       every parser, FUZZ_JOBS processes each (2), FUZZ_SECONDS (300);
#              FUZZ names targets; what is found lies in fuzz-found            fuzz.csv
#   cpu        PolyBench against gcc, every pair of cores takes kernels, CPU
#              names problems (medium large), CPU_KERNELS kernels              cpu-polybench.csv
# BANDWIDTH, POLYBENCH, CONTRACTIONS and GEMM in the environment are arguments of `warploom-bench
# gpu-bandwidth`, `gpu-polybench`, `gpu-contractions` and `gpu-gemm` (GEMM=quick: a few cases in half a minute). Each section has a time
# limit, all together have LIMIT seconds (540).
# Exit code: 0 when all that must hold did: tests, nests, sanitizer.
set -u
started=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd) || exit 2
results=${1:-$here/results}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- tests nests kernels polybench bandwidth compile memcheck racecheck random
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
    for test in cuda cuda_fault "suite gpu_block_programs::" "suite gpu_polybench::on_a_gpu"; do
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

# kernels that a person wrote: compiled code against the interpreter
section_kernels() {
    while read -r name sizes; do
        limited 60 ./warploom run "examples/kernels/$name.kernel" --size "$sizes" --device cuda \
            --verify >"$output" 2>&1
        code=$?
        keep "$name"
        if [ $code -eq 0 ]; then
            note "$name" ok "$(grep 'compiled in' "$output"); $(grep '^verified' "$output")"
        else
            note "$name" "exit $code" "$(head -n 2 "$output" | tr '\n' ' ')"
            failed=1
        fi
    done <<'END'
gemm_mma M=150,N=140,K=72
gemm_wgmma M=150,N=264,K=136
gemm_wgmma_bf16 M=150,N=264,K=136
gemm_wgmma_multicast M=300,N=264,K=72
END
}

section_nests() {
    echo nest,folder,sizes,elements_verified,largest_error,bound_there,date,commit,gpu \
        >"$results/nests.csv"
    while read -r name sizes; do
        nest "examples/nests/$name.nest" "$sizes" "$sizes"
    done <<'END'
attention Q=70,K=65,D=40
batched_matmul B=3,M=65,N=50,K=33
chained_gemm M=300,K=136,J=264,N=128
conv1d_dilated N=2,L=300,K=64,R=3,C=64
conv2d N=2,P=14,Q=15,K=16,R=3,S=3,C=8
conv2d_depthwise N=2,H=30,W=28,C=64
conv2d_grouped N=2,H=14,W=14,G=3,K=32,C=32
conv2d_padded N=3,H=28,W=28,K=64,C=128
conv2d_strided_nchw N=2,P=14,Q=16,K=64,C=32
conv3d N=2,D=4,P=6,Q=14,K=32,C=32
gemm_bias_gelu M=300,N=264,K=136
gemm_fp8_scaled M=300,N=264,K=272
gemm_mxfp4 M=300,N=264,K=288
gemm_mxfp8 M=300,N=264,K=272
gemm_nvfp4 M=300,N=264,K=272
gemm_int8_dequant M=300,N=264,K=144
gemm_row_norms M=300,N=264,K=136
gemm_residual_rms M=300,N=264,K=136
jacobi2d_in_place T=5,N=40
lu N=40
matmul M=300,N=257,K=129
maxpool2d N=2,P=16,Q=17,C=9
meanpool2d N=2,P=16,Q=17,C=9
ozaki1_bf16 M=64,N=48,K=96
ozaki1_pointwise M=64,N=48,K=96
ozaki2_int8 M=64,N=48,K=96
ozaki2_dgemm M=65,N=66,K=67
ozaki2_sgemm M=65,N=66,K=67
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

# automatic schedules of random contractions against the nest's interpreter
section_random_contractions() {
    record=$results/random-contractions.csv
    count=${CONTRACTIONS:-1000}
    echo first_seed,ran,by_instruction,wrong,date,commit,gpu >"$record"
    limited "${SECONDS_OF_CONTRACTIONS:-300}" ./random 0 "$count" --contractions --gpu \
        >"$output" 2>&1
    code=$?
    keep random-contractions
    [ $code -eq 0 ] && words=ok || { words="exit $code" && failed=1; }
    summary=$(grep "^$count contractions from" "$output")
    note "random contractions" "$words" "$summary"
    echo "$summary" | tr '"' "'" | sed -n "s|^\([0-9]*\) contractions from 0: {\(.*\)}, \([0-9]*\) wrong|\
0,\1,\"\2\",\3,$where|p" >>"$record"
}

# every processor for itself: a share of the pairs each
section_random_cpu() {
    record=$results/random-cpu.csv
    parts=$(mktemp -d)
    jobs=$(($(nproc) > 2 ? $(nproc) - 2 : 1))
    pairs=${PAIRS:-10000}
    share=$(((pairs + jobs - 1) / jobs))
    job=0
    while [ $job -lt $jobs ]; do
        limited 500 ./random $((job * share)) $share >"$parts/$job" 2>&1 &
        job=$((job + 1))
    done
    wait
    cat "$parts"/[0-9]* >"$output"
    keep "random pairs on the processor"
    echo first_seed,ran,counts,wrong,date,commit,processor >"$record"
    sed -n "s|^\([0-9]*\) pairs from \([0-9]*\): {\(.*\)}, \([0-9]*\) wrong|\
\2,\1,\"\3\",\4,$(host)|p" "$output" >>"$record"
    # the sums over all parts
    words=$(sed -n 's/^\([0-9]*\) pairs from [0-9]*: {\(.*\)}, \([0-9]*\) wrong/\
ran: \1, \2, wrong: \3/p' "$output" | tr ',' '\n' | awk -F': *' '
        NF == 2 { gsub(/ /, "", $1); if (!($1 in sum)) order[++n] = $1; sum[$1] += $2 }
        END { for (i = 1; i <= n; i++) printf "%s %d  ", order[i], sum[order[i]] }')
    case $words in
    "ran $((jobs * share)) "*"wrong 0 "*) note "random pairs, processor" ok "$words" ;;
    *) note "random pairs, processor" failed "$words" && failed=1 ;;
    esac
    rm -rf "$parts"
}

host() {
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    echo "$(date -u +%F),$(cat commit),$model ($(nproc) processors)"
}

# several processes for each target, which share what they find
section_fuzz() {
    record=$results/fuzz.csv
    parts=$(mktemp -d)
    [ -d /dev/shm ] && export TMPDIR=/dev/shm
    seconds=${FUZZ_SECONDS:-300}
    jobs=${FUZZ_JOBS:-2}
    targets=${FUZZ:-einsum formula kernel nest npy safetensors script}
    for target in $targets; do
        mkdir -p "$parts/$target/corpus" "$results/fuzz-found/$target"
        more=
        case $target in
        nest) more="examples/nests examples/polybench" ;;
        script) more=examples/schedules ;;
        esac
        job=0
        while [ $job -lt "$jobs" ]; do
            # shellcheck disable=SC2086 # several folders on purpose
            limited $((seconds + 60)) "./fuzz/bin/$target" "$parts/$target/corpus" \
                "fuzz/seeds/$target" $more -dict="fuzz/dict/$target.dict" \
                -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
                -reload=5 -artifact_prefix="$results/fuzz-found/$target/" \
                -print_final_stats=1 >"$parts/$target/log.$job" 2>&1 &
            job=$((job + 1))
        done
    done
    wait
    columns=target,seconds,processes,executions,edges_covered,features,corpus_inputs,findings
    echo "$columns,date,commit" >"$record"
    for target in $targets; do
        cat "$parts/$target"/log.* >"$output"
        keep "fuzz $target"
        ran=$(sed -n 's/.*in \([0-9]*\) second.*/\1/p' "$output" |
            awk '{ s += $1 } END { print s + 0 }')
        executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$output" |
            awk '{ s += $1 } END { print s + 0 }')
        # the process that knows most has seen what the others found
        most=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$output" | sort -k2,2n -k4,4n |
            tail -n 1 | sed 's/[a-z]*: //g; s/ /,/g')
        found=$(find "$results/fuzz-found/$target" -type f | wc -l)
        echo "$target,$ran,$jobs,$executed,$most,$found,$(date -u +%F),$(cat commit)" >>"$record"
        if [ "$found" -eq 0 ] && [ "$ran" -gt 0 ]; then
            note "fuzz $target" ok "$ran s in $jobs processes, $executed runs, no finding"
        else
            note "fuzz $target" failed "$ran s in $jobs processes, $found findings"
            failed=1
        fi
    done
    rm -rf "$parts"
}

# the kernels of PolyBench, the longest first
KERNELS="floyd-warshall nussinov seidel-2d heat-3d fdtd-2d jacobi-2d adi 3mm 2mm lu ludcmp
cholesky correlation covariance gramschmidt symm syr2k syrk trmm gemm doitgen deriche gemver mvt
atax bicg gesummv trisolv durbin jacobi-1d"

# takes kernel after kernel: a pair of processors, the folder of what is taken
cpu_lane() {
    for problem in ${CPU:-medium large}; do
        for kernel in ${CPU_KERNELS:-$KERNELS}; do
            mkdir "$2/$problem-$kernel" 2>/dev/null || continue
            limited 280 taskset -c "$1" ./warploom-bench polybench "$problem" "$kernel" \
                >"$2/$problem-$kernel/csv" 2>"$2/$problem-$kernel/log"
            echo "exit $?" >>"$2/$problem-$kernel/log"
        done
    done
}

section_cpu() {
    record=$results/cpu-polybench.csv
    if ! command -v gcc >/dev/null || ! command -v taskset >/dev/null; then
        note "cpu polybench" skipped "there is no gcc, or no taskset"
        return
    fi
    parts=$(mktemp -d)
    # one processor of each core, in pairs
    cores=$(lscpu -p=CPU,CORE | grep -v '^#' | sort -t, -k2,2n -u | cut -d, -f1)
    # shellcheck disable=SC2086 # a list
    set -- $cores
    while [ $# -ge 2 ]; do
        cpu_lane "$1,$2" "$parts" &
        shift 2
    done
    wait
    cat "$parts"/*/csv | awk 'NR == 1 || !/^kernel,/' >"$record"
    for part in "$parts"/*/log; do
        name=$(basename "$(dirname "$part")")
        echo "== cpu $name: $(tr '\n' ' ' <"$part")" >"$part.all"
        grep -q '^exit 0' "$part" ||
            note "cpu $name" failed "$(tail -c 300 "$part" | tr '\n' ' ')"
    done
    cat "$parts"/*/log.all >"$output"
    keep "cpu polybench"
    for problem in ${CPU:-medium large}; do
        awk -F, -v problem="$problem" '
            NR == 1 { for (i = 1; i <= NF; i++) if ($i == "gcc_over_ours") at = i }
            $2 == problem {
                gsub(/"[^"]*"/, "")
                sum += log($at)
                n++
                if (!least || $at < least) { least = $at; which = $1 }
            }
            END {
                if (n) printf "cpu %s: geometric mean of gcc over warploom %.3f of %d kernels, ",
                    problem, exp(sum / n), n
                if (n) printf "least %.3f (%s)\n", least, which
            }' "$record" >>"$table"
    done
    note "cpu polybench" "" "$(($(wc -l <"$record") - 1)) lines"
    rm -rf "$parts"
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

# contractions over several indices
section_contractions() {
    bench contractions 200 gpu-contractions ${CONTRACTIONS:-}
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
    tests | nests | kernels | bandwidth | polybench | compile | gemm | contractions | launch | memcheck | \
        racecheck | random | random-contractions | random-cpu | fuzz | cpu)
        before=$(date +%s)
        "section_$(echo "$section" | tr - _)"
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
