/* Cholesky factorisation of the lower triangle in place, column by column: the root, the column
 * below it, then the triangle to the right, a thread for each element. */
#include "peer.cuh"

__global__ void root(int n, int k, double *A)
{
    A[k * n + k] = sqrt(A[k * n + k]);
}

__global__ void divide(int n, int k, double *A)
{
    int i = k + 1 + at_x();
    if (i < n)
        A[i * n + k] /= A[k * n + k];
}

__global__ void update(int n, int k, double *A)
{
    int j = k + 1 + at_x(), i = k + 1 + at_y();
    if (i < n && j <= i)
        A[i * n + j] -= A[i * n + k] * A[j * n + k];
}

void run(Problem &p)
{
    int n = p.size[0];
    for (int k = 0; k < n; k++) {
        root<<<1, 1>>>(n, k, p.f64(0));
        if (k + 1 < n) {
            divide<<<blocks(n - k - 1, LINE), LINE>>>(n, k, p.f64(0));
            update<<<plane(n - k - 1, n - k - 1), PLANE>>>(n, k, p.f64(0));
        }
    }
}
