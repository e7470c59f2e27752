/* G = (A B) (C D): three products, a thread for each element of the result. */
#include "peer.cuh"

__global__ void product(int rows, int columns, int depth, const double *__restrict__ A,
                        const double *__restrict__ B, double *__restrict__ C)
{
    int j = at_x(), i = at_y();
    if (i >= rows || j >= columns)
        return;
    double sum = 0;
    for (int k = 0; k < depth; k++)
        sum += A[i * depth + k] * B[k * columns + j];
    C[i * columns + j] = sum;
}

void run(Problem &p)
{
    int ni = p.size[0], nj = p.size[1], nk = p.size[2], nl = p.size[3], nm = p.size[4];
    double *E = p.temporary(0, (size_t)ni * nj), *F = p.temporary(1, (size_t)nj * nl);
    product<<<plane(ni, nj), PLANE>>>(ni, nj, nk, p.f64(0), p.f64(1), E);
    product<<<plane(nj, nl), PLANE>>>(nj, nl, nm, p.f64(2), p.f64(3), F);
    product<<<plane(ni, nl), PLANE>>>(ni, nl, nj, E, F, p.f64(4));
}
