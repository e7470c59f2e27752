//! Tuning of small nests on the CPU, and records that were damaged or written by several.

use std::fs;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;

const MATMUL: &str = "in A: f32[40, 24] in B: f32[24, 56] out C: f32[40, 56]
for m in 0..40, n in 0..56 { C[m, n] = 0 for k in 0..24 { C[m, n] += A[m, k] * B[k, n] } }";

fn problem(text: &str) -> (Nest, BTreeMap<Name, Tensor>) {
    let nest: Nest = text.parse().unwrap();
    let mut inputs = BTreeMap::new();
    crate::fill_random(&nest, &mut inputs, 3).unwrap();
    (nest, inputs)
}

fn tuned(text: &str, records: Option<&Records>, most: usize) -> Tuned {
    let (nest, inputs) = problem(text);
    let options = TuneOptions { budget: Duration::from_secs(600), most, ..TuneOptions::default() };
    let stop = AtomicBool::new(false);
    let mut told = 0;
    let tuned =
        tune(&nest, &inputs, &Executor::Cpu, records, &options, &stop, &mut |_| told += 1).unwrap();
    assert!(told > 0);
    tuned
}

fn key(nest: &Nest) -> Key {
    Key::new(nest, Target::Cpu, &kind(&Executor::Cpu))
}

#[test]
fn nests_of_several_kinds_are_tuned_checked_and_recalled() {
    // what fits into the nearest cache keeps the order of its text, whatever tiles there could be
    const JACOBI: &str = "inout A: f64[20034] temp B: f64[20034]
for t in 0..6 {
  for i in 1..20033 { B[i] = (A[i - 1] + A[i] + A[i + 1]) / 3.0 }
  for i in 1..20033 { A[i] = B[i] }
}";
    const ROWS: &str = "in A: i32[64, 40] out y: i32[64]
for m in 0..64 { y[m] = 0 for k in 0..40 { y[m] += A[m, k] } }";
    for text in [MATMUL, JACOBI, ROWS] {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("new"));
        let tuned = tuned(text, Some(&records), 12);
        assert!(tuned.notes.is_empty(), "{:?}", tuned.notes);
        let (nest, inputs) = problem(text);
        let measured = tuned.record.candidates.iter().filter(|c| c.status == Status::Measured);
        assert!(measured.clone().all(|c| !c.us.is_empty() && c.checked.is_some()));
        assert!(measured.count() > 1, "{text}: nothing but the automatic schedule");
        assert!(tuned.record.candidates.iter().all(|c| c.status != Status::Wrong), "{text}");
        // the same schedule comes from the folder
        let recalled = records.recall(&nest, Target::Cpu, &|| kind(&Executor::Cpu));
        let schedule = recalled.schedule.unwrap();
        assert_eq!(schedule.tree(), tuned.schedule.tree());
        let outputs = Executor::Cpu.run(&schedule, &inputs, &BTreeMap::new()).unwrap();
        crate::verify::check(&nest, &inputs, &outputs).unwrap();
        // another problem finds nothing
        let other: Nest = text.replace("34", "36").replace("40", "48").parse().unwrap();
        let none = records.recall(&other, Target::Cpu, &|| kind(&Executor::Cpu));
        assert!(none.schedule.is_none() && none.note.is_none());
    }
}

