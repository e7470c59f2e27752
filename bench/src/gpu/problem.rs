//! A nest with fixed sizes, and its inputs as files that all contestants read.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use warploom::{Name, Nest, Tensor, inputs, outputs};

/// What every contestant gets.
pub(crate) struct Problem {
    /// Every size is fixed.
    pub(crate) nest: Nest,
    /// Raw bytes in row-major order, for each array that is given.
    pub(crate) files: BTreeMap<Name, PathBuf>,
}

/// The arrays that a caller gives or gets back, in order of declaration.
pub(crate) fn arrays(nest: &Nest) -> Vec<Name> {
    let (given, returned) = (inputs(nest), outputs(nest));
    let names = nest.arrays.iter().map(|a| &a.name);
    names.filter(|n| given.contains(n) || returned.contains(n)).cloned().collect()
}

/// The extents of an array of a nest whose sizes are fixed.
pub(crate) fn extents(nest: &Nest, name: &Name) -> Result<Vec<usize>, Box<dyn Error>> {
    let array = nest.array(name).ok_or_else(|| format!("there is no array `{name}`"))?;
    let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
    let extent = |e: Option<i64>| e.and_then(|v| usize::try_from(v).ok()).ok_or("no extent");
    Ok(array.shape.iter().map(|e| extent(e.eval(&lookup))).collect::<Result<_, _>>()?)
}

/// The bytes of an array of a nest whose sizes are fixed.
pub(crate) fn size_bytes(nest: &Nest, name: &Name) -> Result<usize, Box<dyn Error>> {
    let elements: usize = extents(nest, name)?.iter().product();
    let array = nest.array(name).ok_or_else(|| format!("there is no array `{name}`"))?;
    Ok(array.dtype.bytes_of(elements).ok_or("an array is too large")?)
}

/// The bytes of all arrays of a nest that a caller gives or gets back.
pub(crate) fn traffic(nest: &Nest) -> Result<usize, Box<dyn Error>> {
    arrays(nest).iter().map(|name| size_bytes(nest, name)).sum()
}

/// An array of a nest as raw bytes in a file.
pub(crate) fn read(nest: &Nest, name: &Name, file: &Path) -> Result<Tensor, Box<dyn Error>> {
    let array = nest.array(name).ok_or_else(|| format!("there is no array `{name}`"))?;
    let bytes = fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    Ok(Tensor::from_bytes(array.dtype, &extents(nest, name)?, &bytes)?)
}

/// A folder for files that live as long as it, in memory where there is such a place.
pub(crate) fn folder() -> Result<tempfile::TempDir, Box<dyn Error>> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return Ok(tempfile::tempdir_in(memory)?);
    }
    Ok(tempfile::tempdir()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_a_nest_without_temporaries() {
        let text = "param N = 6  in A: f32[N, 2*N]  temp T: f32[N]  out B: bf16[N]  inout C: f64
            for i in 0..N { S: T[i] = A[i, 0]  R: B[i] = T[i] }  C[] = C[] + 1.0";
        let nest: Nest = text.parse().unwrap();
        let names: Vec<String> = arrays(&nest).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["A", "B", "C"]);
        let bytes: Vec<usize> =
            arrays(&nest).iter().map(|n| size_bytes(&nest, n).unwrap()).collect();
        assert_eq!(bytes, [6 * 12 * 4, 6 * 2, 8]);
        assert!(extents(&nest, &"Z".into()).is_err());
    }
}
