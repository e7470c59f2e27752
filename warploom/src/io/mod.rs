//! Tensors from and to files: `.npy` and `.safetensors`.
//!
//! In: `FILE.npy`, `FILE.safetensors` or `FILE.safetensors:NAME`. Out: [`Tensor`]s.
//! Keeps: a file is written whole or not at all (a temporary file in the same folder is renamed);
//! what a file claims is checked against its length before memory is asked for.

pub mod npy;
pub mod safetensors;

use std::io::Write;
use std::path::{Path, PathBuf};

use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::tensor::Tensor;

/// A file format, told by the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's `.npy`: one array.
    Npy,
    /// `.safetensors`: named tensors.
    Safetensors,
}

impl Format {
    /// The format that the name of `path` tells.
    ///
    /// # Errors
    /// E0536 for another ending.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            Some(_) | None => {
                let message = format!("the format of {} is not known", path.display());
                let d = Diagnostic::input("E0536", message);
                Err(Box::new(d.help("files end in .npy or .safetensors")))
            }
        }
    }
}

/// Parts `FILE.safetensors:NAME` into file and tensor name. Any other text is a file alone.
#[must_use]
pub fn split_name(text: &str) -> (PathBuf, Option<&str>) {
    const MARK: &str = ".safetensors:";
    match text.rfind(MARK) {
        Some(at) if !Path::new(text).exists() => {
            (PathBuf::from(&text[..at + MARK.len() - 1]), Some(&text[at + MARK.len()..]))
        }
        Some(_) | None => (PathBuf::from(text), None),
    }
}

/// Reads the tensor that `text` names (see the module's page).
///
/// # Errors
/// E0530–E0534 and E0536: the file is missing, malformed, cut short, of a type we do not have, or
/// has no such tensor. E0501 and E0502 where the tensor is too large.
pub fn load(text: &str) -> Result<Tensor> {
    let (path, name) = split_name(text);
    match Format::of(&path)? {
        Format::Npy => npy::read(&path),
        Format::Safetensors => safetensors::read(&path, name),
    }
}

/// Writes named tensors to one file; a `.npy` file takes exactly one and drops its name.
///
/// # Errors
/// E0533 for a type the format lacks, E0534 where a `.npy` file is to take several tensors, E0535
/// where writing fails, E0536 for another ending.
pub fn save(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<()> {
    match (Format::of(path)?, tensors) {
        (Format::Npy, [(_, tensor)]) => npy::write(path, tensor),
        (Format::Npy, _) => {
            let message = format!("{} holds one tensor, not {}", path.display(), tensors.len());
            let d = Diagnostic::input("E0534", message);
            Err(Box::new(d.help("write to a .safetensors file, or to one .npy file each")))
        }
        (Format::Safetensors, _) => safetensors::write(path, tensors),
    }
}

/// Writes a text to `path`, whole or not at all.
///
/// # Errors
/// E0535 where writing fails.
pub fn save_text(path: &Path, text: &str) -> Result<()> {
    write_whole(path, &[text.as_bytes()])
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    let message = format!("cannot read {}: {error}", path.display());
    Box::new(Diagnostic::input("E0530", message).help("check the file's name and permissions"))
}

pub(crate) fn malformed(path: &Path, format: &str, why: &str) -> Box<Diagnostic> {
    let message = format!("{} is no valid {format} file: {why}", path.display());
    Box::new(Diagnostic::input("E0531", message).help("write the file again"))
}

/// Writes all of `parts` to `path`, or leaves what was there.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".warploom-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // less the umask, as for any new file
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.flush()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        let d = Diagnostic::new("E0535", Blame::Environment, message);
        Box::new(d.help("check the folder, its permissions and the space left"))
    })
}

/// Reverses the bytes of every element where the file's byte order is not the machine's.
pub(crate) fn swap_bytes(bytes: &mut [u8], element: usize, little_endian: bool) {
    if element > 1 && little_endian != cfg!(target_endian = "little") {
        bytes.chunks_exact_mut(element).for_each(<[u8]>::reverse);
    }
}
