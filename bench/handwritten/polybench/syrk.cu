/* C = alpha A A' + beta C, lower triangle: a thread for each element of the triangle. */
#include "peer.cuh"

__global__ void update(int n, int m, double alpha, double beta, const double *__restrict__ A,
                       double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= n || j > i)
        return;
    double sum = 0;
    for (int k = 0; k < m; k++)
        sum += A[i * m + k] * A[j * m + k];
    C[i * n + j] = alpha * sum + beta * C[i * n + j];
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    update<<<plane(n, n), PLANE>>>(n, m, p.scalar(0), p.scalar(1), p.f64(2), p.f64(3));
}
