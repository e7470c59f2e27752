//! A contestant in a process of its own, which answers each line with a line and waits between.
//!
//! Keeps: a process that takes longer than it may, or ends, is an error and not waited for; it is
//! ended when its value is dropped.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The longest that an answer may take where no other limit is given.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The process.
pub struct Process {
    child: Child,
    /// `None` once it is told to end.
    input: Option<ChildStdin>,
    answers: Receiver<std::io::Result<String>>,
    what: String,
}

impl Process {
    /// Starts it; `what` names it in errors.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, what: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {what}: {e}"))?;
        let input = child.stdin.take().ok_or("the peer has no standard input")?;
        let output = child.stdout.take().ok_or("the peer has no standard output")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, input: Some(input), answers, what: what.to_owned() })
    }

    /// The answer to a line.
    ///
    /// # Errors
    /// As [`Process::ask_within`].
    pub fn ask(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        self.ask_within(line, PATIENCE)
    }

    /// The answer to a line; `error: …` is a failure, a process that takes longer is ended.
    ///
    /// # Errors
    /// The process has ended, takes longer, or answers an error.
    pub fn ask_within(&mut self, line: &str, limit: Duration) -> Result<String, Box<dyn Error>> {
        let input = self.input.as_mut().ok_or("the peer has ended")?;
        writeln!(input, "{line}").map_err(|e| format!("{} ended: {e}", self.what))?;
        match self.answers.recv_timeout(limit) {
            Ok(answer) => {
                let answer = answer?;
                match answer.strip_prefix("error: ") {
                    Some(why) => Err(format!("{}: {why}", self.what).into()),
                    None => Ok(answer.trim().to_owned()),
                }
            }
            Err(RecvTimeoutError::Disconnected) => Err(format!("{} ended early", self.what).into()),
            Err(RecvTimeoutError::Timeout) => {
                self.input = None;
                let _ = self.child.kill(); // it may have ended just now
                Err(format!("{} took longer than {} s", self.what, limit.as_secs()).into())
            }
        }
    }

    /// Runs the problem once; its seconds.
    ///
    /// # Errors
    /// As [`Process::ask_within`].
    pub fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        Ok(self.ask("go")?.parse()?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.input = None;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        // after `stop` there is nothing to end, which is no failure
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
