//! Extern lines: Maps, unions and dataflow. See the parent module for the rules.

use super::*;
#[allow(unused_imports, reason = "each group of lines uses some of them")]
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

unsafe extern "C" {
    pub(crate) fn isl_basic_map_copy(bmap: Keep<isl_basic_map>) -> Give<isl_basic_map>;
    pub(crate) fn isl_basic_map_free(bmap: Take<isl_basic_map>) -> Give<isl_basic_map>;
    pub(crate) fn isl_basic_map_to_str(bmap: Keep<isl_basic_map>) -> OwnedStr;
    pub(crate) fn isl_basic_map_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_basic_map>;
    pub(crate) fn isl_map_copy(map: Keep<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_free(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_to_str(map: Keep<isl_map>) -> OwnedStr;
    pub(crate) fn isl_map_read_from_str(ctx: *mut isl_ctx, text: *const c_char) -> Give<isl_map>;
    pub(crate) fn isl_fixed_box_copy(box_: Keep<isl_fixed_box>) -> Give<isl_fixed_box>;
    pub(crate) fn isl_fixed_box_free(box_: Take<isl_fixed_box>) -> Give<isl_fixed_box>;
    pub(crate) fn isl_fixed_box_to_str(box_: Keep<isl_fixed_box>) -> OwnedStr;
    pub(crate) fn isl_basic_map_list_n_basic_map(list: Keep<isl_basic_map_list>) -> Size;
    pub(crate) fn isl_basic_map_list_get_at(
        list: Keep<isl_basic_map_list>,
        index: c_int,
    ) -> Give<isl_basic_map>;
    pub(crate) fn isl_basic_map_list_free(
        list: Take<isl_basic_map_list>,
    ) -> Give<isl_basic_map_list>;
    pub(crate) fn isl_map_universe(space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_empty(space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_identity(space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_domain_and_range(
        domain: Take<isl_set>,
        range: Take<isl_set>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_from_domain(set: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_range(set: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_basic_map(bmap: Take<isl_basic_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_union_map(umap: Take<isl_union_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_multi_aff(maff: Take<isl_multi_aff>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_pw_aff(pwaff: Take<isl_pw_aff>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_pw_multi_aff(pma: Take<isl_pw_multi_aff>) -> Give<isl_map>;
    pub(crate) fn isl_map_from_multi_pw_aff(mpa: Take<isl_multi_pw_aff>) -> Give<isl_map>;
    pub(crate) fn isl_map_lex_lt(set_space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_lex_le(set_space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_lex_gt(set_space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_lex_ge(set_space: Take<isl_space>) -> Give<isl_map>;
    pub(crate) fn isl_map_get_space(map: Keep<isl_map>) -> Give<isl_space>;
    pub(crate) fn isl_map_dim(map: Keep<isl_map>, kind: Enum) -> Size;
    pub(crate) fn isl_map_get_dim_name(map: Keep<isl_map>, kind: Enum, pos: c_uint) -> LentStr;
    pub(crate) fn isl_map_set_dim_name(
        map: Take<isl_map>,
        kind: Enum,
        pos: c_uint,
        s: *const c_char,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_find_dim_by_name(
        map: Keep<isl_map>,
        kind: Enum,
        name: *const c_char,
    ) -> c_int;
    pub(crate) fn isl_map_get_tuple_name(map: Keep<isl_map>, kind: Enum) -> LentStr;
    pub(crate) fn isl_map_set_tuple_name(
        map: Take<isl_map>,
        kind: Enum,
        s: *const c_char,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_set_tuple_id(
        map: Take<isl_map>,
        kind: Enum,
        id: Take<isl_id>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_reset_tuple_id(map: Take<isl_map>, kind: Enum) -> Give<isl_map>;
    pub(crate) fn isl_map_union(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_intersect(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_intersect_domain(map: Take<isl_map>, set: Take<isl_set>)
    -> Give<isl_map>;
    pub(crate) fn isl_map_intersect_range(map: Take<isl_map>, set: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_intersect_params(
        map: Take<isl_map>,
        params: Take<isl_set>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_subtract(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_subtract_domain(map: Take<isl_map>, dom: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_subtract_range(map: Take<isl_map>, dom: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_complement(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_coalesce(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_gist(map: Take<isl_map>, context: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_gist_domain(map: Take<isl_map>, context: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_gist_params(map: Take<isl_map>, context: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_map_detect_equalities(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_compute_divs(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_lexmin(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_lexmax(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_lexmin_pw_multi_aff(map: Take<isl_map>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_map_lexmax_pw_multi_aff(map: Take<isl_map>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_map_dim_min(map: Take<isl_map>, pos: c_int) -> Give<isl_pw_aff>;
    pub(crate) fn isl_map_dim_max(map: Take<isl_map>, pos: c_int) -> Give<isl_pw_aff>;
    pub(crate) fn isl_map_apply_domain(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_apply_range(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_reverse(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_domain(bmap: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_map_range(map: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_map_params(map: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_map_wrap(map: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_map_domain_map(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_range_map(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_curry(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_uncurry(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_deltas(map: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_map_project_out(
        map: Take<isl_map>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_move_dims(
        map: Take<isl_map>,
        dst_type: Enum,
        dst_pos: c_uint,
        src_type: Enum,
        src_pos: c_uint,
        n: c_uint,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_add_dims(map: Take<isl_map>, kind: Enum, n: c_uint) -> Give<isl_map>;
    pub(crate) fn isl_map_insert_dims(
        map: Take<isl_map>,
        kind: Enum,
        pos: c_uint,
        n: c_uint,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_align_params(map: Take<isl_map>, model: Take<isl_space>)
    -> Give<isl_map>;
    pub(crate) fn isl_map_fix_val(
        map: Take<isl_map>,
        kind: Enum,
        pos: c_uint,
        v: Take<isl_val>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_equate(
        map: Take<isl_map>,
        type1: Enum,
        pos1: c_int,
        type2: Enum,
        pos2: c_int,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_order_lt(
        map: Take<isl_map>,
        type1: Enum,
        pos1: c_int,
        type2: Enum,
        pos2: c_int,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_add_constraint(
        map: Take<isl_map>,
        constraint: Take<isl_constraint>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_product(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_range_product(map1: Take<isl_map>, map2: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_flat_range_product(
        map1: Take<isl_map>,
        map2: Take<isl_map>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_domain_product(map1: Take<isl_map>, map2: Take<isl_map>)
    -> Give<isl_map>;
    pub(crate) fn isl_map_flatten_range(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_flatten_domain(map: Take<isl_map>) -> Give<isl_map>;
    pub(crate) fn isl_map_preimage_domain_multi_aff(
        map: Take<isl_map>,
        ma: Take<isl_multi_aff>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_map_is_empty(map: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_equal(map1: Keep<isl_map>, map2: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_subset(map1: Keep<isl_map>, map2: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_disjoint(map1: Keep<isl_map>, map2: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_single_valued(map: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_injective(map: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_is_bijective(map: Keep<isl_map>) -> Bool;
    pub(crate) fn isl_map_involves_dims(
        map: Keep<isl_map>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Bool;
    pub(crate) fn isl_map_get_basic_map_list(map: Keep<isl_map>) -> Give<isl_basic_map_list>;
    pub(crate) fn isl_map_n_basic_map(map: Keep<isl_map>) -> Size;
    pub(crate) fn isl_map_sample(map: Take<isl_map>) -> Give<isl_basic_map>;
    pub(crate) fn isl_map_get_range_simple_fixed_box_hull(
        map: Keep<isl_map>,
    ) -> Give<isl_fixed_box>;
    pub(crate) fn isl_basic_map_get_space(bmap: Keep<isl_basic_map>) -> Give<isl_space>;
    pub(crate) fn isl_basic_map_dim(bmap: Keep<isl_basic_map>, kind: Enum) -> Size;
    pub(crate) fn isl_basic_map_domain(bmap: Take<isl_basic_map>) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_map_range(bmap: Take<isl_basic_map>) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_map_reverse(bmap: Take<isl_basic_map>) -> Give<isl_basic_map>;
    pub(crate) fn isl_basic_map_intersect(
        bmap1: Take<isl_basic_map>,
        bmap2: Take<isl_basic_map>,
    ) -> Give<isl_basic_map>;
    pub(crate) fn isl_basic_map_get_constraint_list(
        bmap: Keep<isl_basic_map>,
    ) -> Give<isl_constraint_list>;
    pub(crate) fn isl_basic_map_is_empty(bmap: Keep<isl_basic_map>) -> Bool;
    pub(crate) fn isl_basic_map_is_equal(
        bmap1: Keep<isl_basic_map>,
        bmap2: Keep<isl_basic_map>,
    ) -> Bool;
    pub(crate) fn isl_map_get_range_stride_info(
        map: Keep<isl_map>,
        pos: c_int,
    ) -> Give<isl_stride_info>;
    pub(crate) fn isl_stride_info_copy(si: Keep<isl_stride_info>) -> Give<isl_stride_info>;
    pub(crate) fn isl_stride_info_free(si: Take<isl_stride_info>) -> Give<isl_stride_info>;
    pub(crate) fn isl_stride_info_get_stride(si: Keep<isl_stride_info>) -> Give<isl_val>;
    pub(crate) fn isl_fixed_box_is_valid(box_: Keep<isl_fixed_box>) -> Bool;
    pub(crate) fn isl_fixed_box_get_offset(box_: Keep<isl_fixed_box>) -> Give<isl_multi_aff>;
    pub(crate) fn isl_fixed_box_get_size(box_: Keep<isl_fixed_box>) -> Give<isl_multi_val>;
    pub(crate) fn isl_fixed_box_get_space(box_: Keep<isl_fixed_box>) -> Give<isl_space>;
    pub(crate) fn isl_union_set_copy(uset: Keep<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_free(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_to_str(uset: Keep<isl_union_set>) -> OwnedStr;
    pub(crate) fn isl_union_set_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_map_copy(umap: Keep<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_free(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_to_str(umap: Keep<isl_union_map>) -> OwnedStr;
    pub(crate) fn isl_union_map_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_set_list_n_set(list: Keep<isl_set_list>) -> Size;
    pub(crate) fn isl_set_list_get_at(list: Keep<isl_set_list>, index: c_int) -> Give<isl_set>;
    pub(crate) fn isl_set_list_free(list: Take<isl_set_list>) -> Give<isl_set_list>;
    pub(crate) fn isl_map_list_n_map(list: Keep<isl_map_list>) -> Size;
    pub(crate) fn isl_map_list_get_at(list: Keep<isl_map_list>, index: c_int) -> Give<isl_map>;
    pub(crate) fn isl_map_list_free(list: Take<isl_map_list>) -> Give<isl_map_list>;
    pub(crate) fn isl_union_set_list_alloc(ctx: *mut isl_ctx, n: c_int)
    -> Give<isl_union_set_list>;
    pub(crate) fn isl_union_set_list_add(
        list: Take<isl_union_set_list>,
        el: Take<isl_union_set>,
    ) -> Give<isl_union_set_list>;
    pub(crate) fn isl_union_set_empty_ctx(ctx: *mut isl_ctx) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_from_set(set: Take<isl_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_from_point(pnt: Take<isl_point>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_get_space(uset: Keep<isl_union_set>) -> Give<isl_space>;
    pub(crate) fn isl_union_set_add_set(
        uset: Take<isl_union_set>,
        set: Take<isl_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_union(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_intersect(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_intersect_params(
        uset: Take<isl_union_set>,
        set: Take<isl_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_subtract(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_universe(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_coalesce(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_gist(
        uset: Take<isl_union_set>,
        context: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_gist_params(
        uset: Take<isl_union_set>,
        set: Take<isl_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_detect_equalities(uset: Take<isl_union_set>)
    -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_compute_divs(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_lexmin(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_lexmax(uset: Take<isl_union_set>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_apply(
        uset: Take<isl_union_set>,
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_params(uset: Take<isl_union_set>) -> Give<isl_set>;
    pub(crate) fn isl_union_set_align_params(
        uset: Take<isl_union_set>,
        model: Take<isl_space>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_project_out_all_params(
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_unwrap(uset: Take<isl_union_set>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_identity(uset: Take<isl_union_set>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_wrapped_domain_map(
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_product(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_union_set_lex_lt_union_set(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_lex_le_union_set(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_lex_gt_union_set(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_lex_ge_union_set(
        uset1: Take<isl_union_set>,
        uset2: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_set_is_empty(uset: Keep<isl_union_set>) -> Bool;
    pub(crate) fn isl_union_set_is_equal(
        uset1: Keep<isl_union_set>,
        uset2: Keep<isl_union_set>,
    ) -> Bool;
    pub(crate) fn isl_union_set_is_subset(
        uset1: Keep<isl_union_set>,
        uset2: Keep<isl_union_set>,
    ) -> Bool;
    pub(crate) fn isl_union_set_is_disjoint(
        uset1: Keep<isl_union_set>,
        uset2: Keep<isl_union_set>,
    ) -> Bool;
    pub(crate) fn isl_union_set_is_params(uset: Keep<isl_union_set>) -> Bool;
    pub(crate) fn isl_union_set_get_set_list(uset: Keep<isl_union_set>) -> Give<isl_set_list>;
    pub(crate) fn isl_union_set_n_set(uset: Keep<isl_union_set>) -> Size;
    pub(crate) fn isl_union_set_extract_set(
        uset: Keep<isl_union_set>,
        space: Take<isl_space>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_union_set_sample_point(uset: Take<isl_union_set>) -> Give<isl_point>;
    pub(crate) fn isl_union_map_empty_ctx(ctx: *mut isl_ctx) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_from_map(map: Take<isl_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_from_domain(uset: Take<isl_union_set>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_from_domain_and_range(
        domain: Take<isl_union_set>,
        range: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_from_union_pw_multi_aff(
        upma: Take<isl_union_pw_multi_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_from_multi_union_pw_aff(
        mupa: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_get_space(umap: Keep<isl_union_map>) -> Give<isl_space>;
    pub(crate) fn isl_union_map_add_map(
        umap: Take<isl_union_map>,
        map: Take<isl_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_union(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_intersect(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_intersect_domain(
        umap: Take<isl_union_map>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_intersect_range(
        umap: Take<isl_union_map>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_intersect_params(
        umap: Take<isl_union_map>,
        set: Take<isl_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_subtract(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_subtract_domain(
        umap: Take<isl_union_map>,
        dom: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_subtract_range(
        umap: Take<isl_union_map>,
        dom: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_universe(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_coalesce(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_gist(
        umap: Take<isl_union_map>,
        context: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_gist_domain(
        umap: Take<isl_union_map>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_gist_range(
        umap: Take<isl_union_map>,
        uset: Take<isl_union_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_gist_params(
        umap: Take<isl_union_map>,
        set: Take<isl_set>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_detect_equalities(umap: Take<isl_union_map>)
    -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_compute_divs(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lexmin(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lexmax(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_apply_domain(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_apply_range(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_reverse(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_domain(umap: Take<isl_union_map>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_map_range(umap: Take<isl_union_map>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_map_params(umap: Take<isl_union_map>) -> Give<isl_set>;
    pub(crate) fn isl_union_map_align_params(
        umap: Take<isl_union_map>,
        model: Take<isl_space>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_project_out_all_params(
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_wrap(umap: Take<isl_union_map>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_map_domain_map(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_range_map(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_curry(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_uncurry(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_factor_domain(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_domain_factor_domain(
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_range_factor_domain(
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_range_factor_range(
        umap: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_zip(umap: Take<isl_union_map>) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_deltas(umap: Take<isl_union_map>) -> Give<isl_union_set>;
    pub(crate) fn isl_union_map_product(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_range_product(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_flat_range_product(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_lt_union_map(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_le_union_map(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_gt_union_map(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_ge_union_map(
        umap1: Take<isl_union_map>,
        umap2: Take<isl_union_map>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_eq_at_multi_union_pw_aff(
        umap: Take<isl_union_map>,
        mupa: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_lt_at_multi_union_pw_aff(
        umap: Take<isl_union_map>,
        mupa: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_lex_gt_at_multi_union_pw_aff(
        umap: Take<isl_union_map>,
        mupa: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_map_is_empty(umap: Keep<isl_union_map>) -> Bool;
    pub(crate) fn isl_union_map_is_equal(
        umap1: Keep<isl_union_map>,
        umap2: Keep<isl_union_map>,
    ) -> Bool;
    pub(crate) fn isl_union_map_is_subset(
        umap1: Keep<isl_union_map>,
        umap2: Keep<isl_union_map>,
    ) -> Bool;
    pub(crate) fn isl_union_map_is_disjoint(
        umap1: Keep<isl_union_map>,
        umap2: Keep<isl_union_map>,
    ) -> Bool;
    pub(crate) fn isl_union_map_is_single_valued(umap: Keep<isl_union_map>) -> Bool;
    pub(crate) fn isl_union_map_is_injective(umap: Keep<isl_union_map>) -> Bool;
    pub(crate) fn isl_union_map_is_bijective(umap: Keep<isl_union_map>) -> Bool;
    pub(crate) fn isl_union_map_get_map_list(umap: Keep<isl_union_map>) -> Give<isl_map_list>;
    pub(crate) fn isl_union_map_n_map(umap: Keep<isl_union_map>) -> Size;
    pub(crate) fn isl_union_map_extract_map(
        umap: Keep<isl_union_map>,
        space: Take<isl_space>,
    ) -> Give<isl_map>;
    pub(crate) fn isl_union_map_as_map(umap: Take<isl_union_map>) -> Give<isl_map>;
    pub(crate) fn isl_union_access_info_copy(
        access: Keep<isl_union_access_info>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_free(
        access: Take<isl_union_access_info>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_to_str(access: Keep<isl_union_access_info>) -> OwnedStr;
    pub(crate) fn isl_union_flow_copy(flow: Keep<isl_union_flow>) -> Give<isl_union_flow>;
    pub(crate) fn isl_union_flow_free(flow: Take<isl_union_flow>) -> Give<isl_union_flow>;
    pub(crate) fn isl_union_flow_to_str(flow: Keep<isl_union_flow>) -> OwnedStr;
    pub(crate) fn isl_union_access_info_from_sink(
        sink: Take<isl_union_map>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_set_must_source(
        access: Take<isl_union_access_info>,
        must_source: Take<isl_union_map>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_set_may_source(
        access: Take<isl_union_access_info>,
        may_source: Take<isl_union_map>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_set_kill(
        access: Take<isl_union_access_info>,
        kill: Take<isl_union_map>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_set_schedule(
        access: Take<isl_union_access_info>,
        schedule: Take<isl_schedule>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_set_schedule_map(
        access: Take<isl_union_access_info>,
        schedule_map: Take<isl_union_map>,
    ) -> Give<isl_union_access_info>;
    pub(crate) fn isl_union_access_info_compute_flow(
        access: Take<isl_union_access_info>,
    ) -> Give<isl_union_flow>;
    pub(crate) fn isl_union_flow_get_must_dependence(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_flow_get_may_dependence(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_flow_get_full_must_dependence(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_flow_get_full_may_dependence(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_flow_get_must_no_source(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_union_flow_get_may_no_source(
        flow: Keep<isl_union_flow>,
    ) -> Give<isl_union_map>;
}
