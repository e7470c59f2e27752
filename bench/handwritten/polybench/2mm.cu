/* D = alpha A B C + beta D: two products, a thread for each element of the result. */
#include "peer.cuh"

__global__ void product(int rows, int columns, int depth, double alpha, double beta,
                        const double *__restrict__ A, const double *__restrict__ B,
                        double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= rows || j >= columns)
        return;
    double sum = 0;
    for (int k = 0; k < depth; k++)
        sum += A[i * depth + k] * B[k * columns + j];
    C[i * columns + j] = beta == 0 ? alpha * sum : alpha * sum + beta * C[i * columns + j];
}

void run(Problem &p)
{
    int ni = p.size[0], nj = p.size[1], nk = p.size[2], nl = p.size[3];
    double *tmp = p.temporary(0, (size_t)ni * nj);
    product<<<plane(ni, nj), PLANE>>>(ni, nj, nk, p.scalar(0), 0.0, p.f64(2), p.f64(3), tmp);
    product<<<plane(ni, nl), PLANE>>>(ni, nl, nj, 1.0, p.scalar(1), tmp, p.f64(4), p.f64(5));
}
