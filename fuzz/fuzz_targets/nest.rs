//! The text of nests: no panic, no hang; what is accepted prints as a text that is the same nest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warploom_ir::nest::Nest;

fuzz_target!(|text: &str| {
    if let Ok(nest) = text.parse::<Nest>() {
        let printed = nest.to_string();
        let again = printed.parse::<Nest>();
        assert_eq!(again.as_ref().ok(), Some(&nest), "{again:?}\n{printed}");
    }
});
