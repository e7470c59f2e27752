//! Turns on a GPU: launches queued behind a stall, over several sets of arrays.
//!
//! In: programs bound to sets of arrays. Out: the seconds of one launch by the device's clock.
//! Keeps: the stream is held while a turn is queued, so that the host's time is hidden; successive
//! launches use other arrays, so that none meets its own data in the cache.

use std::collections::BTreeMap;
use std::time::Duration;

use warploom_ir::affine::Affine;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::tensor::Tensor;
use warploom_runtime::cuda::{
    BoundProgram, Device, DeviceBuffer, ForeignLaunch, Timed, time_launches,
};

use super::Contestant;
use crate::{Name, Sizes, compile};

/// Between two uses of an array at least so many bytes of others are used: three times the largest
/// cache.
const BETWEEN: usize = 150_000_000;
/// Most sets of arrays, and bytes of all of them.
const MOST_SETS: usize = 64;
const MOST_BYTES: usize = 16 << 30;

/// How long the stream is held while a turn is queued: longer than queueing takes.
const STALL_FOR: Duration = Duration::from_micros(250);

/// A nest that one thread runs for as long as `N` says, with no memory to speak of.
const STALL: &str = "param N
inout X: f32[1]
for k in 0..N { X[0] = X[0] * 0.999 + 1.0 order serial }";

/// How many sets of arrays of so many bytes keep each launch from its own data in the cache.
fn sets_beyond_cache(bytes: usize) -> usize {
    let bytes = bytes.max(1);
    (BETWEEN / bytes + 2).min(MOST_SETS).min((MOST_BYTES / bytes).max(1))
}

/// A launch that holds the stream while others are queued.
struct Stall(BoundProgram);

impl Stall {
    /// Makes it for a device.
    fn new(device: &Device) -> Result<Self> {
        let nest: Nest = STALL.parse()?;
        let target = device.target();
        let code = compile::lower(&compile::auto_for(&nest, target)?)?.gpu(target)?;
        let program = device.load(&code)?;
        let x = device.buffer(DType::F32, &[1])?;
        let of = |n: i64| {
            let sizes: Sizes = [(Name::from("N"), n)].into();
            program.bind(&[(Name::from("X"), x.clone())].into(), &sizes)
        };
        let short = time_launches(&[of(2000)?], 2, 5)?.median.as_secs_f64().max(1e-7);
        Ok(Self(of((2000.0 * STALL_FOR.as_secs_f64() / short) as i64)?))
    }
}

/// A problem's arrays on a GPU, as many sets of them as keep a launch from its own data.
pub struct GpuProblem<'a> {
    device: Device,
    stall: Stall,
    inputs: &'a BTreeMap<Name, Tensor>,
    sets: Vec<BTreeMap<Name, DeviceBuffer>>,
    /// Arrays that the nest writes, and those of them that it also reads.
    written: Vec<Name>,
    changed: Vec<Name>,
}

impl<'a> GpuProblem<'a> {
    /// Copies the inputs of a nest, whose sizes are fixed, and makes room for its outputs.
    ///
    /// # Errors
    /// `E0511` for an extent that is not known, `E1113` where there is no memory.
    pub fn new(device: &Device, nest: &Nest, inputs: &'a BTreeMap<Name, Tensor>) -> Result<Self> {
        let shapes = shapes(nest)?;
        let bytes = |(_, dtype, shape): &(Name, DType, Vec<usize>)| {
            dtype.bytes_of(shape.iter().product()).unwrap_or(usize::MAX)
        };
        let named = |wanted: &dyn Fn(&Role) -> bool| -> Vec<Name> {
            nest.arrays.iter().filter(|a| wanted(&a.role)).map(|a| a.name.clone()).collect()
        };
        let changed = named(&|role| matches!(role, Role::InOut));
        let written = named(&|role| matches!(role, Role::InOut | Role::Out));
        let count = sets_beyond_cache(shapes.iter().map(bytes).fold(0, usize::saturating_add));
        let mut sets = Vec::new();
        for _ in 0..if changed.is_empty() { count } else { 1 } {
            let mut set = BTreeMap::new();
            for (name, dtype, shape) in &shapes {
                let array = match inputs.get(name) {
                    Some(tensor) => device.upload(tensor)?,
                    None => device.buffer(*dtype, shape)?,
                };
                set.insert(name.clone(), array);
            }
            sets.push(set);
        }
        let stall = Stall::new(device)?;
        Ok(Self { device: device.clone(), stall, inputs, sets, written, changed })
    }

    /// Where the arrays are.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The sets of arrays, by name; at least one.
    #[must_use]
    pub fn sets(&self) -> &[BTreeMap<Name, DeviceBuffer>] {
        &self.sets
    }

