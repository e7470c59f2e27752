//! Devices, buffers, launches and their order on a GPU; refusals where there is none.

mod support;

use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use support::{SUM, code, gpu, sizes};
use warploom_ir::abi::GpuStep;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_runtime::cuda::{BoundProgram, Device, DeviceBuffer, Devices, time_launches};

/// Spins for 30 ms, then adds.
fn slow() -> String {
    format!(
        "mov.u64 %rd10, %globaltimer;\nSPIN: mov.u64 %rd11, %globaltimer;\n\
         sub.u64 %rd12, %rd11, %rd10; setp.lt.u64 %p2, %rd12, 30000000; @%p2 bra SPIN;\n{SUM}"
    )
}

fn values(n: usize, scale: f64) -> Tensor {
    let list: Vec<f64> = (0..n).map(|i| i as f64 * scale).collect();
    Tensor::from_f64s(DType::F32, &[n], &list).expect("as many values as elements")
}

fn map(a: &DeviceBuffer, b: &DeviceBuffer, c: &DeviceBuffer) -> BTreeMap<Name, DeviceBuffer> {
    [("A", a), ("B", b), ("C", c)].map(|(n, x)| (n.into(), x.clone())).into()
}

#[test]
fn without_a_device_every_question_is_answered() {
    match Devices::list() {
        Ok(list) => {
            for (i, info) in list.iter().enumerate() {
                assert_eq!(info.ordinal, i);
                assert!(info.memory > 0 && info.multiprocessors > 0 && !info.name.is_empty());
            }
        }
        Err(d) => {
            assert_eq!((d.code, d.blame.exit_code()), ("E1110", 3));
            assert!(d.help.is_some_and(|h| h.contains("--device cpu")));
            assert_eq!(Device::open(0).err().expect("no driver").code, "E1110");
        }
    }
    for far in [4096, usize::MAX] {
        let d = Device::open(far).err().expect("no machine has as many");
        assert_eq!((d.code, d.blame.exit_code()), ("E1110", 3), "{d}");
    }
}

#[test]
fn tensors_come_back_and_new_arrays_are_poisoned() {
    let Some(device) = gpu("tensors_come_back_and_new_arrays_are_poisoned") else { return };
    for dtype in DType::ALL {
        for shape in [&[][..], &[0, 3], &[1], &[5, 7], &[1 << 20]] {
            let tensor = Tensor::random(dtype, shape, 3).unwrap();
            let buffer = device.upload(&tensor).unwrap();
            assert_eq!(buffer.read().unwrap(), tensor);
            buffer.poison().unwrap();
            assert_eq!(buffer.read().unwrap(), Tensor::poisoned(dtype, shape).unwrap());
        }
    }
    let buffer = device.buffer(DType::F32, &[4]).unwrap();
    assert_eq!(buffer.read().unwrap(), Tensor::poisoned(DType::F32, &[4]).unwrap());
    assert_eq!(buffer.write(&values(5, 1.0)).unwrap_err().code, "E1102");
}

#[test]
fn memory_is_limited_and_given_back() {
    let Some(device) = gpu("memory_is_limited_and_given_back") else { return };
    device.set_memory_limit(1000);
    let first = device.buffer(DType::U8, &[600]).unwrap();
    assert_eq!(device.memory_used(), 600);
    let d = device.buffer(DType::U8, &[401]).unwrap_err();
    assert_eq!((d.code, d.blame.exit_code()), ("E1113", 3));
    assert!(["401", "600", "1000"].iter().all(|n| d.message.contains(n)), "{d}");
    assert_eq!(device.memory_used(), 600);
    drop(first);
    assert_eq!(device.memory_used(), 0);
    let _all = device.buffer(DType::U8, &[1000]).unwrap();
    // more than any device has, within the limit
    device.set_memory_limit(u64::MAX);
    let d = device.buffer(DType::U8, &[1 << 38]).unwrap_err();
    assert_eq!(d.code, "E1113", "{d}");
    assert!(d.message.contains("274877906944"), "{d}");
}

#[test]
fn a_program_runs_and_checks_its_arguments() {
    let Some(device) = gpu("a_program_runs_and_checks_its_arguments") else { return };
    let program = device.load(&code(SUM)).unwrap();
    for n in [1, 127, 128, 1000] {
        let inputs = BTreeMap::from([("A".into(), values(n, 1.0)), ("B".into(), values(n, 0.5))]);
        let out = program.run(&inputs, &sizes(n as i64)).unwrap();
        assert_eq!(out[&Name::from("C")], values(n, 1.5));
    }
    let none = Tensor::zeros(DType::F32, &[0]).unwrap();
    let inputs = BTreeMap::from([("A".into(), none.clone()), ("B".into(), none.clone())]);
    assert_eq!(program.run(&inputs, &sizes(0)).unwrap()[&Name::from("C")], none);
    let [a, b, c] = [1.0, 2.0, 3.0].map(|s| device.upload(&values(8, s)).unwrap());
    let code_of = |arrays, n| program.launch(&arrays, &sizes(n)).err().map(|d| d.code);
    assert_eq!(code_of(map(&a, &b, &c), 9), Some("E1102"));
    assert_eq!(code_of(map(&a, &c, &c), 8), Some("E1117"));
    assert_eq!(code_of(BTreeMap::new(), 8), Some("E1103"));
    assert_eq!(code_of(map(&a, &a, &c), 8), None);
    assert_eq!(c.read().unwrap(), values(8, 2.0));
    let other = Device::open(0).unwrap().upload(&values(8, 1.0)).unwrap();
    assert_eq!(code_of(map(&a, &other, &c), 8), Some("E1102"));
}

