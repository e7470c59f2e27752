//! Tensor files: what is written comes back, NumPy's own bytes are read, bad files are explained.

use std::path::PathBuf;

use tempfile::TempDir;
use warploom::io::{load, save};
use warploom_ir::diag::Blame;
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;

fn at(folder: &TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.to_str().expect("temporary folders have plain names").to_owned();
    (path, text)
}

/// A version 1 file with this header and data.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn dict(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
}

fn load_bytes(name: &str, bytes: &[u8]) -> Result<Tensor, String> {
    let folder = TempDir::new().expect("a temporary folder");
    let (path, text) = at(&folder, name);
    std::fs::write(path, bytes).expect("temporary folders can be written");
    load(&text).map_err(|d| {
        assert_eq!(d.blame, Blame::Input, "{d}");
        assert!(d.help.is_some(), "{d}");
        d.code.to_owned()
    })
}

#[test]
fn scales_without_a_sign_are_kept_as_those_with_one() {
    let unsigned = warploom::io::safetensors::unsigned;
    let scales = Tensor::random(DType::Ue4m3, &[4, 6], 3).unwrap();
    let signed = Tensor::from_bytes(DType::E4m3, &[4, 6], scales.bytes()).unwrap();
    assert_eq!(unsigned(&signed).unwrap(), scales);
    let mut below = signed.clone();
    below.bytes_mut()[5] |= 0x80;
    let error = unsigned(&below).unwrap_err();
    assert!(error.code == "E0533" && error.message.contains("element 5 is -"), "{error}");
}

