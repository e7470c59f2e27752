//! Products of matrices that are measured: squares, and shapes that are long, thin or odd.

use std::error::Error;

use warploom::{Accumulation, DType, Keeps};
use warploom_contest::Product;

/// A product with the name of its shape.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `4096`, or `16x8192x8192` for m, n and k.
    pub(crate) shape: String,
    pub(crate) product: Product,
}

impl Case {
    /// `nn`, `nt`, `tn` or `tt`: how `A` and `B` are stored.
    pub(crate) const fn layout(&self) -> &'static str {
        match (self.product.a_transposed, self.product.b_transposed) {
            (false, false) => "nn",
            (false, true) => "nt",
            (true, false) => "tn",
            (true, true) => "tt",
        }
    }

    /// The einsum of the product.
    pub(crate) const fn einsum(&self) -> &'static str {
        match (self.product.a_transposed, self.product.b_transposed) {
            (false, false) => "mk,kn->mn",
            (false, true) => "mk,nk->mn",
            (true, false) => "km,kn->mn",
            (true, true) => "km,nk->mn",
        }
    }

    /// Types and shape, such as `bf16->f32 4096`.
    pub(crate) fn group(&self) -> String {
        let fast = if self.product.fast { " fast" } else { "" };
        format!("{}->{} {}{fast}", self.product.dtype, self.product.out, self.shape)
    }

    /// How sums of factors of 8 bits add: exactly what the tensor cores keep, or added in f32 after
    /// every 128 terms.
    pub(crate) fn accumulation(&self) -> Option<Accumulation> {
        let over = (!self.product.fast).then_some(128);
        let keeps = Some(Keeps { bits: 13, over });
        (self.product.dtype == DType::E4m3).then_some(Accumulation { acc: DType::F32, keeps })
    }

    /// The error that sums may have, in units of the sum of absolute products.
    pub(crate) fn bound(&self) -> f64 {
        let Product { dtype, fast, .. } = self.product;
        if dtype == DType::F64 {
            1e-12
        } else if dtype == DType::I8 {
            0.0
        } else if dtype == DType::E4m3 {
            if fast { 1e-3 } else { 1e-4 }
        } else {
            1e-5
        }
    }

    /// Floating-point operations.
    pub(crate) const fn operations(&self) -> f64 {
        2.0 * self.product.m as f64 * self.product.n as f64 * self.product.k as f64
    }

    /// Bytes of the three arrays.
    pub(crate) fn bytes(&self) -> usize {
        let Product { m, n, k, dtype, out, .. } = self.product;
        (m * k + k * n) * dtype.size_bytes() + m * n * out.size_bytes()
    }

    /// One line that [`Case::read`] reads.
    pub(crate) fn line(&self) -> String {
        let Product { dtype, out, .. } = self.product;
        let fast = if self.product.fast { " fast" } else { "" };
        format!("{} {} {dtype} {out}{fast}", self.shape, self.layout())
    }

    /// What [`Case::line`] wrote.
    pub(crate) fn read(line: &str) -> Result<Self, Box<dyn Error>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (shape, layout, dtype, out, fast) = match *words.as_slice() {
            [shape, layout, dtype, out] => (shape, layout, dtype, out, false),
            [shape, layout, dtype, out, "fast"] => (shape, layout, dtype, out, true),
            _ => return Err(format!("what is `{line}`?").into()),
        };
        let sizes: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
        let [m, n, k] = match *sizes.as_slice() {
            [n] => [n, n, n],
            [m, n, k] => [m, n, k],
            _ => return Err(format!("`{shape}` is no shape").into()),
        };
        let transposed = |at: usize| layout.as_bytes().get(at) == Some(&b't');
        let product = Product {
            m,
            n,
            k,
            a_transposed: transposed(0),
            b_transposed: transposed(1),
            dtype: dtype.parse()?,
            out: out.parse()?,
            fast,
        };
        Ok(Self { shape: shape.to_owned(), product })
    }
}

const SQUARES: [&str; 6] = ["512", "1024", "2048", "4096", "8192", "16384"];

const ODD: [&str; 8] = [
    "16x8192x8192",
    "64x8192x8192",
    "64x64x1048576",
    "8192x8192x64",
    "4096x4096x256",
    "300x5000x777",
    "1x8192x8192",
    "127x129x131",
];

const LAYOUTS: [&str; 4] = ["nn", "nt", "tn", "tt"];

