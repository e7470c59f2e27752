//! A contestant in a process of its own, which answers each line with a line and waits between.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it; `what` names it in the error.
    pub(crate) fn start(command: &mut Command, what: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {what}: {e}"))?;
        let input = child.stdin.take().ok_or("the peer has no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the peer has no standard output")?);
        Ok(Self { child, input, output })
    }

    /// The answer to a line.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        writeln!(self.input, "{line}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err("the peer ended early".into());
        }
        Ok(answer.trim().to_owned())
    }

    /// Runs the problem once; its seconds.
    pub(crate) fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        Ok(self.ask("go")?.parse()?)
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<(), Box<dyn Error>> {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait()?;
        Ok(())
    }
}
