/* C = alpha A B + beta C with the lower triangle of a symmetric A: a thread for each element. */
#include "peer.cuh"

__global__ void product(int m, int n, double alpha, double beta, const double *__restrict__ A,
                        const double *__restrict__ B, double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= m || j >= n)
        return;
    double sum = 0;
    for (int k = 0; k <= i; k++)
        sum += A[i * m + k] * B[k * n + j];
    for (int k = i + 1; k < m; k++)
        sum += A[k * m + i] * B[k * n + j];
    C[i * n + j] = beta * C[i * n + j] + alpha * sum;
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    product<<<plane(m, n), PLANE>>>(m, n, p.scalar(0), p.scalar(1), p.f64(2), p.f64(3), p.f64(4));
}
