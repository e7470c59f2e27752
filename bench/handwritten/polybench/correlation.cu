/* Pearson correlation of the columns of data, which is centred and scaled in place. */
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

__global__ void deviations(int n, int m, const double *__restrict__ data,
                           const double *__restrict__ mean, double *__restrict__ deviation)
{
    int j = at_x();
    if (j >= m)
        return;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (data[i * m + j] - mean[j]) * (data[i * m + j] - mean[j]);
    double value = sqrt(sum / n);
    deviation[j] = value <= 0.1 ? 1.0 : value;
}

__global__ void scale(int n, int m, double *__restrict__ data, const double *__restrict__ mean,
                      const double *__restrict__ deviation)
{
    int j = at_x(), i = at_y();
    if (i < n && j < m)
        data[i * m + j] = (data[i * m + j] - mean[j]) / (sqrt((double)n) * deviation[j]);
}

__global__ void correlate(int n, int m, const double *__restrict__ data, double *__restrict__ corr)
{
    int j = at_x(), i = at_y();
    if (i >= m || j >= m || j < i)
        return;
    if (i == j) {
        corr[i * m + i] = 1.0;
        return;
    }
    double sum = 0;
    for (int k = 0; k < n; k++)
        sum += data[k * m + i] * data[k * m + j];
    corr[i * m + j] = sum;
    corr[j * m + i] = sum;
}

void run(Problem &p)
{
    int m = p.size[0], n = p.size[1];
    double *mean = p.temporary(0, m), *deviation = p.temporary(1, m);
    means<<<blocks(m, SHORT_LINE), SHORT_LINE>>>(n, m, p.f64(0), mean);
    deviations<<<blocks(m, SHORT_LINE), SHORT_LINE>>>(n, m, p.f64(0), mean, deviation);
    scale<<<plane(n, m), PLANE>>>(n, m, p.f64(0), mean, deviation);
    correlate<<<plane(m, m), PLANE>>>(n, m, p.f64(0), p.f64(1));
}
