//! Texts with a few edits of words and bytes: what parsers must survive.
//!
//! In: a text and a seed. Out: the same texts for the same seed, so that a failure repeats.
//! Keeps: a valid string; edits are few, so that a part of the texts is still valid.

/// A small generator of bits (xorshift).
pub struct Bits(u64);

impl Bits {
    /// A generator; every seed gives another sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // xorshift stays at 0 for ever
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % (n.max(1) as u64)).expect("it is below n")
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// What is inserted: pieces of every language of ours, limits of numbers, broken characters.
const ODD: [&str; 34] = [
    "é",
    "\u{0}",
    "\u{feff}",
    "((((",
    "..",
    "...",
    "1e999",
    "nan(",
    "0x",
    "-",
    "->",
    "=",
    "+=",
    ",",
    ".",
    ";",
    "\n",
    "#",
    "{",
    "}",
    "[",
    "]",
    ":",
    " ",
    "for",
    "in",
    "when",
    "0",
    "-1",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "as",
];

/// The text after one to four edits; `words` are inserted beside odd pieces.
#[must_use]
pub fn mutate(text: &str, words: &[&str], bits: &mut Bits) -> String {
    let mut pieces: Vec<String> =
        text.split_inclusive(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
    for _ in 0..=bits.below(4) {
        if pieces.is_empty() {
            pieces.push(" ".to_owned());
        }
        let (i, j) = (bits.below(pieces.len()), bits.below(pieces.len()));
        match bits.below(7) {
            0 => pieces.swap(i, j),
            1 => pieces.insert(i, pieces[j].clone()),
            2 => {
                pieces.remove(i);
            }
            3 => pieces[i] = without_a_byte(&pieces[i], bits),
            4 => pieces.truncate(pieces.len() - bits.below(3).min(pieces.len())),
            5 if !words.is_empty() => pieces.insert(i, format!("{} ", bits.pick(words))),
            _ => pieces.insert(i, (*bits.pick(&ODD)).to_owned()),
        }
    }
    pieces.concat()
}

fn without_a_byte(piece: &str, bits: &mut Bits) -> String {
    let mut bytes = piece.as_bytes().to_vec();
    if !bytes.is_empty() {
        bytes.remove(bits.below(bytes.len()));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_repeat_and_differ() {
        let all = |seed: u64| {
            let mut bits = Bits::new(seed);
            (0..200).map(|_| mutate("tile m by 4", &["k"], &mut bits)).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        let mut texts = all(3);
        texts.sort();
        texts.dedup();
        assert!(texts.len() > 100, "{}", texts.len());
    }
}
