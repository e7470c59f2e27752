//! What the functions of GPU code take: registers, shared memory, tensor memory.
//!
//! In: code, and what `ptxas -v` said of it where it was asked. Out: a line for each function.
//! Keeps: what the launch states needs no assembler; registers and spills do, and are none without.

use warploom_ir::abi::GpuCode;

/// What a function takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The function's name.
    pub entry: String,
    /// Threads of a block.
    pub threads: u32,
    /// Blocks that run together.
    pub cluster: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// Columns of tensor memory of a block, of 512.
    pub tensor_columns: u32,
    /// Registers of a thread, as the assembler says.
    pub registers: Option<i64>,
    /// Bytes that a thread spills.
    pub spilled: Option<i64>,
    /// Bytes of a thread's stack in local memory.
    pub stack: Option<i64>,
}

impl Resources {
    /// Those of each function, in the order of the launches; `assembled` is what `ptxas -v` says.
    #[must_use]
    pub fn of(code: &GpuCode, assembled: Option<&str>) -> Vec<Self> {
        let said = assembled.map(functions).unwrap_or_default();
        let one = |l: &&warploom_ir::abi::GpuLaunch| {
            let own = said.iter().find(|f| f.entry == l.entry);
            Self {
                entry: l.entry.clone(),
                threads: l.block.iter().product(),
                cluster: l.cluster,
                shared_bytes: l.shared_bytes,
                tensor_columns: l.tensor_columns,
                registers: own.map(|f| f.registers),
                spilled: own.map(|f| f.spilled),
                stack: own.map(|f| f.stack),
            }
        };
        code.launches().iter().map(one).collect()
    }

    /// The line of a table; [`Self::HEAD`] is above it.
    #[must_use]
    pub fn line(&self) -> String {
        let or_none = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        format!(
            "{:<16} {:>7} {:>7} {:>9} {:>7} {:>13} {:>14}",
            self.entry,
            self.threads,
            self.cluster,
            or_none(self.registers),
            or_none(self.spilled),
            self.shared_bytes,
            self.tensor_columns
        )
    }

    /// What the columns of [`Self::line`] are.
    pub const HEAD: &str =
        "function         threads cluster registers spilled shared memory tensor columns";
}

/// A function as `ptxas -v` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    entry: String,
    /// Registers of a thread.
    pub(crate) registers: i64,
    /// Bytes that it stores because registers are not enough.
    pub(crate) spilled: i64,
    stack: i64,
}

/// All functions that `ptxas -v` tells of.
pub(crate) fn functions(text: &str) -> Vec<Function> {
    let before = |line: &str, words: &str| -> Option<i64> {
        line.split_once(words)?.0.split_whitespace().last()?.parse().ok()
    };
    let mut out: Vec<Function> = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("entry function '") {
            let entry = rest.split('\'').next().unwrap_or("").to_owned();
            out.push(Function { entry, registers: 0, spilled: 0, stack: 0 });
        }
        let Some(last) = out.last_mut() else { continue };
        last.registers = before(line, " registers").unwrap_or(last.registers);
        last.spilled = before(line, " bytes spill stores").unwrap_or(last.spilled);
        last.stack = before(line, " bytes stack frame").unwrap_or(last.stack);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_assembler_says_is_read() {
        let text = "ptxas info    : Compiling entry function 'a' for 'sm_90a'
    48 bytes stack frame, 44 bytes spill stores, 44 bytes spill loads
ptxas info    : Used 168 registers, used 9 barriers
ptxas info    : Compiling entry function 'b' for 'sm_90a'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, 388 bytes cmem[0]";
        let of = |entry: &str, registers, [stack, spilled]: [i64; 2]| Function {
            entry: entry.to_owned(),
            registers,
            spilled,
            stack,
        };
        assert_eq!(functions(text), [of("a", 168, [48, 44]), of("b", 24, [0, 0])]);
    }
}
