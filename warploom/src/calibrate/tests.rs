//! A clock that stands for a GPU: what it was told is found again.

use std::collections::BTreeMap;

use warploom_scheduler::model::{A100, B200, H200};

use super::*;
use crate::fill_random;
use crate::verify::Judge;

/// A GPU whose numbers are known, and which times nothing but what it would take.
struct Known {
    machine: Machine,
    /// Probes that were asked for, and whether they were to last.
    asked: Vec<bool>,
    turn: usize,
}

impl Known {
    fn new(machine: Machine) -> Self {
        Self { machine, asked: Vec::new(), turn: 0 }
    }
}

impl Clock for Known {
    fn target(&self) -> Target {
        self.machine.target
    }

    fn multiprocessors(&self) -> i64 {
        self.machine.multiprocessors as i64
    }

    fn seconds(&mut self, _: &Nest, schedule: &Schedule, sustained: bool) -> Result<Vec<f64>> {
        let lowered = compile::lower(schedule)?;
        let time = predict_kernel(lowered.kernel(), &self.machine).expect("bound sizes").time;
        self.asked.push(sustained);
        // one run in four is disturbed
        let disturbed = |k: usize| if k.is_multiple_of(4) { 1.3 } else { 1.0 };
        self.turn += 1;
        Ok((1..=9).map(|k| time * disturbed(k)).collect())
    }
}

/// A GPU that is unlike the described one in all that probes tell.
fn other(described: Machine) -> Machine {
    let factors = [1.4, 0.8, 0.7, 0.75, 0.8, 0.7, 0.6, 0.75, 0.85, 1.5];
    let all = Constant::ALL.into_iter().zip(factors);
    all.fold(described, |m, (c, factor)| c.with(&m, c.of(&m) * factor))
}

#[test]
fn a_machines_numbers_are_found_again() {
    let hidden = Machine { multiprocessors: 114.0, ..other(H200) };
    let mut clock = Known::new(hidden);
    let mut told = Vec::new();
    let device = "Test GPU, 114 multiprocessors";
    let made = calibrate(&mut clock, H200, device, &mut |p| told.push(p.name.clone())).unwrap();
    assert_eq!(told, PROBES.map(|p| p.name));
    assert_eq!(clock.asked.iter().filter(|s| **s).count(), 1);
    let found = made.machine().unwrap();
    assert_eq!(found.multiprocessors, 114.0);
    for probed in &made.probes {
        let constant = Constant::named(&probed.tells).unwrap();
        let ratio = constant.of(&found) / constant.of(&hidden);
        assert!(probed.value.is_some(), "{probed:?}");
        assert!((0.93..1.07).contains(&ratio), "{ratio} {probed:?}");
        assert_eq!(probed.us.len(), 9);
    }
    // its file is the same machine, and a change of it is noticed
    let text = made.text();
    assert_eq!(Calibration::read(&text).unwrap(), made);
    let changed = text.replacen("value = ", "value = 1", 1);
    assert_eq!(Calibration::read(&changed).unwrap_err().code, "E0967");
    assert_eq!(Calibration::read(&text[..text.len() / 2]).unwrap_err().code, "E0967");
}

#[test]
fn a_clock_of_no_use_is_an_error_and_a_time_far_off_leaves_a_number() {
    struct Always(f64);
    impl Clock for Always {
        fn target(&self) -> Target {
            Target::Sm90a
        }

        fn multiprocessors(&self) -> i64 {
            132
        }

        fn seconds(&mut self, _: &Nest, _: &Schedule, _: bool) -> Result<Vec<f64>> {
            Ok(vec![self.0; 3])
        }
    }
    let refused = calibrate(&mut Always(0.0), H200, "T", &mut |_| ()).unwrap_err();
    assert_eq!(refused.code, "E1114");
    let made = calibrate(&mut Always(100.0), H200, "T", &mut |_| ()).unwrap();
    assert!(made.probes.iter().all(|p| p.value.is_none() && p.why.is_some()), "{made:?}");
    assert_eq!(made.machine().unwrap(), H200);
}

#[test]
fn probes_compute_what_their_nests_say() {
    for probe in &PROBES {
        let nest = probe.small().unwrap();
        let mut inputs = BTreeMap::new();
        fill_random(&nest, &mut inputs, 3).unwrap();
        for target in [Target::Sm80, Target::Sm90a] {
            let schedule = probe.schedule(&nest, target, 108).unwrap();
            let lowered = compile::lower(&schedule).unwrap();
            let outputs = lowered.interpret(&inputs).unwrap();
            Judge::new(&nest, &inputs).check(&outputs).unwrap();
            lowered.gpu(target).unwrap();
        }
    }
}

#[test]
fn every_number_has_a_probe_that_depends_on_it_where_the_gpu_has_it() {
    for (machine, without) in [
        (H200, &[][..]),
        // 8-bit floats go through f16 there
        (A100, &[Constant::Float8][..]),
        (B200, &[][..]),
    ] {
        for probe in &PROBES {
            let nest = probe.nest().unwrap();
            let processors = machine.multiprocessors as i64;
            let schedule = probe.schedule(&nest, machine.target, processors).unwrap();
            let lowered = compile::lower(&schedule).unwrap();
            let time = |m: &Machine| predict_kernel(lowered.kernel(), m).unwrap().time;
            let c = probe.tells;
            let scaled = |f: f64| time(&c.with(&machine, c.of(&machine) * f)) / time(&machine);
            let most = [HALF_AGAIN, 1.0 / HALF_AGAIN].map(|f| (scaled(f) - 1.0).abs());
            let depends = most[0].max(most[1]) >= TOLD;
            assert_eq!(depends, !without.contains(&c), "{} {}: {most:?}", machine.name, probe.name);
        }
    }
}

#[test]
fn files_of_other_devices_versions_and_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let machines = Machines::new(folder.path());
    let device = "Test GPU, 7 multiprocessors";
    assert_eq!(machines.load(device).unwrap(), None);
    let mut made = Calibration::new(device, &H200);
    made.probes.push(Probed { value: Some(4e12), ..Probed::new(&PROBES[1]) });
    let path = machines.save(&made).unwrap();
    let found = machines.load(device).unwrap().unwrap();
    let machine = found.machine().unwrap();
    assert_eq!((machine.memory, machine.multiprocessors), (4e12, 7.0));
    std::fs::copy(&path, machines.path("Other GPU, 7 multiprocessors")).unwrap();
    assert_eq!(machines.load("Other GPU, 7 multiprocessors").unwrap_err().code, "E0969");
    made.probes[0].value = Some(4e15);
    std::fs::write(&path, made.text()).unwrap();
    assert_eq!(machines.load(device).unwrap_err().code, "E0967");
    let sealed = |text: &str| crate::sealed::seal(text.to_owned());
    let body = crate::sealed::unseal(&found.text()).unwrap().replace("format = 1", "format = 9");
    assert_eq!(Calibration::read(&sealed(&body)).unwrap_err().code, "E0969");
    assert_eq!(Calibration::read(&sealed("device = 3")).unwrap_err().code, "E0967");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(Calibration::load(&path).unwrap_err().code, "E0967");
    assert_eq!(Calibration::load(&folder.path().join("none")).unwrap_err().code, "E0530");
}
