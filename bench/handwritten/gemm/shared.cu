// Second rung: tiles of 32 x 32 of both operands in shared memory, so that each element is read from
// memory once for 32 results.
#include "common.cuh"

constexpr int TILE = 32, ROWS = 8;

extern "C" __global__ void gemm(const bf16 *a, const bf16 *b, Out *c, int m, int n, int k)
{
    __shared__ float as[TILE][TILE + 1], bs[TILE][TILE + 1];
    int x = threadIdx.x, y = threadIdx.y;
    int row0 = blockIdx.y * TILE, col0 = blockIdx.x * TILE;
    float sum[TILE / ROWS] = {};
    for (int k0 = 0; k0 < k; k0 += TILE) {
        for (int r = y; r < TILE; r += ROWS) {
            bool in_a = row0 + r < m && k0 + x < k, in_b = col0 + r < n && k0 + x < k;
            as[r][x] = in_a ? __bfloat162float(a[(size_t)(row0 + r) * k + k0 + x]) : 0.0f;
            bs[r][x] = in_b ? __bfloat162float(b[(size_t)(col0 + r) * k + k0 + x]) : 0.0f;
        }
        __syncthreads();
        for (int i = 0; i < TILE; i++)
            for (int r = 0; r < TILE / ROWS; r++)
                sum[r] += as[y + r * ROWS][i] * bs[x][i];
        __syncthreads();
    }
    for (int r = 0; r < TILE / ROWS; r++) {
        int row = row0 + y + r * ROWS, col = col0 + x;
        if (row < m && col < n)
            c[(size_t)row * n + col] = rounded(sum[r]);
    }
}
