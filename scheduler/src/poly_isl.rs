//! A [`Poly`] as isl objects, and isl's texts with the user's names again.
//!
//! Keeps: inside isl, statement k is `s{k}`, array k `a{k}`, parameter k `p{k}` and the iterator
//! at depth k `i{k}`, whatever the user calls them, so no name can clash with isl's keywords.
//! Why rows of numbers: reading a set from a text takes isl longer than most questions about it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use warploom_ir::affine::{Affine, Atom, Name, Overflow};
use warploom_ir::expr::Access;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Poly, PolyStatement};
use warploom_isl::{
    Aff, BasicSet, Constraint as Row, Ctx, DimType, Extremum, LocalSpace, Map, MultiAff, Set,
    Space, Val,
};

use crate::trouble::Trouble;

/// A function of a statement's instances: the domain's number, the range's name, the values.
type Function = (usize, String, Vec<Affine>);

/// Lists of expressions, each over the instances of a domain of this number.
type Lists = Vec<(usize, Vec<Affine>)>;

/// What isl calls a variable: its kind and position.
type Place = (DimType, usize);

/// What models that followed one another were asked for before, of the domains that they share.
#[derive(Default)]
struct Known {
    /// How many domains there are.
    domains: Cell<usize>,
    /// Functions of their instances.
    maps: RefCell<BTreeMap<Function, Map>>,
    /// Pairs of values of two functions of one instance.
    pairs: RefCell<BTreeMap<Lists, Map>>,
    /// Values of functions, each of the instances of one domain.
    values: RefCell<BTreeMap<Lists, Set>>,
}

