//! Reads `.sched` text.
//!
//! In: text, one step per line (`;` also separates, `#` starts a comment). Out: a [`Script`], or
//! the error `E0700` with the place.
//! Requires: nothing; loops and statements are looked up when a step is applied.
//! Keeps: `parse(print(x)) == x`; nesting deeper than [`MAX_DEPTH`] is an error, not an overflow
//! of the stack.

mod lex;
mod times;
mod tree;

use crate::affine::{Affine, Overflow};
use crate::diag::{Result, Source, Span};

use super::step::{LayoutTerm, Property, Ref, Script, Step, StepKind};
use super::{Contract, Tree, Unit};
use crate::target::Place;
use lex::{Reader, Token};

/// How deep braces and parentheses may nest.
pub const MAX_DEPTH: usize = 64;

const STEPS: &str = "a step (tile, split, reorder, fuse, distribute, skew, shift, coalesce, \
                     raster, unroll, vectorize, parallel, map, take, stream, tensorize, ring, \
                     reverse, order, stage, fuse-at, split-reduction, privatise, recall, \
                     atomically, require)";

const PLACES: &str = "a place (block.x, block.y, block.z, thread.x, thread.y, thread.z)";
const UNITS: &str =
    "a place (block.x, …, thread.z, cluster, warpgroup, pingpong, warp, tma or async)";

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// `E0700` at the first place that does not follow the grammar.
    pub fn parse(source: &Source) -> Result<Self> {
        let mut reader = Reader::new(source)?;
        let steps = steps(&mut reader, 0)?;
        match reader.peek() {
            Token::End => Ok(Self { steps, source: source.clone() }),
            _other => Err(reader.expected(STEPS)),
        }
    }
}

impl std::str::FromStr for Script {
    type Err = Box<crate::diag::Diagnostic>;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(&Source::new("script", text))
    }
}

impl Tree {
    /// Reads a tree, as it stands inside `order { … }`.
    ///
    /// # Errors
    /// `E0700` at the first place that does not follow the grammar.
    pub fn parse(source: &Source) -> Result<Self> {
        let mut reader = Reader::new(source)?;
        let tree = tree::children(&mut reader, 0)?;
        match reader.peek() {
            Token::End => Ok(tree),
            _other => Err(reader.expected("a loop, a sequence or a statement")),
        }
    }
}

/// Steps up to the end or a closing brace.
fn steps(r: &mut Reader, depth: usize) -> Result<Vec<Step>> {
    let mut out = Vec::new();
    loop {
        r.skip_lines(true);
        if matches!(r.peek(), Token::End | Token::Punct('}')) {
            return Ok(out);
        }
        let start = r.span();
        let kind = step(r, depth)?;
        out.push(Step { kind, span: start.to(r.last_span()) });
        if !matches!(r.peek(), Token::Newline | Token::End | Token::Punct(';' | '}')) {
            return Err(r.expected("the end of the step"));
        }
    }
}

