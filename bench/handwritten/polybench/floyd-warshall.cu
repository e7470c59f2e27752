/* All shortest paths in place: a launch for each node in between, a thread for each pair. */
#include "peer.cuh"

__global__ void through(int n, int k, int *path)
{
    int j = at_x(), i = at_y();
    if (i < n && j < n)
        path[i * n + j] = min(path[i * n + j], path[i * n + k] + path[k * n + j]);
}

void run(Problem &p)
{
    int n = p.size[0];
    for (int k = 0; k < n; k++)
        through<<<plane(n, n), PLANE>>>(n, k, p.i32(0));
}
