// First rung: a thread for each element of C, every operand straight from memory.
#include "common.cuh"

extern "C" __global__ void gemm(const bf16 *a, const bf16 *b, Out *c, int m, int n, int k)
{
    int col = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= m || col >= n)
        return;
    float sum = 0.0f;
    for (int i = 0; i < k; i++)
        sum += __bfloat162float(a[(size_t)row * k + i]) * __bfloat162float(b[(size_t)col * k + i]);
    c[(size_t)row * n + col] = rounded(sum);
}