fn step(r: &mut Reader, depth: usize) -> Result<StepKind> {
    let (at, Token::Word(head)) = (r.span(), r.peek().clone()) else {
        return Err(r.expected(STEPS));
    };
    r.next();
    match head.as_str() {
        "tile" => tile(r, at),
        "split" if r.eat('-') => split_reduction(r),
        "privatise" => privatise(r),
        "recall" => recall(r),
        "split" => split(r, at),
        "reorder" => Ok(StepKind::Reorder { loops: several(r, at, "reorder")? }),
        "fuse" if r.eat('-') => {
            r.expect_word("at")?;
            let producers = loop_list(r)?;
            r.expect_word("at")?;
            Ok(StepKind::FuseAt { producers, at: name(r)? })
        }
        "fuse" => fuse(r),
        "distribute" => {
            let target = name(r)?;
            let at = if r.eat_word("at") { Some(name(r)?) } else { None };
            Ok(StepKind::Distribute { target, at, names: names(r)? })
        }
        "skew" => skew(r),
        "shift" => {
            let target = name(r)?;
            r.expect_word("by")?;
            Ok(StepKind::Shift { target, by: affine(r, 0)? })
        }
        "coalesce" => {
            let [outer, inner] = pair(r, "coalesce")?;
            Ok(StepKind::Coalesce { outer, inner, name: one_name(r)? })
        }
        "fold" => {
            let [outer, inner] = pair(r, "fold")?;
            Ok(StepKind::Fold { outer, inner, name: one_name(r)? })
        }
        "raster" => {
            let loops = several(r, at, "raster")?;
            r.expect_word("as")?;
            Ok(StepKind::Raster { loops, name: name(r)? })
        }
        "unroll" => Ok(StepKind::Unroll(name(r)?)),
        "vectorize" => Ok(StepKind::Vectorize(name(r)?)),
        "parallel" => Ok(StepKind::Parallel(name(r)?)),
        "map" => {
            let target = name(r)?;
            r.expect_word("to")?;
            unit(r, target)
        }
        "tensorize" => tensorize(r, at),
        "take" => counted(r, |target, ahead| StepKind::Take { target, ahead }),
        "stream" => counted(r, |target, blocks| StepKind::Stream { target, blocks }),
        "ring" => counted(r, |target, stages| StepKind::Ring { target, stages }),
        "reverse" => Ok(StepKind::Reverse(name(r)?)),
        "order" => order(r),
        "stage" => stage(r),
        "atomically" => atomically(r, depth),
        "require" => require(r),
        other => Err(Box::new(
            r.error(at, format!("there is no step `{other}`")).help(format!("write {STEPS}")),
        )),
    }
}

/// A loop and how many of something.
fn counted(r: &mut Reader, step: fn(Ref, i64) -> StepKind) -> Result<StepKind> {
    let target = name(r)?;
    r.expect_word("by")?;
    Ok(step(target, size(r)?))
}

fn split_reduction(r: &mut Reader) -> Result<StepKind> {
    r.expect_word("reduction")?;
    let target = name(r)?;
    let at = if r.eat_word("at") { Some(name(r)?) } else { None };
    Ok(StepKind::SplitReduction { target, at, name: one_name(r)? })
}

/// Two loops or more.
fn several(r: &mut Reader, at: Span, step: &str) -> Result<Vec<Ref>> {
    let loops = loop_list(r)?;
    if loops.len() < 2 {
        let message = format!("`{step}` needs two loops or more");
        return Err(r.error(at.to(r.last_span()), message));
    }
    Ok(loops)
}

fn order(r: &mut Reader) -> Result<StepKind> {
    r.expect('{')?;
    let order = if times::starts(r) {
        StepKind::OrderBy(times::times(r)?)
    } else {
        StepKind::Order(tree::children(r, 0)?)
    };
    r.expect('}')?;
    Ok(order)
}

fn require(r: &mut Reader) -> Result<StepKind> {
    for property in [Property::Parallel, Property::Vector] {
        if r.eat_word(property.text()) {
            return Ok(StepKind::Require(property, name(r)?));
        }
    }
    let mut contracts = vec![contract(r)?];
    while comma(r) {
        contracts.push(contract(r)?);
    }
    Ok(StepKind::RequireCode(contracts))
}

/// `tensor_core` or `smem <= 200K`.
fn contract(r: &mut Reader) -> Result<Contract> {
    let words = Contract::WORDS.join(", ");
    let what = format!("`parallel`, `vector` or a contract about code ({words})");
    let Token::Word(word) = r.peek().clone() else { return Err(r.expected(&what)) };
    if let Some(contract) = Contract::alone(&word) {
        r.next();
        return Ok(contract);
    }
    if Contract::about(&word, "".into()).is_some() {
        r.next();
        let text = "the word was looked up above";
        return Ok(Contract::about(&word, name(r)?.name).expect(text));
    }
    if Contract::limited(&word, 0).is_none() {
        return Err(r.expected(&what));
    }
    r.next();
    r.expect('<')?;
    r.expect('=')?;
    let start = r.span();
    let most = integer(r)?;
    if most < 0 {
        return Err(r.error(start.to(r.last_span()), format!("a limit is not negative: {most}")));
    }
    Ok(Contract::limited(&word, most).expect("the word was looked up above"))
}

