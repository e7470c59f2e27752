//! `parse(print(x)) == x` for every nest, script and kernel of the examples.

use warploom::{Kernel, Nest, Schedule, Script, compile};
use warploom_tests::examples;

#[test]
fn nests_and_scripts() {
    for e in examples() {
        let nest: Nest = e.text.parse().unwrap_or_else(|d| panic!("{}\n{d}", e.name));
        let printed = nest.to_string();
        let again: Nest = printed.parse().unwrap_or_else(|d| panic!("{printed}\n{d}"));
        assert_eq!(again, nest, "{printed}");
        assert_eq!(again.to_string(), printed);
        for text in &e.scripts {
            let script: Script = text.parse().unwrap_or_else(|d| panic!("{text}\n{d}"));
            let printed = script.to_string();
            assert_eq!(printed.parse::<Script>().as_ref(), Ok(&script), "{printed}");
        }
    }
}

/// The order of the text, the automatic schedule, and each script that is legal.
#[test]
fn kernels() {
    let mut n_kernels = 0;
    for e in examples() {
        let nest: Nest = e.text.parse().unwrap_or_else(|d| panic!("{}\n{d}", e.name));
        let plain = Schedule::new(&nest).unwrap_or_else(|d| panic!("{}\n{d}", e.name));
        let auto = compile::auto(&nest).unwrap_or_else(|d| panic!("{}\n{d}", e.name));
        let scripts = e.scripts.iter().map(|s| s.parse::<Script>().expect("it parses"));
        // tensor cores want sizes: kernels for them are printed and read where they are tested
        let sized = |s: &Schedule| s.tree().loops().iter().any(|l| l.marks.tensor.is_some());
        let legal = scripts.filter_map(|s| plain.replay(&s).ok()).filter(|s| !sized(s));
        for schedule in [plain.clone(), auto].into_iter().chain(legal) {
            let script = schedule.script().to_string();
            assert_eq!(script.parse::<Script>().as_ref(), Ok(schedule.script()), "{script}");
            let lowered = compile::lower(&schedule);
            let lowered = lowered.unwrap_or_else(|d| panic!("{}\n{script}\n{d}", e.name));
            let printed = lowered.kernel().to_string();
            let again: Kernel = printed.parse().unwrap_or_else(|d| panic!("{printed}\n{d}"));
            assert_eq!(again, *lowered.kernel(), "{printed}");
            n_kernels += 1;
        }
    }
    assert!(n_kernels >= 30, "{n_kernels} kernels");
}
