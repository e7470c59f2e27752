//! Where the parts of a kernel stand in the text that it was read from.
//!
//! In: names of buffers, loops and statements, and calls as they are printed, with their spans.
//! Out: what a message speaks of, which has these between backquotes.
//! Why here: a kernel is a value without spans, since most are lowered and have no text.

use crate::diag::{Diagnostic, Source, Span};

/// Names with their spans, in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(String, Span)>);

impl Places {
    pub(super) fn add(&mut self, name: String, span: Span) {
        self.0.push((name, span));
    }

    /// The first thing between backquotes in a message that has a place.
    fn spoken_of(&self, message: &str) -> Option<Span> {
        let quoted = message.split('`').skip(1).step_by(2);
        quoted
            .into_iter()
            .find_map(|name| self.0.iter().find(|(known, _)| known == name).map(|(_, span)| *span))
    }

    /// The diagnostic with the places in `source` of what its message and its example speak of.
    #[must_use]
    pub fn point(&self, mut diagnostic: Diagnostic, source: &Source) -> Diagnostic {
        if diagnostic.source.is_some() {
            return diagnostic;
        }
        let main = self.spoken_of(&diagnostic.message);
        let example = diagnostic.witness.as_deref().and_then(|w| self.spoken_of(w));
        diagnostic.source = Some(source.clone());
        for (span, text) in [(main, ""), (example.filter(|e| main != Some(*e)), "in the example")] {
            if let Some(span) = span {
                diagnostic = diagnostic.label(span, text);
            }
        }
        diagnostic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    #[test]
    fn messages_point_at_what_they_speak_of() {
        let text = "kernel k(N) {
  in A: f32[N]
  out C: f32[N]
  for b in 0..1 block.x {
    block {
      barrier full[2] count 1
      role load warps 1 {
        one { do mbarrier.wait( full[0],0 ) }
      }
    }
  }
  for i in 0..N { S: C[i]:f32 = A[i]:f32 order serial }
}";
        let source = Source::new("k.kernel", text);
        let (_, places) = Kernel::parse_places(&source).unwrap();
        let spans = |message: &str, witness: &str| {
            let d = Diagnostic::input("E0811", message).witness(witness);
            let d = places.point(d, &source);
            let labels = d.labels.iter().map(|l| &text[l.span.start as usize..l.span.end as usize]);
            labels.map(str::to_owned).collect::<Vec<_>>()
        };
        let store = "S: C[i]:f32 = A[i]:f32 order serial";
        assert_eq!(spans("statement `S` of kernel `k` reads `A`", ""), [store]);
        assert_eq!(spans("loop `i` races", "`S` at (i = 0)"), ["i", store]);
        let call = "do mbarrier.wait( full[0],0 )";
        assert_eq!(spans("a deadlock", "warp 0 in `do mbarrier.wait(full[0], 0)`"), [call]);
        assert_eq!(spans("role `load` has 1 warp; `full`", ""), ["load"]);
        assert!(spans("nothing `q` is known", "").is_empty());
    }
}