fn stage(r: &mut Reader) -> Result<StepKind> {
    let array = name(r)?;
    let readers = if r.eat_word("for") { plain_list(r)? } else { Vec::new() };
    if readers.is_empty() {
        r.expect_word("at")?;
    }
    let there = !readers.is_empty() && !r.eat_word("at");
    let at = if there { None } else { Some(name(r)?) };
    let name = one_name(r)?;
    let mut layout = Vec::new();
    if r.eat_word("layout") {
        layout.push(layout_term(r)?);
        while comma(r) {
            layout.push(layout_term(r)?);
        }
    }
    let pad = if r.eat_word("pad") { size(r)? } else { 0 };
    let mut across = Vec::new();
    if r.eat_word("across") {
        across.push(place(r)?);
        while comma(r) {
            across.push(place(r)?);
        }
    }
    Ok(StepKind::Stage { array, readers, at, name, layout, pad, across })
}

/// `1`, `1/16`, `1%16` or `1%64/16`.
fn layout_term(r: &mut Reader) -> Result<LayoutTerm> {
    let Token::Int(number) = *r.peek() else { return Err(r.expected("the number of a dimension")) };
    r.next();
    let dimension = usize::try_from(number)
        .map_err(|_| r.error(r.last_span(), "the number does not fit 64 bits"))?;
    let modulus = if r.eat('%') { Some(size(r)?) } else { None };
    let divisor = if r.eat('/') { size(r)? } else { 1 };
    Ok(LayoutTerm { dimension, modulus, divisor })
}

fn atomically(r: &mut Reader, depth: usize) -> Result<StepKind> {
    if depth >= MAX_DEPTH {
        return Err(r.error(r.span(), format!("braces nest deeper than {MAX_DEPTH}")));
    }
    r.skip_lines(false);
    r.expect('{')?;
    let inner = steps(r, depth + 1)?;
    r.expect('}')?;
    Ok(StepKind::Atomically(inner))
}

/// A name, dots included.
fn name(r: &mut Reader) -> Result<Ref> {
    match r.peek().clone() {
        Token::Word(word) => {
            r.next();
            Ok(Ref { name: word.as_str().into(), span: r.last_span() })
        }
        Token::Int(_) | Token::Punct(_) | Token::Newline | Token::End => Err(r.expected("a name")),
    }
}

/// `block.x`, …, `thread.z`.
fn place(r: &mut Reader) -> Result<Place> {
    let Token::Word(word) = r.peek().clone() else { return Err(r.expected(PLACES)) };
    let place = Place::named(&word).ok_or_else(|| r.expected(PLACES))?;
    r.next();
    Ok(place)
}

/// `map target to` what follows: a place or a unit, such as `warpgroup` or `tma`.
fn unit(r: &mut Reader, target: Ref) -> Result<StepKind> {
    let Token::Word(word) = r.peek().clone() else { return Err(r.expected(UNITS)) };
    let step = match (Place::named(&word), Unit::named(&word)) {
        (Some(place), _) => StepKind::Map(target, place),
        (None, Some(unit)) => StepKind::Unit(target, unit),
        (None, None) => return Err(r.expected(UNITS)),
    };
    r.next();
    Ok(step)
}

fn tensorize(r: &mut Reader, at: Span) -> Result<StepKind> {
    let loops = <[Ref; 3]>::try_from(loop_list(r)?).map_err(|found| {
        let message = format!("`tensorize` takes three loops, found {}", found.len());
        r.error(at.to(r.last_span()), message)
    })?;
    r.expect_word("with")?;
    Ok(StepKind::Tensorize { loops, instruction: name(r)? })
}

fn comma(r: &mut Reader) -> bool {
    let found = r.eat(',');
    if found {
        r.skip_lines(false);
    }
    found
}

