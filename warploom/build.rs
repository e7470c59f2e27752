//! Makes the fingerprint of the compiler, a hash of the sources that decide what code comes out
//! (`WARPLOOM_BUILD`), so that code which another version made is never taken from a cache.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// The crates between a spec and its code, and what they are built with.
const SOURCES: [&str; 8] = [
    "isl/src",
    "ir/src",
    "verify/src",
    "scheduler/src",
    "codegen/src",
    "runtime/src",
    "warploom/src",
    "Cargo.lock",
];

fn main() {
    let root = PathBuf::from("..");
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        let path = root.join(source);
        println!("cargo:rerun-if-changed={}", path.display());
        add(&path, &mut hasher);
    }
    println!("cargo:rustc-env=WARPLOOM_BUILD={:016x}", hasher.finish());
}

/// Adds a file, or all files of a folder in the order of their names.
fn add(path: &Path, hasher: &mut DefaultHasher) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder of sources can be listed");
        let mut inside: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        inside.sort();
        inside.iter().for_each(|p| add(p, hasher));
    } else {
        let text = fs::read(path).expect("a source can be read");
        hasher.write(path.to_string_lossy().as_bytes());
        hasher.write_usize(text.len());
        hasher.write(&text);
    }
}
