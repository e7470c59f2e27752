// Third rung: tiles of 128 x 128, of which each of 256 threads keeps 8 x 8 sums in registers, so that
// two elements of shared memory serve eight multiplications on average. Without tensor cores.
#include "common.cuh"

constexpr int TILE = 128, SLICE = 16, EACH = 8, PAD = 4;

static __device__ void fill(float (*to)[TILE + PAD], const bf16 *from, int row0, int rows, int k0,
                            int k)
{
    for (int i = threadIdx.x; i < TILE * SLICE; i += blockDim.x) {
        int r = i / SLICE, s = i % SLICE;
        bool in = row0 + r < rows && k0 + s < k;
        to[s][r] = in ? __bfloat162float(from[(size_t)(row0 + r) * k + k0 + s]) : 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    gemm(const bf16 *a, const bf16 *b, Out *c, int m, int n, int k)
{
    __shared__ float as[SLICE][TILE + PAD], bs[SLICE][TILE + PAD];
    int x = threadIdx.x % 16, y = threadIdx.x / 16;
    int row0 = blockIdx.y * TILE, col0 = blockIdx.x * TILE;
    float sum[EACH][EACH] = {};
    for (int k0 = 0; k0 < k; k0 += SLICE) {
        fill(as, a, row0, m, k0, k);
        fill(bs, b, col0, n, k0, k);
        __syncthreads();
#pragma unroll
        for (int s = 0; s < SLICE; s++) {
            float left[EACH], right[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                // neighbouring threads read neighbouring elements
                left[i] = as[s][y + 16 * i];
                right[i] = bs[s][x + 16 * i];
            }
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    sum[i][j] += left[i] * right[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            int row = row0 + y + 16 * i, col = col0 + x + 16 * j;
            if (row < m && col < n)
                c[(size_t)row * n + col] = rounded(sum[i][j]);
        }
}