/// `a, b, c` or `S1(a, b, c)`, which means `S1.a, S1.b, S1.c`.
fn loop_list(r: &mut Reader) -> Result<Vec<Ref>> {
    let first = name(r)?;
    if r.eat('(') {
        let inner = plain_list(r)?;
        r.expect(')')?;
        let qualify = |l: Ref| Ref { name: format!("{first}.{l}").as_str().into(), span: l.span };
        return Ok(inner.into_iter().map(qualify).collect());
    }
    let mut out = vec![first];
    while comma(r) {
        out.push(name(r)?);
    }
    Ok(out)
}

fn plain_list(r: &mut Reader) -> Result<Vec<Ref>> {
    let mut out = vec![name(r)?];
    while comma(r) {
        out.push(name(r)?);
    }
    Ok(out)
}

fn pair(r: &mut Reader, step: &str) -> Result<[Ref; 2]> {
    let at = r.span();
    <[Ref; 2]>::try_from(loop_list(r)?).map_err(|found| {
        let message = format!("`{step}` takes two loops, found {}", found.len());
        r.error(at.to(r.last_span()), message)
    })
}

/// `as x, y`, or nothing.
fn names(r: &mut Reader) -> Result<Vec<Ref>> {
    if r.eat_word("as") { plain_list(r) } else { Ok(Vec::new()) }
}

/// `as x`, or nothing.
fn one_name(r: &mut Reader) -> Result<Option<Ref>> {
    if r.eat_word("as") { Ok(Some(name(r)?)) } else { Ok(None) }
}

/// An integer with an optional sign.
fn integer(r: &mut Reader) -> Result<i64> {
    let start = r.span();
    let negative = r.eat('-');
    let Token::Int(magnitude) = *r.peek() else { return Err(r.expected("a number")) };
    r.next();
    signed(negative, magnitude)
        .ok_or_else(|| r.error(start.to(r.last_span()), "the number does not fit 64 bits"))
}

fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    let value = i128::from(magnitude);
    i64::try_from(if negative { -value } else { value }).ok()
}

fn size(r: &mut Reader) -> Result<i64> {
    let start = r.span();
    match integer(r)? {
        size if size > 0 => Ok(size),
        size => Err(r.error(start.to(r.last_span()), format!("a size is positive, not {size}"))),
    }
}

fn privatise(r: &mut Reader) -> Result<StepKind> {
    let array = name(r)?;
    r.expect_word("at")?;
    Ok(StepKind::Privatise { array, at: name(r)?, name: one_name(r)? })
}

fn recall(r: &mut Reader) -> Result<StepKind> {
    let array = name(r)?;
    r.expect_word("at")?;
    Ok(StepKind::Recall { array, at: name(r)? })
}

fn tile(r: &mut Reader, at: Span) -> Result<StepKind> {
    let loops = loop_list(r)?;
    r.expect_word("by")?;
    let mut sizes = vec![size(r)?];
    while comma(r) {
        sizes.push(size(r)?);
    }
    let span = at.to(r.last_span());
    if sizes.len() != loops.len() {
        let message = format!("{} loops but {} sizes", loops.len(), sizes.len());
        return Err(r.error(span, message));
    }
    let names = names(r)?;
    if !names.is_empty() && names.len() != 2 * loops.len() {
        let message =
            format!("`as` names {} loops, the result has {}", names.len(), 2 * loops.len());
        return Err(r.error(at.to(r.last_span()), message));
    }
    Ok(StepKind::Tile { loops, sizes, names })
}

fn split(r: &mut Reader, at: Span) -> Result<StepKind> {
    let target = name(r)?;
    r.expect_word("by")?;
    let size = size(r)?;
    let names = names(r)?;
    if !names.is_empty() && names.len() != 2 {
        let message = format!("`as` names {} loops, the result has 2", names.len());
        return Err(r.error(at.to(r.last_span()), message));
    }
    Ok(StepKind::Split { target, size, names })
}

fn fuse(r: &mut Reader) -> Result<StepKind> {
    let [first, second] = pair(r, "fuse")?;
    let shift = if r.eat_word("shift") { integer(r)? } else { 0 };
    Ok(StepKind::Fuse { first, second, shift, name: one_name(r)? })
}

