//! The machines that code is generated for, their limits, and the places a GPU has for the
//! iterations of a loop.
//!
//! Keeps: the text of a target or place parses back to it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::diag::Diagnostic;

/// A machine that code is generated for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// This machine's processor.
    #[default]
    Cpu,
    /// A100, and every NVIDIA GPU after it.
    Sm80,
    /// A40, A10 and the RTX 30 series: less shared memory.
    Sm86,
    /// L40S, L4 and the RTX 40 series.
    Sm89,
    /// H100 and H200, with their tensor-core instructions.
    Sm90a,
    /// B200, with its tensor-core instructions.
    Sm100a,
    /// B300: as B200, without integers on its matrix units of tensor memory.
    Sm103a,
    /// The RTX 50 series, whose tensor cores take factors from registers.
    Sm120,
}

/// What one GPU can hold and which assembler text it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuLimits {
    /// Version of the PTX text, as 86 for 8.6.
    pub ptx_isa: u32,
    /// Most threads of a block.
    pub block_threads: u32,
    /// Most threads of a block along x, y and z.
    pub block: [u32; 3],
    /// Most blocks of a grid along x, y and z.
    pub grid: [u32; 3],
    /// Most bytes of shared memory of a block.
    pub shared_bytes: u32,
    /// 32-bit registers that the threads running at once on one multiprocessor share.
    pub registers: u32,
}

/// A direction of a grid and of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    /// The first: neighbours along it are neighbours in a warp.
    X,
    /// The second.
    Y,
    /// The third.
    Z,
}

impl Axis {
    /// Its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::X => 0,
            Self::Y => 1,
            Self::Z => 2,
        }
    }
}

/// Where the iterations of a loop run at the same time on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On different blocks of the grid.
    Block(Axis),
    /// On different threads of a block.
    Thread(Axis),
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 6] = [
        Self::Block(Axis::X),
        Self::Block(Axis::Y),
        Self::Block(Axis::Z),
        Self::Thread(Axis::X),
        Self::Thread(Axis::Y),
        Self::Thread(Axis::Z),
    ];

    /// Its text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block(Axis::X) => "block.x",
            Self::Block(Axis::Y) => "block.y",
            Self::Block(Axis::Z) => "block.z",
            Self::Thread(Axis::X) => "thread.x",
            Self::Thread(Axis::Y) => "thread.y",
            Self::Thread(Axis::Z) => "thread.z",
        }
    }

    /// The place of this text.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text)
    }
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Sm80,
        Self::Sm86,
        Self::Sm89,
        Self::Sm90a,
        Self::Sm100a,
        Self::Sm103a,
        Self::Sm120,
    ];

    /// Its text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Sm80 => "sm_80",
            Self::Sm86 => "sm_86",
            Self::Sm89 => "sm_89",
            Self::Sm90a => "sm_90a",
            Self::Sm100a => "sm_100a",
            Self::Sm103a => "sm_103a",
            Self::Sm120 => "sm_120",
        }
    }

    /// The limits of a GPU; `None` for the processor.
    #[must_use]
    pub const fn gpu(self) -> Option<GpuLimits> {
        let (ptx_isa, shared_bytes) = match self {
            Self::Cpu => return None,
            Self::Sm80 => (80, 163 << 10),
            Self::Sm86 | Self::Sm89 => (80, 99 << 10),
            Self::Sm90a => (86, 227 << 10),
            Self::Sm100a | Self::Sm103a => (88, 227 << 10),
            Self::Sm120 => (88, 99 << 10),
        };
        Some(GpuLimits {
            ptx_isa,
            block_threads: 1024,
            block: [1024, 1024, 64],
            grid: [i32::MAX as u32, 65535, 65535],
            shared_bytes,
            registers: 64 << 10,
        })
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Target {
    type Err = Box<Diagnostic>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| {
            Box::new(Diagnostic::input("E0907", format!("`{text}` is no target")).help(
                "the targets are cpu, sm_80, sm_86, sm_89, sm_90a, sm_100a, sm_103a and sm_120",
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_parse_back() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
            assert_eq!(target.gpu().is_none(), target == Target::Cpu);
        }
        for place in Place::ALL {
            assert_eq!(Place::named(place.name()), Some(place));
        }
        let wrong = "sm_90".parse::<Target>().unwrap_err();
        assert_eq!(wrong.code, "E0907");
    }
}
