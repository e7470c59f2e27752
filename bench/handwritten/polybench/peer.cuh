/* A kernel of PolyBench in plain CUDA as a contestant: sets a problem up once, then answers lines.
 *
 * Each file beside this one defines `run`, which puts all work of one run on the default stream, as
 * an ordinary programmer would write it: a thread for each element of the result, or for each of
 * the elements that a step can compute at once, and a launch for each step that needs the one
 * before. `nvcc -O3 -arch=native FILE.cu` makes the program.
 *
 * First line: the number of buffers, the number of sizes, the sizes; then a line for each buffer,
 * in the order of the nest's arrays without temporaries: its bytes, and the path of its contents or
 * `-`. The answer names compiler and device. `turn W` runs W times without a clock and once with
 * one, and answers the seconds between two events around that run; `save FOLDER` runs once and
 * writes buffer K to FOLDER/K.bin, and answers `saved`. Before every run the contents are restored,
 * what has none is filled with bytes of ones (NaN), and a scratch area larger than the cache is
 * written.
 */
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cuda_runtime.h>

/* Ends the process where a call of the runtime failed. */
static void check(cudaError_t status, const char *what)
{
    if (status != cudaSuccess) {
        fprintf(stderr, "peer: %s: %s\n", what, cudaGetErrorString(status));
        exit(1);
    }
}
#define CHECK(call) check((call), #call)

/* Sizes and buffers of a problem, and memory for temporaries. */
struct Problem {
    std::vector<int> size;
    std::vector<size_t> bytes;
    std::vector<void *> buffer, initial;
    std::vector<double> first; /* of each buffer of doubles: its first element at the start */
    std::vector<void *> temporaries;

    double *f64(int k) const { return static_cast<double *>(buffer[k]); }
    int *i32(int k) const { return static_cast<int *>(buffer[k]); }
    double scalar(int k) const { return first[k]; }

    /* Temporary number k, which the first run allocates. */
    double *temporary(size_t k, size_t elements)
    {
        if (temporaries.size() <= k)
            temporaries.resize(k + 1, nullptr);
        if (!temporaries[k])
            CHECK(cudaMalloc(&temporaries[k], elements * sizeof(double)));
        return static_cast<double *>(temporaries[k]);
    }
};

/* One run; defined by the kernel's file. */
void run(Problem &p);

/* Blocks of `block` threads for n elements. */
static inline unsigned blocks(int n, int block)
{
    return n > 0 ? (unsigned)((n + block - 1) / block) : 1u;
}

/* Threads of a block for a line, for a short line whose threads have much to do each, and for a
 * plane of elements. */
static const int LINE = 256;
static const int SHORT_LINE = 64;
static const dim3 PLANE(32, 8);

/* The grid of a plane whose contiguous extent is `columns`. */
static inline dim3 plane(int rows, int columns)
{
    return dim3(blocks(columns, PLANE.x), blocks(rows, PLANE.y));
}

/* Index of this thread along x and along y. */
static __device__ inline int at_x() { return blockIdx.x * blockDim.x + threadIdx.x; }
static __device__ inline int at_y() { return blockIdx.y * blockDim.y + threadIdx.y; }

static const size_t SCRATCH = (size_t)256 << 20;

/* Gives the buffers their contents back and empties the cache. */
static void restore(const Problem &p, void *scratch)
{
    for (size_t k = 0; k < p.buffer.size(); k++) {
        if (p.initial[k])
            CHECK(cudaMemcpy(p.buffer[k], p.initial[k], p.bytes[k], cudaMemcpyDeviceToDevice));
        else
            CHECK(cudaMemset(p.buffer[k], 0xff, p.bytes[k]));
    }
    CHECK(cudaMemset(scratch, 0xff, SCRATCH));
    CHECK(cudaDeviceSynchronize());
}

static void finish(void)
{
    CHECK(cudaGetLastError());
    CHECK(cudaDeviceSynchronize());
}

static void read_problem(Problem &p)
{
    char line[4200], path[4096];
    size_t count, sizes;
    if (scanf("%zu %zu", &count, &sizes) != 2)
        exit(1);
    for (size_t k = 0; k < sizes; k++) {
        int value;
        if (scanf("%d", &value) != 1)
            exit(1);
        p.size.push_back(value);
    }
    if (!fgets(line, sizeof line, stdin))
        exit(1);
    for (size_t k = 0; k < count; k++) {
        size_t bytes;
        if (!fgets(line, sizeof line, stdin) || sscanf(line, "%zu %4095s", &bytes, path) != 2)
            exit(1);
        void *buffer, *initial = nullptr;
        double first = 0;
        CHECK(cudaMalloc(&buffer, bytes));
        if (strcmp(path, "-") != 0) {
            std::vector<char> contents(bytes);
            FILE *file = fopen(path, "rb");
            if (!file || fread(contents.data(), 1, bytes, file) != bytes) {
                fprintf(stderr, "peer: cannot read %s\n", path);
                exit(1);
            }
            fclose(file);
            if (bytes >= sizeof first)
                memcpy(&first, contents.data(), sizeof first);
            CHECK(cudaMalloc(&initial, bytes));
            CHECK(cudaMemcpy(initial, contents.data(), bytes, cudaMemcpyHostToDevice));
        }
        p.bytes.push_back(bytes);
        p.buffer.push_back(buffer);
        p.initial.push_back(initial);
        p.first.push_back(first);
    }
}

static void save(const Problem &p, const char *folder)
{
    char path[4400];
    for (size_t k = 0; k < p.buffer.size(); k++) {
        std::vector<char> contents(p.bytes[k]);
        CHECK(cudaMemcpy(contents.data(), p.buffer[k], p.bytes[k], cudaMemcpyDeviceToHost));
        snprintf(path, sizeof path, "%s/%zu.bin", folder, k);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(contents.data(), 1, p.bytes[k], file) != p.bytes[k]) {
            fprintf(stderr, "peer: cannot write %s\n", path);
            exit(1);
        }
        fclose(file);
    }
}

int main(void)
{
    Problem p;
    read_problem(p);
    cudaDeviceProp device;
    CHECK(cudaGetDeviceProperties(&device, 0));
    void *scratch;
    CHECK(cudaMalloc(&scratch, SCRATCH));
    cudaEvent_t start, end;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&end));
    printf("nvcc %d.%d\n", __CUDACC_VER_MAJOR__, __CUDACC_VER_MINOR__);
    fflush(stdout);
    char line[4200], folder[4096];
    int warm;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "turn %d", &warm) == 1) {
            for (int k = 0; k < warm; k++) {
                restore(p, scratch);
                run(p);
                finish();
            }
            restore(p, scratch);
            CHECK(cudaEventRecord(start));
            run(p);
            CHECK(cudaEventRecord(end));
            finish();
            float milliseconds;
            CHECK(cudaEventElapsedTime(&milliseconds, start, end));
            printf("%.9e\n", milliseconds * 1e-3);
        } else if (sscanf(line, "save %4095s", folder) == 1) {
            restore(p, scratch);
            run(p);
            finish();
            save(p, folder);
            puts("saved");
        } else {
            fprintf(stderr, "peer: what is `%s`?\n", line);
            return 1;
        }
        fflush(stdout);
    }
    return 0;
}
