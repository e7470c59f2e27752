/* Nussinov's folding: a launch for each diagonal of the table, a thread for each element of it. */
#include "peer.cuh"

__global__ void diagonal(int n, int d, const int *__restrict__ seq, int *table)
{
    int i = at_x(), j = i + d;
    if (j >= n)
        return;
    int best = max(table[i * n + j], table[i * n + j - 1]);
    best = max(best, table[(i + 1) * n + j]);
    int pair = i < j - 1 && seq[i] + seq[j] == 3;
    best = max(best, table[(i + 1) * n + j - 1] + pair);
    for (int k = i + 1; k < j; k++)
        best = max(best, table[i * n + k] + table[(k + 1) * n + j]);
    table[i * n + j] = best;
}

void run(Problem &p)
{
    int n = p.size[0];
    for (int d = 1; d < n; d++)
        diagonal<<<blocks(n - d, LINE), LINE>>>(n, d, p.i32(0), p.i32(1));
}
