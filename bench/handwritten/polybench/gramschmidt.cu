/* Modified Gram-Schmidt: for each column its norm by one block, the column of Q, then a thread for
 * each column to the right. */
#include "peer.cuh"

__global__ void norm(int m, int n, int k, const double *__restrict__ A, double *__restrict__ R)
{
    __shared__ double part[LINE];
    double sum = 0;
    for (int i = threadIdx.x; i < m; i += LINE)
        sum += A[i * n + k] * A[i * n + k];
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = LINE / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0)
        R[k * n + k] = sqrt(part[0]);
}

__global__ void divide(int m, int n, int k, const double *__restrict__ A,
                       const double *__restrict__ R, double *__restrict__ Q)
{
    int i = at_x();
    if (i < m)
        Q[i * n + k] = A[i * n + k] / R[k * n + k];
}

__global__ void project(int m, int n, int k, double *__restrict__ A, double *__restrict__ R,
                        const double *__restrict__ Q)
{
    int j = k + 1 + at_x();
    if (j >= n)
        return;
    double sum = 0;
    for (int i = 0; i < m; i++)
        sum += Q[i * n + k] * A[i * n + j];
    R[k * n + j] = sum;
    for (int i = 0; i < m; i++)
        A[i * n + j] -= Q[i * n + k] * sum;
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    double *A = p.f64(0), *R = p.f64(1), *Q = p.f64(2);
    for (int k = 0; k < n; k++) {
        norm<<<1, LINE>>>(m, n, k, A, R);
        divide<<<blocks(m, LINE), LINE>>>(m, n, k, A, R, Q);
        if (k + 1 < n)
            project<<<blocks(n - k - 1, SHORT_LINE), SHORT_LINE>>>(m, n, k, A, R, Q);
    }
}
