/* Covariance of the columns of data, which is centred in place. */
#include "peer.cuh"

__global__ void means(int n, int m, const double *__restrict__ data, double *__restrict__ mean)
{
    int j = at_x();
    if (j >= m)
        return;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += data[i * m + j];
    mean[j] = sum / n;
}

__global__ void centre(int n, int m, double *__restrict__ data, const double *__restrict__ mean)
{
    int j = at_x(), i = at_y();
    if (i < n && j < m)
        data[i * m + j] -= mean[j];
}

__global__ void covary(int n, int m, const double *__restrict__ data, double *__restrict__ cov)
{
    int j = at_x(), i = at_y();
    if (i >= m || j >= m || j < i)
        return;
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += data[k * m + i] * data[k * m + j];
    sum /= n - 1.0;
    cov[i * m + j] = sum;
    cov[j * m + i] = sum;
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    double *mean = p.temporary(0, m);
    means<<<blocks(m, SHORT_LINE), SHORT_LINE>>>(n, m, p.f64(0), mean);
    centre<<<plane(n, m), PLANE>>>(n, m, p.f64(0), mean);
    covary<<<plane(m, m), PLANE>>>(n, m, p.f64(0), p.f64(1));
}
