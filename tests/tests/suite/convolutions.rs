//! Convolutions of every kind get tensor cores automatically: run in the interpreter against their
//! nests, and assembled, for each target.

use warploom::Schedule;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu, tensor_cores};
use warploom_tests::conv::{Along, Conv};
use warploom_tests::tensor::agrees_on;

/// A convolution on tensor cores of each target; the kernel for the first.
fn right(conv: &Conv) -> String {
    let mut first = None;
    for target in [Target::Sm90a, Target::Sm80, Target::Sm100a] {
        let text = right_on(conv, target);
        first.get_or_insert(text);
    }
    first.expect("there are targets")
}

fn right_on(conv: &Conv, target: Target) -> String {
    let nest: Nest = conv.nest().parse().unwrap_or_else(|e| panic!("{e}\n{}", conv.nest()));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { multiprocessors: 4, ..GpuOptions::of(target) };
    let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
    let found = tensor_cores(&schedule, target).unwrap_or_else(|e| panic!("{e}"));
    assert!(found[0].instruction.is_some(), "{conv:?}\n{target}: {}", found[0].because);
    assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule), "{conv:?}");
    let (text, report) = agrees_on(&nest, &schedule, target);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

const STRIDED: Along = Along { size: 15, taps: 3, stride: 2, dilation: 1, pad: 0 };
const DILATED: Along = Along { size: 16, taps: 3, stride: 1, dilation: 2, pad: 0 };
const PADDED: Along = Along { size: 10, taps: 3, stride: 1, dilation: 1, pad: 1 };

#[test]
fn strides_dilation_and_padding() {
    let text = right(&Conv::of(&[STRIDED; 2], [32, 24]));
    assert!(text.contains("step 2"), "{text}");
    right(&Conv::of(&[DILATED; 2], [32, 24]));
    right(&Conv::of(&[PADDED; 2], [32, 24]));
    let all = Along { size: 17, taps: 3, stride: 2, dilation: 3, pad: 2 };
    right(&Conv::of(&[all; 2], [32, 24]));
}

#[test]
fn more_results_than_the_image_has_elements() {
    let full = Along { size: 9, taps: 3, stride: 1, dilation: 1, pad: 2 };
    right(&Conv::of(&[full; 2], [16, 16]));
}

#[test]
fn one_and_three_dimensions() {
    right(&Conv::of(&[Along { size: 70, pad: 1, ..STRIDED }], [32, 16]));
    let small = Along { size: 5, taps: 2, stride: 1, dilation: 1, pad: 0 };
    right(&Conv::of(&[small, PADDED, PADDED], [16, 16]));
}

#[test]
fn channels_before_the_image() {
    let wide = Along { size: 16, ..PADDED };
    for along in [[Along::plain(16, 3), Along::plain(16, 1)], [wide; 2], [STRIDED; 2]] {
        right(&Conv { last: false, ..Conv::of(&along, [32, 24]) });
    }
}

#[test]
fn groups_are_batches() {
    right(&Conv { groups: 3, ..Conv::of(&[PADDED; 2], [16, 16]) });
    right(&Conv {
        groups: 2,
        last: false,
        ..Conv::of(&[Along { size: 16, ..PADDED }; 2], [16, 16])
    });
}

#[test]
fn channels_of_any_number() {
    // rows of 6 bytes, which no copy engine reads
    right(&Conv::of(&[Along { size: 14, ..PADDED }; 2], [3, 16]));
    right(&Conv::of(&[STRIDED; 2], [20, 20]));
}

#[test]
fn other_types() {
    for types in [["i8", "i32", "i32"], ["tf32", "f32", "f32"]] {
        right(&Conv { types, ..Conv::of(&[PADDED; 2], [32, 16]) });
    }
    right_on(&Conv { types: ["f64"; 3], ..Conv::of(&[STRIDED; 2], [16, 16]) }, Target::Sm90a);
}

#[test]
fn channels_first_with_a_step_along_the_rows_has_a_kernel_at_any_size() {
    // a row of the image is a whole number of 16 bytes, and every second element of it is read
    let text = include_str!("../../../examples/nests/conv2d_strided_nchw.nest");
    let nest: Nest = text.parse().unwrap();
    let sizes = [("N", 2), ("P", 14), ("Q", 16), ("K", 64), ("C", 32)];
    let sizes = sizes.into_iter().map(|(n, v)| (n.into(), v)).collect();
    let nest = warploom::bind(&nest, &sizes, &std::collections::BTreeMap::new()).unwrap();
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        let schedule = warploom::compile::auto_for(&nest, target).unwrap();
        let kernel =
            warploom::compile::lower(&schedule).unwrap_or_else(|e| panic!("{target}: {e}"));
        assert!(kernel.gpu(target).is_ok());
    }
}
