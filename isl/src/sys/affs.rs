//! Extern lines: Affine functions. See the parent module for the rules.

use super::*;
#[allow(unused_imports, reason = "each group of lines uses some of them")]
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

unsafe extern "C" {
    pub(crate) fn isl_aff_copy(aff: Keep<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_free(aff: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_to_str(aff: Keep<isl_aff>) -> OwnedStr;
    pub(crate) fn isl_aff_read_from_str(ctx: *mut isl_ctx, text: *const c_char) -> Give<isl_aff>;
    pub(crate) fn isl_pw_aff_copy(pwaff: Keep<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_free(pwaff: Take<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_to_str(pa: Keep<isl_pw_aff>) -> OwnedStr;
    pub(crate) fn isl_pw_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_multi_aff_copy(multi: Keep<isl_multi_aff>) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_free(multi: Take<isl_multi_aff>) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_to_str(ma: Keep<isl_multi_aff>) -> OwnedStr;
    pub(crate) fn isl_multi_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_copy(pma: Keep<isl_pw_multi_aff>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_free(pma: Take<isl_pw_multi_aff>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_to_str(pma: Keep<isl_pw_multi_aff>) -> OwnedStr;
    pub(crate) fn isl_pw_multi_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_multi_pw_aff_copy(multi: Keep<isl_multi_pw_aff>) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_free(multi: Take<isl_multi_pw_aff>) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_to_str(mpa: Keep<isl_multi_pw_aff>) -> OwnedStr;
    pub(crate) fn isl_multi_pw_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_union_pw_aff_copy(upa: Keep<isl_union_pw_aff>) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_free(upa: Take<isl_union_pw_aff>) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_to_str(upa: Keep<isl_union_pw_aff>) -> OwnedStr;
    pub(crate) fn isl_union_pw_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_multi_aff_copy(
        upma: Keep<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_union_pw_multi_aff_free(
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_union_pw_multi_aff_to_str(upma: Keep<isl_union_pw_multi_aff>) -> OwnedStr;
    pub(crate) fn isl_union_pw_multi_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_multi_union_pw_aff_copy(
        multi: Keep<isl_multi_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_free(
        multi: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_to_str(mupa: Keep<isl_multi_union_pw_aff>) -> OwnedStr;
    pub(crate) fn isl_multi_union_pw_aff_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_aff_list_alloc(ctx: *mut isl_ctx, n: c_int) -> Give<isl_aff_list>;
    pub(crate) fn isl_aff_list_add(
        list: Take<isl_aff_list>,
        el: Take<isl_aff>,
    ) -> Give<isl_aff_list>;
    pub(crate) fn isl_pw_aff_list_n_pw_aff(list: Keep<isl_pw_aff_list>) -> Size;
    pub(crate) fn isl_pw_aff_list_get_at(
        list: Keep<isl_pw_aff_list>,
        index: c_int,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_list_free(list: Take<isl_pw_aff_list>) -> Give<isl_pw_aff_list>;
    pub(crate) fn isl_pw_multi_aff_list_n_pw_multi_aff(list: Keep<isl_pw_multi_aff_list>) -> Size;
    pub(crate) fn isl_pw_multi_aff_list_get_at(
        list: Keep<isl_pw_multi_aff_list>,
        index: c_int,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_list_free(
        list: Take<isl_pw_multi_aff_list>,
    ) -> Give<isl_pw_multi_aff_list>;
    pub(crate) fn isl_union_pw_aff_list_alloc(
        ctx: *mut isl_ctx,
        n: c_int,
    ) -> Give<isl_union_pw_aff_list>;
    pub(crate) fn isl_union_pw_aff_list_add(
        list: Take<isl_union_pw_aff_list>,
        el: Take<isl_union_pw_aff>,
    ) -> Give<isl_union_pw_aff_list>;
    pub(crate) fn isl_aff_zero_on_domain_space(space: Take<isl_space>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_val_on_domain_space(
        space: Take<isl_space>,
        val: Take<isl_val>,
    ) -> Give<isl_aff>;
    pub(crate) fn isl_aff_var_on_domain(
        ls: Take<isl_local_space>,
        kind: Enum,
        pos: c_uint,
    ) -> Give<isl_aff>;
    pub(crate) fn isl_aff_param_on_domain_space_id(
        space: Take<isl_space>,
        id: Take<isl_id>,
    ) -> Give<isl_aff>;
    pub(crate) fn isl_aff_get_space(aff: Keep<isl_aff>) -> Give<isl_space>;
    pub(crate) fn isl_aff_get_domain_local_space(aff: Keep<isl_aff>) -> Give<isl_local_space>;
    pub(crate) fn isl_aff_dim(aff: Keep<isl_aff>, kind: Enum) -> Size;
    pub(crate) fn isl_aff_get_constant_val(aff: Keep<isl_aff>) -> Give<isl_val>;
    pub(crate) fn isl_aff_get_coefficient_val(
        aff: Keep<isl_aff>,
        kind: Enum,
        pos: c_int,
    ) -> Give<isl_val>;
    pub(crate) fn isl_aff_get_denominator_val(aff: Keep<isl_aff>) -> Give<isl_val>;
    pub(crate) fn isl_aff_get_div(aff: Keep<isl_aff>, pos: c_int) -> Give<isl_aff>;
    pub(crate) fn isl_aff_set_constant_val(aff: Take<isl_aff>, v: Take<isl_val>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_add_constant_val(aff: Take<isl_aff>, v: Take<isl_val>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_set_coefficient_val(
        aff: Take<isl_aff>,
        kind: Enum,
        pos: c_int,
        v: Take<isl_val>,
    ) -> Give<isl_aff>;
    pub(crate) fn isl_aff_add(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_sub(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_mul(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_neg(aff: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_floor(aff: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_ceil(aff: Take<isl_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_mod_val(aff: Take<isl_aff>, mod_: Take<isl_val>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_scale_val(aff: Take<isl_aff>, v: Take<isl_val>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_scale_down_val(aff: Take<isl_aff>, v: Take<isl_val>) -> Give<isl_aff>;
    pub(crate) fn isl_aff_pullback_multi_aff(
        aff: Take<isl_aff>,
        ma: Take<isl_multi_aff>,
    ) -> Give<isl_aff>;
    pub(crate) fn isl_aff_eval(aff: Take<isl_aff>, pnt: Take<isl_point>) -> Give<isl_val>;
    pub(crate) fn isl_aff_eq_set(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_set>;
    pub(crate) fn isl_aff_le_set(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_set>;
    pub(crate) fn isl_aff_lt_set(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_set>;
    pub(crate) fn isl_aff_ge_set(aff1: Take<isl_aff>, aff2: Take<isl_aff>) -> Give<isl_set>;
    pub(crate) fn isl_aff_zero_basic_set(aff: Take<isl_aff>) -> Give<isl_basic_set>;
    pub(crate) fn isl_aff_is_cst(aff: Keep<isl_aff>) -> Bool;
    pub(crate) fn isl_aff_plain_is_equal(aff1: Keep<isl_aff>, aff2: Keep<isl_aff>) -> Bool;
    pub(crate) fn isl_aff_involves_dims(
        aff: Keep<isl_aff>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Bool;
    pub(crate) fn isl_pw_aff_from_aff(aff: Take<isl_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_val_on_domain(
        domain: Take<isl_set>,
        v: Take<isl_val>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_get_space(pwaff: Keep<isl_pw_aff>) -> Give<isl_space>;
    pub(crate) fn isl_pw_aff_domain(pwaff: Take<isl_pw_aff>) -> Give<isl_set>;
    pub(crate) fn isl_pw_aff_add(
        pwaff1: Take<isl_pw_aff>,
        pwaff2: Take<isl_pw_aff>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_sub(
        pwaff1: Take<isl_pw_aff>,
        pwaff2: Take<isl_pw_aff>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_mul(
        pwaff1: Take<isl_pw_aff>,
        pwaff2: Take<isl_pw_aff>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_neg(pwaff: Take<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_max(
        pwaff1: Take<isl_pw_aff>,
        pwaff2: Take<isl_pw_aff>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_min(
        pwaff1: Take<isl_pw_aff>,
        pwaff2: Take<isl_pw_aff>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_floor(pwaff: Take<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_ceil(pwaff: Take<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_mod_val(pa: Take<isl_pw_aff>, mod_: Take<isl_val>)
    -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_scale_val(pa: Take<isl_pw_aff>, v: Take<isl_val>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_coalesce(pa: Take<isl_pw_aff>) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_gist(
        pwaff: Take<isl_pw_aff>,
        context: Take<isl_set>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_intersect_domain(
        pa: Take<isl_pw_aff>,
        set: Take<isl_set>,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_aff_eval(pa: Take<isl_pw_aff>, pnt: Take<isl_point>) -> Give<isl_val>;
    pub(crate) fn isl_pw_aff_is_cst(pwaff: Keep<isl_pw_aff>) -> Bool;
    pub(crate) fn isl_pw_aff_is_equal(pa1: Keep<isl_pw_aff>, pa2: Keep<isl_pw_aff>) -> Bool;
    pub(crate) fn isl_pw_aff_isa_aff(pa: Keep<isl_pw_aff>) -> Bool;
    pub(crate) fn isl_pw_aff_as_aff(pa: Take<isl_pw_aff>) -> Give<isl_aff>;
    pub(crate) fn isl_pw_aff_n_piece(pwaff: Keep<isl_pw_aff>) -> Size;
    pub(crate) fn isl_pw_aff_max_val(pa: Take<isl_pw_aff>) -> Give<isl_val>;
    pub(crate) fn isl_pw_aff_min_val(pa: Take<isl_pw_aff>) -> Give<isl_val>;
    pub(crate) fn isl_multi_aff_identity_on_domain_space(
        space: Take<isl_space>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_zero(space: Take<isl_space>) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_from_aff_list(
        space: Take<isl_space>,
        list: Take<isl_aff_list>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_get_space(multi: Keep<isl_multi_aff>) -> Give<isl_space>;
    pub(crate) fn isl_multi_aff_size(multi: Keep<isl_multi_aff>) -> Size;
    pub(crate) fn isl_multi_aff_get_at(multi: Keep<isl_multi_aff>, pos: c_int) -> Give<isl_aff>;
    pub(crate) fn isl_multi_aff_set_at(
        multi: Take<isl_multi_aff>,
        pos: c_int,
        el: Take<isl_aff>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_add(
        multi1: Take<isl_multi_aff>,
        multi2: Take<isl_multi_aff>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_pullback_multi_aff(
        ma1: Take<isl_multi_aff>,
        ma2: Take<isl_multi_aff>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_flat_range_product(
        multi1: Take<isl_multi_aff>,
        multi2: Take<isl_multi_aff>,
    ) -> Give<isl_multi_aff>;
    pub(crate) fn isl_multi_aff_to_pw_multi_aff(ma: Take<isl_multi_aff>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_multi_aff_plain_is_equal(
        multi1: Keep<isl_multi_aff>,
        multi2: Keep<isl_multi_aff>,
    ) -> Bool;
    pub(crate) fn isl_pw_multi_aff_from_map(map: Take<isl_map>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_from_set(set: Take<isl_set>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_from_multi_pw_aff(
        mpa: Take<isl_multi_pw_aff>,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_get_space(pma: Keep<isl_pw_multi_aff>) -> Give<isl_space>;
    pub(crate) fn isl_pw_multi_aff_dim(pma: Keep<isl_pw_multi_aff>, kind: Enum) -> Size;
    pub(crate) fn isl_pw_multi_aff_get_at(
        pma: Keep<isl_pw_multi_aff>,
        pos: c_int,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_pw_multi_aff_domain(pma: Take<isl_pw_multi_aff>) -> Give<isl_set>;
    pub(crate) fn isl_pw_multi_aff_coalesce(pma: Take<isl_pw_multi_aff>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_gist(
        pma: Take<isl_pw_multi_aff>,
        set: Take<isl_set>,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_intersect_domain(
        pma: Take<isl_pw_multi_aff>,
        set: Take<isl_set>,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_pullback_pw_multi_aff(
        pma1: Take<isl_pw_multi_aff>,
        pma2: Take<isl_pw_multi_aff>,
    ) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_as_map(pma: Take<isl_pw_multi_aff>) -> Give<isl_map>;
    pub(crate) fn isl_pw_multi_aff_isa_multi_aff(pma: Keep<isl_pw_multi_aff>) -> Bool;
    pub(crate) fn isl_pw_multi_aff_as_multi_aff(pma: Take<isl_pw_multi_aff>)
    -> Give<isl_multi_aff>;
    pub(crate) fn isl_pw_multi_aff_n_piece(pma: Keep<isl_pw_multi_aff>) -> Size;
    pub(crate) fn isl_multi_pw_aff_from_pw_multi_aff(
        pma: Take<isl_pw_multi_aff>,
    ) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_get_space(multi: Keep<isl_multi_pw_aff>) -> Give<isl_space>;
    pub(crate) fn isl_multi_pw_aff_size(multi: Keep<isl_multi_pw_aff>) -> Size;
    pub(crate) fn isl_multi_pw_aff_get_at(
        multi: Keep<isl_multi_pw_aff>,
        pos: c_int,
    ) -> Give<isl_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_domain(mpa: Take<isl_multi_pw_aff>) -> Give<isl_set>;
    pub(crate) fn isl_multi_pw_aff_coalesce(mpa: Take<isl_multi_pw_aff>) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_gist(
        mpa: Take<isl_multi_pw_aff>,
        set: Take<isl_set>,
    ) -> Give<isl_multi_pw_aff>;
    pub(crate) fn isl_multi_pw_aff_as_map(mpa: Take<isl_multi_pw_aff>) -> Give<isl_map>;
    pub(crate) fn isl_union_pw_aff_from_pw_aff(pa: Take<isl_pw_aff>) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_val_on_domain(
        domain: Take<isl_union_set>,
        v: Take<isl_val>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_get_pw_aff_list(
        upa: Keep<isl_union_pw_aff>,
    ) -> Give<isl_pw_aff_list>;
    pub(crate) fn isl_union_pw_aff_domain(upa: Take<isl_union_pw_aff>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_pw_aff_union_add(
        upa1: Take<isl_union_pw_aff>,
        upa2: Take<isl_union_pw_aff>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_add(
        upa1: Take<isl_union_pw_aff>,
        upa2: Take<isl_union_pw_aff>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_scale_val(
        upa: Take<isl_union_pw_aff>,
        v: Take<isl_val>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_scale_down_val(
        upa: Take<isl_union_pw_aff>,
        v: Take<isl_val>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_floor(upa: Take<isl_union_pw_aff>) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_mod_val(
        upa: Take<isl_union_pw_aff>,
        f: Take<isl_val>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_aff_intersect_domain(
        upa: Take<isl_union_pw_aff>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_union_pw_multi_aff_from_union_map(
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_union_pw_multi_aff_from_pw_multi_aff(
        pma: Take<isl_pw_multi_aff>,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_union_pw_multi_aff_get_pw_multi_aff_list(
        upma: Keep<isl_union_pw_multi_aff>,
    ) -> Give<isl_pw_multi_aff_list>;
    pub(crate) fn isl_union_pw_multi_aff_domain(
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_pw_multi_aff_as_union_map(
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_pw_multi_aff_pullback_union_pw_multi_aff(
        upma1: Take<isl_union_pw_multi_aff>,
        upma2: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_pw_multi_aff>;
    pub(crate) fn isl_multi_union_pw_aff_from_union_pw_aff_list(
        space: Take<isl_space>,
        list: Take<isl_union_pw_aff_list>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_from_union_pw_aff(
        upa: Take<isl_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_from_union_map(
        umap: Take<isl_union_map>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_from_union_pw_multi_aff(
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_zero(
        space: Take<isl_space>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_multi_val_on_domain(
        domain: Take<isl_union_set>,
        mv: Take<isl_multi_val>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_get_space(
        multi: Keep<isl_multi_union_pw_aff>,
    ) -> Give<isl_space>;
    pub(crate) fn isl_multi_union_pw_aff_size(multi: Keep<isl_multi_union_pw_aff>) -> Size;
    pub(crate) fn isl_multi_union_pw_aff_get_at(
        multi: Keep<isl_multi_union_pw_aff>,
        pos: c_int,
    ) -> Give<isl_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_set_at(
        multi: Take<isl_multi_union_pw_aff>,
        pos: c_int,
        el: Take<isl_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_domain(
        mupa: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_multi_union_pw_aff_intersect_domain(
        mupa: Take<isl_multi_union_pw_aff>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_gist(
        mupa: Take<isl_multi_union_pw_aff>,
        context: Take<isl_union_set>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_flat_range_product(
        multi1: Take<isl_multi_union_pw_aff>,
        multi2: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_union_add(
        mupa1: Take<isl_multi_union_pw_aff>,
        mupa2: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_drop_dims(
        multi: Take<isl_multi_union_pw_aff>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_set_tuple_name(
        multi: Take<isl_multi_union_pw_aff>,
        kind: Enum,
        s: *const c_char,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_reset_tuple_id(
        multi: Take<isl_multi_union_pw_aff>,
        kind: Enum,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_multi_union_pw_aff_pullback_union_pw_multi_aff(
        mupa: Take<isl_multi_union_pw_aff>,
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_pw_aff_foreach_piece(
        pwaff: Keep<isl_pw_aff>,
        f: Option<unsafe extern "C" fn(Give<isl_set>, Give<isl_aff>, *mut c_void) -> Stat>,
        user: *mut c_void,
    ) -> Stat;
    pub(crate) fn isl_pw_multi_aff_foreach_piece(
        pma: Keep<isl_pw_multi_aff>,
        f: Option<unsafe extern "C" fn(Give<isl_set>, Give<isl_multi_aff>, *mut c_void) -> Stat>,
        user: *mut c_void,
    ) -> Stat;
}
