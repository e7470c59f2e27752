//! `explain` for a GPU: the predicted time, its parts and what limits it, without a GPU.

use warploom::calibrate::{Calibration, PROBES, Probed};
use warploom::model::H200;

use crate::common::{text, warploom};

const PRODUCT: [&str; 6] =
    ["mk,kn->mn", "--size", "m=512,n=512,k=512", "--dtype", "bf16", "--no-records"];

fn explain(more: &[&str]) -> std::process::Output {
    warploom(&[&["explain"], &PRODUCT[..], more].concat())
}

#[test]
fn a_prediction_names_its_machine_and_its_limit() {
    for (target, machine) in [("sm_90a", "H200"), ("sm_100a", "B200"), ("sm_80", "A100")] {
        let shown = text(&explain(&["--target", target]));
        let named = format!("predicted, not measured, on NVIDIA {machine}: ");
        assert!(shown.contains(&named) && shown.contains("tensor cores  "), "{shown}");
    }
    let slower = text(&explain(&["--target", "sm_90a", "--machine", "h100"]));
    assert!(slower.contains("on NVIDIA H100: "), "{slower}");
    let unknown = explain(&["--target", "sm_90a", "--machine", "geforce"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("E0908"), "{}", text(&unknown));
}

#[test]
fn a_prediction_in_json_has_all_parts() {
    let shown = explain(&["--target", "sm_90a", "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let predicted = &all["prediction"];
    let (us, parts) = (predicted["us"].as_f64().unwrap(), predicted["parts_us"].as_object());
    let longest = parts.unwrap().values().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
    assert!(us > longest && us < 100.0, "{predicted}");
    assert!(parts.unwrap()[predicted["limit"].as_str().unwrap()] == longest, "{predicted}");
}

#[test]
fn sizes_that_are_open_have_no_prediction_and_the_cpu_none() {
    let open = text(&warploom(&["explain", "mk,kn->mn", "--target", "sm_90a", "--no-records"]));
    assert!(open.contains("no predicted time: "), "{open}");
    let cpu = text(&explain(&[]));
    assert!(!cpu.contains("predicted"), "{cpu}");
}

#[test]
fn a_machine_description_is_predicted_with_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let mut made = Calibration::new("Test GPU, 66 multiprocessors", &H200);
    made.probes.push(Probed { value: Some(1e-5), ..Probed::new(&PROBES[0]) });
    std::fs::write(&file, made.text()).unwrap();
    let name = file.to_str().unwrap();
    let shown = text(&explain(&["--target", "sm_90a", "--machine", name]));
    let said = format!("on NVIDIA H200 (as calibrated on {}, {})", made.device, made.date);
    assert!(shown.contains(&said), "{shown}");
    assert!(shown.contains("launch                    10.00"), "{shown}");
    let json = explain(&["--target", "sm_90a", "--machine", name, "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(all["prediction"]["calibrated"]["device"], made.device);
    std::fs::write(&file, &made.text()[..100]).unwrap();
    let refused = explain(&["--target", "sm_90a", "--machine", name]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("E0967"), "{}", text(&refused));
}

#[test]
fn without_a_gpu_nothing_is_calibrated_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let machines = folder.path().join("machines");
    let to = ["--machines", machines.to_str().unwrap()];
    let done = warploom(&[&["doctor", "--calibrate", "--device", "cpu"], &to[..]].concat());
    assert_eq!(done.status.code(), Some(3));
    let said = text(&done);
    assert!(said.contains("E0968") && said.contains("a product of f64"), "{said}");
    assert!(!machines.exists());
}
