//! Spaces: how many dimensions of each kind there are and what they are called.

use crate::ctx::Ctx;
use crate::error::Result;
use crate::handle::Arg;
use crate::sys;

handle! {
    /// A name.
    Id: isl_id, copy isl_id_copy, free isl_id_free, clone isl_id_copy, str isl_id_to_str
}
handle! {
    /// The space of a parameter domain, a set or a map.
    Space: isl_space, copy isl_space_copy, free isl_space_free, clone isl_space_copy,
    str isl_space_to_str, parse isl_space_read_from_str
}
handle! {
    /// A space with integer divisions.
    LocalSpace: isl_local_space, copy isl_local_space_copy, free isl_local_space_free,
    clone isl_local_space_copy
}

list! { Id, isl_id_list, alloc isl_id_list_alloc, add isl_id_list_add }

/// A kind of dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DimType {
    /// A parameter.
    Param,
    /// An input of a map.
    In,
    /// An output of a map (the same as [`DimType::Set`]).
    Out,
    /// A dimension of a set.
    Set,
    /// An integer division.
    Div,
}

impl Arg for DimType {
    type Ready = sys::Enum;
    fn ready(self, _: &Ctx, _: &'static str) -> Result<sys::Enum> {
        Ok(sys::Enum(match self {
            DimType::Param => 1,
            DimType::In => 2,
            DimType::Out | DimType::Set => 3,
            DimType::Div => 4,
        }))
    }
}

methods! { Id {
    priv fn alloc(ctx: &Ctx, name: &str, user: NoUser) -> Id = isl_id_alloc;
    priv fn get_name(&self) -> Option<String> = isl_id_get_name;
} }

/// The user pointer of an identifier, which this crate never sets.
pub(crate) struct NoUser;

impl Arg for NoUser {
    type Ready = NoUser;
    fn ready(self, _: &Ctx, _: &'static str) -> Result<NoUser> {
        Ok(self)
    }
}

impl crate::handle::ToC<*mut std::ffi::c_void> for NoUser {
    fn to_c(&self, _: &Ctx) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }
}

impl Id {
    /// The identifier with this name; equal names of one context give equal identifiers.
    pub fn new(ctx: &Ctx, name: &str) -> Result<Id> {
        Id::alloc(ctx, name, NoUser)
    }

    /// The name.
    pub fn name(&self) -> Result<String> {
        Ok(self.get_name()?.unwrap_or_default())
    }
}

methods! { Space {
    /// The space of a parameter domain with `params` unnamed parameters.
    fn params_alloc(ctx: &Ctx, params: usize) -> Space = isl_space_params_alloc;
    /// The space of a set.
    fn set_alloc(ctx: &Ctx, params: usize, dim: usize) -> Space = isl_space_set_alloc;
    /// The space of a map.
    fn map_alloc(ctx: &Ctx, params: usize, n_in: usize, n_out: usize) -> Space = isl_space_alloc;
    /// The parameter space without parameters.
    fn unit(ctx: &Ctx) -> Space = isl_space_unit;
    /// The space of the parameters alone.
    fn params(&self) -> Space = isl_space_params;
    /// The space of the domain of a map.
    fn domain(&self) -> Space = isl_space_domain;
    /// The space of the range of a map.
    fn range(&self) -> Space = isl_space_range;
    /// The set space of dimension zero over these parameters.
    fn set_from_params(&self) -> Space = isl_space_set_from_params;
    /// The space of the maps from a set space to itself.
    fn map_from_set(&self) -> Space = isl_space_map_from_set;
    /// The space of the maps between two set spaces.
    fn map_from_domain_and_range(&self, range: &Space) -> Space
        = isl_space_map_from_domain_and_range;
    /// The space of the pairs of a map, as a set space.
    fn wrap(&self) -> Space = isl_space_wrap;
    /// The map space of a wrapped set space.
    fn unwrap(&self) -> Space = isl_space_unwrap;
    /// A parameter more.
    fn add_param_id(&self, id: &Id) -> Space = isl_space_add_param_id;
    /// A tuple more, with a name and a number of dimensions.
    fn add_named_tuple(&self, id: &Id, dim: usize) -> Space = isl_space_add_named_tuple_id_ui;
    /// A tuple more, without a name.
    fn add_unnamed_tuple(&self, dim: usize) -> Space = isl_space_add_unnamed_tuple_ui;
    /// The parameters in the order of the other space, which may add some.
    fn align_params(&self, model: &Space) -> Space = isl_space_align_params;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_space_dim;
    /// The name of a dimension.
    fn dim_name(&self, kind: DimType, pos: usize) -> Option<String> = isl_space_get_dim_name;
    /// The space with a dimension named.
    fn set_dim_name(&self, kind: DimType, pos: usize, name: &str) -> Space
        = isl_space_set_dim_name;
    /// The position of the dimension with this name.
    fn find_dim_by_name(&self, kind: DimType, name: &str) -> Option<usize>
        = isl_space_find_dim_by_name;
    /// The name of a tuple.
    fn tuple_name(&self, kind: DimType) -> Option<String> = isl_space_get_tuple_name;
    /// The space with a tuple named.
    fn set_tuple_name(&self, kind: DimType, name: &str) -> Space = isl_space_set_tuple_name;
    /// True if the spaces agree in parameters and tuples.
    fn is_equal(&self, other: &Space) -> bool = isl_space_is_equal;
    /// True if the tuples agree.
    fn has_equal_tuples(&self, other: &Space) -> bool = isl_space_has_equal_tuples;
    /// True for a set space.
    fn is_set(&self) -> bool = isl_space_is_set;
    /// True for a map space.
    fn is_map(&self) -> bool = isl_space_is_map;
    /// True for a parameter space.
    fn is_params(&self) -> bool = isl_space_is_params;
    /// True for the space of a wrapped map.
    fn is_wrapping(&self) -> bool = isl_space_is_wrapping;
} }

methods! { LocalSpace {
    /// The local space without integer divisions.
    fn from_space(space: &Space) -> LocalSpace = isl_local_space_from_space;
    /// The space below.
    fn space(&self) -> Space = isl_local_space_get_space;
} }
