//! Text to [`Einsum`], with NumPy's grammar.
//!
//! In: the string. Out: terms with spans, the implicit output filled in. Requires nothing.
//! Why by hand: every character is a token, and each mistake deserves its own words.

use super::{Einsum, Subscript, Term};
use crate::diag::{Diagnostic, Result, Source, Span};

/// As many operands as NumPy takes.
const MAX_OPERANDS: usize = 63;

const HELP: &str =
    "an einsum reads like `mk,kn->mn`: letters name dimensions, commas part operands";

pub(super) fn parse(text: &str) -> Result<Einsum> {
    let source = Source::new("einsum", text);
    let parsed = parse_terms(text);
    let (inputs, output) = parsed.map_err(|d| Box::new((*d).in_source(&source)))?;
    let output = output.unwrap_or_else(|| implicit_output(&inputs, text.len()));
    Ok(Einsum { source, inputs, output })
}

/// The inputs and, if written, the output.
fn parse_terms(text: &str) -> Result<(Vec<Term>, Option<Term>)> {
    let mut inputs = Vec::new();
    let mut at = 0;
    loop {
        let (term, end) = parse_term(text, at, inputs.len())?;
        inputs.push(term);
        if inputs.len() > MAX_OPERANDS {
            let message = format!("more than {MAX_OPERANDS} operands");
            let d = Diagnostic::input("E0414", message).label(Span::new(at, end), "one too many");
            return Err(Box::new(d.help("split the einsum in two, through a temporary")));
        }
        let rest = &text[end..];
        if rest.is_empty() {
            return Ok((inputs, None));
        }
        if rest.starts_with(',') {
            at = end + 1;
        } else if rest.starts_with("->") {
            let output = parse_output(text, end + 2, &inputs)?;
            return Ok((inputs, Some(output)));
        } else {
            return Err(bad_character(text, end, Place::Input));
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Input,
    Output,
}

/// Reads letters, spaces and ellipses from byte `start` on; gives the term and where it stopped.
fn parse_term(text: &str, start: usize, operand: usize) -> Result<(Term, usize)> {
    let mut term = Term::default();
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        match c {
            ' ' => at += 1,
            '.' => {
                let end = parse_ellipsis(text, at, &term, operand)?;
                term.subscripts.push((Subscript::Ellipsis, Span::new(at, end)));
                at = end;
            }
            c if c.is_ascii_alphabetic() => {
                term.subscripts.push((Subscript::Label(c), Span::new(at, at + 1)));
                at += 1;
            }
            _ => break,
        }
    }
    term.span = match (term.subscripts.first(), term.subscripts.last()) {
        (Some((_, first)), Some((_, last))) => first.to(*last),
        (None, _) | (_, None) => Span::new(start, at),
    };
    Ok((term, at))
}

fn parse_ellipsis(text: &str, at: usize, term: &Term, operand: usize) -> Result<usize> {
    let dots = text[at..].bytes().take_while(|&b| b == b'.').count();
    let span = Span::new(at, at + dots);
    let second = term.subscripts.iter().find(|(s, _)| *s == Subscript::Ellipsis);
    if let Some((_, first)) = second {
        let d = Diagnostic::input("E0402", format!("operand {operand} has two ellipses"))
            .label(span, "the second")
            .label(*first, "the first")
            .help("one `...` per term stands for all dimensions without a label");
        return Err(Box::new(d));
    }
    if dots != 3 {
        let d = Diagnostic::input("E0402", "an ellipsis is three dots in a row")
            .label(span, format!("{dots} dot{}", if dots == 1 { "" } else { "s" }))
            .help("write `...`");
        return Err(Box::new(d));
    }
    Ok(at + dots)
}

fn parse_output(text: &str, start: usize, inputs: &[Term]) -> Result<Term> {
    let (term, end) = parse_term(text, start, inputs.len())?;
    if end < text.len() {
        return Err(bad_character(text, end, Place::Output));
    }
    let mut seen: Vec<(char, Span)> = Vec::new();
    for &(subscript, span) in &term.subscripts {
        let Subscript::Label(label) = subscript else { continue };
        if let Some((_, first)) = seen.iter().find(|(c, _)| *c == label) {
            let d = Diagnostic::input("E0404", format!("`{label}` stands twice in the output"))
                .label(span, "again")
                .label(*first, "first")
                .help("each label of the output is one dimension of the result");
            return Err(Box::new(d));
        }
        if !inputs.iter().any(|t| t.labels().any(|c| c == label)) {
            let message = format!("`{label}` of the output is in no operand");
            let d = Diagnostic::input("E0405", message)
                .label(span, "its size is not known")
                .help("use labels of the operands, or leave it out");
            return Err(Box::new(d));
        }
        seen.push((label, span));
    }
    Ok(term)
}

fn bad_character(text: &str, at: usize, place: Place) -> Box<Diagnostic> {
    let c = text[at..].chars().next().unwrap_or(' ');
    let span = Span::new(at, at + c.len_utf8());
    let d = match (c, place) {
        ('-' | '>', Place::Input) => Diagnostic::input("E0403", "the arrow is written `->`")
            .label(span, "half an arrow")
            .help("write `->` without a space between"),
        ('-' | '>', Place::Output) => Diagnostic::input("E0403", "there are two arrows")
            .label(span, "the output ends before this")
            .help("an einsum has one `->`, before the result's labels"),
        (',', Place::Output) => Diagnostic::input("E0401", "an einsum has one output")
            .label(span, "a comma after `->`")
            .help("commas stand between operands only"),
        (c, Place::Input | Place::Output) => {
            let message = format!("`{}` is no label", c.escape_debug());
            Diagnostic::input("E0401", message)
                .label(span, "labels are the letters A-Z and a-z")
                .help(HELP)
        }
    };
    Box::new(d)
}

/// NumPy's implicit output: the ellipsis if any, then labels that occur once, in ASCII order.
fn implicit_output(inputs: &[Term], end: usize) -> Term {
    let mut labels: Vec<char> = inputs.iter().flat_map(Term::labels).collect();
    labels.sort_unstable();
    let once = |c: &char| labels.iter().filter(|l| *l == c).count() == 1;
    let span = Span::new(end, end);
    let mut subscripts = Vec::new();
    if inputs.iter().any(Term::has_ellipsis) {
        subscripts.push((Subscript::Ellipsis, span));
    }
    subscripts.extend(labels.iter().filter(|c| once(c)).map(|&c| (Subscript::Label(c), span)));
    Term { subscripts, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).unwrap().to_string()
    }

    #[test]
    fn implicit_outputs_are_numpys() {
        assert_eq!(shown("bA"), "bA->Ab");
        assert_eq!(shown("ii"), "ii->");
        assert_eq!(shown("i...,j"), "i...,j->...ij");
        assert_eq!(shown(" i j , j k "), "ij,jk->ik");
        assert_eq!(shown(""), "->");
        assert_eq!(shown(",->"), ",->");
    }

    #[test]
    fn mistakes_point_at_the_character() {
        let cases = [
            ("ij,j1->i", "E0401", 4),
            ("ij,jé", "E0401", 4),
            ("i..j", "E0402", 1),
            ("i...j...", "E0402", 5),
            ("i- >i", "E0403", 1),
            ("i>i", "E0403", 1),
            ("i->i->i", "E0403", 4),
            ("i->i,", "E0401", 4),
            ("ij->ii", "E0404", 5),
            ("ij->iq", "E0405", 5),
        ];
        for (text, code, at) in cases {
            let d = parse(text).unwrap_err();
            assert_eq!((d.code, d.labels[0].span.start), (code, at), "{text}: {d}");
            assert!(d.help.is_some(), "{text}");
        }
        assert_eq!(parse(&",".repeat(63)).unwrap_err().code, "E0414");
        assert_eq!(parse(&",".repeat(62)).unwrap().inputs.len(), 63);
    }
}
