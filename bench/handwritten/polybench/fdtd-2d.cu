/* Maxwell's equations in two dimensions: three launches for each time step. */
#include "peer.cuh"

__global__ void step_ey(int nx, int ny, int t, const double *__restrict__ source,
                        double *__restrict__ ey, const double *__restrict__ hz)
{
    int j = at_x(), i = at_y();
    if (i >= nx || j >= ny)
        return;
    if (i == 0)
        ey[j] = source[t];
    else
        ey[i * ny + j] -= 0.5 * (hz[i * ny + j] - hz[(i - 1) * ny + j]);
}

__global__ void step_ex(int nx, int ny, double *__restrict__ ex, const double *__restrict__ hz)
{
    int j = at_x(), i = at_y();
    if (i < nx && j > 0 && j < ny)
        ex[i * ny + j] -= 0.5 * (hz[i * ny + j] - hz[i * ny + j - 1]);
}

__global__ void step_hz(int nx, int ny, const double *__restrict__ ex,
                        const double *__restrict__ ey, double *__restrict__ hz)
{
    int j = at_x(), i = at_y();
    if (i < nx - 1 && j < ny - 1)
        hz[i * ny + j] -= 0.7 * (ex[i * ny + j + 1] - ex[i * ny + j] + ey[(i + 1) * ny + j]
                                 - ey[i * ny + j]);
}

void run(Problem &p)
{
    int steps = p.size[0], nx = p.size[1], ny = p.size[2];
    double *ex = p.f64(1), *ey = p.f64(2), *hz = p.f64(3);
    for (int t = 0; t < steps; t++) {
        step_ey<<<plane(nx, ny), PLANE>>>(nx, ny, t, p.f64(0), ey, hz);
        step_ex<<<plane(nx, ny), PLANE>>>(nx, ny, ex, hz);
        step_hz<<<plane(nx - 1, ny - 1), PLANE>>>(nx, ny, ex, ey, hz);
    }
}
