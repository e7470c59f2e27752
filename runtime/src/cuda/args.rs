//! What a launch is asked to do, checked before anything is on the device.
//!
//! In: a kernel's buffers, the arguments for them, sizes, grids. Out: launch parameters, or the
//! argument that does not fit. Why here: plain data without a driver, so that every refusal is
//! tested on machines without a GPU.

use std::ops::Range;

use warploom_ir::abi::{GpuLaunch, TensorMap};
use warploom_ir::diag::Result;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Buffer, Kernel};
use warploom_ir::nest::Role;
use warploom_ir::target::GpuLimits;

use super::driver::environment;
use super::order::Access;
use crate::host::{error, fits};

/// Every pointer is a multiple of this many bytes (`warploom_ir::abi`).
const ALIGNMENT: u64 = 16;

/// An argument as a check sees it.
pub(super) struct Argument<'a> {
    pub(super) dtype: DType,
    pub(super) shape: &'a [usize],
    pub(super) address: u64,
    pub(super) bytes: usize,
}

impl Argument<'_> {
    fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes as u64
    }
}

/// How a kernel touches a buffer.
pub(super) const fn access(buffer: &Buffer) -> Access {
    match buffer.role {
        Role::In | Role::Const(_) => Access::Read,
        Role::Out | Role::InOut | Role::Temp => Access::Write,
    }
}

/// Checks one argument for each buffer of a kernel, with the shapes of these sizes.
///
/// # Errors
/// `E1102` type, shape or alignment; `E1117` memory that is written overlaps another argument.
pub(super) fn check(
    buffers: &[Buffer],
    shapes: &[Vec<usize>],
    arguments: &[Argument<'_>],
) -> Result<()> {
    for ((buffer, shape), argument) in buffers.iter().zip(shapes).zip(arguments) {
        fits(buffer, shape, argument.dtype, argument.shape)?;
        if argument.address % ALIGNMENT != 0 {
            let text = format!("`{}` does not start at a multiple of {ALIGNMENT}", buffer.name);
            return Err(error("E1102", text));
        }
    }
    for (i, (first, one)) in buffers.iter().zip(arguments).enumerate() {
        for (second, other) in buffers.iter().zip(arguments).skip(i + 1) {
            let (a, b) = (one.range(), other.range());
            let writes = access(first).max(access(second)) == Access::Write;
            // the plan lets temporaries share memory that are not used at the same time
            let planned = matches!((&first.role, &second.role), (Role::Temp, Role::Temp));
            if writes && !planned && a.start < b.end && b.start < a.end {
                let (writer, other) = match access(first) {
                    Access::Write => (&first.name, &second.name),
                    Access::Read => (&second.name, &first.name),
                };
                let text = format!("`{writer}` is written, but it shares memory with `{other}`");
                return Err(error("E1117", text));
            }
        }
    }
    Ok(())
}

/// The blocks of a launch along x, y and z; `None` where there is nothing to launch.
///
/// # Errors
/// `E1118` more blocks than a device can number.
pub(super) fn grid(
    launch: &GpuLaunch,
    lookup: &dyn Fn(&str) -> Option<i64>,
    limits: &GpuLimits,
) -> Result<Option<[u32; 3]>> {
    let entry = &launch.entry;
    let mut out = [0_u32; 3];
    let mut empty = false;
    for (axis, blocks) in launch.grid.iter().enumerate() {
        let Some(n) = blocks.eval(lookup) else {
            let text = format!("the grid of `{entry}` has no value for these sizes");
            return Err(environment("E1118", text));
        };
        empty |= n <= 0;
        out[axis] = match u32::try_from(n.max(0)) {
            Ok(n) if n <= limits.grid[axis] => n,
            Ok(_) | Err(_) => {
                let (most, axis) = (limits.grid[axis], ["x", "y", "z"][axis]);
                let text = format!("`{entry}` needs {n} blocks along {axis}, at most {most} run");
                let mut d = environment("E1118", text);
                d.help = Some("use smaller sizes, or another schedule".to_owned());
                return Err(d);
            }
        };
    }
    Ok((!empty).then_some(out))
}

/// Checks the threads and shared memory of a launch.
///
/// # Errors
/// `E1118` beyond what the device can hold.
pub(super) fn block(launch: &GpuLaunch, limits: &GpuLimits, max_threads: u32) -> Result<()> {
    let entry = &launch.entry;
    let threads: u64 = launch.block.iter().fold(1, |all, &n| all.saturating_mul(u64::from(n)));
    let most = max_threads.min(limits.block_threads);
    let axes = launch.block.iter().zip(limits.block).all(|(&n, most)| n <= most);
    if threads == 0 || threads > u64::from(most) || !axes {
        let [x, y, z] = launch.block;
        let text = format!("`{entry}` has blocks of {x}x{y}x{z} threads, at most {most} run");
        return Err(environment("E1118", text));
    }
    if launch.shared_bytes > limits.shared_bytes {
        let (needs, most) = (launch.shared_bytes, limits.shared_bytes);
        let text = format!("`{entry}` needs {needs} bytes of shared memory, a block has {most}");
        return Err(environment("E1118", text));
    }
    Ok(())
}

/// What the driver's description of a box takes, innermost dimension first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoxOf {
    pub(super) dtype: DType,
    pub(super) address: u64,
    /// Elements of the array; bytes, where two share one.
    pub(super) extents: Vec<u64>,
    /// Bytes between neighbours of all but the innermost dimension.
    pub(super) strides: Vec<u64>,
    /// Elements of the array that the box reaches over, and from one that it takes to the next.
    pub(super) sizes: Vec<u32>,
    pub(super) steps: Vec<u32>,
    /// Bytes of a panel.
    pub(super) panel: i64,
}

