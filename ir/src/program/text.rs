//! The text form of a program: what was planned, then the kernel.
//!
//! In: a text. Out: the program, or a diagnostic. Keeps: the plan that a text states must be the
//! one that follows from its kernel, so that no text can ask for launches in a wrong order or for
//! memory that is still in use.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use super::{Edge, Launch, Program, Temporary};
use crate::affine::Name;
use crate::diag::{Diagnostic, Result, Source};
use crate::kernel::Kernel;
use crate::lex::Cursor;

/// Names between commas.
struct Names<'a>(&'a BTreeSet<Name>);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {{")?;
        for (i, launch) in self.launches.iter().enumerate() {
            write!(f, "  launch {i}")?;
            for l in &launch.loops {
                write!(f, " for {l}")?;
            }
            let Launch { reads, writes, .. } = launch;
            writeln!(f, " reads {} writes {}", Names(reads), Names(writes))?;
        }
        for Edge { from, to, buffers } in &self.edges {
            writeln!(f, "  after {from} launch {to} for {}", Names(buffers))?;
        }
        for (i, slot) in self.slots.iter().enumerate() {
            for Temporary { name, first, last } in slot {
                writeln!(f, "  slot {i} holds {name} from {first} to {last}")?;
            }
        }
        write!(f, "}}\n{}", self.kernel)
    }
}

impl Program {
    /// Reads a `.program` text.
    ///
    /// # Errors
    /// `E0101` to `E0104`: the text is no program; `E0113`: the plan does not follow from the
    /// kernel.
    pub fn parse(source: &Source) -> Result<Self> {
        let mut parser = Parser(Cursor::new(source, true)?);
        let start = parser.0.span();
        let (launches, edges, slots) = parser.plan()?;
        let planned = Self::of(Kernel::parse_from(parser.0)?);
        if (&launches, &edges, &slots) == (&planned.launches, &planned.edges, &planned.slots) {
            return Ok(planned);
        }
        let text = "the plan does not follow from the kernel";
        Err(Box::new(
            Diagnostic::input("E0113", text)
                .in_source(source)
                .label(start, "stated here")
                .help(format!("the plan of this kernel is\n{}", planned.plan())),
        ))
    }

    /// The plan without the kernel.
    fn plan(&self) -> String {
        let text = self.to_string();
        let end = text.find("\n}\n").map_or(text.len(), |at| at + 2);
        text[..end].to_owned()
    }
}

impl FromStr for Program {
    type Err = Box<Diagnostic>;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(&Source::new("", text))
    }
}

type Plan = (Vec<Launch>, Vec<Edge>, Vec<Vec<Temporary>>);

struct Parser(Cursor);

impl Parser {
    fn plan(&mut self) -> Result<Plan> {
        self.0.expect_word("program")?;
        self.0.expect("{")?;
        let (mut launches, mut edges, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        while !self.0.eat("}") {
            if self.0.eat_word("launch") {
                self.numbered(launches.len())?;
                launches.push(self.launch()?);
            } else if self.0.eat_word("after") {
                edges.push(self.edge()?);
            } else {
                self.0.expect_word("slot")?;
                self.slot(&mut slots)?;
            }
        }
        Ok((launches, edges, slots))
    }

    fn number(&mut self) -> Result<usize> {
        let wrong = self.0.unexpected("a number");
        usize::try_from(self.0.integer("a number")?).map_err(|_| wrong)
    }

    /// The number that must stand here.
    fn numbered(&mut self, want: usize) -> Result<()> {
        let wrong = self.0.unexpected(&format!("the number {want}"));
        if self.number()? == want { Ok(()) } else { Err(wrong) }
    }

    fn launch(&mut self) -> Result<Launch> {
        let mut launch = Launch::default();
        while self.0.eat_word("for") {
            launch.loops.push(self.0.ident("a loop variable")?.0);
        }
        self.0.expect_word("reads")?;
        launch.reads = self.names()?;
        self.0.expect_word("writes")?;
        launch.writes = self.names()?;
        Ok(launch)
    }

    fn names(&mut self) -> Result<BTreeSet<Name>> {
        self.0.expect("[")?;
        let mut out = BTreeSet::new();
        while !self.0.eat("]") {
            if !out.is_empty() {
                self.0.expect(",")?;
            }
            out.insert(self.0.ident("a buffer")?.0);
        }
        Ok(out)
    }

    fn edge(&mut self) -> Result<Edge> {
        let from = self.number()?;
        self.0.expect_word("launch")?;
        let to = self.number()?;
        self.0.expect_word("for")?;
        Ok(Edge { from, to, buffers: self.names()? })
    }

    fn slot(&mut self, slots: &mut Vec<Vec<Temporary>>) -> Result<()> {
        let wrong = self.0.unexpected("the slot of the line before, or the next");
        let slot = self.number()?;
        if slot == slots.len() {
            slots.push(Vec::new());
        } else if slot + 1 != slots.len() {
            return Err(wrong);
        }
        self.0.expect_word("holds")?;
        let (name, _) = self.0.ident("a temporary")?;
        self.0.expect_word("from")?;
        let first = self.number()?;
        self.0.expect_word("to")?;
        slots[slot].push(Temporary { name, first, last: self.number()? });
        Ok(())
    }
}
