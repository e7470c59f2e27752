//! Stencils, filters and dynamic programming, as plain loops.

use super::{Data, Sizes};

/// Eliminates and substitutes along one direction: `write[at(i, j)]` solves, for each inner i, a
/// tridiagonal system over j whose right side comes from `read[across(i, j)]`; it has off-diagonal
/// entries -r and centre 1 + 2 r, the explicit part the same with s.
fn half_step(
    n: usize,
    (r, s): (f64, f64),
    read: &[f64],
    write: &mut [f64],
    at: &dyn Fn(usize, usize) -> usize,
) {
    let (a, b, d) = (-r / 2.0, 1.0 + r, -s / 2.0);
    for i in 1..n - 1 {
        let (mut p, mut q) = (vec![0.0; n], vec![1.0; n]);
        write[at(i, 0)] = 1.0;
        for j in 1..n - 1 {
            let pivot = a * p[j - 1] + b;
            p[j] = -a / pivot;
            q[j] = (-d * read[at(i - 1, j)] + (1.0 + 2.0 * d) * read[at(i, j)]
                - d * read[at(i + 1, j)]
                - a * q[j - 1])
                / pivot;
        }
        write[at(i, n - 1)] = 1.0;
        for j in (1..n - 1).rev() {
            write[at(i, j)] = p[j] * write[at(i, j + 1)] + q[j];
        }
    }
}

pub(super) fn adi(n: &Sizes, d: &Data) -> Data {
    let (t, n) = (n["T"], n["N"]);
    let mut u = d["u"].clone();
    let mut v = vec![0.0; n * n];
    let (dx, dt) = (1.0 / n as f64, 1.0 / t as f64);
    let (mul1, mul2) = (2.0 * dt / (dx * dx), 1.0 * dt / (dx * dx));
    for _ in 0..t {
        half_step(n, (mul1, mul2), &u, &mut v, &|i, j| j * n + i);
        half_step(n, (mul2, mul1), &v, &mut u, &|i, j| i * n + j);
    }
    Data::from([("u", u)])
}

/// A causal filter of second order: b1 and b2 weigh what came out, a0, a1, a2 what goes in now, one
/// and two places before.
struct Filter {
    a: [f64; 3],
    b: [f64; 2],
}

impl Filter {
    fn run(&self, input: &mut dyn Iterator<Item = f64>) -> Vec<f64> {
        let (mut x, mut y) = ([0.0; 2], [0.0; 2]);
        let mut out = Vec::new();
        for now in input {
            let [a0, a1, a2] = self.a;
            let next = a0 * now + a1 * x[0] + a2 * x[1] + self.b[0] * y[0] + self.b[1] * y[1];
            x = [now, x[0]];
            y = [next, y[0]];
            out.push(next);
        }
        out
    }
}

pub(super) fn deriche(n: &Sizes, d: &Data) -> Data {
    let (w, h) = (n["W"], n["H"]);
    let alpha = d["alpha"][0];
    let decay = (-alpha).exp();
    let gain = (1.0 - decay) * (1.0 - decay) / (1.0 + 2.0 * alpha * decay - (2.0 * alpha).exp());
    let b = [2.0_f64.powf(-alpha), -(-2.0 * alpha).exp()];
    let causal = Filter { a: [gain, gain * decay * (alpha - 1.0), 0.0], b };
    let ahead = [0.0, gain * decay * (alpha + 1.0), -gain * (-2.0 * alpha).exp()];
    let anticausal = Filter { a: ahead, b };
    let smooth = |line: Vec<f64>| -> Vec<f64> {
        let forwards = causal.run(&mut line.iter().copied());
        let backwards = anticausal.run(&mut line.iter().rev().copied());
        forwards.iter().zip(backwards.iter().rev()).map(|(a, b)| a + b).collect()
    };
    let mut out = d["image"].clone();
    for i in 0..w {
        let row = smooth(out[i * h..(i + 1) * h].to_vec());
        out[i * h..(i + 1) * h].copy_from_slice(&row);
    }
    for j in 0..h {
        let column = smooth((0..w).map(|i| out[i * h + j]).collect());
        for i in 0..w {
            out[i * h + j] = column[i];
        }
    }
    Data::from([("smooth", out)])
}