    /// Poisons what the first set's outputs hold, and gives arrays that are read and written their
    /// first contents back.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn prepare(&self) -> Result<()> {
        for name in &self.written {
            match (self.inputs.get(name), self.sets[0].get(name)) {
                (Some(tensor), Some(array)) => array.write(tensor)?,
                (None, Some(array)) => array.poison()?,
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// The outputs in the first set.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn results(&self) -> Result<BTreeMap<Name, Tensor>> {
        let array = |name: &Name| Some((name.clone(), self.sets[0].get(name)?));
        let found = self.written.iter().filter_map(array);
        found.map(|(name, array)| Ok((name, array.read()?))).collect()
    }
}

/// The arrays that a caller of a nest gives and gets.
fn shapes(nest: &Nest) -> Result<Vec<(Name, DType, Vec<usize>)>> {
    let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
    let mut out = Vec::new();
    for array in &nest.arrays {
        if !matches!(array.role, Role::In | Role::InOut | Role::Out) {
            continue;
        }
        let extent = |e: &Affine| e.eval(&lookup).and_then(|v| usize::try_from(v).ok());
        let shape: Option<Vec<usize>> = array.shape.iter().map(extent).collect();
        let shape = shape.ok_or_else(|| {
            let text = format!("the extents of `{}` are not known", array.name);
            Box::new(Diagnostic::input("E0511", text))
        })?;
        out.push((array.name.clone(), array.dtype, shape));
    }
    Ok(out)
}

/// A contestant on a GPU: launches of one kernel on the sets of a problem's arrays.
pub struct GpuTurns<'a> {
    problem: &'a GpuProblem<'a>,
    launches: Launches<'a>,
    next: usize,
}

enum Launches<'a> {
    Ours(&'a [BoundProgram]),
    Foreign(&'a [ForeignLaunch]),
}

impl<'a> GpuTurns<'a> {
    /// Launches of ours, one for each set.
    #[must_use]
    pub fn ours(problem: &'a GpuProblem<'_>, bound: &'a [BoundProgram]) -> Self {
        Self { problem, launches: Launches::Ours(bound), next: 0 }
    }

    /// Launches of other code, one for each set.
    #[must_use]
    pub fn foreign(problem: &'a GpuProblem<'_>, launches: &'a [ForeignLaunch]) -> Self {
        Self { problem, launches: Launches::Foreign(launches), next: 0 }
    }

    fn on(&self, set: usize) -> Timed<'a> {
        match self.launches {
            Launches::Ours(all) => Timed::from(&all[set % all.len()]),
            Launches::Foreign(all) => Timed::from(&all[set % all.len()]),
        }
    }
}

impl Contestant for GpuTurns<'_> {
    type Error = Box<Diagnostic>;

    fn turn(&mut self, warm: usize) -> Result<f64> {
        let mut warm = warm;
        if !self.problem.changed.is_empty() {
            // each run needs its first contents
            self.problem.prepare()?;
            warm = 0;
        }
        let launches = (0..=warm).map(|i| self.on(self.next + i));
        let stall = std::iter::once(Timed::from(&self.problem.stall.0));
        let turn: Vec<Timed<'_>> = stall.chain(launches).collect();
        self.next += warm + 1;
        Ok(time_launches(&turn, warm + 1, 1)?.median.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stall_runs_as_long_as_it_is_told() {
        let nest: Nest = STALL.parse().unwrap();
        let program = compile::compile(&compile::auto(&nest).unwrap()).unwrap();
        let x = Tensor::from_f64s(DType::F32, &[1], &[0.0]).unwrap();
        let inputs: BTreeMap<Name, Tensor> = [(Name::from("X"), x)].into();
        let sizes: Sizes = [(Name::from("N"), 3)].into();
        let x = program.run_at(&inputs, &sizes, Some(1)).unwrap().remove("X").unwrap();
        assert!((x.to_f64s()[0] - 2.997_001).abs() < 1e-5);
        for target in [warploom_ir::target::Target::Sm80, warploom_ir::target::Target::Sm90a] {
            let lowered = compile::lower(&compile::auto_for(&nest, target).unwrap()).unwrap();
            assert_eq!(lowered.gpu(target).unwrap().launches().len(), 1);
        }
    }

    #[test]
    fn small_arrays_get_more_sets() {
        assert_eq!(sets_beyond_cache(100_000_000), 3);
        assert_eq!(sets_beyond_cache(1), MOST_SETS);
        assert_eq!(sets_beyond_cache(40 << 30), 1);
    }
}
