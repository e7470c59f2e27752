//! `.npy` files, versions 1 to 3.
//!
//! In: C and Fortran order, both byte orders, every type that is NumPy's and ours. Out: C order,
//! little-endian, version 1. Why by hand: the header is a fixed little dictionary; reading it
//! strictly keeps a hostile one (huge shapes, deep nesting) an error.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{malformed, swap_bytes, unreadable, write_whole};
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

/// Reads the array of a `.npy` file.
///
/// # Errors
/// E0530 unreadable, E0531 malformed, E0532 cut short, E0533 of a type we do not have; E0501 and
/// E0502 where it is too large.
pub fn read(path: &Path) -> Result<Tensor> {
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let length = file.metadata().map_err(|e| unreadable(path, &e))?.len();
    let (text, start) = header_text(path, &mut file, length)?;
    let header = parse_header(&text).map_err(|why| malformed(path, ".npy", &why))?;
    let (dtype, little) = dtype_of(&header.descr).ok_or_else(|| foreign(path, &header.descr))?;
    let too_many = || malformed(path, ".npy", "its shape is too large");
    let bytes = header
        .shape
        .iter()
        .try_fold(dtype.size_bytes() as u64, |n, &extent| n.checked_mul(extent as u64));
    // a shape with a 0 has no elements, however large the rest
    let bytes = if header.shape.contains(&0) { Some(0) } else { bytes };
    let bytes = bytes.ok_or_else(too_many)?;
    if length - start < bytes {
        return Err(cut_short(path, bytes, length - start));
    }
    let mut tensor = Tensor::zeros(dtype, &header.shape)?;
    file.read_exact(tensor.bytes_mut()).map_err(|e| unreadable(path, &e))?;
    swap_bytes(tensor.bytes_mut(), dtype.size_bytes(), little);
    if dtype == DType::Bool {
        tensor.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    if header.fortran { from_fortran(&tensor) } else { Ok(tensor) }
}

/// Writes a tensor as a `.npy` file; `tf32` as NumPy's `f4`, which is its storage.
///
/// # Errors
/// E0533 for bf16 and the floats of eight and four bits, which NumPy lacks; E0535 where writing
/// fails.
pub fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    let Some(descr) = descr_of(tensor.dtype()) else {
        let message = format!("NumPy has no type {}", tensor.dtype());
        let d = Diagnostic::input("E0533", message);
        return Err(Box::new(d.help("write to a .safetensors file, or choose --out-dtype f32")));
    };
    let sizes: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    let shape = format!("({}{comma})", sizes.join(", "));
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // the data starts at a multiple of 64; a newline ends the header
    let padding = 64 - (10 + text.len() + 1) % 64;
    text.push_str(&" ".repeat(padding % 64));
    text.push('\n');
    let length = u16::try_from(text.len()).map_err(|_| malformed(path, ".npy", "its rank"))?;
    let mut head = MAGIC.to_vec();
    head.extend([1, 0]);
    head.extend(length.to_le_bytes());
    head.extend(text.as_bytes());
    if cfg!(target_endian = "little") {
        return write_whole(path, &[&head, tensor.bytes()]);
    }
    let mut bytes = tensor.bytes().to_vec();
    swap_bytes(&mut bytes, tensor.dtype().size_bytes(), true);
    write_whole(path, &[&head, &bytes])
}

/// The header's text, and where the data starts.
fn header_text(path: &Path, file: &mut File, length: u64) -> Result<(String, u64)> {
    let mut take = |n: usize, at: u64| -> Result<Vec<u8>> {
        if length < at.saturating_add(n as u64) {
            return Err(cut_short(path, at.saturating_add(n as u64), length));
        }
        let mut bytes = vec![0; n];
        file.read_exact(&mut bytes).map_err(|e| unreadable(path, &e))?;
        Ok(bytes)
    };
    let head = take(8, 0)?;
    if head[..6] != MAGIC[..] {
        return Err(malformed(path, ".npy", "it does not start with \\x93NUMPY"));
    }
    let wide = match head[6] {
        1 => false,
        2 | 3 => true,
        other => return Err(malformed(path, ".npy", &format!("version {other} is not known"))),
    };
    let size = take(if wide { 4 } else { 2 }, 8)?;
    let count = size.iter().rev().fold(0_usize, |n, &b| n << 8 | usize::from(b));
    let start = 8 + size.len() as u64;
    let bytes = take(count, start)?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| malformed(path, ".npy", "its header is no text"))?;
    Ok((text, start + count as u64))
}

fn cut_short(path: &Path, wanted: u64, there: u64) -> Box<Diagnostic> {
    let message = format!("{} is cut short: {there} bytes of {wanted}", path.display());
    Box::new(Diagnostic::input("E0532", message).help("copy or write the file again"))
}

fn foreign(path: &Path, descr: &str) -> Box<Diagnostic> {
    let message = format!("{} has elements of the type `{descr}`", path.display());
    let help = "the types of .npy files are f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1 b1; .safetensors \
                files have bf16 and 8-bit floats too";
    Box::new(Diagnostic::input("E0533", message).help(help))
}

