//! Products of matrices and vectors, as plain loops.

use super::{Data, Sizes};

pub(super) fn mm2(n: &Sizes, d: &Data) -> Data {
    let (ni, nj, nk, nl) = (n["NI"], n["NJ"], n["NK"], n["NL"]);
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, b, c, mut out) = (&d["A"], &d["B"], &d["C"], d["D"].clone());
    let mut tmp = vec![0.0; ni * nj];
    for i in 0..ni {
        for j in 0..nj {
            for k in 0..nk {
                tmp[i * nj + j] += alpha * a[i * nk + k] * b[k * nj + j];
            }
        }
    }
    for i in 0..ni {
        for j in 0..nl {
            out[i * nl + j] *= beta;
            for k in 0..nj {
                out[i * nl + j] += tmp[i * nj + k] * c[k * nl + j];
            }
        }
    }
    Data::from([("D", out)])
}

/// The product of an m x k and a k x n matrix.
fn product(m: usize, n: usize, k: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for l in 0..k {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
        }
    }
    c
}

pub(super) fn mm3(n: &Sizes, d: &Data) -> Data {
    let (ni, nj, nk, nl, nm) = (n["NI"], n["NJ"], n["NK"], n["NL"], n["NM"]);
    let e = product(ni, nj, nk, &d["A"], &d["B"]);
    let f = product(nj, nl, nm, &d["C"], &d["D"]);
    Data::from([("G", product(ni, nl, nj, &e, &f))])
}

pub(super) fn atax(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (a, x) = (&d["A"], &d["x"]);
    let mut y = vec![0.0; n];
    for i in 0..m {
        let mut tmp = 0.0;
        for j in 0..n {
            tmp += a[i * n + j] * x[j];
        }
        for j in 0..n {
            y[j] += a[i * n + j] * tmp;
        }
    }
    Data::from([("y", y)])
}

pub(super) fn bicg(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (a, p, r) = (&d["A"], &d["p"], &d["r"]);
    let (mut s, mut q) = (vec![0.0; m], vec![0.0; n]);
    for i in 0..n {
        for j in 0..m {
            s[j] += r[i] * a[i * m + j];
            q[i] += a[i * m + j] * p[j];
        }
    }
    Data::from([("s", s), ("q", q)])
}

pub(super) fn doitgen(n: &Sizes, d: &Data) -> Data {
    let (nr, nq, np) = (n["NR"], n["NQ"], n["NP"]);
    let (mut a, c4) = (d["A"].clone(), &d["C4"]);
    for row in 0..nr * nq {
        let mut total = vec![0.0; np];
        for p in 0..np {
            for s in 0..np {
                total[p] += a[row * np + s] * c4[s * np + p];
            }
        }
        a[row * np..(row + 1) * np].copy_from_slice(&total);
    }
    Data::from([("A", a)])
}

pub(super) fn gemm(n: &Sizes, d: &Data) -> Data {
    let (ni, nj, nk) = (n["NI"], n["NJ"], n["NK"]);
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, b, mut c) = (&d["A"], &d["B"], d["C"].clone());
    for i in 0..ni {
        for j in 0..nj {
            c[i * nj + j] *= beta;
        }
        for k in 0..nk {
            for j in 0..nj {
                c[i * nj + j] += alpha * a[i * nk + k] * b[k * nj + j];
            }
        }
    }
    Data::from([("C", c)])
}

pub(super) fn gemver(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (u1, v1, u2, v2) = (&d["u1"], &d["v1"], &d["u2"], &d["v2"]);
    let (y, z) = (&d["y"], &d["z"]);
    let (mut a, mut x, mut w) = (d["A"].clone(), d["x"].clone(), d["w"].clone());
    for i in 0..n {
        for j in 0..n {
            a[i * n + j] = a[i * n + j] + u1[i] * v1[j] + u2[i] * v2[j];
        }
    }
    for i in 0..n {
        for j in 0..n {
            x[i] += beta * a[j * n + i] * y[j];
        }
        x[i] += z[i];
    }
    for i in 0..n {
        for j in 0..n {
            w[i] += alpha * a[i * n + j] * x[j];
        }
    }
    Data::from([("A", a), ("x", x), ("w", w)])
}

pub(super) fn gesummv(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, b, x) = (&d["A"], &d["B"], &d["x"]);
    let mut y = vec![0.0; n];
    for i in 0..n {
        let (mut first, mut second) = (0.0, 0.0);
        for j in 0..n {
            first += a[i * n + j] * x[j];
            second += b[i * n + j] * x[j];
        }
        y[i] = alpha * first + beta * second;
    }
    Data::from([("y", y)])
}

pub(super) fn mvt(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let (a, y1, y2) = (&d["A"], &d["y1"], &d["y2"]);
    let (mut x1, mut x2) = (d["x1"].clone(), d["x2"].clone());
    for i in 0..n {
        for j in 0..n {
            x1[i] += a[i * n + j] * y1[j];
        }
    }
    for i in 0..n {
        for j in 0..n {
            x2[i] += a[j * n + i] * y2[j];
        }
    }
    Data::from([("x1", x1), ("x2", x2)])
}

pub(super) fn symm(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, b, mut c) = (&d["A"], &d["B"], d["C"].clone());
    for i in 0..m {
        for j in 0..n {
            let mut total = 0.0;
            for k in 0..i {
                c[k * n + j] += alpha * b[i * n + j] * a[i * m + k];
                total += b[k * n + j] * a[i * m + k];
            }
            c[i * n + j] =
                beta * c[i * n + j] + alpha * b[i * n + j] * a[i * m + i] + alpha * total;
        }
    }
    Data::from([("C", c)])
}

pub(super) fn syr2k(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, b, mut c) = (&d["A"], &d["B"], d["C"].clone());
    for i in 0..n {
        for j in 0..=i {
            c[i * n + j] *= beta;
        }
        for k in 0..m {
            for j in 0..=i {
                c[i * n + j] +=
                    a[j * m + k] * alpha * b[i * m + k] + b[j * m + k] * alpha * a[i * m + k];
            }
        }
    }
    Data::from([("C", c)])
}

pub(super) fn syrk(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let (alpha, beta) = (d["alpha"][0], d["beta"][0]);
    let (a, mut c) = (&d["A"], d["C"].clone());
    for i in 0..n {
        for j in 0..=i {
            c[i * n + j] *= beta;
        }
        for k in 0..m {
            for j in 0..=i {
                c[i * n + j] += alpha * a[i * m + k] * a[j * m + k];
            }
        }
    }
    Data::from([("C", c)])
}

pub(super) fn trmm(n: &Sizes, d: &Data) -> Data {
    let (m, n) = (n["M"], n["N"]);
    let alpha = d["alpha"][0];
    let (a, mut b) = (&d["A"], d["B"].clone());
    for i in 0..m {
        for j in 0..n {
            for k in i + 1..m {
                b[i * n + j] += a[k * m + i] * b[k * n + j];
            }
            b[i * n + j] *= alpha;
        }
    }
    Data::from([("B", b)])
}
