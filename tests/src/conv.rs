//! Convolutions as nests: one to three dimensions, strides, dilation, padding, groups, layouts.
//!
//! In: sizes along each dimension and how channels lie. Out: the nest's text. Keeps: what a user
//! would write: padding is a guard on the elements of the image that there are.

use std::fmt::Write as _;

/// One dimension of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Along {
    /// Elements of the image.
    pub size: i64,
    /// Elements of the filter.
    pub taps: i64,
    /// From one result to the next in the image.
    pub stride: i64,
    /// From one element of the filter to the next in the image.
    pub dilation: i64,
    /// Zeros on either side of the image.
    pub pad: i64,
}

impl Along {
    /// A filter of so many elements over an image of so many.
    #[must_use]
    pub const fn plain(size: i64, taps: i64) -> Self {
        Self { size, taps, stride: 1, dilation: 1, pad: 0 }
    }

    /// Results along the dimension.
    #[must_use]
    pub const fn results(&self) -> i64 {
        (self.size + 2 * self.pad - self.dilation * (self.taps - 1) - 1) / self.stride + 1
    }
}

/// A convolution.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Images.
    pub images: i64,
    /// Its dimensions, the outermost first.
    pub along: Vec<Along>,
    /// Channels of the image and of the result, in each group.
    pub channels: [i64; 2],
    /// Groups of channels; one is none, and no dimension of the arrays.
    pub groups: i64,
    /// Channels are the last dimension (NHWC), else they are before the image's (NCHW).
    pub last: bool,
    /// The type of image and filter, of the sums, and of the results.
    pub types: [&'static str; 3],
}

impl Conv {
    /// A convolution of bf16 with f32 sums, channels last.
    #[must_use]
    pub fn of(along: &[Along], channels: [i64; 2]) -> Self {
        let types = ["bf16", "f32", "bf16"];
        Self { images: 2, along: along.to_vec(), channels, groups: 1, last: true, types }
    }

    /// The nest's text.
    #[must_use]
    pub fn nest(&self) -> String {
        let rank = self.along.len();
        let named = |letter: &str| (0..rank).map(|d| format!("{letter}{d}")).collect::<Vec<_>>();
        let (out, taps) = (named("p"), named("r"));
        let place = |d: usize| {
            let a = &self.along[d];
            let times = |n: i64, of: &str| if n == 1 { of.into() } else { format!("{n}*{of}") };
            let shift = if a.pad > 0 { format!(" - {}", a.pad) } else { String::new() };
            format!("{} + {}{shift}", times(a.stride, &out[d]), times(a.dilation, &taps[d]))
        };
        let places: Vec<String> = (0..rank).map(place).collect();
        let group: Vec<(String, i64)> =
            (self.groups > 1).then(|| ("g".to_owned(), self.groups)).into_iter().collect();
        let sized = |names: &[String], size: &dyn Fn(&Along) -> i64| -> Vec<(String, i64)> {
            names.iter().cloned().zip(self.along.iter().map(size)).collect()
        };
        let channel = |name: &str, at: usize| vec![(name.to_owned(), self.channels[at])];
        let laid = |first: Vec<(String, i64)>, image, channels: Vec<(String, i64)>| {
            let parts = if self.last { [first, image, channels] } else { [first, channels, image] };
            parts.concat()
        };
        let grouped = |c: Vec<(String, i64)>| [group.clone(), c].concat();
        let n = || vec![("n".to_owned(), self.images)];
        let image = laid(n(), sized(&places, &|a| a.size), grouped(channel("c", 0)));
        let filter = laid(grouped(channel("k", 1)), sized(&taps, &|a| a.taps), channel("c", 0));
        let result = laid(n(), sized(&out, &Along::results), grouped(channel("k", 1)));
        self.text([&image, &filter, &result], &taps, &places)
    }

    fn text(
        &self,
        [image, filter, result]: [&[(String, i64)]; 3],
        taps: &[String],
        places: &[String],
    ) -> String {
        let shape = |of: &[(String, i64)]| join(of.iter().map(|d| d.1.to_string()));
        let at = |of: &[(String, i64)]| join(of.iter().map(|d| d.0.clone()));
        let loops =
            |of: &[(String, i64)]| join(of.iter().map(|d| format!("{} in 0..{}", d.0, d.1)));
        let [factor, sums, results] = self.types;
        let mut out = format!(
            "in I: {factor}[{}]\nin W: {factor}[{}]\nout O: {results}[{s}]\n\
             temp Acc: {sums}[{s}]\n",
            shape(image),
            shape(filter),
            s = shape(result)
        );
        let element = at(result);
        let mut inner: Vec<(String, i64)> =
            taps.iter().cloned().zip(self.along.iter().map(|a| a.taps)).collect();
        inner.push(("c".to_owned(), self.channels[0]));
        let zero = if sums.starts_with('i') { "0" } else { "0.0" };
        let _ = write!(
            out,
            "for {} {{\nS0: Acc[{element}] = {zero}\nfor {} {{\n",
            loops(result),
            loops(&inner)
        );
        let padded = self.along.iter().zip(places).filter(|(a, _)| a.pad > 0);
        let inside: Vec<String> =
            padded.map(|(a, place)| format!("0 <= {place} < {}", a.size)).collect();
        let guard = if inside.is_empty() { String::new() } else { inside.join(" and ") };
        if !guard.is_empty() {
            let _ = writeln!(out, "if {guard} {{");
        }
        let _ =
            writeln!(out, "S1: Acc[{element}] += I[{}] * W[{}] order fixed", at(image), at(filter));
        if !guard.is_empty() {
            out.push_str("}\n");
        }
        let _ = write!(out, "}}\nS2: O[{element}] = Acc[{element}]\n}}\n");
        out
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
