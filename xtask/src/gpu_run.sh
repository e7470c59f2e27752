#!/bin/sh
# Unpacks the bundle beside this script, runs the tests of the device and every example nest on the
# GPU, each result checked, and prints a table last. `run.sh FOLDER` unpacks into FOLDER.
# Exit code: 0 when everything passed.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
into=${1:-$here/unpacked}
mkdir -p "$into" && tar -xJf "$here/warploom.tar.xz" -C "$into" || exit 2
cd "$into/warploom" || exit 2
log=$into/log
table=$into/table
mkdir -p "$log"
: >"$table"
failed=0
# libraries that this machine lacks come from the bundle
if ldd ./warploom | grep -q 'not found'; then
    LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi

# one line of the table: name, ok or exit code, words
note() {
    printf '%-24s %-8s %s\n' "$1" "$2" "$3" >>"$table"
}

./warploom doctor

for test in cuda cuda_fault; do
    if timeout 300 ./$test --nocapture >"$log/$test" 2>&1; then
        note "test $test" ok "$(grep 'test result' "$log/$test")"
    else
        note "test $test" "exit $?" "see $log/$test"
        failed=1
    fi
done

# runs one nest: file, sizes; where it fails, says how the CPU fares
nest() {
    name=$(basename "$1" .nest)
    out=$log/$name
    timeout 120 ./warploom run "$1" --size "$2" --device cuda --verify >"$out" 2>&1
    code=$?
    if [ $code -eq 0 ]; then
        note "$name" ok "$(grep 'compiled in' "$out"); $(grep '^verified' "$out")"
        return
    fi
    timeout 120 ./warploom run "$1" --size "$2" --device cpu --verify >"$out.cpu" 2>&1
    note "$name" "exit $code" "(cpu: exit $?) $(head -n 2 "$out" | tr '\n' ' ')"
    failed=1
}

while read -r name sizes; do
    nest "examples/nests/$name.nest" "$sizes"
done <<'EOF'
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
EOF

# the kernels of PolyBench, every size 24
for file in examples/polybench/*.nest; do
    sizes=$(sed -n 's/^param //p' "$file" | tr -d ' ' | sed 's/,/=24,/g; s/$/=24/')
    nest "$file" "$sizes"
done

echo
cat "$table"
exit $failed