/// Our type of a `descr` such as `<f4`, and whether it is little-endian.
fn dtype_of(descr: &str) -> Option<(DType, bool)> {
    let little = match descr.chars().next()? {
        '<' => true,
        '>' => false,
        '=' | '|' => cfg!(target_endian = "little"),
        _ => return None,
    };
    let dtype = match &descr[1..] {
        "f8" => DType::F64,
        "f4" => DType::F32,
        "f2" => DType::F16,
        "i8" => DType::I64,
        "u8" => DType::U64,
        "i4" => DType::I32,
        "u4" => DType::U32,
        "i2" => DType::I16,
        "u2" => DType::U16,
        "i1" => DType::I8,
        "u1" => DType::U8,
        "b1" => DType::Bool,
        _ => return None,
    };
    Some((dtype, little))
}

const fn descr_of(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F64 => Some("<f8"),
        DType::F32 | DType::Tf32 => Some("<f4"),
        DType::F16 => Some("<f2"),
        DType::I64 => Some("<i8"),
        DType::U64 => Some("<u8"),
        DType::I32 => Some("<i4"),
        DType::U32 => Some("<u4"),
        DType::I16 => Some("<i2"),
        DType::U16 => Some("<u2"),
        DType::I8 => Some("|i1"),
        DType::U8 => Some("|u1"),
        DType::Bool => Some("|b1"),
        DType::Bf16 | DType::E4m3 | DType::E5m2 | DType::E2m1 | DType::Ue8m0 | DType::Ue4m3 => None,
    }
}

/// The same array in C order, from one whose bytes are in Fortran order.
fn from_fortran(file: &Tensor) -> Result<Tensor> {
    let shape = file.shape();
    let mut out = Tensor::zeros(file.dtype(), shape)?;
    let mut indices = vec![0; shape.len()];
    for flat in 0..file.len() {
        // the first index runs fastest in the file
        let at = indices.iter().zip(shape).fold(0, |at, (i, extent)| at * extent + i);
        out.set_flat(at, file.get_flat(flat));
        for (i, &extent) in indices.iter_mut().zip(shape) {
            *i += 1;
            if *i < extent {
                break;
            }
            *i = 0;
        }
    }
    Ok(out)
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, keys in any order.
fn parse_header(text: &str) -> std::result::Result<Header, String> {
    let mut rest = text.trim().strip_prefix('{').ok_or("its header is no dictionary")?;
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    loop {
        rest = rest.trim_start();
        if let Some(end) = rest.strip_prefix('}') {
            if !end.trim().is_empty() {
                return Err("there is text behind its header".into());
            }
            break;
        }
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':').ok_or("a `:` is missing")?.trim_start();
        let known = [descr.is_some(), fortran.is_some(), shape.is_some()];
        rest = match (key, known) {
            ("descr", [false, _, _]) => {
                let (value, after) = quoted(value)?;
                descr = Some(value.to_owned());
                after
            }
            ("fortran_order", [_, false, _]) => {
                let (value, after) = boolean(value)?;
                fortran = Some(value);
                after
            }
            ("shape", [_, _, false]) => {
                let (value, after) = tuple(value)?;
                shape = Some(value);
                after
            }
            (key, _) => return Err(format!("its header has the key {key:?} too much")),
        };
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("a `,` is missing".into()),
        }
    }
    match (descr, fortran, shape) {
        (Some(descr), Some(fortran), Some(shape)) => Ok(Header { descr, fortran, shape }),
        (_, _, _) => Err("its header lacks descr, fortran_order or shape".into()),
    }
}

fn quoted(text: &str) -> std::result::Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let quote = quote.ok_or("a plain text is expected (records are not supported)")?;
    text[1..].split_once(quote).ok_or_else(|| "a quote is not closed".into())
}

fn boolean(text: &str) -> std::result::Result<(bool, &str), String> {
    let yes = text.strip_prefix("True").map(|rest| (true, rest));
    let no = || text.strip_prefix("False").map(|rest| (false, rest));
    yes.or_else(no).ok_or_else(|| "fortran_order is neither True nor False".into())
}

fn tuple(text: &str) -> std::result::Result<(Vec<usize>, &str), String> {
    let inner = text.strip_prefix('(').and_then(|t| t.split_once(')'));
    let (inner, rest) = inner.ok_or("shape is no tuple")?;
    let mut sizes = Vec::new();
    let trimmed = inner.trim().strip_suffix(',').unwrap_or(inner);
    for size in trimmed.split(',').filter(|_| !trimmed.trim().is_empty()) {
        let size = size.trim().trim_end_matches('L');
        sizes.push(size.parse().map_err(|_| format!("{size:?} in its shape is no size"))?);
    }
    Ok((sizes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_strictly() {
        let header = |shape: &str| {
            parse_header(&format!(
                "{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}  \n"
            ))
        };
        for (text, shape) in
            [("()", vec![]), ("(3,)", vec![3]), ("(3, 4)", vec![3, 4]), ("(0,2,)", vec![0, 2])]
        {
            let expected = Header { descr: "<f4".into(), fortran: true, shape };
            assert_eq!(header(text), Ok(expected), "{text}");
        }
        for bad in ["(-1,)", "(1.5,)", "[2]", "(99999999999999999999999,)", "(1,,2)", "((1,),)"] {
            assert!(header(bad).is_err(), "{bad}");
        }
        for bad in ["", "{", "{}", "{'descr': [('a', '<f4')]}", "{'descr': '<f4}", "{é}"] {
            assert!(parse_header(bad).is_err(), "{bad}");
        }
    }
}
