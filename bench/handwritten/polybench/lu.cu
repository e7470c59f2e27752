/* LU factorisation in place without pivoting, column by column: scale the column below the
 * diagonal, then update everything to the right of it and below, a thread for each element. */
#include "peer.cuh"

__global__ void divide(int n, int k, double *A)
{
    int i = k + 1 + at_x();
    if (i < n)
        A[i * n + k] /= A[k * n + k];
}

__global__ void update(int n, int k, double *A)
{
    int j = k + 1 + at_x(), i = k + 1 + at_y();
    if (i < n && j < n)
        A[i * n + j] -= A[i * n + k] * A[k * n + j];
}

void run(Problem &p)
{
    int n = p.size[0];
    for (int k = 0; k + 1 < n; k++) {
        divide<<<blocks(n - k - 1, LINE), LINE>>>(n, k, p.f64(0));
        update<<<plane(n - k - 1, n - k - 1), PLANE>>>(n, k, p.f64(0));
    }
}