/// Whether each row of an array is a multiple of so many bytes.
///
/// # Errors
/// `E1102` where one is not.
pub(super) fn rows(buffer: &Buffer, shape: &[usize], bytes: i64) -> Result<()> {
    let bits = shape.last().copied().unwrap_or(1) * buffer.dtype.bits();
    if shape.len() < 2 || bits as i64 % (8 * bytes) == 0 {
        return Ok(());
    }
    let row = bits.div_ceil(8);
    let text = format!(
        "the rows of `{}` have {row} bytes, no multiple of {bytes}: this kernel copies them in \
         pieces of {bytes}",
        buffer.name
    );
    Err(error("E1102", text))
}

/// The description of a box of an array.
///
/// # Errors
/// `E1102` where the copy engine cannot reach the array: its rows, or an extent of 0 or beyond 32
/// bits.
pub(super) fn box_of(
    buffer: &Buffer,
    shape: &[usize],
    address: u64,
    map: &TensorMap,
) -> Result<BoxOf> {
    rows(buffer, shape, 16)?;
    let mut extents: Vec<u64> = shape.iter().rev().map(|&e| e as u64).collect();
    if extents.iter().any(|e| *e == 0 || *e > 1 << 32) {
        let text = format!("`{}` has the shape {shape:?}, which has no boxes", buffer.name);
        return Err(error("E1102", text));
    }
    let size = |e: i64| u32::try_from(e).expect("verified: boxes are small");
    let reach = |(e, s): (&i64, &i64)| size((e - 1) * s + 1);
    let mut sizes: Vec<u32> = map.extents.iter().zip(&map.steps).rev().map(reach).collect();
    if let (true, [row, ..], [width, ..]) =
        (buffer.packed(), extents.as_mut_slice(), sizes.as_mut_slice())
    {
        // bytes of two elements are copied
        *row = row.div_ceil(2);
        *width /= 2;
    }
    let mut bytes = buffer.dtype.size_bytes() as u64;
    let mut strides = Vec::new();
    for extent in extents.iter().take(extents.len().saturating_sub(1)) {
        bytes *= extent;
        strides.push(bytes);
    }
    let steps: Vec<u32> = map.steps.iter().rev().map(|s| size(*s)).collect();
    Ok(BoxOf { dtype: buffer.dtype, address, extents, strides, sizes, steps, panel: map.panel })
}