pub(super) fn fdtd_2d(n: &Sizes, d: &Data) -> Data {
    let (t, nx, ny) = (n["T"], n["NX"], n["NY"]);
    let (mut ex, mut ey, mut hz) = (d["ex"].clone(), d["ey"].clone(), d["hz"].clone());
    for time in 0..t {
        for j in 0..ny {
            ey[j] = d["source"][time];
        }
        for i in 1..nx {
            for j in 0..ny {
                ey[i * ny + j] -= 0.5 * (hz[i * ny + j] - hz[(i - 1) * ny + j]);
            }
        }
        for i in 0..nx {
            for j in 1..ny {
                ex[i * ny + j] -= 0.5 * (hz[i * ny + j] - hz[i * ny + j - 1]);
            }
        }
        for i in 0..nx - 1 {
            for j in 0..ny - 1 {
                let here = i * ny + j;
                hz[here] -= 0.7 * (ex[here + 1] - ex[here] + ey[here + ny] - ey[here]);
            }
        }
    }
    Data::from([("ex", ex), ("ey", ey), ("hz", hz)])
}

pub(super) fn heat_3d(n: &Sizes, d: &Data) -> Data {
    let (t, n) = (n["T"], n["N"]);
    let (mut a, mut b) = (d["A"].clone(), d["B"].clone());
    let sweep = |from: &[f64], to: &mut [f64]| {
        for i in 1..n - 1 {
            for j in 1..n - 1 {
                for k in 1..n - 1 {
                    let here = (i * n + j) * n + k;
                    let second = |by: usize| from[here + by] - 2.0 * from[here] + from[here - by];
                    to[here] =
                        0.125 * second(n * n) + 0.125 * second(n) + 0.125 * second(1) + from[here];
                }
            }
        }
    };
    for _ in 0..t {
        sweep(&a, &mut b);
        sweep(&b, &mut a);
    }
    Data::from([("A", a), ("B", b)])
}

pub(super) fn jacobi_1d(n: &Sizes, d: &Data) -> Data {
    let (t, n) = (n["T"], n["N"]);
    let (mut a, mut b) = (d["A"].clone(), d["B"].clone());
    for _ in 0..t {
        for i in 1..n - 1 {
            b[i] = 0.33333 * (a[i - 1] + a[i] + a[i + 1]);
        }
        for i in 1..n - 1 {
            a[i] = 0.33333 * (b[i - 1] + b[i] + b[i + 1]);
        }
    }
    Data::from([("A", a), ("B", b)])
}

pub(super) fn jacobi_2d(n: &Sizes, d: &Data) -> Data {
    let (t, n) = (n["T"], n["N"]);
    let (mut a, mut b) = (d["A"].clone(), d["B"].clone());
    let sweep = |from: &[f64], to: &mut [f64]| {
        for i in 1..n - 1 {
            for j in 1..n - 1 {
                let at = i * n + j;
                to[at] =
                    0.2 * (from[at] + from[at - 1] + from[at + 1] + from[at + n] + from[at - n]);
            }
        }
    };
    for _ in 0..t {
        sweep(&a, &mut b);
        sweep(&b, &mut a);
    }
    Data::from([("A", a), ("B", b)])
}

pub(super) fn seidel_2d(n: &Sizes, d: &Data) -> Data {
    let (t, n) = (n["T"], n["N"]);
    let mut a = d["A"].clone();
    for _ in 0..t {
        for i in 1..n - 1 {
            for j in 1..n - 1 {
                let mut total = a[(i - 1) * n + j - 1];
                total += a[(i - 1) * n + j];
                total += a[(i - 1) * n + j + 1];
                total += a[i * n + j - 1];
                total += a[i * n + j];
                total += a[i * n + j + 1];
                total += a[(i + 1) * n + j - 1];
                total += a[(i + 1) * n + j];
                total += a[(i + 1) * n + j + 1];
                a[i * n + j] = total / 9.0;
            }
        }
    }
    Data::from([("A", a)])
}

pub(super) fn floyd_warshall(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let mut path: Vec<i32> = d["path"].iter().map(|v| *v as i32).collect();
    for k in 0..n {
        for i in 0..n {
            for j in 0..n {
                path[i * n + j] = path[i * n + j].min(path[i * n + k] + path[k * n + j]);
            }
        }
    }
    Data::from([("path", path.into_iter().map(f64::from).collect())])
}

pub(super) fn nussinov(n: &Sizes, d: &Data) -> Data {
    let n = n["N"];
    let seq: Vec<i32> = d["seq"].iter().map(|v| *v as i32).collect();
    let mut table: Vec<i32> = d["table"].iter().map(|v| *v as i32).collect();
    for i in (0..n).rev() {
        for j in i + 1..n {
            let mut best = table[i * n + j].max(table[i * n + j - 1]);
            if i + 1 < n {
                best = best.max(table[(i + 1) * n + j]);
                let pair = i + 1 < j && seq[i] + seq[j] == 3;
                best = best.max(table[(i + 1) * n + j - 1] + i32::from(pair));
            }
            for k in i + 1..j {
                best = best.max(table[i * n + k] + table[(k + 1) * n + j]);
            }
            table[i * n + j] = best;
        }
    }
    Data::from([("table", table.into_iter().map(f64::from).collect())])
}
