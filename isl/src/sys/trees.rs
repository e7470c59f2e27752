//! Extern lines: Schedules and generated code. See the parent module for the rules.

use super::*;
#[allow(unused_imports, reason = "each group of lines uses some of them")]
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

unsafe extern "C" {
    pub(crate) fn isl_schedule_constraints_copy(
        sc: Keep<isl_schedule_constraints>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_free(
        sc: Take<isl_schedule_constraints>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_to_str(sc: Keep<isl_schedule_constraints>) -> OwnedStr;
    pub(crate) fn isl_schedule_constraints_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_copy(sched: Keep<isl_schedule>) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_free(sched: Take<isl_schedule>) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_to_str(schedule: Keep<isl_schedule>) -> OwnedStr;
    pub(crate) fn isl_schedule_read_from_str(
        ctx: *mut isl_ctx,
        text: *const c_char,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_constraints_on_domain(
        domain: Take<isl_union_set>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_set_context(
        sc: Take<isl_schedule_constraints>,
        context: Take<isl_set>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_set_validity(
        sc: Take<isl_schedule_constraints>,
        validity: Take<isl_union_map>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_set_coincidence(
        sc: Take<isl_schedule_constraints>,
        coincidence: Take<isl_union_map>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_set_proximity(
        sc: Take<isl_schedule_constraints>,
        proximity: Take<isl_union_map>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_set_conditional_validity(
        sc: Take<isl_schedule_constraints>,
        condition: Take<isl_union_map>,
        validity: Take<isl_union_map>,
    ) -> Give<isl_schedule_constraints>;
    pub(crate) fn isl_schedule_constraints_get_domain(
        sc: Keep<isl_schedule_constraints>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_constraints_get_validity(
        sc: Keep<isl_schedule_constraints>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_constraints_get_coincidence(
        sc: Keep<isl_schedule_constraints>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_constraints_get_proximity(
        sc: Keep<isl_schedule_constraints>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_constraints_compute_schedule(
        sc: Take<isl_schedule_constraints>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_from_domain(domain: Take<isl_union_set>) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_get_root(schedule: Keep<isl_schedule>) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_get_map(sched: Keep<isl_schedule>) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_get_domain(schedule: Keep<isl_schedule>) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_sequence(
        schedule1: Take<isl_schedule>,
        schedule2: Take<isl_schedule>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_set(
        schedule1: Take<isl_schedule>,
        schedule2: Take<isl_schedule>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_insert_partial_schedule(
        schedule: Take<isl_schedule>,
        partial: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_insert_context(
        schedule: Take<isl_schedule>,
        context: Take<isl_set>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_intersect_domain(
        schedule: Take<isl_schedule>,
        domain: Take<isl_union_set>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_align_params(
        schedule: Take<isl_schedule>,
        space: Take<isl_space>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_plain_is_equal(
        schedule1: Keep<isl_schedule>,
        schedule2: Keep<isl_schedule>,
    ) -> Bool;
    pub(crate) fn isl_schedule_node_copy(node: Keep<isl_schedule_node>) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_free(node: Take<isl_schedule_node>) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_to_str(node: Keep<isl_schedule_node>) -> OwnedStr;
    pub(crate) fn isl_schedule_node_from_domain(
        domain: Take<isl_union_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_from_extension(
        extension: Take<isl_union_map>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_get_type(node: Keep<isl_schedule_node>) -> Enum;
    pub(crate) fn isl_schedule_node_get_schedule(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_schedule>;
    pub(crate) fn isl_schedule_node_root(node: Take<isl_schedule_node>) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_parent(
        node: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_child(
        node: Take<isl_schedule_node>,
        pos: c_int,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_ancestor(
        node: Take<isl_schedule_node>,
        generation: c_int,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_previous_sibling(
        node: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_next_sibling(
        node: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_has_parent(node: Keep<isl_schedule_node>) -> Bool;
    pub(crate) fn isl_schedule_node_has_children(node: Keep<isl_schedule_node>) -> Bool;
    pub(crate) fn isl_schedule_node_n_children(node: Keep<isl_schedule_node>) -> Size;
    pub(crate) fn isl_schedule_node_get_child_position(node: Keep<isl_schedule_node>) -> Size;
    pub(crate) fn isl_schedule_node_get_tree_depth(node: Keep<isl_schedule_node>) -> Size;
    pub(crate) fn isl_schedule_node_get_schedule_depth(node: Keep<isl_schedule_node>) -> Size;
    pub(crate) fn isl_schedule_node_is_equal(
        node1: Keep<isl_schedule_node>,
        node2: Keep<isl_schedule_node>,
    ) -> Bool;
    pub(crate) fn isl_schedule_node_is_subtree_anchored(node: Keep<isl_schedule_node>) -> Bool;
    pub(crate) fn isl_schedule_node_get_domain(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_node_get_prefix_schedule_union_map(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_node_get_prefix_schedule_relation(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_node_get_prefix_schedule_multi_union_pw_aff(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_schedule_node_get_subtree_schedule_union_map(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_node_band_n_member(node: Keep<isl_schedule_node>) -> Size;
    pub(crate) fn isl_schedule_node_band_get_partial_schedule(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_multi_union_pw_aff>;
    pub(crate) fn isl_schedule_node_band_get_partial_schedule_union_map(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_node_band_get_space(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_space>;
    pub(crate) fn isl_schedule_node_band_member_get_coincident(
        node: Keep<isl_schedule_node>,
        pos: c_int,
    ) -> Bool;
    pub(crate) fn isl_schedule_node_band_member_set_coincident(
        node: Take<isl_schedule_node>,
        pos: c_int,
        coincident: c_int,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_get_permutable(node: Keep<isl_schedule_node>) -> Bool;
    pub(crate) fn isl_schedule_node_band_set_permutable(
        node: Take<isl_schedule_node>,
        permutable: c_int,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_member_get_ast_loop_type(
        node: Keep<isl_schedule_node>,
        pos: c_int,
    ) -> Enum;
    pub(crate) fn isl_schedule_node_band_member_set_ast_loop_type(
        node: Take<isl_schedule_node>,
        pos: c_int,
        kind: Enum,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_member_set_isolate_ast_loop_type(
        node: Take<isl_schedule_node>,
        pos: c_int,
        kind: Enum,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_get_ast_build_options(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_node_band_set_ast_build_options(
        node: Take<isl_schedule_node>,
        options: Take<isl_union_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_scale(
        node: Take<isl_schedule_node>,
        mv: Take<isl_multi_val>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_scale_down(
        node: Take<isl_schedule_node>,
        mv: Take<isl_multi_val>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_mod(
        node: Take<isl_schedule_node>,
        mv: Take<isl_multi_val>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_shift(
        node: Take<isl_schedule_node>,
        shift: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_tile(
        node: Take<isl_schedule_node>,
        sizes: Take<isl_multi_val>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_split(
        node: Take<isl_schedule_node>,
        pos: c_int,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_band_sink(
        node: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_mark_get_id(node: Keep<isl_schedule_node>) -> Give<isl_id>;
    pub(crate) fn isl_schedule_node_domain_get_domain(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_node_filter_get_filter(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_set>;
    pub(crate) fn isl_schedule_node_context_get_context(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_set>;
    pub(crate) fn isl_schedule_node_guard_get_guard(node: Keep<isl_schedule_node>)
    -> Give<isl_set>;
    pub(crate) fn isl_schedule_node_extension_get_extension(
        node: Keep<isl_schedule_node>,
    ) -> Give<isl_union_map>;
    pub(crate) fn isl_schedule_node_insert_mark(
        node: Take<isl_schedule_node>,
        mark: Take<isl_id>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_partial_schedule(
        node: Take<isl_schedule_node>,
        schedule: Take<isl_multi_union_pw_aff>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_sequence(
        node: Take<isl_schedule_node>,
        filters: Take<isl_union_set_list>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_set(
        node: Take<isl_schedule_node>,
        filters: Take<isl_union_set_list>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_filter(
        node: Take<isl_schedule_node>,
        filter: Take<isl_union_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_context(
        node: Take<isl_schedule_node>,
        context: Take<isl_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_insert_guard(
        node: Take<isl_schedule_node>,
        context: Take<isl_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_graft_before(
        node: Take<isl_schedule_node>,
        graft: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_graft_after(
        node: Take<isl_schedule_node>,
        graft: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_order_before(
        node: Take<isl_schedule_node>,
        filter: Take<isl_union_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_order_after(
        node: Take<isl_schedule_node>,
        filter: Take<isl_union_set>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_cut(node: Take<isl_schedule_node>) -> Give<isl_schedule_node>;
    pub(crate) fn isl_schedule_node_delete(
        node: Take<isl_schedule_node>,
    ) -> Give<isl_schedule_node>;
    pub(crate) fn isl_ast_node_copy(node: Keep<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_free(node: Take<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_to_str(node: Keep<isl_ast_node>) -> OwnedStr;
    pub(crate) fn isl_ast_expr_copy(expr: Keep<isl_ast_expr>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_expr_free(expr: Take<isl_ast_expr>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_expr_to_str(expr: Keep<isl_ast_expr>) -> OwnedStr;
    pub(crate) fn isl_ast_node_list_n_ast_node(list: Keep<isl_ast_node_list>) -> Size;
    pub(crate) fn isl_ast_node_list_get_at(
        list: Keep<isl_ast_node_list>,
        index: c_int,
    ) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_list_free(list: Take<isl_ast_node_list>) -> Give<isl_ast_node_list>;
    pub(crate) fn isl_ast_build_set_at_each_domain(
        build: Take<isl_ast_build>,
        f: Option<
            unsafe extern "C" fn(
                Give<isl_ast_node>,
                Keep<isl_ast_build>,
                *mut c_void,
            ) -> Take<isl_ast_node>,
        >,
        user: *mut c_void,
    ) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_copy(build: Keep<isl_ast_build>) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_node_to_C_str(node: Keep<isl_ast_node>) -> OwnedStr;
    pub(crate) fn isl_ast_node_user_from_expr(expr: Take<isl_ast_expr>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_set_annotation(
        node: Take<isl_ast_node>,
        annotation: Take<isl_id>,
    ) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_get_annotation(node: Keep<isl_ast_node>) -> Give<isl_id>;
    pub(crate) fn isl_ast_expr_to_C_str(expr: Keep<isl_ast_expr>) -> OwnedStr;
    pub(crate) fn isl_ast_expr_is_equal(
        expr1: Keep<isl_ast_expr>,
        expr2: Keep<isl_ast_expr>,
    ) -> Bool;
    pub(crate) fn isl_ast_build_free(build: Take<isl_ast_build>) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_from_context(set: Take<isl_set>) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_restrict(
        build: Take<isl_ast_build>,
        set: Take<isl_set>,
    ) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_set_options(
        build: Take<isl_ast_build>,
        options: Take<isl_union_map>,
    ) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_set_iterators(
        build: Take<isl_ast_build>,
        iterators: Take<isl_id_list>,
    ) -> Give<isl_ast_build>;
    pub(crate) fn isl_ast_build_node_from_schedule(
        build: Keep<isl_ast_build>,
        schedule: Take<isl_schedule>,
    ) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_build_node_from_schedule_map(
        build: Keep<isl_ast_build>,
        schedule: Take<isl_union_map>,
    ) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_build_get_schedule(build: Keep<isl_ast_build>) -> Give<isl_union_map>;
    pub(crate) fn isl_ast_build_get_schedule_space(build: Keep<isl_ast_build>) -> Give<isl_space>;
    pub(crate) fn isl_ast_build_expr_from_set(
        build: Keep<isl_ast_build>,
        set: Take<isl_set>,
    ) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_build_expr_from_pw_aff(
        build: Keep<isl_ast_build>,
        pa: Take<isl_pw_aff>,
    ) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_build_access_from_pw_multi_aff(
        build: Keep<isl_ast_build>,
        pma: Take<isl_pw_multi_aff>,
    ) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_build_access_from_multi_pw_aff(
        build: Keep<isl_ast_build>,
        mpa: Take<isl_multi_pw_aff>,
    ) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_build_call_from_pw_multi_aff(
        build: Keep<isl_ast_build>,
        pma: Take<isl_pw_multi_aff>,
    ) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_get_type(node: Keep<isl_ast_node>) -> Enum;
    pub(crate) fn isl_ast_node_for_get_iterator(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_for_get_init(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_for_get_cond(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_for_get_inc(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_for_get_body(node: Keep<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_for_is_degenerate(node: Keep<isl_ast_node>) -> Bool;
    pub(crate) fn isl_ast_node_if_get_cond(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_node_if_get_then_node(node: Keep<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_if_has_else_node(node: Keep<isl_ast_node>) -> Bool;
    pub(crate) fn isl_ast_node_if_get_else_node(node: Keep<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_block_get_children(
        node: Keep<isl_ast_node>,
    ) -> Give<isl_ast_node_list>;
    pub(crate) fn isl_ast_node_mark_get_id(node: Keep<isl_ast_node>) -> Give<isl_id>;
    pub(crate) fn isl_ast_node_mark_get_node(node: Keep<isl_ast_node>) -> Give<isl_ast_node>;
    pub(crate) fn isl_ast_node_user_get_expr(node: Keep<isl_ast_node>) -> Give<isl_ast_expr>;
    pub(crate) fn isl_ast_expr_get_type(expr: Keep<isl_ast_expr>) -> Enum;
    pub(crate) fn isl_ast_expr_id_get_id(expr: Keep<isl_ast_expr>) -> Give<isl_id>;
    pub(crate) fn isl_ast_expr_int_get_val(expr: Keep<isl_ast_expr>) -> Give<isl_val>;
    pub(crate) fn isl_ast_expr_op_get_type(expr: Keep<isl_ast_expr>) -> Enum;
    pub(crate) fn isl_ast_expr_op_get_n_arg(expr: Keep<isl_ast_expr>) -> Size;
    pub(crate) fn isl_ast_expr_op_get_arg(
        expr: Keep<isl_ast_expr>,
        pos: c_int,
    ) -> Give<isl_ast_expr>;
}
