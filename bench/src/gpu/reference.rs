//! What both contestants of `gpu-polybench` are held to: the nest in the order of its text, as C
//! from gcc on the processor; and the CUDA version compiled.
//!
//! Keeps: problems are made ready on several threads before the first clock starts, none after.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use warploom::{Name, Tensor};

use super::cuda_peer;
use super::problem::{self, Problem};
use crate::c_peer::Gcc;
use crate::polybench::{self, Job};

/// A problem ready to be measured.
pub(crate) struct Ready {
    pub(crate) problem: Problem,
    /// The outputs of the reference.
    pub(crate) expected: BTreeMap<Name, Tensor>,
    /// The program that nvcc made.
    pub(crate) cuda: PathBuf,
    /// Where the files are.
    pub(crate) folder: tempfile::TempDir,
}

/// Makes jobs ready, on as many threads as half the processors; in their order.
pub(crate) fn prepare(jobs: &[Job]) -> Vec<(Job, Result<Ready, String>)> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
    let next = Mutex::new(0..jobs.len());
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().expect("no thread panics with it").next();
                    let Some(k) = taken else { return };
                    let ready = make_ready(&jobs[k]).map_err(|e| e.to_string());
                    done.lock().expect("no thread panics with it").insert(k, ready);
                }
            });
        }
    });
    let done = done.into_inner().expect("no thread panics with it");
    done.into_iter().map(|(k, ready)| (jobs[k].clone(), ready)).collect()
}

fn make_ready(job: &Job) -> Result<Ready, Box<dyn Error>> {
    let (nest, inputs) = polybench::problem(job)?;
    let folder = problem::folder()?;
    let mut files = BTreeMap::new();
    for (name, tensor) in &inputs {
        let file = folder.path().join(format!("in-{name}.bin"));
        fs::write(&file, tensor.bytes())?;
        files.insert(name.clone(), file);
    }
    let cuda = cuda_peer::build(&job.kernel, folder.path())?;
    let (mut gcc, _) = Gcc::start(&nest, &inputs, folder.path())?;
    gcc.seconds()?;
    let mut expected = BTreeMap::new();
    for name in warploom::outputs(&nest) {
        let array = nest.array(&name).ok_or("an output that is not there")?;
        let like = Tensor::zeros(array.dtype, &problem::extents(&nest, &name)?)?;
        expected.insert(name.clone(), gcc.buffer(&name, &like, folder.path())?);
    }
    gcc.stop()?;
    Ok(Ready { problem: Problem { nest, files }, expected, cuda, folder })
}