/// What every launch gets first: the addresses of the kernel's buffers, then its sizes.
pub(super) fn words(kernel: &Kernel, arguments: &[Argument<'_>], sizes: &[i64]) -> Vec<u64> {
    assert_eq!((arguments.len(), sizes.len()), (kernel.buffers.len(), kernel.params.len()));
    let addresses = arguments.iter().map(|a| a.address);
    addresses.chain(sizes.iter().map(|s| s.cast_unsigned())).collect()
}

#[cfg(test)]
mod tests {
    use warploom_ir::kernel::Index;
    use warploom_ir::target::Target;

    use super::*;

    fn buffer(name: &str, role: Role) -> Buffer {
        let shape = vec![Index::Var("N".into()), Index::Const(4)];
        Buffer { name: name.into(), role, dtype: DType::F32, shape, of: None }
    }

    fn buffers() -> [Buffer; 3] {
        [buffer("A", Role::In), buffer("B", Role::In), buffer("C", Role::Out)]
    }

    fn at(address: u64) -> Argument<'static> {
        Argument { dtype: DType::F32, shape: &[2, 4], address, bytes: 32 }
    }

    fn code(arguments: &[Argument<'_>]) -> Option<(&'static str, String)> {
        let shapes = vec![vec![2, 4]; 3];
        let done = check(&buffers(), &shapes, arguments);
        done.err().map(|d| (d.code, d.message))
    }

    #[test]
    fn arguments_that_fit_pass() {
        assert_eq!(code(&[at(0), at(32), at(64)]), None);
        assert_eq!(code(&[at(96), at(96), at(64)]), None, "two reads may share memory");
        let empty = || Argument { bytes: 0, ..at(64) };
        assert_eq!(code(&[empty(), empty(), empty()]), None, "nothing overlaps nothing");
    }

    #[test]
    fn types_shapes_and_alignment_are_checked() {
        let wrong = Argument { dtype: DType::F64, ..at(32) };
        let (code_, text) = code(&[at(0), wrong, at(64)]).unwrap();
        assert_eq!((code_, text.as_str()), ("E1102", "the input `B` is f64, not f32"));
        let wrong = Argument { shape: &[4, 2], ..at(64) };
        let (code_, text) = code(&[at(0), at(32), wrong]).unwrap();
        assert_eq!(code_, "E1102");
        assert_eq!(text, "the output `C` has the shape [4, 2], not [2, 4]");
        let (code_, text) = code(&[at(8), at(32), at(64)]).unwrap();
        assert_eq!((code_, text.as_str()), ("E1102", "`A` does not start at a multiple of 16"));
    }

    #[test]
    fn outputs_share_memory_with_nothing() {
        let expected = "`C` is written, but it shares memory with `B`".to_owned();
        assert_eq!(code(&[at(0), at(64), at(64)]), Some(("E1117", expected.clone())));
        assert_eq!(code(&[at(0), at(48), at(64)]), Some(("E1117", expected.clone())));
        assert_eq!(code(&[at(0), at(80), at(64)]), Some(("E1117", expected)));
        let pair = [buffer("X", Role::InOut), buffer("T", Role::Temp)];
        let shapes = vec![vec![2, 4]; 2];
        assert_eq!(check(&pair, &shapes, &[at(0), at(16)]).unwrap_err().code, "E1117");
    }

    fn launch(grid: [Index; 3]) -> GpuLaunch {
        GpuLaunch {
            entry: "k".into(),
            grid,
            cluster: 1,
            block: [32, 4, 1],
            shared_bytes: 0,
            tensor_columns: 0,
            maps: Vec::new(),
            chunked: Vec::new(),
        }
    }

    fn blocks(x: Index, y: Index, n: i64) -> Result<Option<[u32; 3]>> {
        let limits = Target::Sm80.gpu().unwrap();
        let values = [("M", 5), ("N", n)];
        let lookup = |name: &str| values.iter().find(|v| v.0 == name).map(|v| v.1);
        grid(&launch([x, y, Index::Const(1)]), &lookup, &limits)
    }

    fn var() -> Index {
        Index::Var("N".into())
    }

    #[test]
    fn grids_are_evaluated_and_empty_ones_skipped() {
        let tiles = || {
            let up = Index::Add(Box::new(var()), Box::new(Index::Const(127)));
            Index::FloorDiv(Box::new(up), 128)
        };
        assert_eq!(blocks(tiles(), Index::Var("M".into()), 1000).unwrap(), Some([8, 5, 1]));
        assert_eq!(blocks(tiles(), Index::Const(1), 0).unwrap(), None);
        assert_eq!(blocks(Index::Const(7), var(), -3).unwrap(), None);
    }

    #[test]
    fn grids_beyond_the_device_are_refused() {
        let most = i64::from(i32::MAX);
        assert_eq!(blocks(var(), Index::Const(1), most).unwrap(), Some([(1 << 31) - 1, 1, 1]));
        for n in [i64::from(i32::MAX) + 1, i64::MAX] {
            assert_eq!(blocks(var(), Index::Const(1), n).unwrap_err().code, "E1118");
        }
        let tall = blocks(Index::Const(1), var(), 65536).unwrap_err();
        assert_eq!(tall.message, "`k` needs 65536 blocks along y, at most 65535 run");
        assert_eq!(tall.blame.exit_code(), 3);
        assert_eq!(blocks(Index::Var("Q".into()), var(), 1).unwrap_err().code, "E1118");
        let huge = Index::Mul(i64::MAX, Box::new(var()));
        assert_eq!(blocks(huge, var(), 2).unwrap_err().code, "E1118", "an overflow is no value");
    }

    #[test]
    fn blocks_beyond_the_device_are_refused() {
        let limits = Target::Sm90a.gpu().unwrap();
        let one = || launch([Index::Const(1), Index::Const(1), Index::Const(1)]);
        assert!(block(&one(), &limits, 128).is_ok());
        assert_eq!(block(&one(), &limits, 127).unwrap_err().code, "E1118");
        for block_ in [[0, 1, 1], [1024, 2, 1], [1, 1, 65], [u32::MAX, u32::MAX, u32::MAX]] {
            let wrong = GpuLaunch { block: block_, ..one() };
            assert_eq!(block(&wrong, &limits, 1024).unwrap_err().code, "E1118", "{block_:?}");
        }
        let greedy = GpuLaunch { shared_bytes: (227 << 10) + 1, ..one() };
        assert_eq!(block(&greedy, &limits, 1024).unwrap_err().code, "E1118");
    }

    #[test]
    fn boxes_are_described_from_the_inside() {
        let of = |shape: &[usize], extents: &[i64]| {
            let buffer = Buffer { dtype: DType::Bf16, ..buffer("A", Role::In) };
            let steps = vec![1; extents.len()];
            let map = TensorMap { buffer: 0, extents: extents.to_vec(), steps, panel: 128 };
            box_of(&buffer, shape, 4096, &map)
        };
        let found = of(&[5, 300, 72], &[1, 128, 64]).unwrap();
        assert_eq!(found.extents, [72, 300, 5]);
        assert_eq!(found.strides, [144, 144 * 300]);
        assert_eq!((found.sizes, found.steps), (vec![64, 128, 1], vec![1; 3]));
        assert_eq!((found.address, found.panel), (4096, 128));
        assert!(of(&[300, 77], &[128, 64]).unwrap_err().message.contains("154 bytes"));
        assert_eq!(of(&[0, 72], &[128, 64]).unwrap_err().code, "E1102");
        assert_eq!(of(&[77], &[64]).unwrap().strides, []);
    }

    #[test]
    fn boxes_of_halves_of_bytes_are_of_bytes() {
        let buffer = Buffer { dtype: DType::E2m1, ..buffer("A", Role::In) };
        let map = TensorMap { buffer: 0, extents: vec![128, 256], steps: vec![1, 1], panel: 128 };
        let found = box_of(&buffer, &[300, 288], 4096, &map).unwrap();
        assert_eq!((found.extents, found.strides), (vec![144, 300], vec![144]));
        assert_eq!(found.sizes, [128, 128]);
        let wrong = box_of(&buffer, &[300, 272], 4096, &map).unwrap_err();
        assert!(wrong.message.contains("136 bytes"), "{wrong}");
    }

    #[test]
    fn parameters_are_addresses_then_sizes() {
        let kernel = Kernel {
            name: "k".into(),
            params: vec!["M".into(), "N".into()],
            buffers: buffers().to_vec(),
            body: Vec::new(),
        };
        assert_eq!(words(&kernel, &[at(16), at(32), at(64)], &[-1, 7]), [16, 32, 64, u64::MAX, 7]);
    }
}
