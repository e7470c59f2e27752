//! The text of kernels: no panic, no hang, and what is accepted prints as a text that is the same
//! kernel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warploom_ir::kernel::Kernel;

fuzz_target!(|text: &str| {
    if let Ok(kernel) = text.parse::<Kernel>() {
        let printed = kernel.to_string();
        let again = printed.parse::<Kernel>();
        assert_eq!(again.as_ref().ok(), Some(&kernel), "{again:?}\n{printed}");
    }
});