#[test]
fn wrong_results_never_win() {
    // the machine's answers are spoilt for all but the usual schedule
    struct Spoilt<'a>(Cpu<'a>, String);
    impl lab::Machine for Spoilt<'_> {
        type Code = (bool, crate::compile::Program);

        fn target(&self) -> Target {
            Target::Cpu
        }

        fn multiprocessors(&self) -> Option<i64> {
            None
        }

        fn compile(&self, schedule: &Schedule) -> Result<Self::Code> {
            let usual = schedule.script().to_string() == self.1;
            Ok((usual, lab::Machine::compile(&self.0, schedule)?))
        }

        fn run(&self, code: &Self::Code) -> Result<BTreeMap<Name, Tensor>> {
            let mut outputs = lab::Machine::run(&self.0, &code.1)?;
            if !code.0 {
                let c = outputs.get_mut("C").expect("the nest writes C");
                let byte = c.bytes_mut().get_mut(77 * 4 + 3).expect("it has elements");
                *byte ^= 0x40;
            }
            Ok(outputs)
        }

        fn race(
            &self,
            entrants: &[&Self::Code],
            rounds: crate::measure::Rounds,
        ) -> Result<Vec<Vec<f64>>> {
            let codes: Vec<_> = entrants.iter().map(|e| &e.1).collect();
            lab::Machine::race(&self.0, &codes, rounds)
        }
    }
    let (nest, inputs) = problem(MATMUL);
    let usual = crate::compile::auto(&nest).unwrap();
    let machine = Spoilt(Cpu { inputs: &inputs, threads: Some(1) }, usual.script().to_string());
    let mut lab = Judged::new(machine, &nest, &inputs).unwrap();
    let at = At { target: Target::Cpu, processors: None, kind: "k".into(), begun: Instant::now() };
    let options =
        TuneOptions { budget: Duration::from_secs(600), most: 10, ..TuneOptions::default() };
    let stop = AtomicBool::new(false);
    let tuned = tune_in(&mut lab, &nest, at, None, &options, &stop, &mut |_| ()).unwrap();
    assert_eq!(tuned.schedule.script(), usual.script());
    let wrong: Vec<_> =
        tuned.record.candidates.iter().filter(|c| c.status == Status::Wrong).collect();
    assert!(wrong.len() > 1 && wrong.iter().all(|c| c.us.is_empty() && !c.best));
    assert!(wrong[0].why.as_ref().unwrap().contains("E0950"), "{:?}", wrong[0].why);
}

/// A record of a few candidates.
fn sample(nest: &Nest) -> Record {
    let mut record = Record::new(&key(nest));
    for (k, us) in [(0, 9.0), (1, 7.5), (2, 8.0)] {
        record.candidates.push(Candidate {
            choices: if k == 0 { String::new() } else { format!("S1.tiles={k},2") },
            status: Status::Measured,
            best: k == 1,
            why: None,
            estimate: Some(k * 100),
            checked: Some("the interpreter in binary64".to_owned()),
            us: vec![us, us + 0.25],
            script: format!("# '''{k}'''\nunroll m\n"),
        });
    }
    record.candidates.push(Candidate {
        status: Status::Refused,
        best: false,
        why: Some("E0701: \"quoted\"\nand more".to_owned()),
        us: Vec::new(),
        script: "split m by 7\n".to_owned(),
        ..record.candidates[0].clone()
    });
    record
}

