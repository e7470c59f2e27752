//! `.safetensors` files: named tensors, with bf16 and the floats of eight and of four bits.
//!
//! In and out: little-endian, as the format wants. `tf32` is written as F32, which is its storage,
//! and `ue4m3` as F8_E4M3, of which it has the numbers without a sign ([`unsigned`]).

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{malformed, swap_bytes, unreadable, write_whole};
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;

/// Reads one tensor; without a name the file must hold exactly one.
///
/// # Errors
/// E0530 unreadable, E0531 malformed or cut short, E0533 of a type we do not have, E0534 no such
/// tensor; E0501 and E0502 where it is too large.
pub fn read(path: &Path, name: Option<&str>) -> Result<Tensor> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let file = SafeTensors::deserialize(&bytes);
    let file = file.map_err(|e| malformed(path, ".safetensors", &e.to_string()))?;
    let mut names = file.names();
    names.sort_unstable();
    let chosen = match (name, names.as_slice()) {
        (Some(name), _) if names.contains(&name) => name,
        (None, [only]) => *only,
        (_, _) => return Err(no_tensor(path, name, &names)),
    };
    let view = file.tensor(chosen).map_err(|_| no_tensor(path, name, &names))?;
    let dtype = dtype_of(view.dtype()).ok_or_else(|| {
        let found = format!("{:?}", view.dtype());
        let message = format!("`{chosen}` of {} has the type {found}", path.display());
        Diagnostic::input("E0533", message).help("convert it to one of our types")
    })?;
    let mut tensor = Tensor::from_bytes(dtype, view.shape(), view.data())?;
    swap_bytes(tensor.bytes_mut(), dtype.size_bytes(), true);
    if dtype == DType::Bool {
        tensor.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Ok(tensor)
}

/// Writes these tensors, each under its name.
///
/// # Errors
/// E0533 for half a byte at the end, E0534 for two tensors of one name, E0535 where writing fails.
pub fn write(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<()> {
    for (i, (name, _)) in tensors.iter().enumerate() {
        if tensors[..i].iter().any(|(earlier, _)| earlier == name) {
            let message = format!("two tensors for {} are called `{name}`", path.display());
            return Err(Box::new(Diagnostic::input("E0534", message).help("rename one of them")));
        }
    }
    let odd = |t: &Tensor| !(t.len() * t.dtype().bits()).is_multiple_of(8);
    if let Some((name, tensor)) = tensors.iter().find(|(_, t)| odd(t)) {
        let (dtype, shape) = (tensor.dtype(), tensor.shape());
        let message = format!("`{name}` is {dtype}{shape:?}, and .safetensors has whole bytes");
        let help = "write an even number of elements, or another type";
        return Err(Box::new(Diagnostic::input("E0533", message).help(help)));
    }
    let little: Vec<Vec<u8>> = tensors.iter().map(|(_, t)| little_endian(t)).collect();
    let mut views = Vec::new();
    for ((name, tensor), bytes) in tensors.iter().zip(&little) {
        let view = TensorView::new(format_of(tensor.dtype()), tensor.shape().to_vec(), bytes);
        let view = view.map_err(|e| malformed(path, ".safetensors", &e.to_string()))?;
        views.push(((*name).to_owned(), view));
    }
    let file = safetensors::serialize(views, None);
    let file = file.map_err(|e| malformed(path, ".safetensors", &e.to_string()))?;
    write_whole(path, &[&file])
}

/// The numbers of a tensor of `e4m3` as `ue4m3`, as scales are kept in files.
///
/// # Errors
/// E0533 where one has a sign.
pub fn unsigned(tensor: &Tensor) -> Result<Tensor> {
    if let Some(at) = tensor.bytes().iter().position(|b| b >> 7 != 0) {
        let message = format!("element {at} is {}, below zero", tensor.get_flat(at));
        let help = "declare the array as e4m3, or take the signs to what it scales";
        return Err(Box::new(Diagnostic::input("E0533", message).help(help)));
    }
    Tensor::from_bytes(DType::Ue4m3, tensor.shape(), tensor.bytes())
}

fn little_endian(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = tensor.bytes().to_vec();
    swap_bytes(&mut bytes, tensor.dtype().size_bytes(), true);
    bytes
}

fn no_tensor(path: &Path, name: Option<&str>, names: &[&str]) -> Box<Diagnostic> {
    let path = path.display();
    let message = match name {
        Some(name) => format!("{path} has no tensor `{name}`"),
        None => format!("{path} has {} tensors, and none is named", names.len()),
    };
    let shown: Vec<String> = names.iter().take(8).map(|n| format!("`{path}:{n}`")).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    let help = match shown.as_slice() {
        [] => "the file holds no tensor at all".to_owned(),
        [_, ..] => format!("choose one: {}{more}", shown.join(", ")),
    };
    Box::new(Diagnostic::input("E0534", message).help(help))
}

fn dtype_of(dtype: Dtype) -> Option<DType> {
    let own = |t: &DType| !matches!(t, DType::Tf32 | DType::Ue4m3);
    DType::ALL.into_iter().filter(own).find(|&t| format_of(t) == dtype)
}

const fn format_of(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Tf32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::E4m3 | DType::Ue4m3 => Dtype::F8_E4M3,
        DType::E5m2 => Dtype::F8_E5M2,
        DType::E2m1 => Dtype::F4,
        DType::Ue8m0 => Dtype::F8_E8M0,
        DType::I64 => Dtype::I64,
        DType::U64 => Dtype::U64,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::I16 => Dtype::I16,
        DType::U16 => Dtype::U16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
