//! Which crate may depend on which: the picture in docs/ARCHITECTURE.md, as a table.
//!
//! In: the JSON of `cargo metadata --no-deps`. Out: violations at the guilty manifest. Keeps: an
//! edge that is not in [`ALLOWED`] is an error, so a new edge is always a change of this file.

use super::Violation;
use serde_json::Value;
use std::path::Path;

/// Per folder, the folders of ours it may depend on. Dev-dependencies obey the same table.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("isl", &[]),
    ("ir", &[]),
    ("verify", &["isl", "ir"]),
    ("scheduler", &["isl", "ir"]),
    ("codegen", &["verify", "ir"]),
    ("runtime", &["ir"]),
    ("warploom", &["isl", "ir", "verify", "scheduler", "codegen", "runtime"]),
    ("contest", &["warploom"]),
    ("cli", &["warploom", "contest"]),
    ("capi", &["warploom"]),
    ("examples", &["warploom"]),
    ("bench", &["warploom", "contest"]),
    ("xtask", &[]),
    (
        "tests", // looks inside on purpose
        &["isl", "ir", "verify", "scheduler", "codegen", "runtime", "warploom", "contest", "cli"],
    ),
];

/// Foreign libraries behind few crates of ours each: (what the name starts with, whose).
const GUARDED: [(&str, &[&str]); 4] = [
    ("isl-rs", &["isl"]),
    ("inkwell", &["codegen"]),
    ("llvm-sys", &["codegen"]),
    ("cudarc", &["runtime", "contest"]),
];

/// A package of the workspace, as much of it as the rules need.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name, such as `warploom-ir`.
    pub(super) name: String,
    /// Its folder, relative to the root.
    pub(super) folder: String,
    /// Names of what it depends on, with dev- and build-dependencies.
    pub(super) dependencies: Vec<String>,
    /// Root files of its library and binaries, relative to the root.
    pub(super) roots: Vec<String>,
}

impl Package {
    #[cfg(test)]
    pub(super) fn for_test(name: &str, folder: &str, deps: &[&str], roots: &[&str]) -> Self {
        let own = |list: &[&str]| list.iter().map(|&item| item.to_owned()).collect();
        let (name, folder) = (name.to_owned(), folder.to_owned());
        Package { name, folder, dependencies: own(deps), roots: own(roots) }
    }
}

/// Reads the packages out of cargo's metadata. Errors when the JSON is not cargo's.
pub(super) fn packages(metadata: &Value, root: &Path) -> Result<Vec<Package>, String> {
    let list = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    list.iter().map(|package| read_package(package, root)).collect()
}

fn read_package(package: &Value, root: &Path) -> Result<Package, String> {
    let name = string(&package["name"])?;
    let manifest = relative(&string(&package["manifest_path"])?, root)?;
    let folder = manifest.strip_suffix("/Cargo.toml").unwrap_or_default().to_owned();
    let mut dependencies = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        dependencies.push(string(&dependency["name"])?);
    }
    let mut roots = Vec::new();
    for target in package["targets"].as_array().into_iter().flatten() {
        let kinds = target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if kinds.into_iter().any(|kind| kind == "lib" || kind == "bin") {
            roots.push(relative(&string(&target["src_path"])?, root)?);
        }
    }
    Ok(Package { name, folder, dependencies, roots })
}

fn string(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("cargo metadata: no string but {value}"))?;
    Ok(text.to_owned())
}

fn relative(path: &str, root: &Path) -> Result<String, String> {
    let inside = Path::new(path).strip_prefix(root);
    let inside = inside.map_err(|_| format!("{path} lies outside the repository"))?;
    Ok(inside.to_string_lossy().replace('\\', "/"))
}

/// Checks every edge of every package against the tables above.
pub(super) fn check(packages: &[Package]) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let mut report = |message: String| {
            found.push(Violation::new(&manifest, 1, "crate-edge", message));
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(folder, _)| *folder == package.folder)
        else {
            report(format!("`{}` has no row in xtask/src/tidy/edges.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = packages.iter().find(|other| other.name == *dependency);
            if let Some(other) = ours.filter(|other| !allowed.contains(&other.folder.as_str())) {
                report(format!("{} must not depend on {}", package.folder, other.folder));
            }
            let guard = GUARDED.iter().find(|(library, _)| dependency.starts_with(library));
            let guard = guard.filter(|(_, owners)| !owners.contains(&package.folder.as_str()));
            if let Some((_, owners)) = guard {
                report(format!("only {} may depend on {dependency}", owners.join(" and ")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(packages: &[Package]) -> Vec<String> {
        check(packages).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn the_allowed_edges_pass() {
        let packages = [
            Package::for_test("warploom-ir", "ir", &["half"], &[]),
            Package::for_test("warploom-isl", "isl", &["isl-rs"], &[]),
            Package::for_test("warploom-verify", "verify", &["warploom-ir", "warploom-isl"], &[]),
            Package::for_test("warploom-codegen", "codegen", &["warploom-verify", "inkwell"], &[]),
            Package::for_test("warploom-tests", "tests", &["warploom-codegen"], &[]),
        ];
        assert_eq!(messages(&packages), Vec::<String>::new());
    }

    #[test]
    fn other_edges_fail() {
        let packages = [
            Package::for_test("warploom-isl", "isl", &[], &[]),
            Package::for_test("warploom-ir", "ir", &["warploom-isl", "inkwell"], &[]),
            Package::for_test("warploom-new", "new", &[], &[]),
        ];
        assert_eq!(
            messages(&packages),
            [
                "ir must not depend on isl",
                "only codegen may depend on inkwell",
                "`warploom-new` has no row in xtask/src/tidy/edges.rs",
            ]
        );
    }

    #[test]
    fn metadata_is_read() {
        let text = r#"{"packages": [{
            "name": "warploom-ir", "manifest_path": "/r/ir/Cargo.toml",
            "dependencies": [{"name": "half", "kind": null}, {"name": "proptest", "kind": "dev"}],
            "targets": [{"kind": ["lib"], "src_path": "/r/ir/src/lib.rs"},
                        {"kind": ["test"], "src_path": "/r/ir/tests/a.rs"}]}]}"#;
        let value = serde_json::from_str(text).unwrap();
        let packages = packages(&value, Path::new("/r")).unwrap();
        assert_eq!(packages[0].folder, "ir");
        assert_eq!(packages[0].dependencies, ["half", "proptest"]);
        assert_eq!(packages[0].roots, ["ir/src/lib.rs"]);
        assert!(super::packages(&value["nothing"], Path::new("/r")).is_err());
    }
}
