//! Helpers of the steps' tests: trees from text, and refusals.

use warploom_ir::diag::{Diagnostic, Result, Source};
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

/// The tree of this text.
pub(crate) fn tree(text: &str) -> Tree {
    Tree::parse(&Source::new("tree", text)).unwrap_or_else(|e| panic!("{e}"))
}

/// Loop references.
pub(crate) fn refs(names: &[&str]) -> Vec<Ref> {
    names.iter().map(|n| Ref::new(n)).collect()
}

/// The result is this tree.
pub(crate) fn becomes(result: Result<Tree>, text: &str) {
    let result = result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(result, tree(text), "got\n{result}");
}

/// The result is a refusal whose text holds the words.
pub(crate) fn refused(result: Result<Tree>, code: &str, words: &str) -> Box<Diagnostic> {
    let error = result.expect_err("the step must be refused");
    assert_eq!(error.code, code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    error
}
