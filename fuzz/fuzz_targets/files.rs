//! What the targets that read files share: the readers, a folder, and what a file may ask for.

// the module alone, without the crate around it: that one needs isl and LLVM
#[allow(dead_code, reason = "the other format and the choice between them")]
#[allow(unreachable_pub, reason = "public in its crate")]
#[path = "../../warploom/src/io/mod.rs"]
pub mod io;

use std::path::PathBuf;
use std::sync::LazyLock;

use tempfile::TempDir;
use warploom_ir::tensor::Tensor;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is room for temporary files"));

/// A file of this name in a folder of this process.
pub fn file(name: &str) -> PathBuf {
    FOLDER.path().join(name)
}

/// A file with these bytes.
pub fn holding(name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(name);
    std::fs::write(&path, bytes).expect("the file can be written");
    path
}

/// The tensor takes no more memory than the file, and is the same after it was written again.
pub fn check(tensor: &Tensor, file: &[u8], rewritten: impl FnOnce(&Tensor) -> Tensor) {
    assert!(tensor.bytes().len() <= file.len(), "{} bytes", tensor.bytes().len());
    let again = rewritten(tensor);
    let held = (tensor.dtype(), tensor.shape(), tensor.bytes());
    assert_eq!((again.dtype(), again.shape(), again.bytes()), held);
}
