//! Factorisations, linear systems and statistics, as plain loops.

use super::{Data, Sizes};

pub(super) fn cholesky(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let mut a = d["A"].clone();
    for i in 0..n {
        for j in 0..i {
            for k in 0..j {
                a[i * n + j] -= a[i * n + k] * a[j * n + k];
            }
            a[i * n + j] /= a[j * n + j];
        }
        for k in 0..i {
            a[i * n + i] -= a[i * n + k] * a[i * n + k];
        }
        a[i * n + i] = a[i * n + i].sqrt();
    }
    Data::from([("A", a)])
}

/// LU factors of an n x n matrix in its place.
fn factors(n: usize, a: &mut [f64]) {
    for i in 0..n {
        for j in 0..n {
            for k in 0..i.min(j) {
                a[i * n + j] -= a[i * n + k] * a[k * n + j];
            }
            if j < i {
                a[i * n + j] /= a[j * n + j];
            }
        }
    }
}

pub(super) fn lu(n: &Sizes, d: &Data) -> Data {
    let mut a = d["A"].clone();
    factors(n["N"], &mut a);
    Data::from([("A", a)])
}

pub(super) fn ludcmp(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let (mut a, b) = (d["A"].clone(), &d["b"]);
    factors(n, &mut a);
    let (mut y, mut x) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let mut w = b[i];
        for j in 0..i {
            w -= a[i * n + j] * y[j];
        }
        y[i] = w;
    }
    for i in (0..n).rev() {
        let mut w = y[i];
        for j in i + 1..n {
            w -= a[i * n + j] * x[j];
        }
        x[i] = w / a[i * n + i];
    }
    Data::from([("A", a), ("x", x)])
}

pub(super) fn trisolv(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let (l, b) = (&d["L"], &d["b"]);
    let mut x = vec![0.0; n];
    for i in 0..n {
        x[i] = b[i];
        for j in 0..i {
            x[i] -= l[i * n + j] * x[j];
        }
        x[i] /= l[i * n + i];
    }
    Data::from([("x", x)])
}

pub(super) fn durbin(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let r = &d["r"];
    let mut y = vec![0.0; n];
    y[0] = -r[0];
    let (mut alpha, mut beta) = (-r[0], 1.0);
    for k in 1..n {
        beta *= 1.0 - alpha * alpha;
        let mut total = 0.0;
        for i in 0..k {
            total += r[k - i - 1] * y[i];
        }
        alpha = -(r[k] + total) / beta;
        let z: Vec<f64> = (0..k).map(|i| y[i] + alpha * y[k - i - 1]).collect();
        y[..k].copy_from_slice(&z);
        y[k] = alpha;
    }
    Data::from([("y", y)])
}

pub(super) fn gramschmidt(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (mut a, mut r, mut q) = (d["A"].clone(), d["R"].clone(), vec![0.0; m * n]);
    for k in 0..n {
        let mut square = 0.0;
        for i in 0..m {
            square += a[i * n + k] * a[i * n + k];
        }
        r[k * n + k] = square.sqrt();
        for i in 0..m {
            q[i * n + k] = a[i * n + k] / r[k * n + k];
        }
        for j in k + 1..n {
            r[k * n + j] = 0.0;
            for i in 0..m {
                r[k * n + j] += q[i * n + k] * a[i * n + j];
            }
            for i in 0..m {
                a[i * n + j] -= q[i * n + k] * r[k * n + j];
            }
        }
    }
    Data::from([("A", a), ("R", r), ("Q", q)])
}

/// The columns' means of an n x m matrix, which is centred in its place.
fn centre(m: usize, n: usize, data: &mut [f64]) -> Vec<f64> {
    let mut mean = vec![0.0; m];
    for j in 0..m {
        for i in 0..n {
            mean[j] += data[i * m + j];
        }
        mean[j] /= n as f64;
    }
    for i in 0..n {
        for j in 0..m {
            data[i * m + j] -= mean[j];
        }
    }
    mean
}

pub(super) fn covariance(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let mut data = d["data"].clone();
    centre(m, n, &mut data);
    let mut cov = vec![0.0; m * m];
    for i in 0..m {
        for j in i..m {
            let mut total = 0.0;
            for k in 0..n {
                total += data[k * m + i] * data[k * m + j];
            }
            cov[i * m + j] = total / (n as f64 - 1.0);
            cov[j * m + i] = cov[i * m + j];
        }
    }
    Data::from([("data", data), ("cov", cov)])
}

pub(super) fn correlation(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let mut data = d["data"].clone();
    centre(m, n, &mut data);
    for j in 0..m {
        let mut square = 0.0;
        for i in 0..n {
            square += data[i * m + j] * data[i * m + j];
        }
        let deviation = (square / n as f64).sqrt();
        let deviation = if deviation <= 0.1 { 1.0 } else { deviation };
        for i in 0..n {
            data[i * m + j] /= (n as f64).sqrt() * deviation;
        }
    }
    let mut corr = vec![0.0; m * m];
    for i in 0..m {
        corr[i * m + i] = 1.0;
        for j in i + 1..m {
            for k in 0..n {
                corr[i * m + j] += data[k * m + i] * data[k * m + j];
            }
            corr[j * m + i] = corr[i * m + j];
        }
    }
    Data::from([("data", data), ("corr", corr)])
}
