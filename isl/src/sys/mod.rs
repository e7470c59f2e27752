//! The C side: opaque types, the types that say who owns a pointer, and the extern lines.
//!
//! Requires: each line agrees with isl's header, annotations included: `__isl_take` is [`Take`],
//! `__isl_keep` is [`Keep`], `__isl_give` is [`Give`]. A mix-up of the three is then a type error
//! in the wrapper and not a double free. The lines call isl 0.27, built by the crate isl-rs.

#![allow(non_camel_case_types, reason = "the names of the C library")]

use std::ffi::{c_char, c_int};

mod affs;
mod maps;
mod sets;
mod trees;

pub(crate) use affs::*;
pub(crate) use maps::*;
pub(crate) use sets::*;
pub(crate) use trees::*;

/// An argument that isl takes over and frees.
#[repr(transparent)]
pub(crate) struct Take<T>(pub(crate) *mut T);

/// An argument that isl only looks at during the call.
#[repr(transparent)]
pub(crate) struct Keep<T>(pub(crate) *mut T);

/// A result that belongs to the caller; NULL is an error.
#[repr(transparent)]
pub(crate) struct Give<T>(pub(crate) *mut T);

/// A C string that the caller must free; NULL is an error.
#[repr(transparent)]
pub(crate) struct OwnedStr(pub(crate) *mut c_char);

/// A C string that belongs to an object; NULL means that there is none.
#[repr(transparent)]
pub(crate) struct LentStr(pub(crate) *const c_char);

/// `isl_bool`: -1 is an error.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Bool(pub(crate) c_int);

/// `isl_size`: negative is an error.
#[repr(transparent)]
pub(crate) struct Size(pub(crate) c_int);

/// `isl_stat`: -1 is an error.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Stat(pub(crate) c_int);

/// An enumeration of isl; -1 is an error in all that are returned.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Enum(pub(crate) c_int);

macro_rules! opaque {
    ($($name:ident),* $(,)?) => { $(
        /// Opaque.
        #[repr(C)]
        pub(crate) struct $name {
            _data: [u8; 0],
            _not_send: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
        }
    )* };
}

opaque! {
    isl_aff, isl_aff_list, isl_ast_build, isl_ast_expr, isl_ast_node, isl_ast_node_list,
    isl_basic_map, isl_basic_map_list, isl_basic_set, isl_basic_set_list, isl_constraint,
    isl_constraint_list, isl_ctx, isl_fixed_box, isl_id, isl_id_list, isl_local_space,
    isl_map, isl_map_list, isl_mat, isl_multi_aff, isl_multi_pw_aff, isl_multi_union_pw_aff,
    isl_multi_val, isl_point, isl_pw_aff, isl_pw_aff_list, isl_pw_multi_aff,
    isl_pw_multi_aff_list, isl_schedule, isl_schedule_constraints, isl_schedule_node,
    isl_set, isl_set_list, isl_space, isl_stride_info, isl_union_access_info, isl_union_flow,
    isl_union_map, isl_union_pw_aff, isl_union_pw_aff_list, isl_union_pw_multi_aff, isl_union_set,
    isl_union_set_list, isl_val, isl_val_list,
}

unsafe extern "C" {
    /// The C library's free, for the strings isl gives.
    pub(crate) fn free(pointer: *mut std::ffi::c_void);
}