#[test]
fn damaged_and_foreign_records_are_set_aside_with_the_reason() {
    let (nest, _) = problem(MATMUL);
    let folder = tempfile::tempdir().unwrap();
    let (records, key) = (Records::new(folder.path()), key(&nest));
    let text = sample(&nest).text();
    let path = records.path(&key);
    let other = Key { device: "another device".to_owned(), ..key.clone() };
    let mut foreign = Record::new(&other);
    foreign.candidates = sample(&nest).candidates;
    let older = text.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
    let resealed = |text: &str| {
        let body = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
        format!("{body}# blake3 {}\n", blake3::hash(body.as_bytes()).to_hex())
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "E0960"),
        (text.as_bytes()[..text.len() / 2].to_vec(), "E0960"),
        (text.as_bytes()[..text.len() - 1].to_vec(), "E0960"),
        (text.replace("7.5", "6.5").into_bytes(), "E0960"),
        (vec![0xff, 0xfe, 0x00], "E0960"),
        (resealed(&text.replace("us = [7.5", "us = [nan")).into_bytes(), "E0960"),
        (resealed(&text.replace("format = 1", "format = \"x\"")).into_bytes(), "E0960"),
        (resealed(&text.replace("format = 1", "format = 99")).into_bytes(), "E0961"),
        (resealed(&older).into_bytes(), "E0961"),
        (foreign.text().into_bytes(), "E0961"),
        (resealed(&text.replace("40, 24", "40, 25")).into_bytes(), "E0961"),
    ];
    for (bytes, code) in cases {
        fs::write(&path, &bytes).unwrap();
        let found = records.load(&key);
        let note = found.note.unwrap_or_else(|| panic!("{code}: it was taken"));
        assert_eq!(note.code, code, "{note}");
        assert!(found.record.is_none() && !path.exists());
        assert!(note.help.as_ref().unwrap().contains(".refused"), "{note}");
        assert_eq!(fs::read(path.with_extension("refused")).unwrap(), bytes);
        // and the next one is written and taken
        records.save(&key, &sample(&nest)).unwrap();
        assert_eq!(records.load(&key).record, Some(sample(&nest)));
    }
    // a script that the nest does not allow: the schedule is refused, not the file's form
    let mut odd = sample(&nest);
    odd.candidates[1].script = "reorder k, q\n".to_owned();
    fs::write(&path, odd.text()).unwrap();
    let recalled = records.recall(&nest, Target::Cpu, &|| key.device.clone());
    assert!(recalled.schedule.is_none());
    assert_eq!(recalled.note.unwrap().code, "E0962");
    assert!(records.recall(&nest, Target::Cpu, &|| key.device.clone()).note.is_none());
}

#[test]
fn many_writers_lose_nothing() {
    let (nest, _) = problem(MATMUL);
    let folder = tempfile::tempdir().unwrap();
    let (records, key) = (Records::new(folder.path()), key(&nest));
    std::thread::scope(|scope| {
        for writer in 0..4_i64 {
            let (records, key) = (&records, &key);
            scope.spawn(move || {
                let mut mine = Record::new(key);
                for turn in 0..8_i64 {
                    let us = 100.0 - (writer * 8 + turn) as f64;
                    mine.candidates.iter_mut().for_each(|c| c.best = false);
                    mine.candidates.push(Candidate {
                        choices: format!("w={writer} t={turn}"),
                        best: true,
                        us: vec![us],
                        script: format!("split m by {}\n", writer * 100 + turn + 1),
                        ..sample(&problem(MATMUL).0).candidates[0].clone()
                    });
                    assert!(records.save(key, &mine).unwrap().is_none());
                    assert!(records.load(key).note.is_none());
                }
            });
        }
    });
    let record = records.load(&key).record.unwrap();
    assert_eq!(record.candidates.len(), 32);
    let best = record.best().unwrap();
    assert_eq!((best.us[0], record.candidates.iter().filter(|c| c.best).count()), (69.0, 1));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "the record and the lock: {left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_record_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(Record::read(&text).is_err());
        let body = format!("{text}\n");
        let sealed = format!("{body}# blake3 {}\n", blake3::hash(body.as_bytes()).to_hex());
        prop_assert!(Record::read(&sealed).is_err());
    }

    #[test]
    fn one_changed_byte_is_noticed(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (nest, _) = problem(MATMUL);
        let text = sample(&nest).text();
        let mut bytes = text.clone().into_bytes();
        let at = place.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let read = String::from_utf8(bytes).map(|t| Record::read(&t));
        prop_assert!(!matches!(read, Ok(Ok(_))), "a change at byte {at} was not noticed");
    }

    #[test]
    fn records_are_read_as_they_are_written(
        texts in proptest::collection::vec(".{0,40}", 3),
        us in proptest::collection::vec(0.001..1e6_f64, 1..9),
        estimate in proptest::option::of(any::<i64>()),
    ) {
        let (nest, _) = problem(MATMUL);
        let mut record = sample(&nest);
        record.candidates[2] = Candidate {
            choices: texts[0].clone(),
            why: Some(texts[1].clone()),
            script: format!("{}\n", texts[2]),
            us,
            estimate,
            ..record.candidates[2].clone()
        };
        prop_assert_eq!(Record::read(&record.text()).unwrap(), record);
    }
}
