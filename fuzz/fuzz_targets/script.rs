//! The text of schedules: no panic, no hang, and what is accepted prints as a text that is the same
//! script. Scripts are applied in the tests (`mutations`, `random_pairs`): isl is not instrumented.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warploom_ir::schedule::step::Script;

fuzz_target!(|text: &str| {
    if let Ok(script) = text.parse::<Script>() {
        let printed = script.to_string();
        let again = printed.parse::<Script>();
        assert_eq!(again.as_ref().ok(), Some(&script), "{again:?}\n{printed}");
    }
});
