//! A product in binary64 from bfloat16 slices (Ozaki scheme I), the split computed where the
//! product needs it: the same nest with and without `fuse-at`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;

use warploom::diag::Source;
use warploom::{Nest, Schedule, Script, bind, compile, fill_random, verify};

const NEST: &str = include_str!("../../nests/ozaki1_pointwise.nest");
const FUSED: &str = include_str!("../../schedules/ozaki1_fused.sched");

fn main() -> Result<(), Box<dyn Error>> {
    let sizes = BTreeMap::from([("M".into(), 24), ("N".into(), 20), ("K".into(), 33)]);
    let nest = bind(&NEST.parse::<Nest>()?, &sizes, &BTreeMap::new())?;
    let separate = Schedule::new(&nest)?;
    let script = Script::parse(&Source::new("ozaki1_fused.sched", FUSED))?;
    let fused = separate.replay(&script)?;

    let mut data = BTreeMap::new();
    fill_random(&nest, &mut data, 3)?;
    for (what, schedule, stored) in [("separate", &separate, 2), ("fused", &fused, 0)] {
        let program = compile::compile(schedule)?;
        let slices = program.kernel().buffers.iter().filter(|b| b.name.starts_with('S')).count();
        let found = verify::check(&nest, &data, &program.run(&data, None)?)?;
        assert_eq!(slices, stored);
        println!(
            "{what}: {slices} arrays of slices in memory, largest error {:.1e}",
            found.max_error
        );
        assert!(found.max_error <= found.bound);
    }
    Ok(())
}
