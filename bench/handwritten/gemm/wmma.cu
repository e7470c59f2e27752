// Fourth rung: tensor cores through the WMMA interface of CUDA C++. Tiles of 128 x 128, eight warps of
// 64 x 32 each, one slice of 32 in shared memory at a time. m and n are multiples of 128, k of 32.
#include "common.cuh"
#include <mma.h>

using namespace nvcuda;

constexpr int TILE = 128, SLICE = 32, ROW = SLICE + 8;

static __device__ void fill(bf16 *to, const bf16 *from, int row0, int k0, int k)
{
    // pieces of 16 bytes, eight elements
    for (int i = threadIdx.x; i < TILE * SLICE / 8; i += blockDim.x) {
        int r = i / (SLICE / 8), s = i % (SLICE / 8) * 8;
        *(uint4 *)(to + r * ROW + s) = *(const uint4 *)(from + (size_t)(row0 + r) * k + k0 + s);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    gemm(const bf16 *a, const bf16 *b, Out *c, int m, int n, int k)
{
    __shared__ __align__(16) bf16 as[TILE * ROW], bs[TILE * ROW];
    __shared__ float out[8][16 * 16];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row0 = blockIdx.y * TILE, col0 = blockIdx.x * TILE;
    int wm = warp / 4 * 64, wn = warp % 4 * 32;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[4][2];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            wmma::fill_fragment(sum[i][j], 0.0f);
    for (int k0 = 0; k0 < k; k0 += SLICE) {
        fill(as, a, row0, k0, k);
        fill(bs, b, col0, k0, k);
        __syncthreads();
#pragma unroll
        for (int s = 0; s < SLICE; s += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, bf16, wmma::row_major> left[4];
            wmma::fragment<wmma::matrix_b, 16, 16, 16, bf16, wmma::col_major> right[2];
#pragma unroll
            for (int i = 0; i < 4; i++)
                wmma::load_matrix_sync(left[i], as + (wm + 16 * i) * ROW + s, ROW);
#pragma unroll
            for (int j = 0; j < 2; j++)
                wmma::load_matrix_sync(right[j], bs + (wn + 16 * j) * ROW + s, ROW);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 2; j++)
                    wmma::mma_sync(sum[i][j], left[i], right[j], sum[i][j]);
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++) {
            wmma::store_matrix_sync(out[warp], sum[i][j], 16, wmma::mem_row_major);
            __syncwarp();
            for (int e = lane; e < 256; e += 32) {
                int row = row0 + wm + 16 * i + e / 16, col = col0 + wn + 16 * j + e % 16;
                c[(size_t)row * n + col] = rounded(out[warp][e]);
            }
            __syncwarp();
        }
}
