//! Numbers of a machine that can be measured on it: by name, so that a file can hold them.
//!
//! In: a machine. Out: one of its numbers, or the machine with another one. Keeps: only what
//! microbenchmarks tell is here; sizes come from the driver, the rest stays what is described.

use super::machine::Machine;

/// A number of a [`Machine`] that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constant {
    /// Seconds between two events around a launch that does nothing.
    Launch,
    /// Bytes a second that copies reach from and to memory.
    Memory,
    /// Bytes a clock that all multiprocessors get from the second-level cache.
    Cache,
    /// Bytes a clock of shared memory.
    Shared,
    /// Products a clock of a multiprocessor, of f16 and bf16.
    Half,
    /// As [`Self::Half`] of tf32.
    Tf32,
    /// As [`Self::Half`] of 8-bit floats.
    Float8,
    /// As [`Self::Half`] of 8-bit integers.
    Int8,
    /// As [`Self::Half`] of f64.
    Double,
    /// Joules of a product of 16-bit factors, which limits what runs for long.
    Product,
}

impl Constant {
    /// All, in an order in which each can be told when those before it are known.
    pub const ALL: [Self; 10] = [
        Self::Launch,
        Self::Memory,
        Self::Cache,
        Self::Shared,
        Self::Half,
        Self::Tf32,
        Self::Float8,
        Self::Int8,
        Self::Double,
        Self::Product,
    ];

    /// Its word in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Memory => "memory",
            Self::Cache => "cache",
            Self::Shared => "shared",
            Self::Half => "half",
            Self::Tf32 => "tf32",
            Self::Float8 => "float8",
            Self::Int8 => "int8",
            Self::Double => "double",
            Self::Product => "product",
        }
    }

    /// What it is a number of.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Launch => "seconds",
            Self::Memory => "bytes a second",
            Self::Cache | Self::Shared => "bytes a clock",
            Self::Half | Self::Tf32 | Self::Float8 | Self::Int8 | Self::Double => {
                "products a clock of a multiprocessor"
            }
            Self::Product => "joules",
        }
    }

    /// The constant of a word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == word)
    }

    /// Its value on a machine.
    #[must_use]
    pub fn of(self, m: &Machine) -> f64 {
        *self.place(&mut { *m })
    }

    /// The machine with this value instead.
    #[must_use]
    pub fn with(self, m: &Machine, value: f64) -> Machine {
        let mut changed = *m;
        *self.place(&mut changed) = value;
        changed
    }

    fn place(self, m: &mut Machine) -> &mut f64 {
        match self {
            Self::Launch => &mut m.fitted.launch,
            Self::Memory => &mut m.memory,
            Self::Cache => &mut m.cache,
            Self::Shared => &mut m.shared,
            Self::Half => &mut m.products.half,
            Self::Tf32 => &mut m.products.tf32,
            Self::Float8 => &mut m.products.float8,
            Self::Int8 => &mut m.products.int8,
            Self::Double => &mut m.products.double,
            Self::Product => &mut m.fitted.product,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::H200;
    use super::*;

    #[test]
    fn each_is_a_number_of_its_own_and_found_by_its_word() {
        for c in Constant::ALL {
            assert_eq!(Constant::named(c.name()), Some(c));
            let changed = c.with(&H200, 2.0 * c.of(&H200));
            for other in Constant::ALL {
                let factor = if other == c { 2.0 } else { 1.0 };
                assert_eq!(other.of(&changed), factor * other.of(&H200), "{c:?} {other:?}");
            }
        }
        assert_eq!(Constant::named("clock"), None);
    }
}