const DTYPES: [DType; 2] = [DType::Bf16, DType::F16];

/// Other types: of factors and results, with the layouts that are measured.
const OTHERS: [(DType, &str, &[&str]); 5] = [
    (DType::Tf32, "f32", &["nn", "nt"]),
    (DType::I8, "i32", &["nt"]),
    (DType::E4m3, "bf16", &["nt"]),
    (DType::E4m3, "bf16 fast", &["nt"]),
    (DType::F64, "f64", &["nn", "nt"]),
];

/// What `quick` measures.
const QUICK: [&str; 9] = [
    "1024 nn bf16 bf16",
    "4096 nn bf16 bf16",
    "4096 nt bf16 bf16",
    "4096 nt bf16 f32",
    "4096 tn f16 f16",
    "8192 nn bf16 bf16",
    "16x8192x8192 nn bf16 bf16",
    "300x5000x777 nn bf16 bf16",
    "127x129x131 nn bf16 bf16",
];

/// What words name: shapes, layouts and types of `A` and `B`; nothing of a kind means all of it.
/// `quick` means a few cases.
pub(crate) fn wanted(words: &[String]) -> Result<Vec<Case>, Box<dyn Error>> {
    let (mut shapes, mut layouts, mut dtypes) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines = all();
    for word in words {
        if word == "quick" {
            lines = QUICK.map(str::to_owned).to_vec();
        } else if LAYOUTS.contains(&word.as_str()) {
            layouts.push(word.as_str());
        } else if DTYPES.iter().chain(OTHERS.iter().map(|o| &o.0)).any(|d| d.name() == word) {
            dtypes.push(word.as_str());
        } else if SQUARES.iter().chain(&ODD).any(|s| s == word) {
            shapes.push(word.as_str());
        } else {
            let known = [&SQUARES[..], &ODD, &LAYOUTS].concat().join(", ");
            let types = "bf16, f16, tf32, i8, e4m3, f64";
            return Err(format!("`{word}` is none of quick, {types}, {known}").into());
        }
    }
    let any = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
    let mut cases = Vec::new();
    for line in lines {
        let case = Case::read(&line)?;
        let dtype = case.product.dtype.name();
        if any(&shapes, &case.shape) && any(&layouts, case.layout()) && any(&dtypes, dtype) {
            cases.push(case);
        }
    }
    Ok(cases)
}

/// Every case, those that say most first: 16-bit outputs of squares in all layouts, odd shapes,
/// then f32 outputs, then other types.
fn all() -> Vec<String> {
    let mut lines = Vec::new();
    for dtype in DTYPES {
        for shape in SQUARES {
            lines.extend(LAYOUTS.map(|layout| format!("{shape} {layout} {dtype} {dtype}")));
        }
        lines.extend(ODD.map(|shape| format!("{shape} nn {dtype} {dtype}")));
    }
    for dtype in DTYPES {
        for shape in SQUARES {
            lines.extend(["nn", "nt"].map(|layout| format!("{shape} {layout} {dtype} f32")));
        }
        lines.extend(ODD.map(|shape| format!("{shape} nn {dtype} f32")));
    }
    for (dtype, out, layouts) in OTHERS {
        for shape in &SQUARES[1..] {
            lines.extend(layouts.iter().map(|layout| format!("{shape} {layout} {dtype} {out}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let cases = wanted(&[]).unwrap();
        assert_eq!(cases.len(), 2 * (24 + 8) + 2 * (12 + 8) + 7 * 5);
        for case in &cases {
            let again = Case::read(&case.line()).unwrap();
            assert_eq!((again.product, &again.shape), (case.product, &case.shape));
        }
        assert!(Case::read("4096 nn bf16").is_err());
        assert!(Case::read("4x4 nn bf16 f32").is_err());
    }

    #[test]
    fn words_choose() {
        let words = |list: &[&str]| -> Vec<String> { list.iter().map(|w| (*w).into()).collect() };
        let some = wanted(&words(&["4096", "tt", "tn", "f16"])).unwrap();
        let lines: Vec<String> = some.iter().map(Case::line).collect();
        assert_eq!(lines, ["4096 tn f16 f16", "4096 tt f16 f16"]);
        assert_eq!(wanted(&words(&["quick"])).unwrap().len(), QUICK.len());
        assert!(wanted(&words(&["5000"])).is_err());
    }
}
