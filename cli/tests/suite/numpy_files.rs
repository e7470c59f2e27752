//! Files that NumPy wrote in, results that NumPy judges out (`make setup` makes the Python).

use std::path::Path;
use std::process::Command;

fn python(root: &Path, arguments: &[&str]) {
    let output = Command::new(root.join(".venv/bin/python"))
        .arg(root.join("cli/tests/numpy_files.py"))
        .args(arguments)
        .output()
        .expect("`make setup` makes .venv");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn products_of_numpys_files_are_numpys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for (dtype, ending) in
        [("float32", "npy"), ("float64", "npy"), ("float16", "npy"), ("bf16", "safetensors")]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| format!("{}/{name}.{ending}", folder.path().display());
        let place = folder.path().display().to_string();
        let sizes = ["67", "45", "130"];
        python(root, &[&["make", &place, dtype], &sizes[..]].concat());
        let output = Command::new(env!("CARGO_BIN_EXE_warploom"))
            .args(["run", "mk,kn->mn", &path("a"), &path("b"), "-o", &path("c")])
            .args(["--device", "cpu", "--verify", "--no-cache"])
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{dtype}: {}", String::from_utf8_lossy(&output.stderr));
        python(root, &[&["judge", &place, dtype], &sizes[..]].concat());
    }
}
