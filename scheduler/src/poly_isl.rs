//! A [`Poly`] as isl objects, and isl's texts with the user's names again.
//!
//! Keeps: inside isl, statement k is `s{k}`, array k `a{k}`, parameter k `p{k}` and the iterator
//! at depth k `i{k}`, whatever the user calls them, so no name can clash with isl's keywords.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::Access;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Poly, PolyStatement};
use warploom_isl::{Aff, Ctx, DimType, Extremum, LocalSpace, Map, MultiAff, Set, Val};

use crate::trouble::Trouble;

/// A function of a statement's instances: the statement, the range's name, the values.
type Function = (usize, String, Vec<Affine>);

/// A poly in isl.
pub(crate) struct Model {
    /// Where the objects live.
    pub(crate) ctx: Ctx,
    /// The poly the objects were made from.
    pub(crate) poly: Arc<Poly>,
    /// What is known about the parameters: assumptions and fixed values.
    pub(crate) context: Set,
    /// The iteration domain of each statement, within the context.
    pub(crate) domains: Vec<Set>,
    params: BTreeMap<Name, usize>,
    /// The boxes around domains that were asked for before.
    boxes: RefCell<BTreeMap<usize, Option<Set>>>,
    /// Functions of instances that were asked for before.
    maps: RefCell<BTreeMap<Function, Map>>,
}

impl Model {
    /// Translates a poly.
    pub(crate) fn new(poly: &Poly) -> Result<Self, Trouble> {
        Self::of(&Arc::new(poly.clone()))
    }

    /// [`Self::new`] of a poly that others have too.
    pub(crate) fn of(poly: &Arc<Poly>) -> Result<Self, Trouble> {
        Self::within(Ctx::new(), poly, None)
    }

    /// Translates a poly into objects that may meet those of a known model, which has some of them.
    pub(crate) fn after(known: &Self, poly: &Arc<Poly>) -> Result<Self, Trouble> {
        let same = known.poly.params == poly.params && known.poly.assumptions == poly.assumptions;
        Self::within(known.ctx.clone(), poly, same.then_some(known))
    }

