//! How a spec becomes a program, as C says it.
//!
//! In: `warploom_options`. Out: strings. Keeps: fields that the caller's version does not have are
//! absent; a struct that is larger than ours is refused, since we do not know what it asks.

use std::ffi::c_char;

use warploom::Diagnostic;
use warploom::diag::Result;

use crate::string;

/// `warploom_options` of include/warploom.h.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Options {
    /// `sizeof(warploom_options)`.
    pub struct_size: usize,
    /// Sizes by name.
    pub sizes: *const c_char,
    /// Types of the inputs.
    pub dtypes: *const c_char,
    /// How sums add.
    pub acc: *const c_char,
    /// The output's type.
    pub out_dtype: *const c_char,
    /// A script.
    pub schedule: *const c_char,
    /// A device's name.
    pub device: *const c_char,
    /// The folder of compiled code.
    pub cache: *const c_char,
}

impl Default for Options {
    fn default() -> Self {
        let none = std::ptr::null();
        Self {
            struct_size: size_of::<Self>(),
            sizes: none,
            dtypes: none,
            acc: none,
            out_dtype: none,
            schedule: none,
            device: none,
            cache: none,
        }
    }
}

/// The options that were given.
#[derive(Default)]
pub(crate) struct Given<'a> {
    pub(crate) sizes: Option<&'a str>,
    pub(crate) dtypes: Option<&'a str>,
    pub(crate) acc: Option<&'a str>,
    pub(crate) out_dtype: Option<&'a str>,
    pub(crate) schedule: Option<&'a str>,
    pub(crate) device: Option<&'a str>,
    pub(crate) cache: Option<&'a str>,
}

/// # Safety
/// `options` is NULL or has `struct_size` bytes, whose strings are NULL or end with a zero.
pub(crate) unsafe fn given<'a>(options: *const Options) -> Result<Given<'a>> {
    if options.is_null() {
        return Ok(Given::default());
    }
    // SAFETY: the first field is there.
    let size = unsafe { (&raw const (*options).struct_size).read() };
    if size < size_of::<usize>() || size > size_of::<Options>() {
        let most = size_of::<Options>();
        let text = format!("`struct_size` is {size}; this library knows options of {most} bytes");
        return Err(Box::new(
            Diagnostic::input("E0901", text).help("set it to sizeof(warploom_options)"),
        ));
    }
    let mut own = Options::default();
    // SAFETY: the caller has `size` bytes, we have at least as many, and both are plain data.
    unsafe {
        std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut own).cast::<u8>(), size);
    }
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Given {
            sizes: text(own.sizes, "`sizes`")?,
            dtypes: text(own.dtypes, "`dtypes`")?,
            acc: text(own.acc, "`acc`")?,
            out_dtype: text(own.out_dtype, "`out_dtype`")?,
            schedule: text(own.schedule, "`schedule`")?,
            device: text(own.device, "`device`")?,
            cache: text(own.cache, "`cache`")?,
        })
    }
}

/// A string of C's as text; none where it is NULL.
///
/// # Safety
/// It is NULL or ends with a zero.
pub(crate) unsafe fn text<'a>(from: *const c_char, what: &str) -> Result<Option<&'a str>> {
    // SAFETY: the caller's promise.
    let Some(bytes) = (unsafe { string(from) }) else { return Ok(None) };
    bytes
        .to_str()
        .map(Some)
        .map_err(|_| Box::new(Diagnostic::input("E0901", format!("{what} is no text in UTF-8"))))
}
