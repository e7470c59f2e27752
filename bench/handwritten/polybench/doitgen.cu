/* A[r, q, :] = A[r, q, :] C4: a thread for each element, the result in another array. */
#include "peer.cuh"

__global__ void product(int rows, int np, const double *__restrict__ A,
                        const double *__restrict__ C4, double *__restrict__ result)
{
    int p = at_x(), row = at_y();
    if (row >= rows || p >= np)
        return;
    double sum = 0;
    for (int s = 0; s < np; s++)
        sum += A[row * np + s] * C4[s * np + p];
    result[row * np + p] = sum;
}

void run(Problem &p)
{
    int nq = p.size[0], nr = p.size[1], np = p.size[2];
    double *result = p.temporary(0, (size_t)nr * nq * np);
    product<<<plane(nr * nq, np), PLANE>>>(nr * nq, np, p.f64(0), p.f64(1), result);
    CHECK(cudaMemcpyAsync(p.buffer[0], result, p.bytes[0], cudaMemcpyDeviceToDevice));
}
