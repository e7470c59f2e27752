//! The macros that make handles and methods, and the conversions they rest on.
//!
//! A handle is a pointer isl gave us and the context it lives in. `handle!` gives it `Clone` (isl's
//! copy), `Drop` (isl's free) and text; `methods!` turns one line into a checked method: arguments
//! are checked first (contexts, NUL bytes, ranges), then converted (a copy where isl takes, the
//! pointer where it keeps: the extern line decides), then isl is called and its answer read.
//! Why in this order: a conversion that copies must not be followed by one that can fail.

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint};

/// An object of isl with its context.
pub(crate) trait Handle: Sized {
    /// The C type.
    type Raw;
    /// The context it lives in.
    fn ctx(&self) -> &Ctx;
    /// The pointer, still owned by the handle.
    fn raw(&self) -> *mut Self::Raw;
    /// A pointer of its own for a callee that takes it; NULL if isl fails.
    fn copied(&self) -> *mut Self::Raw;
    /// Takes over a pointer isl gave; NULL becomes the error isl noted.
    fn own(raw: *mut Self::Raw, ctx: &Ctx, call: &'static str) -> Result<Self>;
}

/// Something that names a context: a handle or the context itself.
pub(crate) trait HasCtx {
    /// The context.
    fn context(&self) -> &Ctx;
}

impl HasCtx for Ctx {
    fn context(&self) -> &Ctx {
        self
    }
}

impl<H: Handle> HasCtx for H {
    fn context(&self) -> &Ctx {
        self.ctx()
    }
}

/// An argument before the call: checked, and turned into something that cannot fail any more.
pub(crate) trait Arg {
    /// What is ready to be passed.
    type Ready;
    /// Checks the argument of `call` against the context.
    fn ready(self, ctx: &Ctx, call: &'static str) -> Result<Self::Ready>;
}

/// A checked argument in the form the extern line wants.
pub(crate) trait ToC<C> {
    /// Converts; where isl takes, this makes the copy it takes.
    fn to_c(&self, ctx: &Ctx) -> C;
}

/// What isl answered, as a Rust value.
pub(crate) trait FromC<C>: Sized {
    /// Reads the answer of `call`.
    fn from_c(answer: C, ctx: &Ctx, call: &'static str) -> Result<Self>;
}

/// The largest position or number of dimensions: far above any use, far below where sums of them
/// could wrap around in isl.
const MAX_COUNT: usize = 1 << 20;

fn same_context(own: &Ctx, other: &Ctx, call: &'static str) -> Result<()> {
    if own.is_same(other) {
        return Ok(());
    }
    Err(Error::own(call, ErrorKind::MixedContexts, "the objects belong to different contexts"))
}

impl<'a, H: Handle> Arg for &'a H {
    type Ready = &'a H;
    fn ready(self, ctx: &Ctx, call: &'static str) -> Result<&'a H> {
        same_context(ctx, self.ctx(), call).map(|()| self)
    }
}

impl<'a, H: Handle> Arg for &'a [H] {
    type Ready = &'a [H];
    fn ready(self, ctx: &Ctx, call: &'static str) -> Result<&'a [H]> {
        self.iter().try_for_each(|h| same_context(ctx, h.ctx(), call)).map(|()| self)
    }
}

impl<'a> Arg for &'a Ctx {
    type Ready = &'a Ctx;
    fn ready(self, ctx: &Ctx, call: &'static str) -> Result<&'a Ctx> {
        same_context(ctx, self, call).map(|()| self)
    }
}

impl Arg for &str {
    type Ready = CString;
    fn ready(self, _: &Ctx, call: &'static str) -> Result<CString> {
        CString::new(self)
            .map_err(|_| Error::own(call, ErrorKind::Invalid, "the text contains a NUL byte"))
    }
}

impl Arg for usize {
    type Ready = c_int;
    fn ready(self, _: &Ctx, call: &'static str) -> Result<c_int> {
        match c_int::try_from(self) {
            Ok(n) if self <= MAX_COUNT => Ok(n),
            _ => Err(Error::own(call, ErrorKind::Invalid, format!("{self} is out of range"))),
        }
    }
}

impl Arg for bool {
    type Ready = c_int;
    fn ready(self, _: &Ctx, _: &'static str) -> Result<c_int> {
        Ok(c_int::from(self))
    }
}

impl Arg for i64 {
    type Ready = c_long;
    fn ready(self, _: &Ctx, _: &'static str) -> Result<c_long> {
        Ok(self)
    }
}

impl<H: Handle> ToC<sys::Take<H::Raw>> for &H {
    fn to_c(&self, _: &Ctx) -> sys::Take<H::Raw> {
        sys::Take(self.copied())
    }
}

impl<H: Handle> ToC<sys::Keep<H::Raw>> for &H {
    fn to_c(&self, _: &Ctx) -> sys::Keep<H::Raw> {
        sys::Keep(self.raw())
    }
}

impl ToC<*mut sys::isl_ctx> for &Ctx {
    fn to_c(&self, _: &Ctx) -> *mut sys::isl_ctx {
        self.raw()
    }
}

impl ToC<*const c_char> for CString {
    fn to_c(&self, _: &Ctx) -> *const c_char {
        self.as_ptr()
    }
}

impl ToC<c_int> for c_int {
    fn to_c(&self, _: &Ctx) -> c_int {
        *self
    }
}

impl ToC<c_uint> for c_int {
    fn to_c(&self, _: &Ctx) -> c_uint {
        self.unsigned_abs()
    }
}

impl ToC<c_long> for c_long {
    fn to_c(&self, _: &Ctx) -> c_long {
        *self
    }
}

impl ToC<sys::Enum> for sys::Enum {
    fn to_c(&self, _: &Ctx) -> sys::Enum {
        *self
    }
}

impl FromC<sys::Bool> for bool {
    fn from_c(answer: sys::Bool, ctx: &Ctx, call: &'static str) -> Result<bool> {
        if answer.0 < 0 { Err(ctx.take_error(call)) } else { Ok(answer.0 != 0) }
    }
}

impl FromC<sys::Size> for usize {
    fn from_c(answer: sys::Size, ctx: &Ctx, call: &'static str) -> Result<usize> {
        usize::try_from(answer.0).map_err(|_| ctx.take_error(call))
    }
}

impl FromC<sys::Stat> for () {
    fn from_c(answer: sys::Stat, ctx: &Ctx, call: &'static str) -> Result<()> {
        if answer.0 < 0 { Err(ctx.take_error(call)) } else { Ok(()) }
    }
}

/// A position that isl gives as a negative number where there is none.
impl FromC<c_int> for Option<usize> {
    fn from_c(answer: c_int, ctx: &Ctx, call: &'static str) -> Result<Option<usize>> {
        if answer < 0 && ctx.has_error() {
            return Err(ctx.take_error(call));
        }
        Ok(usize::try_from(answer).ok())
    }
}

/// A sign or the result of a comparison.
impl FromC<c_int> for i32 {
    fn from_c(answer: c_int, _: &Ctx, _: &'static str) -> Result<i32> {
        Ok(answer)
    }
}

impl FromC<sys::OwnedStr> for String {
    fn from_c(answer: sys::OwnedStr, ctx: &Ctx, call: &'static str) -> Result<String> {
        if answer.0.is_null() {
            return Err(ctx.take_error(call));
        }
        // SAFETY: isl gave a NUL-terminated string from malloc that belongs to us; it is copied and
        // then freed once.
        unsafe {
            let text = CStr::from_ptr(answer.0).to_string_lossy().into_owned();
            sys::free(answer.0.cast());
            Ok(text)
        }
    }
}

impl FromC<sys::LentStr> for Option<String> {
    fn from_c(answer: sys::LentStr, ctx: &Ctx, call: &'static str) -> Result<Option<String>> {
        if answer.0.is_null() {
            return if ctx.has_error() { Err(ctx.take_error(call)) } else { Ok(None) };
        }
        // SAFETY: the string belongs to an object that the caller still borrows.
        let text = unsafe { CStr::from_ptr(answer.0) };
        Ok(Some(text.to_string_lossy().into_owned()))
    }
}

/// Makes a handle type: `handle! { /// doc \n Set: isl_set, copy f, free f, [str f], [parse f] }`.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident: $raw:ident, copy $copy:ident, free $free:ident
        $(, clone $clone:ident)? $(, str $str:ident)? $(, parse $parse:ident)?) => {
        $(#[$doc])*
        pub struct $name {
            ptr: std::ptr::NonNull<$crate::sys::$raw>,
            ctx: $crate::ctx::Ctx,
        }

        impl $crate::handle::Handle for $name {
            type Raw = $crate::sys::$raw;
            fn ctx(&self) -> &$crate::ctx::Ctx {
                &self.ctx
            }
            fn raw(&self) -> *mut $crate::sys::$raw {
                self.ptr.as_ptr()
            }
            fn copied(&self) -> *mut $crate::sys::$raw {
                // SAFETY: the object is live; isl only looks at it.
                unsafe { $crate::sys::$copy($crate::sys::Keep(self.ptr.as_ptr())).0 }
            }
            fn own(
                raw: *mut $crate::sys::$raw,
                ctx: &$crate::ctx::Ctx,
                call: &'static str,
            ) -> $crate::error::Result<$name> {
                match std::ptr::NonNull::new(raw) {
                    Some(ptr) => Ok($name { ptr, ctx: ctx.clone() }),
                    None => Err(ctx.take_error(call)),
                }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle owns one reference, given up here once; the context is still
                // alive because its field is dropped after this.
                unsafe { $crate::sys::$free($crate::sys::Take(self.ptr.as_ptr())) };
            }
        }

        impl $crate::handle::FromC<$crate::sys::Give<$crate::sys::$raw>> for $name {
            fn from_c(
                answer: $crate::sys::Give<$crate::sys::$raw>,
                ctx: &$crate::ctx::Ctx,
                call: &'static str,
            ) -> $crate::error::Result<$name> {
                <$name as $crate::handle::Handle>::own(answer.0, ctx, call)
            }
        }

        impl $name {
            /// The context this object lives in.
            pub fn ctx(&self) -> &$crate::ctx::Ctx {
                &self.ctx
            }
        }

        $(impl Clone for $name {
            fn clone(&self) -> $name {
                // SAFETY: the object is live; isl only looks at it.
                let raw = unsafe { $crate::sys::$clone($crate::sys::Keep(self.ptr.as_ptr())).0 };
                // isl's copy of this type only counts a reference, so it cannot fail.
                let ptr = std::ptr::NonNull::new(raw).expect("a live object can be copied");
                $name { ptr, ctx: self.ctx.clone() }
            }
        })?

        $(handle!(@str $name, $str);)?
        $(handle!(@parse $name, $parse);)?
    };
    (@str $name:ident, $str:ident) => {
        methods! { $name {
            /// The object in isl's notation.
            fn to_str(&self) -> String = $str;
        } }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.to_str() {
                    Ok(text) => f.write_str(&text),
                    Err(error) => write!(f, "<{error}>"),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
    (@parse $name:ident, $parse:ident) => {
        impl $name {
            /// Reads the object from isl's notation.
            pub fn parse(ctx: &$crate::ctx::Ctx, text: &str) -> $crate::error::Result<$name> {
                $crate::text::check(text, stringify!($parse))?;
                $name::read_from_str(ctx, text)
            }
        }

        methods! { $name {
            priv fn read_from_str(ctx: &$crate::ctx::Ctx, text: &str) -> $name = $parse;
        } }
    };
}

/// Makes methods, one a line: `fn union(&self, other: &Set) -> Set = isl_set_union;`. Without
/// `&self` the first argument gives the context.
macro_rules! methods {
    ($type:ident { $($body:tt)* }) => {
        impl $type { methods!(@each $($body)*); }
    };
    (@each) => {};
    (@each $(#[$m:meta])* fn $name:ident (& $self:ident $(, $a:ident: $t:ty)* $(,)?) -> $ret:ty
        = $c:ident; $($rest:tt)*) => {
        $(#[$m])*
        pub fn $name(&$self $(, $a: $t)*) -> $crate::error::Result<$ret> {
            methods!(@body $self, ($($a),*), $c)
        }
        methods!(@each $($rest)*);
    };
    (@each $(#[$m:meta])* fn $name:ident ($first:ident: $ft:ty $(, $a:ident: $t:ty)* $(,)?)
        -> $ret:ty = $c:ident; $($rest:tt)*) => {
        $(#[$m])*
        pub fn $name($first: $ft $(, $a: $t)*) -> $crate::error::Result<$ret> {
            methods!(@body $first, ($($a),*), $c)
        }
        methods!(@each $($rest)*);
    };
    (@each $(#[$m:meta])* priv fn $name:ident (& $self:ident $(, $a:ident: $t:ty)* $(,)?)
        -> $ret:ty = $c:ident; $($rest:tt)*) => {
        $(#[$m])*
        pub(crate) fn $name(&$self $(, $a: $t)*) -> $crate::error::Result<$ret> {
            methods!(@body $self, ($($a),*), $c)
        }
        methods!(@each $($rest)*);
    };
    (@each $(#[$m:meta])* priv fn $name:ident ($first:ident: $ft:ty $(, $a:ident: $t:ty)* $(,)?)
        -> $ret:ty = $c:ident; $($rest:tt)*) => {
        $(#[$m])*
        pub(crate) fn $name($first: $ft $(, $a: $t)*) -> $crate::error::Result<$ret> {
            methods!(@body $first, ($($a),*), $c)
        }
        methods!(@each $($rest)*);
    };
    (@body $first:ident, ($($a:ident),*), $c:ident) => {{
        let ctx = $crate::handle::HasCtx::context($first).clone();
        $(let $a = $crate::handle::Arg::ready($a, &ctx, stringify!($c))?;)*
        ctx.start();
        // SAFETY: every object is live and of this context; the extern line's types decide what is
        // copied for isl to take and what is only lent, and `from_c` owns what isl gives.
        let answer = unsafe {
            $crate::sys::$c(
                $crate::handle::ToC::to_c(&$first, &ctx)
                $(, $crate::handle::ToC::to_c(&$a, &ctx))*
            )
        };
        let answer = $crate::handle::FromC::from_c(answer, &ctx, stringify!($c))?;
        ctx.check_whole(stringify!($c))?;
        Ok(answer)
    }};
}

/// Reads an isl list as a `Vec`: `list! { Set, isl_set_list, size f, at f, free f }`; with
/// `alloc f, add f` a slice can be passed where isl takes such a list.
macro_rules! list {
    ($name:ident, $raw:ident, size $size:ident, at $at:ident, free $free:ident) => {
        impl $crate::handle::FromC<$crate::sys::Give<$crate::sys::$raw>> for Vec<$name> {
            fn from_c(
                answer: $crate::sys::Give<$crate::sys::$raw>,
                ctx: &$crate::ctx::Ctx,
                call: &'static str,
            ) -> $crate::error::Result<Vec<$name>> {
                let list = answer.0;
                if list.is_null() {
                    return Err(ctx.take_error(call));
                }
                // SAFETY: the list is ours and live until it is freed at the end, once.
                unsafe {
                    let size = $crate::sys::$size($crate::sys::Keep(list)).0;
                    let items = (0..size)
                        .map(|i| {
                            let item = $crate::sys::$at($crate::sys::Keep(list), i);
                            <$name as $crate::handle::Handle>::own(item.0, ctx, call)
                        })
                        .collect();
                    $crate::sys::$free($crate::sys::Take(list));
                    items
                }
            }
        }
    };
    ($name:ident, $raw:ident, alloc $alloc:ident, add $add:ident) => {
        impl $crate::handle::ToC<$crate::sys::Take<$crate::sys::$raw>> for &[$name] {
            fn to_c(&self, ctx: &$crate::ctx::Ctx) -> $crate::sys::Take<$crate::sys::$raw> {
                // SAFETY: the context is live; each step takes the list of the one before (NULL is
                // handed on) and a reference made for it. The capacity is a hint.
                unsafe {
                    let mut list = $crate::sys::$alloc(ctx.raw(), 0).0;
                    for item in self.iter() {
                        let item = $crate::handle::Handle::copied(item);
                        list =
                            $crate::sys::$add($crate::sys::Take(list), $crate::sys::Take(item)).0;
                    }
                    $crate::sys::Take(list)
                }
            }
        }
    };
}
