//! Contracts about a schedule's code: what `require tensor_core, smem <= 200K` states.
//!
//! In: words of a script. Out: values that print as they are read. Why here: a script carries them;
//! whoever has the code checks them (`warploom::compile`).

use std::fmt;

use crate::affine::Name;

/// What the code of a schedule has to be like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// `coalesced A`: a warp's accesses to an array in memory touch no more sectors than their
    /// bytes fill, but for one where they begin between two.
    Coalesced(Name),
    /// `conflict_free As`: a warp's accesses to a buffer in shared memory take no more turns than
    /// their words fill banks.
    ConflictFree(Name),
}

impl Contract {
    /// The words that contracts begin with.
    pub const WORDS: [&str; 8] = [
        "tensor_core",
        "tma",
        "no_spill",
        "smem",
        "registers",
        "launches",
        "coalesced",
        "conflict_free",
    ];

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

    /// The contract of a word that is about an array or a buffer.
    #[must_use]
    pub fn about(word: &str, name: Name) -> Option<Self> {
        match word {
            "coalesced" => Some(Self::Coalesced(name)),
            "conflict_free" => Some(Self::ConflictFree(name)),
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
            Self::Coalesced(array) => write!(f, "coalesced {array}"),
            Self::ConflictFree(buffer) => write!(f, "conflict_free {buffer}"),
        }
    }
}
