//! Manifests that fit, that do not, and that make no sense.

use super::*;
use warploom::{Spec, SpecTypes, parse_sizes};

const GOOD: &str = "name = \"tiles\"
file = \"k.cu\"
entry = \"gemm\"
spec = \"ij,jl->il\"
dtype = \"bf16\"
out_dtype = \"f32\"
arguments = [\"A\", \"B\", \"C\", \"i\", \"l: i32\", \"j: i64\"]
grid = [\"(l + 127) / 128\", \"(i + 63) / 64\"]
block = [128, 2]
shared = \"i / 100 * 1024\"
requires = [\"j % 8 == 0\"]
target = \"sm_80\"
";

/// Reads a text with files beside it.
fn read(text: &str) -> Result<Manifest> {
    let folder = tempfile::tempdir().unwrap();
    for file in ["k.cu", "k.c", "k.kernel", "k.txt"] {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    let path = folder.path().join("m.toml");
    std::fs::write(&path, text).unwrap();
    Manifest::read(&path)
}

fn nest(spec: &str, size: &str, dtype: &str, out: Option<&str>) -> Nest {
    let types = SpecTypes {
        dtype: Some(dtype.parse().unwrap()),
        out: out.map(|t| t.parse().unwrap()),
        sizes: parse_sizes(&[size]).unwrap(),
        ..SpecTypes::default()
    };
    let nest = Spec::Einsum(spec.to_owned()).nest(&types).unwrap();
    warploom::bind(&nest, &Sizes::new(), &BTreeMap::new()).unwrap()
}

#[test]
fn a_manifest_finds_its_sizes_under_other_labels() {
    let manifest = read(GOOD).unwrap();
    assert_eq!((manifest.language, manifest.block), (Language::Cuda, [128, 2, 1]));
    let nest = nest("mk,kn->mn", "m=300,n=256,k=64", "bf16", Some("f32"));
    let problem = Problem { einsum: Some("mk, kn -> mn"), nest: &nest };
    let launch = manifest.launch(&problem).unwrap();
    assert_eq!((launch.grid, launch.shared), ([2, 5, 1], 3072));
    let array = |name: &str| Argument::Array(name.into());
    let sizes = [(300, Width::I64), (256, Width::I32), (64, Width::I64)];
    let sizes = sizes.map(|(value, width)| Argument::Size(value, width));
    let wanted: Vec<Argument> = ["A", "B", "Out"].map(array).into_iter().chain(sizes).collect();
    assert_eq!(launch.arguments, wanted);
    let product = product(&problem).unwrap();
    assert_eq!((product.m, product.n, product.k), (300, 256, 64));
    assert_eq!((product.a_transposed, product.b_transposed), (false, false));
}

#[test]
fn other_problems_are_refused_with_the_reason() {
    let manifest = read(GOOD).unwrap();
    let cases = [
        ("mk,nk->mn", "m=8,n=8,k=8", "bf16", Some("f32"), "computes `ij,jl->il`"),
        ("mk,km->m", "m=8,k=8", "bf16", Some("f32"), "computes"),
        ("mk,kn->mn", "m=8,n=8,k=8", "f16", Some("f32"), "takes bf16"),
        ("mk,kn->mn", "m=8,n=8,k=8", "bf16", None, "gives f32"),
        ("mk,kn->mn", "m=8,n=8,k=9", "bf16", Some("f32"), "needs j % 8 == 0"),
        ("mk,kk->mk", "m=8,k=8", "bf16", Some("f32"), "computes"),
    ];
    for (spec, size, dtype, out, why) in cases {
        let nest = nest(spec, size, dtype, out);
        let d = manifest.launch(&Problem { einsum: Some(spec), nest: &nest }).unwrap_err();
        assert_eq!(d.code, "E0973");
        assert!(d.message.contains(why), "{spec} {size}: {}", d.message);
    }
    let nest = nest("mk,kn->mn", "m=8,n=8,k=8", "bf16", Some("f32"));
    assert_eq!(manifest.launch(&Problem { einsum: None, nest: &nest }).unwrap_err().code, "E0973");
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    let cases = [
        ("name = \"tiles\"\n", "", "missing field"),
        ("k.cu", "k.txt", "no .c, .cu"),
        ("k.cu", "gone.cu", "no file"),
        ("bf16", "f99", "f99"),
        ("ij,jl->il", "ij,jk->ik", "no label"),
        ("ij,jl->il", "...i,i->...", "names all dimensions"),
        ("(l + 127) / 128", "(l + 127", "no expression"),
        ("(l + 127) / 128", "q", "no label"),
        ("[128, 2]", "[0]", "from 1 on"),
        ("[128, 2]", "[1, 1, 1, 1]", "from 1 on"),
        ("k.cu", "k.c", "has no `grid`"),
        ("k.cu", "k.kernel", "has no `grid`"),
        ("l: i32", "l: i8", "no type"),
        ("l: i32", "A: i32", "no label"),
        ("sm_80", "sm_1", "no target"),
        ("entry = \"gemm\"\n", "", "needs `entry`"),
        ("target", "tarjet", "unknown field"),
        ("name", "name = [", "expected"),
    ];
    for (from, to, why) in cases {
        let text = GOOD.replacen(from, to, 1);
        let d = read(&text).err().unwrap_or_else(|| panic!("{from} -> {to} was taken"));
        assert_eq!(d.code, "E0972");
        assert!(d.message.contains(why), "{from} -> {to}: {}", d.message);
    }
    assert_eq!(Manifest::read(Path::new("no/such.toml")).unwrap_err().code, "E0972");
}

#[test]
fn arrays_that_are_not_there_are_named() {
    let manifest = read(&GOOD.replace("\"C\"", "\"D\"")).unwrap();
    let nest = nest("mk,kn->mn", "m=8,n=8,k=8", "bf16", Some("f32"));
    let d = manifest.launch(&Problem { einsum: Some("mk,kn->mn"), nest: &nest }).unwrap_err();
    assert!(d.message.contains("`D` is neither"), "{}", d.message);
}

#[test]
fn the_ladder_of_products_takes_part() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/handwritten/gemm");
    for (sub, out, count) in [("", "f32", 8), ("bf16", "bf16", 7)] {
        let nest = nest("mk,nk->mn", "m=4096,n=4096,k=4096", "bf16", Some(out));
        let problem = Problem { einsum: Some("mk,nk->mn"), nest: &nest };
        let files = std::fs::read_dir(folder.join(sub)).unwrap().map(|e| e.unwrap().path());
        let files: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
        assert_eq!(files.len(), count);
        for file in files {
            let manifest = Manifest::read(&file).unwrap_or_else(|d| panic!("{d}"));
            let launch = manifest.launch(&problem).unwrap_or_else(|d| panic!("{d}"));
            let starts = manifest.language == Language::Kernel;
            assert!(starts != (launch.arguments.len() == 6), "{}", file.display());
            assert!(starts || launch.grid[0] >= 32, "{}: {:?}", file.display(), launch.grid);
        }
    }
}
