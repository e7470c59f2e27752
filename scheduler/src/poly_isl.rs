//! A [`Poly`] as isl objects, and isl's texts with the user's names again.
//!
//! Keeps: inside isl, statement k is `s{k}`, array k `a{k}`, parameter k `p{k}` and the iterator
//! at depth k `i{k}`, whatever the user calls them, so no name can clash with isl's keywords.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::Poly;
use warploom_isl::{Ctx, Map, Set};

use crate::trouble::Trouble;

/// A poly in isl.
pub(crate) struct Model {
    /// Where the objects live.
    pub(crate) ctx: Ctx,
    /// The poly the objects were made from.
    pub(crate) poly: Poly,
    /// What is known about the parameters: assumptions and fixed values.
    pub(crate) context: Set,
    /// The iteration domain of each statement, within the context.
    pub(crate) domains: Vec<Set>,
    params: BTreeMap<Name, usize>,
}

impl Model {
    /// Translates a poly.
    pub(crate) fn new(poly: &Poly) -> Result<Self, Trouble> {
        let ctx = Ctx::new();
        let params: BTreeMap<Name, usize> =
            poly.params.iter().enumerate().map(|(k, p)| (p.name.clone(), k)).collect();
        let universe = Set::parse(&ctx, &format!("{}{{ : }}", prefix(params.len())))?;
        let mut model =
            Self { ctx, poly: poly.clone(), context: universe, domains: Vec::new(), params };
        model.context = model.make_context()?;
        for k in 0..poly.statements.len() {
            model.domains.push(model.make_domain(k)?);
        }
        Ok(model)
    }

    fn make_context(&self) -> Result<Set, Trouble> {
        let mut facts = self.conditions(None, &self.poly.assumptions);
        for (k, param) in self.poly.params.iter().enumerate() {
            facts.extend(param.value.map(|v| format!("p{k} = {v}")));
        }
        let text = format!("{}{{ : {} }}", self.prefix(), facts.join(" and "));
        Ok(Set::parse(&self.ctx, &text)?)
    }

    fn make_domain(&self, k: usize) -> Result<Set, Trouble> {
        let facts = self.conditions(Some(k), &self.poly.statements[k].domain).join(" and ");
        let text = format!("{}{{ {} : {facts} }}", self.prefix(), self.tuple(k));
        Ok(Set::parse(&self.ctx, &text)?.intersect_params(&self.context)?)
    }

    fn conditions(&self, statement: Option<usize>, constraints: &[Constraint]) -> Vec<String> {
        constraints.iter().map(|c| c.to_isl(&|v| self.rename(statement, v))).collect()
    }

    /// `[p0, p1] -> `.
    pub(crate) fn prefix(&self) -> String {
        prefix(self.params.len())
    }

    /// `s2[i0, i1]`.
    pub(crate) fn tuple(&self, k: usize) -> String {
        let iters: Vec<String> =
            (0..self.poly.statements[k].iters.len()).map(|i| format!("i{i}")).collect();
        format!("s{k}[{}]", iters.join(", "))
    }

    /// isl's name of a variable of a statement; an unknown one becomes a name isl refuses.
    pub(crate) fn rename(&self, statement: Option<usize>, name: &str) -> String {
        let iter =
            statement.and_then(|k| self.poly.statements[k].iters.iter().position(|i| &**i == name));
        match (iter, self.params.get(name)) {
            (Some(i), _) => format!("i{i}"),
            (None, Some(p)) => format!("p{p}"),
            (None, None) => "unknown".to_string(),
        }
    }

    /// Instances of statement `k` to values of `rows`, as an unnamed tuple.
    pub(crate) fn rows(&self, k: usize, rows: &[Affine]) -> Result<Map, Trouble> {
        self.tuple_map(k, "", rows)
    }

    /// Instances of statement `k` to the element an access touches.
    pub(crate) fn access(&self, k: usize, access: &Access) -> Result<Map, Trouble> {
        let array = self.poly.arrays.iter().position(|a| a.name == access.array);
        let name = array.map_or("unknown".to_string(), |a| format!("a{a}"));
        self.tuple_map(k, &name, &access.indices)
    }

    fn tuple_map(&self, k: usize, name: &str, values: &[Affine]) -> Result<Map, Trouble> {
        let values: Vec<String> = values
            .iter()
            .map(|v| format!("({})", v.to_isl(&|name| self.rename(Some(k), name))))
            .collect();
        let text =
            format!("{}{{ {} -> {name}[{}] }}", self.prefix(), self.tuple(k), values.join(", "));
        Ok(Map::parse(&self.ctx, &text)?.intersect_domain(&self.domains[k])?)
    }

    /// A text of isl with the user's names for statements, arrays and parameters.
    pub(crate) fn readable(&self, text: &str) -> String {
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\n']) {
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            out.push_str(&self.user_name(&word));
            word.clear();
            out.push(c);
        }
        out.trim_end().to_string()
    }

    fn user_name(&self, word: &str) -> String {
        let index = word.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        let name = match (word.chars().next(), index) {
            (Some('s'), Some(k)) => self.poly.statements.get(k).map(|s| &s.statement.name),
            (Some('a'), Some(k)) => self.poly.arrays.get(k).map(|a| &a.name),
            (Some('p'), Some(k)) => self.poly.params.get(k).map(|p| &p.name),
            _ => None,
        };
        name.map_or_else(|| word.to_string(), ToString::to_string)
    }
}

fn prefix(params: usize) -> String {
    let names: Vec<String> = (0..params).map(|k| format!("p{k}")).collect();
    format!("[{}] -> ", names.join(", "))
}