impl Known {
    /// The number of a domain that is not known yet.
    fn domain(&self) -> usize {
        self.domains.replace(self.domains.get() + 1)
    }
}

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
    /// The domains' numbers in what is known.
    numbers: Vec<usize>,
    known: Rc<Known>,
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
        let context = match known {
            Some(known) => known.context.clone(),
            None => Set::parse(&ctx, &format!("{}{{ : }}", prefix(params.len())))?,
        };
        let mut model = Self {
            ctx,
            poly: poly.clone(),
            context,
            domains: Vec::new(),
            params,
            boxes: RefCell::default(),
            numbers: Vec::new(),
            known: known.map_or_else(Rc::default, |known| known.known.clone()),
        };
        if known.is_none() {
            model.context = model.make_context()?;
        }
        for (k, s) in poly.statements.iter().enumerate() {
            let same = |known: &&Self| {
                let old = known.poly.statements.get(k);
                old.is_some_and(|old| old.iters == s.iters && old.domain == s.domain)
            };
            let (domain, number) = match known.filter(same) {
                Some(known) => (known.domains[k].clone(), known.numbers[k]),
                None => (model.make_domain(k)?, model.known.domain()),
            };
            model.domains.push(domain);
            model.numbers.push(number);
        }
        Ok(model)
    }

    fn make_context(&self) -> Result<Set, Trouble> {
        let mut facts = self.poly.assumptions.clone();
        for param in &self.poly.params {
            if let Some(value) = param.value {
                let name = Affine::var(param.name.clone());
                facts.push(Constraint::zero(name.add_const(value.checked_neg().ok_or(Overflow)?)?));
            }
        }
        let space = self.context.space()?.add_unnamed_tuple(0)?;
        Ok(self.points(&space, &|_| None, &facts)?.params()?)
    }

    fn make_domain(&self, k: usize) -> Result<Set, Trouble> {
        self.instances(k, &self.poly.statements[k].domain)
    }

    /// The instances of a statement that meet facts, as if its domain left out none.
    fn instances(&self, k: usize, facts: &[Constraint]) -> Result<Set, Trouble> {
        let iters = &self.poly.statements[k].iters;
        let tuple = self.context.space()?.add_unnamed_tuple(iters.len())?;
        let space = tuple.set_tuple_name(DimType::Set, &format!("s{k}"))?;
        let all = self.points(&space, &|v| iters.iter().position(|i| &**i == v), facts)?;
        Ok(all.intersect_params(&self.context)?)
    }

    /// The points of a space that meet facts over the parameters and its dimensions.
    fn points(
        &self,
        space: &Space,
        dimension: &dyn Fn(&str) -> Option<usize>,
        facts: &[Constraint],
    ) -> Result<Set, Trouble> {
        let place = |v: &str| {
            let param = || self.params.get(v).map(|p| (DimType::Param, *p));
            dimension(v).map(|at| (DimType::Set, at)).or_else(param)
        };
        let rank = space.dim(DimType::Set)?;
        let (mut equal, mut least, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for fact in facts {
            if fact.expr.terms().any(|(atom, _)| !matches!(atom, Atom::Var(_))) {
                others.push(fact);
                continue;
            }
            let mut row = vec![0; rank + self.params.len() + 1];
            row[rank + self.params.len()] = fact.expr.constant_part();
            for name in fact.expr.vars() {
                let (kind, at) = place(&name).ok_or_else(|| unknown_variable(&name))?;
                let at = if kind == DimType::Param { rank + at } else { at };
                row[at] = fact.expr.coefficient(&name);
            }
            let rows = if fact.equality { &mut equal } else { &mut least };
            rows.push(row);
        }
        let mut out = BasicSet::from_rows(space, &equal, &least)?.to_set()?;
        let local = LocalSpace::from_space(space)?;
        for fact in others {
            let value = self.aff(&local, &fact.expr, &place)?;
            let make =
                if fact.equality { Row::equality_from_aff } else { Row::inequality_from_aff };
            out = out.add_constraint(&make(&value)?)?;
        }
        Ok(out)
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
        for (i, iter) in iters.iter().enumerate() {
            let ends = (exact.dim_min_val(i)?, exact.dim_max_val(i)?);
            let (Extremum::Value(least), Extremum::Value(most)) = ends else { return Ok(None) };
            let iter = Affine::var(iter.clone());
            for bound in [
                iter.sub(&Affine::constant(least.to_i64()?))?,
                Affine::constant(most.to_i64()?).sub(&iter)?,
            ] {
                facts.push(Constraint::non_negative(bound));
            }
        }
        let all = self.instances(k, &facts)?;
        Ok((!all.is_equal(exact)?).then_some(all))
    }

    /// The pairs of two unnamed tuples for which facts over their names and the parameters hold.
    pub(crate) fn relation(
        &self,
        from: &[Name],
        to: &[Name],
        facts: &[Constraint],
    ) -> Result<Map, Trouble> {
        let params = self.context.space()?;
        let [first, second] =
            [params.add_unnamed_tuple(from.len())?, params.add_unnamed_tuple(to.len())?];
        let space = first.map_from_domain_and_range(&second)?.wrap()?;
        let dimension = |v: &str| from.iter().chain(to).position(|n| &**n == v);
        let pairs = Set::unwrap(&self.points(&space, &dimension, facts)?)?;
        Ok(pairs.intersect_params(&self.context)?)
    }

    /// The value of an expression over the parameters, where these are fixed.
    pub(crate) fn fixed(&self, e: &Affine) -> Option<i64> {
        self.poly.fixed(e)
    }

    fn tuple_map(&self, k: usize, name: &str, values: &[Affine]) -> Result<Map, Trouble> {
        let key = (self.numbers[k], name.to_string(), values.to_vec());
        if let Some(known) = self.known.maps.borrow().get(&key) {
            return Ok(known.clone());
        }
        let map = self.function(k, name, values)?.intersect_domain(&self.domains[k])?;
        self.known.maps.borrow_mut().insert(key, map.clone());
        Ok(map)
    }

    /// The values that two lists of expressions have at one instance of a statement.
    pub(crate) fn pairs(
        &self,
        k: usize,
        first: &[Affine],
        second: &[Affine],
    ) -> Result<Map, Trouble> {
        let key = [first, second].map(|list| (self.numbers[k], list.to_vec())).to_vec();
        if let Some(known) = self.known.pairs.borrow().get(&key) {
            return Ok(known.clone());
        }
        let map = self.rows(k, first)?.reverse()?.apply_range(&self.rows(k, second)?)?;
        self.known.pairs.borrow_mut().insert(key, map.clone());
        Ok(map)
    }

    /// The values that lists of expressions have, each at the instances of a statement; there is at
    /// least one.
    pub(crate) fn values(&self, of: &[(usize, Vec<Affine>)]) -> Result<Set, Trouble> {
        let key: Lists = of.iter().map(|(k, rows)| (self.numbers[*k], rows.clone())).collect();
        if let Some(known) = self.known.values.borrow().get(&key) {
            return Ok(known.clone());
        }
        let mut out: Option<Set> = None;
        for (k, rows) in of {
            let own = self.rows(*k, rows)?.range()?;
            out = Some(match out {
                Some(others) if own.is_subset(&others)? => others,
                Some(others) => others.union(&own)?,
                None => own,
            });
        }
        let out = out.expect("there is a list");
        self.known.values.borrow_mut().insert(key, out.clone());
        Ok(out)
    }

    fn function(&self, k: usize, name: &str, values: &[Affine]) -> Result<Map, Trouble> {
        let domain = self.domains[k].space()?;
        let local = LocalSpace::from_space(&domain)?;
        let iters = &self.poly.statements[k].iters;
        let place = |v: &str| {
            let iter = iters.iter().position(|i| &**i == v).map(|i| (DimType::Set, i));
            iter.or_else(|| self.params.get(v).map(|p| (DimType::Param, *p)))
        };
        let affs = values
            .iter()
            .map(|v| self.aff(&local, v, &place))
            .collect::<Result<Vec<_>, Trouble>>()?;
        let range = domain.params()?.add_unnamed_tuple(values.len())?;
        let range =
            if name.is_empty() { range } else { range.set_tuple_name(DimType::Set, name)? };
        let space = domain.map_from_domain_and_range(&range)?;
        Ok(Map::from_multi_aff(&MultiAff::from_aff_list(&space, &affs)?)?)
    }

    /// An expression over variables at these places.
    fn aff(
        &self,
        local: &LocalSpace,
        value: &Affine,
        place: &dyn Fn(&str) -> Option<Place>,
    ) -> Result<Aff, Trouble> {
        let number = |v: i64| Val::int_from_si(&self.ctx, v);
        let mut sum = Aff::val_on_domain_space(&local.space()?, &number(value.constant_part())?)?;
        for (atom, coefficient) in value.terms() {
            let term = match atom {
                Atom::Var(name) => {
                    let (kind, at) = place(name).ok_or_else(|| unknown_variable(name))?;
                    Aff::var_on_domain(local, kind, at)?
                }
                Atom::FloorDiv(e, d) => {
                    self.aff(local, e, place)?.scale_down_val(&number(*d)?)?.floor()?
                }
                Atom::Mod(e, d) => self.aff(local, e, place)?.mod_val(&number(*d)?)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use warploom_ir::schedule::Tree;

    fn poly(text: &str) -> (Poly, Tree) {
        Poly::from_nest(&text.parse().unwrap()).unwrap()
    }

    const NEST: &str = "param N assume N >= 3 in A: f32[N, 16] out B: f32[N, 16]
for i in 0..N, j in 0..16 { if i + j >= 4 and j mod 3 == 1 { S: B[i, j] = A[i, j] } }";

    #[test]
    fn sets_made_of_numbers_are_those_of_the_text() {
        let model = Model::new(&poly(NEST).0).unwrap();
        let text = "[p0] -> { s0[i, j] : p0 >= 3 and 0 <= i < p0 and 0 <= j < 16 and i + j >= 4 \
                    and j mod 3 = 1 }";
        let expected = Set::parse(&model.ctx, text).unwrap();
        assert!(model.domains[0].is_equal(&expected).unwrap());
        let context = Set::parse(&model.ctx, "[p0] -> { : p0 >= 3 }").unwrap();
        assert!(model.context.is_equal(&context).unwrap());
        let names = ["a", "b"].map(Name::from);
        let [a, b] = names.each_ref().map(|n| Affine::var(n.clone()));
        let facts = [
            Constraint::zero(b.floor_div(2).unwrap().sub(&a).unwrap()),
            Constraint::non_negative(Affine::var("N").sub(&b).unwrap()),
        ];
        let found = model.relation(&names[..1], &names[1..], &facts).unwrap();
        let text = "[p0] -> { [a] -> [b] : p0 >= 3 and a = floor(b/2) and b <= p0 }";
        assert!(found.is_equal(&Map::parse(&model.ctx, text).unwrap()).unwrap());
    }

    #[test]
    fn a_model_knows_what_those_before_it_were_asked_of_the_domains_that_stay() {
        let (mut before, _tree) = poly(NEST);
        let model = Model::new(&before).unwrap();
        let [i, j] = ["i", "j"].map(Affine::var);
        let (i, j) = (std::slice::from_ref(&i), std::slice::from_ref(&j));
        let own = model.pairs(0, i, j).unwrap();
        let after = Model::after(&model, &Arc::new(before.clone())).unwrap();
        assert_eq!(after.numbers, model.numbers);
        assert!(after.pairs(0, i, j).unwrap().is_equal(&own).unwrap());
        before.statements[0].domain.push(Constraint::non_negative(j[0].add_const(-8).unwrap()));
        let other = Model::after(&model, &Arc::new(before)).unwrap();
        assert_ne!(other.numbers, model.numbers);
        assert!(!other.pairs(0, i, j).unwrap().is_equal(&own).unwrap());
    }
}
