//! The constants of Ozaki scheme II, in exact integer arithmetic.
//!
//! In: how many moduli. Out: their product, the weights with which residues give the sum as a
//! fraction of the product.
//! Keeps: everything is rounded once, from exact integers.
//! Why here: a nest's text holds these numbers, and nobody can check them by eye.
//! Source: Y. Uchino, K. Ozaki, T. Imamura, Ozaki scheme II (2025), for the moduli; the weights are
//! those of the Chinese remainder theorem divided by the product.

/// Pairwise coprime, of at most 8 bits, the largest first.
pub(super) const ALL: [u32; 20] = [
    256, 255, 253, 251, 247, 241, 239, 233, 229, 227, 223, 217, 211, 199, 197, 193, 191, 181, 179,
    173,
];

/// A natural number, its 32-bit digits from the lowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl Natural {
    /// The product of small numbers.
    pub(super) fn product(of: &[u32]) -> Self {
        let mut digits = vec![1_u32];
        for factor in of {
            let mut carry = 0_u64;
            for digit in &mut digits {
                let all = u64::from(*digit) * u64::from(*factor) + carry;
                *digit = low(all);
                carry = all >> 32;
            }
            if carry > 0 {
                digits.push(low(carry));
            }
        }
        Self(digits)
    }

    /// Bits up to the leading one.
    pub(super) fn bits(&self) -> u32 {
        let top = self.0.iter().rposition(|d| *d > 0);
        top.map_or(0, |k| {
            32 * u32::try_from(k).unwrap_or(u32::MAX) + 32 - self.0[k].leading_zeros()
        })
    }

    /// A sum of two f64: the leading 53 bits, and the rest to as many.
    pub(super) fn to_f64s(&self) -> [f64; 2] {
        let bits = self.bits();
        let bit = |k: u32| u64::from(self.0[k as usize / 32] >> (k % 32) & 1);
        let part = |from: u32| {
            let start = from.saturating_sub(53);
            let digits = (start..from).rev().fold(0_u64, |n, k| n << 1 | bit(k));
            digits as f64 * 2_f64.powi(i32::try_from(start).unwrap_or(i32::MAX))
        };
        [part(bits), part(bits.saturating_sub(53))]
    }
}

/// The lower half.
fn low(v: u64) -> u32 {
    u32::try_from(v & u64::from(u32::MAX)).expect("32 bits")
}

/// `a / b` to the nearest integer.
const fn nearest(a: u128, b: u128) -> u128 {
    (a + b / 2) / b
}

/// The factor that undoes `a` modulo `p`.
fn inverse(a: u64, p: u64) -> u64 {
    (0..p).find(|x| x * (a % p) % p == 1 % p).expect("moduli are coprime")
}

/// 2^38 / p: an i32 for every modulus above 128.
pub(super) fn reciprocal(p: u32) -> i32 {
    i32::try_from(nearest(1 << 38, p.into())).expect("moduli are more than 128")
}

/// Factors of the residues modulo each of some numbers, the product of the others: the sum is one
/// number that stands for all of them.
pub(super) fn joined(of: &[u32]) -> Vec<i32> {
    let product: u32 = of.iter().product();
    of.iter().map(|p| (product / p).cast_signed()).collect()
}

/// The weight of a number that stands for `group`, some of the moduli `all`: what it adds to the
/// sum, as a fraction of the moduli's product, in signed digits of 32 bits from the lowest.
pub(super) fn weight(group: &[u32], all: &[u32], digits: u32) -> Vec<i32> {
    let product: u64 = group.iter().map(|p| u64::from(*p)).product();
    // modulo each of the group, what undoes the product of all others
    let own = group.iter().map(|p| {
        let (p, rest) = (u64::from(*p), product / u64::from(*p));
        let others = all.iter().map(|q| u64::from(*q)).filter(|q| *q != p);
        let others = others.fold(1 % p, |r, q| r * (q % p) % p);
        rest * (inverse(others, p) * inverse(rest, p) % p)
    });
    let (mut left, mut quotient) = (own.sum::<u64>() % product, Vec::new());
    // one more bit, for rounding, by long division
    for _ in 0..digits {
        left <<= 32;
        quotient.push(low(left / product));
        left %= product;
    }
    let mut carry = i64::from(2 * left >= product);
    let signed = |digit: &u32| {
        let all = i64::from(*digit) + carry;
        carry = i64::from(all >= 1 << 31);
        low((all & i64::from(u32::MAX)).cast_unsigned()).cast_signed()
    };
    quotient.iter().rev().map(signed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moduli_are_coprime() {
        let gcd = |mut a: u32, mut b: u32| {
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        for (i, a) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|b| gcd(*a, *b) == 1 && a < b), "{a}");
        }
    }

    #[test]
    fn products_are_exact_and_cut_late() {
        for count in 1..=15 {
            let exact = ALL[..count].iter().fold(1_u128, |n, p| n * u128::from(*p));
            let product = Natural::product(&ALL[..count]);
            assert_eq!(product.bits(), 128 - exact.leading_zeros());
            let parts = product.to_f64s().map(|part| part as u128);
            let lost = exact - parts[0] - parts[1];
            assert!(lost < 1 << product.bits().saturating_sub(106), "{count}: {lost}");
        }
        assert_eq!(Natural::product(&ALL).bits(), 156);
    }

    /// The residues of a number give its fraction of the product back.
    #[test]
    fn weights_give_the_number_back() {
        for count in [2, 4, 6, 7, 14] {
            let all = &ALL[..count];
            let product = all.iter().fold(1_u128, |n, p| n * u128::from(*p));
            for number in [0, 1, 12_345, product / 3, product / 2 - 1] {
                let mut sum = 0_i128;
                for group in all.chunks(3) {
                    let digits = weight(group, all, 3);
                    let whole = digits.iter().rev().fold(0_i128, |n, d| (n << 32) + i128::from(*d));
                    let rest = |p: u32| i128::try_from(number % u128::from(p)).expect("small");
                    let of = group.iter().zip(joined(group)).map(|(p, x)| rest(*p) * i128::from(x));
                    sum += of.sum::<i128>() * whole;
                }
                let fraction = (sum & ((1 << 96) - 1)) as f64 / 2_f64.powi(96);
                let want = number as f64 / product as f64;
                // fractions wrap
                let off = (fraction - want) - (fraction - want).round();
                assert!(off.abs() < 1e-15, "{count} {number}: {fraction} {want}");
            }
        }
    }

    /// Reciprocals lead to the remainders of sums, for all that they meet.
    #[test]
    fn reciprocals_give_remainders() {
        for p in ALL {
            let divisor = i64::from(p);
            for s in [0_i64, 1, 127, 128, i64::from(i32::MAX), i64::from(i32::MIN), -1, 123_456_789]
            {
                let q = (s * i64::from(reciprocal(p)) + (1 << 37)) >> 38;
                let residue = s - q * divisor;
                assert!((-128..=128).contains(&residue), "{s} modulo {p}: {residue}");
                assert!(p == 256 || residue < 128, "{s} modulo {p}: {residue}");
            }
        }
    }
}
