// Fifth rung: four slices on their way at once (asynchronous copies), fragments by ldmatrix, products
// by the warps' instruction, as one writes it for Ampere. Tiles of 128 x 128, eight warps of 64 x 32.
// m and n are multiples of 128, k of 32. Rows in shared memory are 80 bytes apart, which puts eight of
// them into different banks.
#include "common.cuh"
#include <cstdint>

constexpr int TILE = 128, SLICE = 32, ROW = SLICE + 8, STAGES = 4;
constexpr int STAGE = 2 * TILE * ROW;

static __device__ inline uint32_t address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

static __device__ inline void copy16(bf16 *to, const bf16 *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address(to)), "l"(from));
}

static __device__ inline void load4(uint32_t (&r)[4], const bf16 *from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address(from)));
}

static __device__ inline void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                       uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ inline void fill(bf16 *stage, const bf16 *a, const bf16 *b, int row0, int col0,
                                   int k0, int k)
{
    for (int i = threadIdx.x; i < TILE * SLICE / 8; i += 256) {
        int r = i / (SLICE / 8), s = i % (SLICE / 8) * 8;
        copy16(stage + r * ROW + s, a + (size_t)(row0 + r) * k + k0 + s);
        copy16(stage + (TILE + r) * ROW + s, b + (size_t)(col0 + r) * k + k0 + s);
    }
}

extern "C" __global__ void __launch_bounds__(256)
    gemm(const bf16 *a, const bf16 *b, Out *c, int m, int n, int k)
{
    extern __shared__ __align__(16) bf16 stages[];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row0 = blockIdx.y * TILE, col0 = blockIdx.x * TILE;
    int wm = warp / 4 * 64, wn = warp % 4 * 32;
    float sum[4][4][4] = {};
    int slices = k / SLICE;
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < slices)
            fill(stages + s * STAGE, a, b, row0, col0, s * SLICE, k);
        asm volatile("cp.async.commit_group;");
    }
    for (int t = 0; t < slices; t++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
        __syncthreads();
        int next = t + STAGES - 1;
        if (next < slices)
            fill(stages + next % STAGES * STAGE, a, b, row0, col0, next * SLICE, k);
        asm volatile("cp.async.commit_group;");
        const bf16 *as = stages + t % STAGES * STAGE, *bs = as + TILE * ROW;
#pragma unroll
        for (int s = 0; s < SLICE; s += 16) {
            uint32_t left[4][4], right[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                load4(left[i], as + (wm + 16 * i + lane % 16) * ROW + s + lane / 16 * 8);
#pragma unroll
            for (int j = 0; j < 2; j++)
                load4(right[j],
                      bs + (wn + 16 * j + lane % 8 + lane / 16 * 8) * ROW + s + lane / 8 % 2 * 8);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    multiply(sum[i][j], left[i], right[j / 2][j % 2 * 2],
                             right[j / 2][j % 2 * 2 + 1]);
        }
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int h = 0; h < 4; h++) {
                int row = row0 + wm + 16 * i + lane / 4 + h / 2 * 8;
                int col = col0 + wn + 8 * j + lane % 4 * 2 + h % 2;
                c[(size_t)row * n + col] = rounded(sum[i][j][h]);
            }
}