#[test]
fn every_type_and_shape_comes_back() {
    let folder = TempDir::new().unwrap();
    for dtype in DType::ALL {
        for shape in [&[][..], &[3], &[0, 2], &[2, 3, 4]] {
            let tensor = Tensor::random(dtype, shape, 7).unwrap();
            let stored = match dtype {
                DType::Tf32 => DType::F32,
                DType::Ue4m3 => DType::E4m3,
                _ => dtype,
            };
            for name in ["a.npy", "a.safetensors"] {
                let (path, text) = at(&folder, name);
                let narrow = dtype.is_float() && dtype.bits() <= 8 || dtype == DType::Bf16;
                let saved = save(&path, &[("x", &tensor)]);
                if narrow && name == "a.npy" {
                    assert_eq!(saved.unwrap_err().code, "E0533");
                    continue;
                }
                if !(tensor.len() * dtype.bits()).is_multiple_of(8) {
                    assert!(saved.unwrap_err().message.contains("whole bytes"), "{shape:?}");
                    continue;
                }
                saved.unwrap();
                let back = load(&text).unwrap();
                assert_eq!((back.dtype(), back.shape()), (stored, shape));
                assert_eq!(back.bytes(), tensor.bytes());
            }
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file stays: {left:?}");
}

#[test]
fn written_npy_files_are_numpys_bytes() {
    let folder = TempDir::new().unwrap();
    let (path, _) = at(&folder, "a.npy");
    let tensor = Tensor::from_f64s(DType::I16, &[2], &[1.0, -2.0]).unwrap();
    save(&path, &[("x", &tensor)]).unwrap();
    let bytes = std::fs::read(path).unwrap();
    // what numpy.save writes for np.array([1, -2], np.int16)
    let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    expected.extend(b"{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }");
    expected.resize(127, b' ');
    expected.extend(b"\n\x01\x00\xfe\xff");
    assert_eq!(bytes, expected);
}

#[test]
fn byte_and_dimension_orders_are_undone() {
    let data: Vec<u8> = [1_i16, 2, 3, 4, 5, 6].iter().flat_map(|v| v.to_be_bytes()).collect();
    let c = load_bytes("a.npy", &npy(&dict(">i2", "False", "(2, 3)"), &data)).unwrap();
    assert_eq!(c.to_f64s(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let f = load_bytes("a.npy", &npy(&dict(">i2", "True", "(2, 3)"), &data)).unwrap();
    assert_eq!(f.to_f64s(), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    let header = dict("|b1", "False", "(2,)");
    let bools = load_bytes("a.npy", &npy(&header, &[0, 255])).unwrap();
    assert_eq!(bools.bytes(), [0, 1]);
    for version in [2, 3] {
        let mut file = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend([1, 0]);
        assert_eq!(load_bytes("a.npy", &file).unwrap().bytes(), [1, 0]);
    }
}

#[test]
fn bad_npy_files_are_explained() {
    let big = "(4611686018427387904, 4611686018427387904)";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "E0532"),
        (b"\x93NUMPY\x01".to_vec(), "E0532"),
        (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "E0532"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "E0532"),
        (b"PK\x03\x04 a zip file".to_vec(), "E0531"),
        (b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "E0531"),
        (npy("nothing", &[]), "E0531"),
        (npy(&dict("<f4", "False", "(2,)"), &[0; 7]), "E0532"),
        (npy(&dict("<f4", "False", big), &[0; 8]), "E0531"),
        (npy(&dict("<f4", "False", "(4611686018427387904,)"), &[0; 8]), "E0531"),
        (npy(&dict("<f4", "False", "(1073741824,)"), &[0; 8]), "E0532"),
        (npy(&dict("<c8", "False", "(1,)"), &[0; 8]), "E0533"),
        (npy(&dict("é", "False", "(1,)"), &[0; 8]), "E0533"),
        (npy(&dict("|O", "False", "(1,)"), &[0; 8]), "E0533"),
    ];
    for (i, (bytes, code)) in cases.iter().enumerate() {
        assert_eq!(load_bytes("a.npy", bytes).unwrap_err(), *code, "case {i}");
    }
}

#[test]
fn tensors_are_chosen_by_name() {
    let folder = TempDir::new().unwrap();
    let (path, text) = at(&folder, "w.safetensors");
    let a = Tensor::random(DType::Bf16, &[2, 2], 1).unwrap();
    let b = Tensor::random(DType::E4m3, &[3], 2).unwrap();
    save(&path, &[("layer.a", &a), ("b", &b)]).unwrap();
    assert_eq!(load(&format!("{text}:layer.a")).unwrap(), a);
    assert_eq!(load(&format!("{text}:b")).unwrap(), b);
    let unnamed = load(&text).unwrap_err();
    assert_eq!(unnamed.code, "E0534");
    assert!(unnamed.help.unwrap().contains(":layer.a`"));
    assert_eq!(load(&format!("{text}:c")).unwrap_err().code, "E0534");
    assert_eq!(save(&path, &[("a", &a), ("a", &b)]).unwrap_err().code, "E0534");
}

#[test]
fn bad_safetensors_files_are_explained() {
    let folder = TempDir::new().unwrap();
    let (path, _) = at(&folder, "w.safetensors");
    let a = Tensor::random(DType::F32, &[4], 1).unwrap();
    save(&path, &[("a", &a)]).unwrap();
    let whole = std::fs::read(path).unwrap();
    for length in 0..whole.len() {
        let code = load_bytes("w.safetensors", &whole[..length]).unwrap_err();
        assert_eq!(code, "E0531", "the first {length} bytes");
    }
    let mut foreign = whole;
    let text = String::from_utf8_lossy(&foreign).find("F32").unwrap();
    foreign[text..text + 3].copy_from_slice(b"C64");
    assert!(load_bytes("w.safetensors", &foreign).is_err());
}

#[test]
fn files_that_are_not_there_or_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    for name in ["none.npy", "none.safetensors", "none.safetensors:x"] {
        let d = load(&at(&folder, name).1).unwrap_err();
        assert_eq!((d.code, d.blame), ("E0530", Blame::Input), "{d}");
    }
    assert_eq!(load("a.txt").unwrap_err().code, "E0536");
    let tensor = Tensor::random(DType::F32, &[4], 1).unwrap();
    let (path, _) = at(&folder, "no_such_folder/a.npy");
    let d = save(&path, &[("a", &tensor)]).unwrap_err();
    assert_eq!((d.code, d.blame), ("E0535", Blame::Environment), "{d}");
    let (path, _) = at(&folder, "two.npy");
    assert_eq!(save(&path, &[("a", &tensor), ("b", &tensor)]).unwrap_err().code, "E0534");
}
