//! `check --target`: contracts about code, without a GPU.

use std::fs;

use crate::common::{text, warploom};

#[test]
fn contracts_are_checked_for_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sched");
    let script = path.to_str().unwrap();
    let spec = ["ij->ij", "--size", "i=64,j=64", "--schedule", script];
    let check = |contract: &str, more: &[&str]| {
        fs::write(&path, format!("map i to block.x\nmap j to thread.x\nrequire {contract}\n"))
            .unwrap();
        warploom(&[&["check"], &spec[..], more].concat())
    };
    let kept = check("smem <= 1K, launches <= 1", &["--target", "sm_80"]);
    assert!(kept.status.success() && text(&kept).contains("sm_80 keeps"), "{}", text(&kept));
    let open = check("tensor_core", &[]);
    assert!(open.status.success() && text(&open).contains("--target"), "{}", text(&open));
    let broken = check("launches <= 1, tensor_core", &["--target", "sm_90a"]);
    assert_eq!(broken.status.code(), Some(2));
    let said = text(&broken);
    assert!(said.contains("E0710") && said.contains("a.sched:3:1"), "{said}");
    let wrong = check("speed", &[]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
}
