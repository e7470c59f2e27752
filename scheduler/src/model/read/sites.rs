//! How much of what blocks load comes from memory: those that run at the same time share it.
//!
//! In: the places of a block program that load from arrays, and the grid. Out: bytes from memory.
//! Keeps: blocks are taken to run in step, so that of the boxes which all of them load at one point
//! of their run each comes from memory once; what the cache holds of a whole array comes once.
//! Source: DeepGEMM's choice of groups of tiles by the rows and columns that a wave touches.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Index, KernelLoop};

use super::access::{Env, value};
use super::{KEPT, Launch, Used, count};

/// Points of a run at which blocks are compared, and most blocks that are.
const POINTS: i64 = 6;
const MOST: i64 = 512;

/// A place that loads.
pub(super) struct Site<'k> {
    pub(super) array: Name,
    pub(super) at: Vec<Index>,
    /// The loops of the role around it.
    pub(super) loops: Vec<&'k KernelLoop>,
    /// Variables that are neither the grid's nor those of these loops.
    pub(super) fixed: Env,
    /// Bytes that all blocks load there.
    pub(super) bytes: f64,
}

impl Site<'_> {
    /// Different boxes over blocks that load there at the same time.
    fn sharing(&self, launch: &Launch<'_>, clusters: &[(Name, i64)], slots: i64) -> f64 {
        let members: i64 = clusters.iter().map(|c| c.1).product();
        let groups = launch.blocks().min((slots / members).max(1)).min(MOST);
        let mut share = 0.0;
        for point in 0..POINTS {
            let mut boxes = BTreeSet::new();
            for group in 0..groups {
                for member in 0..members {
                    let mut env = self.fixed.clone();
                    env.extend(launch.block(group));
                    let mut rest = member;
                    for (name, n) in clusters.iter().rev() {
                        env.insert(name.clone(), rest % n);
                        rest /= n;
                    }
                    self.run(&mut env, (2 * point + 1) as f64 / (2 * POINTS) as f64);
                    boxes.insert(self.at.iter().map(|i| value(i, &env)).collect::<Vec<_>>());
                }
            }
            share += boxes.len() as f64 / (groups * members) as f64;
        }
        share / POINTS as f64
    }

    /// Sets the loops' variables to what they are at a point of the run, from 0 to 1.
    fn run(&self, env: &mut Env, mut point: f64) {
        for l in &self.loops {
            let low = value(&l.lower, env);
            let n = count(low, value(&l.upper, env), l.step).max(1) as f64;
            let at = (point * n).floor().min(n - 1.0);
            point = point * n - at;
            env.insert(l.var.clone(), low + l.step * at as i64);
        }
    }
}

/// Bytes that come from memory, by array.
pub(super) fn reads(
    sites: &[Site<'_>],
    launch: &Launch<'_>,
    clusters: &[(Name, i64)],
    [slots, cache]: [f64; 2],
) -> Used {
    let names: BTreeSet<&Name> = sites.iter().map(|s| &s.array).collect();
    let held: f64 = names.iter().map(|n| launch.arrays[*n].bytes).sum();
    let mut used = Used::new();
    for name in names {
        let of = || sites.iter().filter(|s| s.array == *name);
        let loaded: f64 = of().map(|s| s.bytes).sum();
        let apart = of().map(|s| s.bytes * s.sharing(launch, clusters, slots as i64)).sum::<f64>();
        let once = loaded.min(launch.arrays[name].bytes);
        let missed = (1.0 - KEPT * cache / held.max(1.0)).clamp(0.0, 1.0);
        used.insert(name.clone(), (once + (apart - once).max(0.0) * missed, 0.0));
    }
    used
}