    fn within(ctx: Ctx, poly: &Arc<Poly>, known: Option<&Self>) -> Result<Self, Trouble> {
        let params: BTreeMap<Name, usize> =
            poly.params.iter().enumerate().map(|(k, p)| (p.name.clone(), k)).collect();
        let universe = Set::parse(&ctx, &format!("{}{{ : }}", prefix(params.len())))?;
        let mut model = Self {
            ctx,
            poly: poly.clone(),
            context: universe,
            domains: Vec::new(),
            params,
            boxes: RefCell::default(),
            maps: RefCell::default(),
        };
        model.context = match known {
            Some(known) => known.context.clone(),
            None => model.make_context()?,
        };
        for (k, s) in poly.statements.iter().enumerate() {
            let same = |known: &&Self| {
                let old = known.poly.statements.get(k);
                old.is_some_and(|old| old.iters == s.iters && old.domain == s.domain)
            };
            model.domains.push(match known.filter(same) {
                Some(known) => known.domains[k].clone(),
                None => model.make_domain(k)?,
            });
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

    /// [`Self::rows`] for all values of the iterators, also outside the domain.
    pub(crate) fn everywhere(&self, k: usize, rows: &[Affine]) -> Result<Map, Trouble> {
        self.function(k, "", rows)
    }

    /// All combinations of the values that the iterators of a statement have, where guards leave
    /// some of them out; none where none is, or an iterator has no bounds.
    pub(crate) fn unguarded(&self, k: usize) -> Result<Option<Set>, Trouble> {
        if let Some(known) = self.boxes.borrow().get(&k) {
            return Ok(known.clone());
        }
        let found = self.box_around(k)?;
        self.boxes.borrow_mut().insert(k, found.clone());
        Ok(found)
    }

    fn box_around(&self, k: usize) -> Result<Option<Set>, Trouble> {
        let PolyStatement { iters, domain, .. } = &self.poly.statements[k];
        let own = |c: &Constraint| iters.iter().filter(|i| c.expr.vars().contains(*i)).count();
        let exact = &self.domains[k];
        if domain.iter().all(|c| own(c) < 2) || exact.is_empty()? {
            return Ok(None);
        }
        let mut facts = Vec::new();
        for i in 0..iters.len() {
            let ends = (exact.dim_min_val(i)?, exact.dim_max_val(i)?);
            let (Extremum::Value(least), Extremum::Value(most)) = ends else { return Ok(None) };
            facts.push(format!("{} <= i{i} <= {}", least.to_i64()?, most.to_i64()?));
        }
        let text = format!("{}{{ {} : {} }}", self.prefix(), self.tuple(k), facts.join(" and "));
        let all = Set::parse(&self.ctx, &text)?.intersect_params(&self.context)?;
        Ok((!all.is_equal(exact)?).then_some(all))
    }

    /// The pairs of two unnamed tuples for which facts over their names and the parameters hold.
    pub(crate) fn relation(
        &self,
        from: &[Name],
        to: &[Name],
        facts: &[Constraint],
    ) -> Result<Map, Trouble> {
        let rename = |v: &str| {
            let at = from.iter().chain(to).position(|n| &**n == v);
            at.map_or_else(|| self.rename(None, v), |at| format!("x{at}"))
        };
        let tuple = |names: std::ops::Range<usize>| {
            names.map(|at| format!("x{at}")).collect::<Vec<_>>().join(", ")
        };
        let facts: Vec<String> = facts.iter().map(|c| c.to_isl(&rename)).collect();
        let text = format!(
            "{}{{ [{}] -> [{}] : {} }}",
            self.prefix(),
            tuple(0..from.len()),
            tuple(from.len()..from.len() + to.len()),
            facts.join(" and ")
        );
        Ok(Map::parse(&self.ctx, &text)?.intersect_params(&self.context)?)
    }

    /// The value of an expression over the parameters, where these are fixed.
    pub(crate) fn fixed(&self, e: &Affine) -> Option<i64> {
        self.poly.fixed(e)
    }

    fn tuple_map(&self, k: usize, name: &str, values: &[Affine]) -> Result<Map, Trouble> {
        let key = (k, name.to_string(), values.to_vec());
        if let Some(known) = self.maps.borrow().get(&key) {
            return Ok(known.clone());
        }
        let map = self.function(k, name, values)?.intersect_domain(&self.domains[k])?;
        self.maps.borrow_mut().insert(key, map.clone());
        Ok(map)
    }

    fn function(&self, k: usize, name: &str, values: &[Affine]) -> Result<Map, Trouble> {
        let domain = self.domains[k].space()?;
        let local = LocalSpace::from_space(&domain)?;
        let affs =
            values.iter().map(|v| self.aff(k, &local, v)).collect::<Result<Vec<_>, Trouble>>()?;
        let range = domain.params()?.add_unnamed_tuple(values.len())?;
        let range =
            if name.is_empty() { range } else { range.set_tuple_name(DimType::Set, name)? };
        let space = domain.map_from_domain_and_range(&range)?;
        Ok(Map::from_multi_aff(&MultiAff::from_aff_list(&space, &affs)?)?)
    }

    /// An expression over a statement's iterators and the parameters.
    fn aff(&self, k: usize, local: &LocalSpace, value: &Affine) -> Result<Aff, Trouble> {
        let number = |v: i64| Val::int_from_si(&self.ctx, v);
        let mut sum = Aff::val_on_domain_space(&local.space()?, &number(value.constant_part())?)?;
        for (atom, coefficient) in value.terms() {
            let term = match atom {
                Atom::Var(name) => {
                    let iters = &self.poly.statements[k].iters;
                    let iter = iters.iter().position(|i| i == name);
                    let param = self.params.get(name).map(|p| (DimType::Param, *p));
                    let (kind, at) = iter
                        .map(|i| (DimType::Set, i))
                        .or(param)
                        .ok_or_else(|| unknown_variable(name))?;
                    Aff::var_on_domain(local, kind, at)?
                }
                Atom::FloorDiv(e, d) => {
                    self.aff(k, local, e)?.scale_down_val(&number(*d)?)?.floor()?
                }
                Atom::Mod(e, d) => self.aff(k, local, e)?.mod_val(&number(*d)?)?,
            };
            sum = sum.add(&term.scale_val(&number(coefficient)?)?)?;
        }
        Ok(sum)
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

fn unknown_variable(name: &str) -> Trouble {
    Trouble::Isl(warploom_isl::Error {
        call: "isl_aff_var_on_domain",
        message: format!("`{name}` is neither an iterator nor a parameter"),
        location: None,
        kind: warploom_isl::ErrorKind::Internal,
    })
}

fn prefix(params: usize) -> String {
    let names: Vec<String> = (0..params).map(|k| format!("p{k}")).collect();
    format!("[{}] -> ", names.join(", "))
}
