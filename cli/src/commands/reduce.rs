//! `reduce`: shrinks a nest and a script that show a defect, and writes both files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use warploom::device::Executor;
use warploom::diag::{Blame, Diagnostic, Result, Source};
use warploom::reduce::{Pair, reduce as shrink};
use warploom::{Nest, Schedule, Script, Sizes, io, verify};

use crate::args::ReduceArgs;
use crate::{load, output};

pub(crate) fn reduce(args: &ReduceArgs) -> Result<()> {
    let nest = load::symbolic_nest(&args.spec)?;
    let pair = Pair { nest, script: script(&args.schedule)? };
    let targets = ["nest", "sched"].map(|end| PathBuf::from(format!("{}.{end}", args.output)));
    let done = match &args.check {
        Some(command) => {
            let folder = Folder::new(command)?;
            if !folder.holds(&pair)? {
                return Err(passes("the command does not exit with 0 for this pair"));
            }
            shrink(&pair, args.tries, &mut |p| folder.holds(p).unwrap_or(false))
        }
        None => {
            let device = Executor::named(args.device.as_deref().unwrap_or("cpu"))?;
            if Schedule::new(&pair.nest)?.replay(&pair.script).is_ok() {
                // it will run, and needs all its sizes for that
                warploom::bind(&pair.nest, &Sizes::new(), &BTreeMap::new())?;
            }
            let code = match run(&pair, &device, args.seed) {
                Ok(()) => return Err(passes("the pair is legal, runs, and its result is right")),
                Err(d) => d.code,
            };
            let wanted = args.code.as_deref().unwrap_or(code);
            if wanted != code {
                return Err(passes(&format!("the pair gives {code}, not {wanted}")));
            }
            let same = |p: &Pair| run(p, &device, args.seed).is_err_and(|d| d.code == code);
            shrink(&pair, args.tries, &mut |p| same(p))
        }
    };
    let (nest, script) = (done.pair.nest.to_string(), done.pair.script.to_string());
    for (path, text) in targets.iter().zip([&nest, &script]) {
        io::save_text(path, text)?;
    }
    let files = targets.map(|path| path.display().to_string());
    if args.spec.json {
        return output::json(&serde_json::json!({
            "nest": nest, "script": script, "files": files,
            "asked": done.asked, "taken": done.taken,
        }));
    }
    let script = if script.is_empty() { "(no steps)\n".to_owned() } else { script };
    output::print(&format!(
        "{nest}\n{script}\n{} of {} smaller pairs taken; written to {} and {}\n",
        done.taken, done.asked, files[0], files[1]
    ))
}

fn script(path: &Path) -> Result<Script> {
    let text = fs::read_to_string(path).map_err(|e| {
        let message = format!("cannot read the schedule {}: {e}", path.display());
        Diagnostic::input("E0501", message)
    })?;
    Script::parse(&Source::new(&path.display().to_string(), &text))
}

fn passes(why: &str) -> Box<Diagnostic> {
    let help = "give the pair that fails, or a --check command that exits with 0 for it";
    Box::new(Diagnostic::input("E0952", format!("there is nothing to reduce: {why}")).help(help))
}

/// Time that the analyses of one pair may take together.
const ANALYSES: Duration = Duration::from_secs(10);

/// Replays the script, runs the nest on random data, compares with the reference.
fn run(pair: &Pair, device: &Executor, seed: u64) -> Result<()> {
    warploom::within(ANALYSES, || replay_and_compare(pair, device, seed))
}

fn replay_and_compare(pair: &Pair, device: &Executor, seed: u64) -> Result<()> {
    let schedule = Schedule::new(&pair.nest)?.replay(&pair.script)?;
    let nest: Nest = warploom::bind(&pair.nest, &Sizes::new(), &BTreeMap::new())?;
    let mut inputs = BTreeMap::new();
    warploom::fill_random(&nest, &mut inputs, seed)?;
    let outputs = device.run(&schedule, &inputs, &BTreeMap::new())?;
    verify::check(&nest, &inputs, &outputs).map(drop)
}

/// A temporary folder with the two files of the command that decides.
struct Folder {
    command: String,
    nest: PathBuf,
    script: PathBuf,
    _folder: tempfile::TempDir,
}

impl Folder {
    fn new(command: &str) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| broken("make a temporary folder", &e))?;
        let (nest, script) = (folder.path().join("pair.nest"), folder.path().join("pair.sched"));
        let quoted = |path: &Path| format!("'{}'", path.display());
        let command =
            command.replace("{nest}", &quoted(&nest)).replace("{sched}", &quoted(&script));
        Ok(Self { command, nest, script, _folder: folder })
    }

    /// Whether the command exits with 0.
    fn holds(&self, pair: &Pair) -> Result<bool> {
        for (path, text) in
            [(&self.nest, pair.nest.to_string()), (&self.script, pair.script.to_string())]
        {
            fs::write(path, text).map_err(|e| broken("write a temporary file", &e))?;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.command]).stdin(Stdio::null());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        shell.status().map(|s| s.success()).map_err(|e| broken("start the --check command", &e))
    }
}

fn broken(what: &str, error: &std::io::Error) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0953", Blame::Environment, format!("cannot {what}: {error}")))
}
