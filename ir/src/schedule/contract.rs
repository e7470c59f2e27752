//! Contracts about a schedule's code: what `require tensor_core, smem <= 200K` states.
//!
//! In: words of a script. Out: values that print as they are read. Why here: a script carries them;
//! whoever has the code checks them (`warploom::compile`).

use std::fmt;

/// What the code of a schedule has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Contract {
    /// `tensor_core`: a matrix instruction multiplies.
    TensorCore,
    /// `tma`: the copy engine moves boxes.
    CopyEngine,
    /// `no_spill`: no thread keeps registers in memory.
    NoSpill,
    /// `smem <= 200K`: shared memory of a block, in bytes.
    Shared(i64),
    /// `registers <= 168`: registers of a thread.
    Registers(i64),
    /// `launches <= 1`: functions that the code has, whatever loops of the host repeat them.
    Launches(i64),
}

impl Contract {
    /// The words that contracts begin with.
    pub const WORDS: [&str; 6] =
        ["tensor_core", "tma", "no_spill", "smem", "registers", "launches"];

    /// The contract of a word that stands alone.
    #[must_use]
    pub fn alone(word: &str) -> Option<Self> {
        match word {
            "tensor_core" => Some(Self::TensorCore),
            "tma" => Some(Self::CopyEngine),
            "no_spill" => Some(Self::NoSpill),
            _ => None,
        }
    }

    /// The contract of a word that has a limit.
    #[must_use]
    pub fn limited(word: &str, most: i64) -> Option<Self> {
        match word {
            "smem" => Some(Self::Shared(most)),
            "registers" => Some(Self::Registers(most)),
            "launches" => Some(Self::Launches(most)),
            _ => None,
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TensorCore => f.write_str("tensor_core"),
            Self::CopyEngine => f.write_str("tma"),
            Self::NoSpill => f.write_str("no_spill"),
            Self::Shared(most) => write!(f, "smem <= {most}"),
            Self::Registers(most) => write!(f, "registers <= {most}"),
            Self::Launches(most) => write!(f, "launches <= {most}"),
        }
    }
}
