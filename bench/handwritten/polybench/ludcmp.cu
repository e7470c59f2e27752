/* A linear system: LU factorisation in place as in lu.cu, then two triangular systems, each solved
 * by taking an unknown that is known out of all other rows, a launch for each unknown. */
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

__global__ void forward(int n, int k, const double *__restrict__ A, double *y)
{
    int i = k + 1 + at_x();
    if (i < n)
        y[i] -= A[i * n + k] * y[k];
}

__global__ void backward(int n, int k, const double *__restrict__ A, double *y,
                         double *__restrict__ x)
{
    int i = at_x();
    double known = y[k] / A[k * n + k];
    if (i < k)
        y[i] -= A[i * n + k] * known;
    else if (i == k)
        x[k] = known;
}

void run(Problem &p)
{
    int n = p.size[0];
    double *A = p.f64(0), *y = p.temporary(0, n);
    for (int k = 0; k + 1 < n; k++) {
        divide<<<blocks(n - k - 1, LINE), LINE>>>(n, k, A);
        update<<<plane(n - k - 1, n - k - 1), PLANE>>>(n, k, A);
    }
    CHECK(cudaMemcpyAsync(y, p.buffer[1], p.bytes[1], cudaMemcpyDeviceToDevice));
    for (int k = 0; k + 1 < n; k++)
        forward<<<blocks(n - k - 1, LINE), LINE>>>(n, k, A, y);
    for (int k = n - 1; k >= 0; k--)
        backward<<<blocks(k + 1, LINE), LINE>>>(n, k, A, y, p.f64(2));
}
