/* Alternating-direction implicit steps: a tridiagonal system along every column, then along every
 * row, a thread for each system, two launches for each time step. */
#include "peer.cuh"

struct Factors {
    double a, b, c, d, e, f;
};

__global__ void columns(int n, Factors x, const double *__restrict__ u, double *__restrict__ v,
                        double *__restrict__ p, double *__restrict__ q)
{
    int i = 1 + at_x();
    if (i >= n - 1)
        return;
    v[i] = 1.0;
    p[i * n] = 0.0;
    q[i * n] = 1.0;
    for (int j = 1; j < n - 1; j++) {
        double pivot = x.a * p[i * n + j - 1] + x.b;
        p[i * n + j] = -x.c / pivot;
        q[i * n + j] = (-x.d * u[j * n + i - 1] + (1.0 + 2.0 * x.d) * u[j * n + i]
                        - x.f * u[j * n + i + 1] - x.a * q[i * n + j - 1]) / pivot;
    }
    v[(n - 1) * n + i] = 1.0;
    for (int j = n - 2; j > 0; j--)
        v[j * n + i] = p[i * n + j] * v[(j + 1) * n + i] + q[i * n + j];
}

__global__ void rows(int n, Factors x, double *__restrict__ u, const double *__restrict__ v,
                     double *__restrict__ p, double *__restrict__ q)
{
    int i = 1 + at_x();
    if (i >= n - 1)
        return;
    u[i * n] = 1.0;
    p[i * n] = 0.0;
    q[i * n] = 1.0;
    for (int j = 1; j < n - 1; j++) {
        double pivot = x.d * p[i * n + j - 1] + x.e;
        p[i * n + j] = -x.f / pivot;
        q[i * n + j] = (-x.a * v[(i - 1) * n + j] + (1.0 + 2.0 * x.a) * v[i * n + j]
                        - x.c * v[(i + 1) * n + j] - x.d * q[i * n + j - 1]) / pivot;
    }
    u[i * n + n - 1] = 1.0;
    for (int j = n - 2; j > 0; j--)
        u[i * n + j] = p[i * n + j] * u[i * n + j + 1] + q[i * n + j];
}

void run(Problem &problem)
{
    int steps = problem.size[0], n = problem.size[1];
    size_t plane_size = (size_t)n * n;
    double *u = problem.f64(0), *v = problem.temporary(0, plane_size);
    double *p = problem.temporary(1, plane_size), *q = problem.temporary(2, plane_size);
    double mul1 = 2.0 * (1.0 / steps) / ((1.0 / n) * (1.0 / n));
    double mul2 = 1.0 * (1.0 / steps) / ((1.0 / n) * (1.0 / n));
    Factors x;
    x.a = x.c = -mul1 / 2.0;
    x.b = 1.0 + mul1;
    x.d = x.f = -mul2 / 2.0;
    x.e = 1.0 + mul2;
    for (int t = 0; t < steps; t++) {
        columns<<<blocks(n - 2, SHORT_LINE), SHORT_LINE>>>(n, x, u, v, p, q);
        rows<<<blocks(n - 2, SHORT_LINE), SHORT_LINE>>>(n, x, u, v, p, q);
    }
}
