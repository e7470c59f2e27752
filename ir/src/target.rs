//! The machines that code is generated for, and their limits.
//!
//! Keeps: the text of a target parses back to it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::diag::Diagnostic;

/// A machine that code is generated for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// This machine's processor.
    #[default]
    Cpu,
    /// Every NVIDIA GPU from A100 on.
    Sm80,
    /// H100 and H200, with their tensor-core instructions.
    Sm90a,
    /// B200, with its tensor-core instructions.
    Sm100a,
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

impl Target {
    /// Every target.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Sm80, Self::Sm90a, Self::Sm100a];

    /// Its text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Sm80 => "sm_80",
            Self::Sm90a => "sm_90a",
            Self::Sm100a => "sm_100a",
        }
    }

    /// The limits of a GPU; `None` for the processor.
    #[must_use]
    pub const fn gpu(self) -> Option<GpuLimits> {
        let (ptx_isa, shared_bytes) = match self {
            Self::Cpu => return None,
            Self::Sm80 => (80, 163 << 10),
            Self::Sm90a => (86, 227 << 10),
            Self::Sm100a => (88, 227 << 10),
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
            Box::new(
                Diagnostic::input("E0907", format!("`{text}` is no target"))
                    .help("the targets are cpu, sm_80, sm_90a and sm_100a"),
            )
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
        let wrong = "sm_90".parse::<Target>().unwrap_err();
        assert_eq!(wrong.code, "E0907");
    }
}
