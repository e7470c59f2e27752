/* B = alpha A' B with the unit lower triangle of A: a thread for each element of B, the result in
 * another array because every element is still needed by those above it. */
#include "peer.cuh"

__global__ void product(int m, int n, double alpha, const double *__restrict__ A,
                        const double *__restrict__ B, double *__restrict__ result)
{
    int j = at_x(), i = at_y();
    if (i >= m || j >= n)
        return;
    double sum = B[i * n + j];
    for (int k = i + 1; k < m; k++)
        sum += A[k * m + i] * B[k * n + j];
    result[i * n + j] = alpha * sum;
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    double *result = p.temporary(0, (size_t)m * n);
    product<<<plane(m, n), PLANE>>>(m, n, p.scalar(0), p.f64(1), p.f64(2), result);
    CHECK(cudaMemcpyAsync(p.buffer[2], result, p.bytes[2], cudaMemcpyDeviceToDevice));
}
