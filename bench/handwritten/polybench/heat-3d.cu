/* A seven-point stencil from A to B and back: two launches for each time step. */
#include "peer.cuh"

__global__ void step(int n, const double *__restrict__ from, double *__restrict__ to)
{
    int k = 1 + at_x(), j = 1 + at_y(), i = 1 + blockIdx.z;
    if (j >= n - 1 || k >= n - 1)
        return;
    int at = (i * n + j) * n + k;
    to[at] = 0.125 * (from[at + n * n] - 2.0 * from[at] + from[at - n * n])
        + 0.125 * (from[at + n] - 2.0 * from[at] + from[at - n])
        + 0.125 * (from[at + 1] - 2.0 * from[at] + from[at - 1]) + from[at];
}

void run(Problem &p)
{
    int steps = p.size[0], n = p.size[1];
    dim3 grid = plane(n - 2, n - 2);
    grid.z = n - 2;
    for (int t = 0; t < steps; t++) {
        step<<<grid, PLANE>>>(n, p.f64(0), p.f64(1));
        step<<<grid, PLANE>>>(n, p.f64(1), p.f64(0));
    }
}
