//! The tests across crates, a module for each subject.
//!
//! Why one program: each program of tests links the whole compiler, which takes disk and time.

mod auto_orders;
mod blackwell;
mod block_products;
mod chained_products;
mod convolutions;
mod cta_pairs;
mod einsum_compiled;
mod einsum_numpy;
mod epilogues;
mod folded;
mod four_bits;
mod gpu_block_programs;
mod gpu_kernels;
mod gpu_polybench;
mod gpu_tiles;
mod instructions;
mod isl_version;
mod mutations;
mod ozaki;
mod ozaki_accuracy;
mod ozaki_bits;
mod ozaki_guard;
mod ozaki_room;
mod ozaki_slices;
mod packed;
mod pingpong;
mod planted_bugs;
mod polybench;
mod random_contractions;
mod random_pairs;
mod round_trips;
mod row_reductions;
mod scaled_products;
mod stencil_orders;
mod sums_in_order;
mod taken_tiles;
mod tensor_boxes;
mod tensor_memory;
mod tensor_schedules;
mod tensor_types;
mod thread_operands;
mod warp_products;
mod weakened_programs;
