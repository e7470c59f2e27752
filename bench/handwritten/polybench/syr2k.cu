/* C = alpha (A B' + B A') + beta C, lower triangle: a thread for each element of the triangle. */
#include "peer.cuh"

__global__ void update(int n, int m, double alpha, double beta, const double *__restrict__ A,
                       const double *__restrict__ B, double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= n || j > i)
        return;
    double sum = 0;
    for (int k = 0; k < m; k++)
        sum += A[j * m + k] * B[i * m + k] + B[j * m + k] * A[i * m + k];
    C[i * n + j] = alpha * sum + beta * C[i * n + j];
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    update<<<plane(n, n), PLANE>>>(n, m, p.scalar(0), p.scalar(1), p.f64(2), p.f64(3), p.f64(4));
}
