// What the rungs of the ladder share: C[m, n] = sum over k of A[m, k] B[n, k], operands in bf16, sums
// in f32, results in f32, or in bf16 where OUT_BF16 is defined. Arrays are dense and row-major.
#pragma once
#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;

#ifdef OUT_BF16
using Out = bf16;
static __device__ inline Out rounded(float x) { return __float2bfloat16(x); }
#else
using Out = float;
static __device__ inline Out rounded(float x) { return x; }
#endif
