//! Charts of a comparison: bars as text, and as SVG with the spread of the samples.
//!
//! In: names and times. Out: text. Keeps: bars are rates (longer is faster), the fastest fills the
//! width; the same input gives the same picture.

use std::fmt::Write as _;

use warploom::measure::Percentiles;

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Seconds.
    pub times: Percentiles,
    /// Each sample, in seconds.
    pub samples: Vec<f64>,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Operations of a run; none where they are not known, then rates are runs.
    pub operations: Option<f64>,
}

impl Unit {
    /// The rate of a time.
    #[must_use]
    pub fn rate(&self, seconds: f64) -> f64 {
        self.operations.unwrap_or(1.0) / seconds.max(f64::MIN_POSITIVE)
    }

    /// A rate as text: `712 TFLOP/s`, `3.1 GFLOP/s`, `120 runs/s`.
    #[must_use]
    pub fn text(&self, rate: f64) -> String {
        let unit = if self.operations.is_some() { "FLOP/s" } else { "runs/s" };
        let (scale, prefix) = match rate {
            r if r >= 1e12 => (1e12, "T"),
            r if r >= 1e9 => (1e9, "G"),
            r if r >= 1e6 => (1e6, "M"),
            r if r >= 1e3 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let value = rate / scale;
        if value >= 100.0 {
            format!("{value:.0} {prefix}{unit}")
        } else {
            format!("{value:.2} {prefix}{unit}")
        }
    }
}

/// Characters of the longest bar.
const WIDTH: usize = 40;

/// Bars as text, a line for each.
#[must_use]
pub fn text(bars: &[Bar], unit: Unit) -> String {
    let rates: Vec<f64> = bars.iter().map(|b| unit.rate(b.times.median)).collect();
    let most = rates.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let wide = bars.iter().map(|b| b.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (bar, rate) in bars.iter().zip(rates) {
        let length = ((rate / most * WIDTH as f64).round() as usize).clamp(1, WIDTH);
        let space = " ".repeat(wide - bar.name.chars().count());
        let _ = writeln!(
            out,
            "{}{space} |{}{} {}",
            bar.name,
            "#".repeat(length),
            " ".repeat(WIDTH - length),
            unit.text(rate)
        );
    }
    out
}

/// Places of the picture, in its own units.
const LEFT: f64 = 190.0;
const ROW: f64 = 34.0;
const TOP: f64 = 54.0;
const LONG: f64 = 470.0;
const RIGHT: f64 = 150.0;

/// Bars as SVG: the median's bar, a line from the 10th to the 90th percentile, a dot for each
/// sample.
#[must_use]
pub fn svg(title: &str, note: &str, bars: &[Bar], unit: Unit) -> String {
    let rates = |b: &Bar| b.samples.iter().map(|s| unit.rate(*s)).collect::<Vec<_>>();
    let fast = |b: &Bar| unit.rate(b.times.p10).max(unit.rate(b.times.median));
    let most = bars.iter().map(fast).fold(f64::MIN_POSITIVE, f64::max);
    let x = |rate: f64| LEFT + (rate / most).min(1.0) * LONG;
    let (width, height) = (LEFT + LONG + RIGHT, TOP + ROW * bars.len() as f64 + 40.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (k, bar) in bars.iter().enumerate() {
        let (y, rate) = (TOP + ROW * k as f64, unit.rate(bar.times.median));
        let middle = y + 11.0;
        let ends = [x(unit.rate(bar.times.p90)), x(unit.rate(bar.times.p10))];
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"22\" fill=\"#7aa6c2\"/>\n\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" \
             stroke=\"#1f3b4d\" stroke-width=\"2\"/>",
            LEFT - 10.0,
            y + 16.0,
            escaped(&bar.name),
            x(rate) - LEFT,
            ends[0],
            ends[1],
        );
        for sample in rates(bar) {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"1.5\" fill=\"#1f3b4d\" \
                 fill-opacity=\"0.4\"/>",
                x(sample)
            );
        }
        let at = ends[1].max(x(rate)) + 8.0;
        let _ =
            writeln!(out, "<text x=\"{at:.1}\" y=\"{:.1}\">{}</text>", y + 16.0, unit.text(rate));
    }
    let _ = writeln!(
        out,
        "<text x=\"16\" y=\"{:.1}\" font-size=\"11\" fill=\"#555555\">{}</text>\n</svg>",
        height - 14.0,
        escaped(note)
    );
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Vec<Bar> {
        let bar = |name: &str, ms: f64| {
            let samples: Vec<f64> = [0.9, 1.0, 1.1].iter().map(|f| f * ms * 1e-3).collect();
            Bar { name: name.to_owned(), times: Percentiles::of(samples.clone()), samples }
        };
        vec![bar("automatic", 2.0), bar("a & <b>", 4.0), bar("slow", 400.0)]
    }

    #[test]
    fn the_fastest_bar_fills_the_width() {
        let text = text(&bars(), Unit { operations: Some(2e9) });
        let lines: Vec<&str> = text.lines().collect();
        let length = |line: &str| line.matches('#').count();
        assert_eq!([length(lines[0]), length(lines[1]), length(lines[2])], [40, 20, 1], "{text}");
        assert!(lines[0].ends_with("1.00 TFLOP/s") && lines[2].ends_with("5.00 GFLOP/s"), "{text}");
        let pipes: Vec<usize> = lines.iter().filter_map(|l| l.find('|')).collect();
        assert!(pipes.iter().all(|p| *p == pipes[0]), "{text}");
        assert!(super::text(&[], Unit { operations: None }).is_empty());
    }

    #[test]
    fn pictures_are_well_formed() {
        let svg = svg("a \"title\"", "n = 3", &bars(), Unit { operations: None });
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        assert!(svg.contains("a &amp; &lt;b&gt;") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 9);
        assert_eq!(svg.matches('"').count() % 2, 0);
    }

    #[test]
    fn rates_have_units() {
        let unit = Unit { operations: None };
        assert_eq!(unit.text(120.0), "120 runs/s");
        assert_eq!(unit.text(1234.0), "1.23 kruns/s");
        assert_eq!(Unit { operations: Some(1.0) }.text(7.1e14), "710 TFLOP/s");
    }
}
