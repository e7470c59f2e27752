/* Gauss-Seidel smoothing with nine points, in place. Point (t, i, j) needs points of smaller
 * 4 t + 2 i + j alone, so each value of that sum is a launch, with a thread for each (t, i) that
 * may have a point there: far fewer launches than waves within one sweep would need. */
#include "peer.cuh"

__global__ void wave(int steps, int n, int w, double *A)
{
    int i = 1 + at_x(), t = at_y();
    int j = w - 4 * t - 2 * i;
    if (t >= steps || i >= n - 1 || j < 1 || j >= n - 1)
        return;
    double *row = A + (size_t)i * n + j;
    *row = (row[-n - 1] + row[-n] + row[-n + 1] + row[-1] + row[0] + row[1] + row[n - 1] + row[n]
            + row[n + 1]) / 9.0;
}

void run(Problem &p)
{
    int steps = p.size[0], n = p.size[1];
    int last = 4 * (steps - 1) + 3 * (n - 2);
    for (int w = 3; w <= last; w++)
        wave<<<plane(steps, n - 2), PLANE>>>(steps, n, w, p.f64(0));
}