fn skew(r: &mut Reader) -> Result<StepKind> {
    let target = name(r)?;
    r.expect_word("by")?;
    let start = r.span();
    let negative = r.eat('-');
    let magnitude = match *r.peek() {
        Token::Int(value) => {
            r.next();
            r.expect('*')?;
            value
        }
        Token::Word(_) | Token::Punct(_) | Token::Newline | Token::End => 1,
    };
    let factor = signed(negative, magnitude)
        .filter(|factor| *factor != 0)
        .ok_or_else(|| r.error(start.to(r.last_span()), "a factor of 64 bits other than 0"))?;
    Ok(StepKind::Skew { target, factor, by: name(r)? })
}

/// `2*i + j - 1`, `floor(i / 4)`, `i mod 4`, with parentheses.
fn affine(r: &mut Reader, depth: usize) -> Result<Affine> {
    let start = r.span();
    let too_large = |r: &Reader, _: Overflow| {
        r.error(start.to(r.last_span()), "a coefficient does not fit 64 bits")
    };
    let negative = r.eat('-');
    let mut sum = product(r, negative, depth)?;
    loop {
        let negative = match r.peek() {
            Token::Punct('+') => false,
            Token::Punct('-') => true,
            Token::Word(_) | Token::Int(_) | Token::Punct(_) | Token::Newline | Token::End => {
                return Ok(sum);
            }
        };
        r.next();
        let term = product(r, negative, depth)?;
        sum = sum.add(&term).map_err(|e| too_large(r, e))?;
    }
}

/// Factors joined by `*`, at most one of which is no number.
fn product(r: &mut Reader, negative: bool, depth: usize) -> Result<Affine> {
    let start = r.span();
    let overflow = |r: &Reader| r.error(start.to(r.last_span()), "a number does not fit 64 bits");
    let mut value = factor(r, negative, depth)?;
    while r.eat('*') {
        let next = factor(r, false, depth)?;
        value = match (value.as_constant(), next.as_constant()) {
            (Some(c), _) => next.scale(c),
            (None, Some(c)) => value.scale(c),
            (None, None) => {
                let message = "a product of two variables is not affine";
                return Err(r.error(start.to(r.last_span()), message));
            }
        }
        .map_err(|_| overflow(r))?;
    }
    if r.eat_word("mod") {
        let size = size(r)?;
        value = value.modulo(size).map_err(|_| overflow(r))?;
    }
    Ok(value)
}

fn factor(r: &mut Reader, negative: bool, depth: usize) -> Result<Affine> {
    let at = r.span();
    if depth >= MAX_DEPTH {
        return Err(r.error(at, format!("parentheses nest deeper than {MAX_DEPTH}")));
    }
    let overflow = |r: &Reader| r.error(at.to(r.last_span()), "a number does not fit 64 bits");
    let value = match r.next() {
        Token::Int(magnitude) => {
            let value = signed(negative, magnitude).ok_or_else(|| overflow(r))?;
            return Ok(Affine::constant(value));
        }
        Token::Word(w) if w == "floor" && *r.peek() == Token::Punct('(') => {
            r.next();
            let inner = affine(r, depth + 1)?;
            r.expect('/')?;
            let divisor = size(r)?;
            r.expect(')')?;
            inner.floor_div(divisor).map_err(|_| overflow(r))?
        }
        Token::Word(word) if word.contains('.') => {
            return Err(r.error(at, format!("`{word}` is no iterator or parameter")));
        }
        Token::Word(word) => Affine::var(word.as_str()),
        Token::Punct('(') => {
            let inner = affine(r, depth + 1)?;
            r.expect(')')?;
            inner
        }
        found @ (Token::Punct(_) | Token::Newline | Token::End) => {
            let message = format!("expected an iterator or a number, found {}", found.describe());
            return Err(r.error(at, message));
        }
    };
    if negative { value.scale(-1).map_err(|_| overflow(r)) } else { Ok(value) }
}

#[cfg(test)]
mod tests;
