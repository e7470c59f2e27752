/* C = alpha A B + beta C: a thread for each element of C. */
#include "peer.cuh"

__global__ void product(int ni, int nj, int nk, double alpha, double beta,
                        const double *__restrict__ A, const double *__restrict__ B,
                        double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= ni || j >= nj)
        return;
    double sum = 0;
    for (int k = 0; k < nk; k++)
        sum += A[i * nk + k] * B[k * nj + j];
    C[i * nj + j] = alpha * sum + beta * C[i * nj + j];
}

void run(Problem &p)
{
    int ni = p.size[0], nj = p.size[1], nk = p.size[2];
    product<<<plane(ni, nj), PLANE>>>(ni, nj, nk, p.scalar(0), p.scalar(1), p.f64(2), p.f64(3),
                                      p.f64(4));
}
