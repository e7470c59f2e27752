//! A problem of the suite: its nest, its sizes, the arrays it is given, what must come out.
//!
//! Two results are both within the error that the interpreter in binary64 reports for an element,
//! so twice that apart; but no more than n u times 8 times the greatest element that is given or
//! comes out, with u = 2^-53 and n = 4 max(sizes)^2 (no value of these kernels goes through more
//! operations one after another): that is what the stability of these stencils and solvers promises
//! for the data used here.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Tensor, bind};
use warploom_ir::nest::{Array, Role};

use super::{Data, PolyBench, Sizes};
use crate::Bits;

/// How far a result may be from the expected one.
#[derive(Clone, Copy, Debug)]
pub enum Within<'b> {
    /// Not at all.
    Nothing,
    /// Twice these errors, and as far as stability promises.
    Errors(&'b [f64]),
    /// As far as stability promises.
    Stability,
}

/// A problem (see the file's page).
pub struct Problem {
    /// Its kernel.
    pub kernel: &'static PolyBench,
    /// The nest of any sizes.
    pub nest: Nest,
    /// Its sizes.
    pub sizes: BTreeMap<Name, i64>,
    /// The arrays it is given.
    pub inputs: BTreeMap<Name, Tensor>,
    /// What must come out.
    pub want: Data,
}

fn shape(array: &Array, sizes: &Sizes) -> Vec<usize> {
    let size = |name: &str| sizes.get(name).and_then(|&n| i64::try_from(n).ok());
    let extent = array.shape.iter().map(|e| e.eval(&size).expect("sizes are known"));
    extent.map(|e| usize::try_from(e).expect("it is not negative")).collect()
}

impl Problem {
    /// A random problem; `change` is applied to every element that is given.
    #[must_use]
    pub fn new(
        kernel: &'static PolyBench,
        sizes: &[(&'static str, usize)],
        change: impl Fn(f64) -> f64,
    ) -> Self {
        let text = kernel.text();
        let nest: Nest = text.parse().unwrap_or_else(|d| panic!("{}\n{d}", kernel.name));
        let sizes: Sizes = sizes.iter().copied().collect();
        let mut bits = Bits::new(17);
        let (mut data, mut inputs) = (Data::new(), BTreeMap::new());
        for array in nest.arrays.iter().filter(|a| matches!(a.role, Role::In | Role::InOut)) {
            let shape = shape(array, &sizes);
            let values = kernel.fill(&array.name, &shape, &mut bits).into_iter().map(&change);
            let values: Vec<f64> = values.collect();
            let tensor = Tensor::from_f64s(array.dtype, &shape, &values).expect("it is small");
            inputs.insert(array.name.clone(), tensor);
            data.insert(array.name.to_string().leak(), values);
        }
        let want = (kernel.run)(&sizes, &data);
        let sizes = sizes.iter().map(|(n, &v)| ((*n).into(), i64::try_from(v).expect("small")));
        Self { kernel, nest, sizes: sizes.collect(), inputs, want }
    }

    /// The same with the sizes written into the nest.
    #[must_use]
    pub fn fixed(&self) -> Nest {
        bind(&self.nest, &self.sizes, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"))
    }

    /// The greatest element that is given or comes out.
    fn greatest(&self) -> f64 {
        let given = self.inputs.values().flat_map(Tensor::to_f64s);
        given.chain(self.want.values().flatten().copied()).fold(0.0, |a, v| a.max(v.abs()))
    }

    /// Holds an output to its bound; `what` is printed where it does not keep to it.
    ///
    /// # Panics
    /// The output is wrong.
    pub fn compare(&self, name: &str, have: &[f64], within: Within<'_>, what: &str) {
        let want = &self.want[name];
        assert_eq!(have.len(), want.len(), "{name} of {}", self.kernel.name);
        let longest = self.sizes.values().copied().max().unwrap_or(1) as f64;
        let most = 8.0 * self.greatest() * 4.0 * longest * longest * 2.0_f64.powi(-53);
        for (i, (have, want)) in have.iter().zip(want).enumerate() {
            let bound = match within {
                Within::Nothing => 0.0,
                Within::Errors(errors) => (2.0 * errors[i]).min(most),
                Within::Stability => most,
            };
            assert!(want.is_finite(), "{name}[{i}] of {} is {want}", self.kernel.name);
            assert!(
                (have - want).abs() <= bound,
                "{name}[{i}] of {} is {have}, not {want} within {bound:e}\n{what}",
                self.kernel.name
            );
        }
    }
}