#[test]
fn the_drivers_words_are_passed_on() {
    let Some(device) = gpu("the_drivers_words_are_passed_on") else { return };
    let d = device.load(&code("add.nothing %rd6, %rd5, 2;")).err().expect("no such instruction");
    assert_eq!(d.code, "E1112");
    assert!(d.witness.as_ref().is_some_and(|w| w.contains("nothing")), "{d}");
    let mut wrong = code(SUM);
    let GpuStep::Launch(launch) = &mut wrong.steps[0] else { panic!("one launch") };
    launch.entry = "missing".into();
    assert!(device.load(&wrong).is_err());
    wrong.target = Target::Cpu;
    assert_eq!(device.load(&wrong).err().expect("no GPU's target").code, "E1116");
    // the device is as good as before
    assert!(device.load(&code(SUM)).is_ok());
}

#[test]
fn dependent_launches_are_ordered_and_disjoint_ones_overlap() {
    let Some(device) = gpu("dependent_launches_are_ordered_and_disjoint_ones_overlap") else {
        return;
    };
    let (slow, fast) = (device.load(&code(&slow())).unwrap(), device.load(&code(SUM)).unwrap());
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b) = (array(1.0), array(2.0));
    let outs: Vec<DeviceBuffer> = (0..4).map(|_| array(0.0)).collect();
    // the code is loaded on its first launch
    slow.launch(&map(&a, &b, &outs[0]), &n).unwrap().wait().unwrap();
    fast.launch(&map(&a, &b, &outs[0]), &n).unwrap().wait().unwrap();
    // a chain: c0 = a + b, slowly; c1 = c0 + b; then a is overwritten
    let first = slow.launch(&map(&a, &b, &outs[0]), &n).unwrap();
    let second = fast.launch(&map(&outs[0], &b, &outs[1]), &n).unwrap();
    let third = fast.launch(&map(&b, &b, &a), &n).unwrap();
    assert!(!first.is_done() && !second.is_done(), "launching does not block");
    second.wait().unwrap();
    assert!(first.is_done());
    third.wait().unwrap();
    assert_eq!(outs[0].read().unwrap(), values(64, 3.0));
    assert_eq!(outs[1].read().unwrap(), values(64, 5.0));
    assert_eq!(a.read().unwrap(), values(64, 4.0));
    // four disjoint launches of 30 ms each
    let started = Instant::now();
    let handles: Vec<_> = outs.iter().map(|c| slow.launch(&map(&a, &b, c), &n).unwrap()).collect();
    for handle in handles {
        handle.wait().unwrap();
    }
    let took = started.elapsed();
    assert!(took > Duration::from_millis(29) && took < Duration::from_millis(90), "{took:?}");
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn handles_are_futures_and_dropped_ones_detach() {
    let Some(device) = gpu("handles_are_futures_and_dropped_ones_detach") else { return };
    let program = device.load(&code(&slow())).unwrap();
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b, c) = (array(1.0), array(2.0), array(0.0));
    let mut handle = pin!(program.launch(&map(&a, &b, &c), &n).unwrap());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    assert!(handle.as_mut().poll(&mut cx).is_pending());
    loop {
        std::thread::park_timeout(Duration::from_secs(20));
        if let Poll::Ready(outcome) = handle.as_mut().poll(&mut cx) {
            outcome.unwrap();
            break;
        }
    }
    assert_eq!(c.read().unwrap(), values(64, 3.0));
    // dropped at once, while the launch and its arrays live on
    let scratch = array(0.0);
    let used = device.memory_used();
    let handle = program.launch(&map(&a, &b, &scratch), &n).unwrap();
    let started = Instant::now();
    drop(handle);
    drop((a, b, scratch));
    assert!(started.elapsed() < Duration::from_millis(20), "{:?}", started.elapsed());
    assert_eq!(device.memory_used(), used, "the launch keeps its arrays");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(device.memory_used(), 256, "only c is left");
}

#[test]
fn times_are_those_of_the_device() {
    let Some(device) = gpu("times_are_those_of_the_device") else { return };
    let program = device.load(&code(&slow())).unwrap();
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b) = (array(1.0), array(2.0));
    let bound: Vec<_> =
        (0..3).map(|_| program.bind(&map(&a, &b, &array(0.0)), &n).unwrap()).collect();
    let times = time_launches(&bound, 1, 5).unwrap();
    assert_eq!(times.runs, 5);
    assert!(times.p10 >= Duration::from_millis(29) && times.p90 < Duration::from_millis(60));
    assert_eq!(time_launches::<BoundProgram>(&[], 1, 5).unwrap_err().code, "E1101");
}
