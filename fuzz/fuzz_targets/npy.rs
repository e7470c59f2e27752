//! `.npy` files: no panic, no hang, no memory that the file does not pay for; what is read is
//! written as a file that holds the same tensor.
#![no_main]

// the module alone, without the crate around it: that one needs isl and LLVM
#[allow(dead_code, reason = "the other format and the choice between them")]
#[allow(unreachable_pub, reason = "public in its crate")]
#[path = "../../warploom/src/io/mod.rs"]
mod io;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is room for temporary files"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("in.npy");
    std::fs::write(&path, bytes).expect("the file can be written");
    let Ok(tensor) = io::npy::read(&path) else { return };
    assert!(tensor.bytes().len() <= bytes.len(), "{} bytes", tensor.bytes().len());
    let copy = FOLDER.path().join("out.npy");
    io::npy::write(&copy, &tensor).expect("what NumPy can hold can be written");
    let again = io::npy::read(&copy).expect("what was written can be read");
    let held = (tensor.dtype(), tensor.shape(), tensor.bytes());
    assert_eq!((again.dtype(), again.shape(), again.bytes()), held);
});
