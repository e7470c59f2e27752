//! Extern lines: The context, options, numbers, spaces and sets. See the parent module for
//! the rules.

use super::*;
#[allow(unused_imports, reason = "each group of lines uses some of them")]
use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

unsafe extern "C" {
    pub(crate) fn isl_ctx_free(ctx: *mut isl_ctx);
    pub(crate) fn isl_ctx_alloc() -> *mut isl_ctx;
    pub(crate) fn isl_options_set_on_error(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_ctx_reset_error(ctx: *mut isl_ctx);
    pub(crate) fn isl_ctx_last_error(ctx: *mut isl_ctx) -> Enum;
    pub(crate) fn isl_set_count_val(set: Keep<isl_set>) -> Give<isl_val>;
    pub(crate) fn isl_ctx_last_error_msg(ctx: *mut isl_ctx) -> LentStr;
    pub(crate) fn isl_ctx_last_error_file(ctx: *mut isl_ctx) -> LentStr;
    pub(crate) fn isl_ctx_last_error_line(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_version() -> LentStr;
    pub(crate) fn isl_val_copy(v: Keep<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_free(v: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_to_str(v: Keep<isl_val>) -> OwnedStr;
    pub(crate) fn isl_val_read_from_str(ctx: *mut isl_ctx, text: *const c_char) -> Give<isl_val>;
    pub(crate) fn isl_multi_val_copy(multi: Keep<isl_multi_val>) -> Give<isl_multi_val>;
    pub(crate) fn isl_multi_val_free(multi: Take<isl_multi_val>) -> Give<isl_multi_val>;
    pub(crate) fn isl_multi_val_to_str(mv: Keep<isl_multi_val>) -> OwnedStr;
    pub(crate) fn isl_multi_val_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_multi_val>;
    pub(crate) fn isl_val_list_alloc(ctx: *mut isl_ctx, n: c_int) -> Give<isl_val_list>;
    pub(crate) fn isl_val_list_add(
        list: Take<isl_val_list>,
        el: Take<isl_val>,
    ) -> Give<isl_val_list>;
    pub(crate) fn isl_val_int_from_si(ctx: *mut isl_ctx, i: c_long) -> Give<isl_val>;
    pub(crate) fn isl_val_add(v1: Take<isl_val>, v2: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_sub(v1: Take<isl_val>, v2: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_mul(v1: Take<isl_val>, v2: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_div(v1: Take<isl_val>, v2: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_mod(v1: Take<isl_val>, v2: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_neg(v: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_floor(v: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_ceil(v: Take<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_get_den_val(v: Keep<isl_val>) -> Give<isl_val>;
    pub(crate) fn isl_val_is_int(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_rat(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_nan(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_infty(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_neginfty(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_zero(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_one(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_neg(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_is_pos(v: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_eq(v1: Keep<isl_val>, v2: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_lt(v1: Keep<isl_val>, v2: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_le(v1: Keep<isl_val>, v2: Keep<isl_val>) -> Bool;
    pub(crate) fn isl_val_get_num_si(v: Keep<isl_val>) -> c_long;
    pub(crate) fn isl_multi_val_size(multi: Keep<isl_multi_val>) -> Size;
    pub(crate) fn isl_multi_val_get_at(multi: Keep<isl_multi_val>, pos: c_int) -> Give<isl_val>;
    pub(crate) fn isl_multi_val_set_at(
        multi: Take<isl_multi_val>,
        pos: c_int,
        el: Take<isl_val>,
    ) -> Give<isl_multi_val>;
    pub(crate) fn isl_multi_val_get_space(multi: Keep<isl_multi_val>) -> Give<isl_space>;
    pub(crate) fn isl_multi_val_from_val_list(
        space: Take<isl_space>,
        list: Take<isl_val_list>,
    ) -> Give<isl_multi_val>;
    pub(crate) fn isl_id_copy(id: Keep<isl_id>) -> Give<isl_id>;
    pub(crate) fn isl_id_free(id: Take<isl_id>) -> Give<isl_id>;
    pub(crate) fn isl_id_to_str(id: Keep<isl_id>) -> OwnedStr;
    pub(crate) fn isl_space_copy(space: Keep<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_free(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_to_str(space: Keep<isl_space>) -> OwnedStr;
    pub(crate) fn isl_space_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_space>;
    pub(crate) fn isl_local_space_copy(ls: Keep<isl_local_space>) -> Give<isl_local_space>;
    pub(crate) fn isl_local_space_free(ls: Take<isl_local_space>) -> Give<isl_local_space>;
    pub(crate) fn isl_id_list_alloc(ctx: *mut isl_ctx, n: c_int) -> Give<isl_id_list>;
    pub(crate) fn isl_id_list_add(list: Take<isl_id_list>, el: Take<isl_id>) -> Give<isl_id_list>;
    pub(crate) fn isl_id_alloc(
        ctx: *mut isl_ctx,
        name: *const c_char,
        user: *mut c_void,
    ) -> Give<isl_id>;
    pub(crate) fn isl_id_get_name(id: Keep<isl_id>) -> LentStr;
    pub(crate) fn isl_space_params_alloc(ctx: *mut isl_ctx, nparam: c_uint) -> Give<isl_space>;
    pub(crate) fn isl_space_set_alloc(
        ctx: *mut isl_ctx,
        nparam: c_uint,
        dim: c_uint,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_alloc(
        ctx: *mut isl_ctx,
        nparam: c_uint,
        n_in: c_uint,
        n_out: c_uint,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_unit(ctx: *mut isl_ctx) -> Give<isl_space>;
    pub(crate) fn isl_space_params(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_domain(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_range(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_set_from_params(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_map_from_set(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_map_from_domain_and_range(
        domain: Take<isl_space>,
        range: Take<isl_space>,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_wrap(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_unwrap(space: Take<isl_space>) -> Give<isl_space>;
    pub(crate) fn isl_space_add_param_id(
        space: Take<isl_space>,
        id: Take<isl_id>,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_add_named_tuple_id_ui(
        space: Take<isl_space>,
        tuple_id: Take<isl_id>,
        dim: c_uint,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_add_unnamed_tuple_ui(
        space: Take<isl_space>,
        dim: c_uint,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_align_params(
        space1: Take<isl_space>,
        space2: Take<isl_space>,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_dim(space: Keep<isl_space>, kind: Enum) -> Size;
    pub(crate) fn isl_space_get_dim_name(
        space: Keep<isl_space>,
        kind: Enum,
        pos: c_uint,
    ) -> LentStr;
    pub(crate) fn isl_space_set_dim_name(
        space: Take<isl_space>,
        kind: Enum,
        pos: c_uint,
        name: *const c_char,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_find_dim_by_name(
        space: Keep<isl_space>,
        kind: Enum,
        name: *const c_char,
    ) -> c_int;
    pub(crate) fn isl_space_get_tuple_name(space: Keep<isl_space>, kind: Enum) -> LentStr;
    pub(crate) fn isl_space_set_tuple_name(
        space: Take<isl_space>,
        kind: Enum,
        s: *const c_char,
    ) -> Give<isl_space>;
    pub(crate) fn isl_space_is_equal(space1: Keep<isl_space>, space2: Keep<isl_space>) -> Bool;
    pub(crate) fn isl_space_has_equal_tuples(
        space1: Keep<isl_space>,
        space2: Keep<isl_space>,
    ) -> Bool;
    pub(crate) fn isl_space_is_set(space: Keep<isl_space>) -> Bool;
    pub(crate) fn isl_space_is_map(space: Keep<isl_space>) -> Bool;
    pub(crate) fn isl_space_is_params(space: Keep<isl_space>) -> Bool;
    pub(crate) fn isl_space_is_wrapping(space: Keep<isl_space>) -> Bool;
    pub(crate) fn isl_local_space_from_space(space: Take<isl_space>) -> Give<isl_local_space>;
    pub(crate) fn isl_local_space_get_space(ls: Keep<isl_local_space>) -> Give<isl_space>;
    pub(crate) fn isl_basic_set_copy(bset: Keep<isl_basic_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_free(bset: Take<isl_basic_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_to_str(bset: Keep<isl_basic_set>) -> OwnedStr;
    pub(crate) fn isl_basic_set_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_set_copy(set: Keep<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_free(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_to_str(set: Keep<isl_set>) -> OwnedStr;
    pub(crate) fn isl_set_read_from_str(ctx: *mut isl_ctx, text: *const c_char) -> Give<isl_set>;
    pub(crate) fn isl_point_copy(pnt: Keep<isl_point>) -> Give<isl_point>;
    pub(crate) fn isl_point_free(pnt: Take<isl_point>) -> Give<isl_point>;
    pub(crate) fn isl_point_to_str(pnt: Keep<isl_point>) -> OwnedStr;
    pub(crate) fn isl_constraint_copy(c: Keep<isl_constraint>) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_free(c: Take<isl_constraint>) -> Give<isl_constraint>;
    pub(crate) fn isl_basic_set_list_n_basic_set(list: Keep<isl_basic_set_list>) -> Size;
    pub(crate) fn isl_basic_set_list_get_at(
        list: Keep<isl_basic_set_list>,
        index: c_int,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_list_free(
        list: Take<isl_basic_set_list>,
    ) -> Give<isl_basic_set_list>;
    pub(crate) fn isl_constraint_list_n_constraint(list: Keep<isl_constraint_list>) -> Size;
    pub(crate) fn isl_constraint_list_get_at(
        list: Keep<isl_constraint_list>,
        index: c_int,
    ) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_list_free(
        list: Take<isl_constraint_list>,
    ) -> Give<isl_constraint_list>;
    pub(crate) fn isl_set_universe(space: Take<isl_space>) -> Give<isl_set>;
    pub(crate) fn isl_set_empty(space: Take<isl_space>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_basic_set(bset: Take<isl_basic_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_point(pnt: Take<isl_point>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_union_set(uset: Take<isl_union_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_params(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_pw_aff(pwaff: Take<isl_pw_aff>) -> Give<isl_set>;
    pub(crate) fn isl_set_from_multi_pw_aff(mpa: Take<isl_multi_pw_aff>) -> Give<isl_set>;
    pub(crate) fn isl_set_get_space(set: Keep<isl_set>) -> Give<isl_space>;
    pub(crate) fn isl_set_dim(set: Keep<isl_set>, kind: Enum) -> Size;
    pub(crate) fn isl_set_get_dim_name(set: Keep<isl_set>, kind: Enum, pos: c_uint) -> LentStr;
    pub(crate) fn isl_set_set_dim_name(
        set: Take<isl_set>,
        kind: Enum,
        pos: c_uint,
        s: *const c_char,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_find_dim_by_name(
        set: Keep<isl_set>,
        kind: Enum,
        name: *const c_char,
    ) -> c_int;
    pub(crate) fn isl_set_get_tuple_name(set: Keep<isl_set>) -> LentStr;
    pub(crate) fn isl_set_set_tuple_name(set: Take<isl_set>, s: *const c_char) -> Give<isl_set>;
    pub(crate) fn isl_set_set_tuple_id(set: Take<isl_set>, id: Take<isl_id>) -> Give<isl_set>;
    pub(crate) fn isl_set_reset_tuple_id(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_union(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_intersect(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_intersect_params(
        set: Take<isl_set>,
        params: Take<isl_set>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_subtract(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_complement(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_coalesce(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_gist(set: Take<isl_set>, context: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_gist_params(set: Take<isl_set>, context: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_detect_equalities(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_remove_redundancies(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_compute_divs(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_make_disjoint(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_lexmin(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_lexmax(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_lexmin_pw_multi_aff(set: Take<isl_set>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_set_lexmax_pw_multi_aff(set: Take<isl_set>) -> Give<isl_pw_multi_aff>;
    pub(crate) fn isl_set_dim_min(set: Take<isl_set>, pos: c_int) -> Give<isl_pw_aff>;
    pub(crate) fn isl_set_dim_max(set: Take<isl_set>, pos: c_int) -> Give<isl_pw_aff>;
    pub(crate) fn isl_set_apply(set: Take<isl_set>, map: Take<isl_map>) -> Give<isl_set>;
    pub(crate) fn isl_set_params(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_project_out(
        set: Take<isl_set>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_move_dims(
        set: Take<isl_set>,
        dst_type: Enum,
        dst_pos: c_uint,
        src_type: Enum,
        src_pos: c_uint,
        n: c_uint,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_add_dims(set: Take<isl_set>, kind: Enum, n: c_uint) -> Give<isl_set>;
    pub(crate) fn isl_set_insert_dims(
        set: Take<isl_set>,
        kind: Enum,
        pos: c_uint,
        n: c_uint,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_align_params(set: Take<isl_set>, model: Take<isl_space>)
    -> Give<isl_set>;
    pub(crate) fn isl_set_fix_val(
        set: Take<isl_set>,
        kind: Enum,
        pos: c_uint,
        v: Take<isl_val>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_lower_bound_val(
        set: Take<isl_set>,
        kind: Enum,
        pos: c_uint,
        value: Take<isl_val>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_upper_bound_val(
        set: Take<isl_set>,
        kind: Enum,
        pos: c_uint,
        value: Take<isl_val>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_equate(
        set: Take<isl_set>,
        type1: Enum,
        pos1: c_int,
        type2: Enum,
        pos2: c_int,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_add_constraint(
        set: Take<isl_set>,
        constraint: Take<isl_constraint>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_set_product(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_flat_product(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_unwrap(set: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_flatten(set: Take<isl_set>) -> Give<isl_set>;
    pub(crate) fn isl_set_identity(set: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_lex_lt_set(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_lex_le_set(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_lex_gt_set(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_lex_ge_set(set1: Take<isl_set>, set2: Take<isl_set>) -> Give<isl_map>;
    pub(crate) fn isl_set_is_empty(set: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_equal(set1: Keep<isl_set>, set2: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_subset(set1: Keep<isl_set>, set2: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_disjoint(set1: Keep<isl_set>, set2: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_singleton(set: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_bounded(set: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_params(set: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_is_wrapping(set: Keep<isl_set>) -> Bool;
    pub(crate) fn isl_set_involves_dims(
        set: Keep<isl_set>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Bool;
    pub(crate) fn isl_set_get_basic_set_list(set: Keep<isl_set>) -> Give<isl_basic_set_list>;
    pub(crate) fn isl_set_n_basic_set(set: Keep<isl_set>) -> Size;
    pub(crate) fn isl_set_simple_hull(set: Take<isl_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_set_affine_hull(set: Take<isl_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_set_convex_hull(set: Take<isl_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_set_get_simple_fixed_box_hull(set: Keep<isl_set>) -> Give<isl_fixed_box>;
    pub(crate) fn isl_set_sample(set: Take<isl_set>) -> Give<isl_basic_set>;
    pub(crate) fn isl_set_sample_point(set: Take<isl_set>) -> Give<isl_point>;
    pub(crate) fn isl_set_max_val(set: Keep<isl_set>, obj: Keep<isl_aff>) -> Give<isl_val>;
    pub(crate) fn isl_set_min_val(set: Keep<isl_set>, obj: Keep<isl_aff>) -> Give<isl_val>;
    pub(crate) fn isl_set_dim_max_val(set: Take<isl_set>, pos: c_int) -> Give<isl_val>;
    pub(crate) fn isl_set_dim_min_val(set: Take<isl_set>, pos: c_int) -> Give<isl_val>;
    pub(crate) fn isl_set_foreach_point(
        set: Keep<isl_set>,
        f: Option<unsafe extern "C" fn(Give<isl_point>, *mut c_void) -> Stat>,
        user: *mut c_void,
    ) -> Stat;
    pub(crate) fn isl_basic_set_universe(space: Take<isl_space>) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_get_space(bset: Keep<isl_basic_set>) -> Give<isl_space>;
    pub(crate) fn isl_basic_set_dim(bset: Keep<isl_basic_set>, kind: Enum) -> Size;
    pub(crate) fn isl_basic_set_intersect(
        bset1: Take<isl_basic_set>,
        bset2: Take<isl_basic_set>,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_apply(
        bset: Take<isl_basic_set>,
        bmap: Take<isl_basic_map>,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_get_constraint_list(
        bset: Keep<isl_basic_set>,
    ) -> Give<isl_constraint_list>;
    pub(crate) fn isl_basic_set_add_constraint(
        bset: Take<isl_basic_set>,
        constraint: Take<isl_constraint>,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_mat_alloc(ctx: *mut isl_ctx, n_row: c_uint, n_col: c_uint) -> Give<isl_mat>;
    pub(crate) fn isl_mat_set_element_val(
        mat: Take<isl_mat>,
        row: c_int,
        col: c_int,
        v: Take<isl_val>,
    ) -> Give<isl_mat>;
    pub(crate) fn isl_basic_set_from_constraint_matrices(
        space: Take<isl_space>,
        eq: Take<isl_mat>,
        ineq: Take<isl_mat>,
        c1: Enum,
        c2: Enum,
        c3: Enum,
        c4: Enum,
    ) -> Give<isl_basic_set>;
    pub(crate) fn isl_basic_set_is_empty(bset: Keep<isl_basic_set>) -> Bool;
    pub(crate) fn isl_basic_set_is_equal(
        bset1: Keep<isl_basic_set>,
        bset2: Keep<isl_basic_set>,
    ) -> Bool;
    pub(crate) fn isl_basic_set_is_subset(
        bset1: Keep<isl_basic_set>,
        bset2: Keep<isl_basic_set>,
    ) -> Bool;
    pub(crate) fn isl_basic_set_to_set(bset: Take<isl_basic_set>) -> Give<isl_set>;
    pub(crate) fn isl_constraint_alloc_equality(ls: Take<isl_local_space>) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_alloc_inequality(
        ls: Take<isl_local_space>,
    ) -> Give<isl_constraint>;
    pub(crate) fn isl_equality_from_aff(aff: Take<isl_aff>) -> Give<isl_constraint>;
    pub(crate) fn isl_inequality_from_aff(aff: Take<isl_aff>) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_is_equality(constraint: Keep<isl_constraint>) -> Bool;
    pub(crate) fn isl_constraint_get_aff(constraint: Keep<isl_constraint>) -> Give<isl_aff>;
    pub(crate) fn isl_constraint_get_coefficient_val(
        constraint: Keep<isl_constraint>,
        kind: Enum,
        pos: c_int,
    ) -> Give<isl_val>;
    pub(crate) fn isl_constraint_get_constant_val(
        constraint: Keep<isl_constraint>,
    ) -> Give<isl_val>;
    pub(crate) fn isl_constraint_set_coefficient_val(
        constraint: Take<isl_constraint>,
        kind: Enum,
        pos: c_int,
        v: Take<isl_val>,
    ) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_set_constant_val(
        constraint: Take<isl_constraint>,
        v: Take<isl_val>,
    ) -> Give<isl_constraint>;
    pub(crate) fn isl_constraint_involves_dims(
        constraint: Keep<isl_constraint>,
        kind: Enum,
        first: c_uint,
        n: c_uint,
    ) -> Bool;
    pub(crate) fn isl_point_zero(space: Take<isl_space>) -> Give<isl_point>;
    pub(crate) fn isl_point_get_space(pnt: Keep<isl_point>) -> Give<isl_space>;
    pub(crate) fn isl_point_is_void(pnt: Keep<isl_point>) -> Bool;
    pub(crate) fn isl_point_get_coordinate_val(
        pnt: Keep<isl_point>,
        kind: Enum,
        pos: c_int,
    ) -> Give<isl_val>;
    pub(crate) fn isl_point_set_coordinate_val(
        pnt: Take<isl_point>,
        kind: Enum,
        pos: c_int,
        v: Take<isl_val>,
    ) -> Give<isl_point>;
    pub(crate) fn isl_ctx_abort(ctx: *mut isl_ctx);
    pub(crate) fn isl_ctx_resume(ctx: *mut isl_ctx);
    pub(crate) fn isl_ctx_get_max_operations(ctx: *mut isl_ctx) -> c_ulong;
    pub(crate) fn isl_ctx_set_max_operations(ctx: *mut isl_ctx, max: c_ulong);
    pub(crate) fn isl_ctx_reset_operations(ctx: *mut isl_ctx);
    pub(crate) fn isl_options_set_schedule_whole_component(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_set_schedule_max_coefficient(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_set_schedule_algorithm(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_schedule_algorithm(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_get_schedule_whole_component(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_serialize_sccs(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_schedule_serialize_sccs(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_outer_coincidence(ctx: *mut isl_ctx, val: c_int)
    -> Stat;
    pub(crate) fn isl_options_get_schedule_outer_coincidence(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_maximize_band_depth(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_schedule_maximize_band_depth(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_maximize_coincidence(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_schedule_maximize_coincidence(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_treat_coalescing(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_schedule_treat_coalescing(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_split_scaled(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_schedule_split_scaled(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_carry_self_first(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_schedule_carry_self_first(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_get_schedule_max_coefficient(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_schedule_max_constant_term(ctx: *mut isl_ctx, val: c_int)
    -> Stat;
    pub(crate) fn isl_options_get_schedule_max_constant_term(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_atomic_upper_bound(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_ast_build_atomic_upper_bound(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_prefer_pdiv(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_ast_build_prefer_pdiv(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_detect_min_max(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_ast_build_detect_min_max(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_exploit_nested_bounds(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_ast_build_exploit_nested_bounds(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_group_coscheduled(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_ast_build_group_coscheduled(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_separation_bounds(
        ctx: *mut isl_ctx,
        val: c_int,
    ) -> Stat;
    pub(crate) fn isl_options_get_ast_build_separation_bounds(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_scale_strides(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_ast_build_scale_strides(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_allow_else(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_ast_build_allow_else(ctx: *mut isl_ctx) -> c_int;
    pub(crate) fn isl_options_set_ast_build_allow_or(ctx: *mut isl_ctx, val: c_int) -> Stat;
    pub(crate) fn isl_options_get_ast_build_allow_or(ctx: *mut isl_ctx) -> c_int;
}
