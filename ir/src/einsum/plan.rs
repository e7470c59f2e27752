//! The pairwise order in which three or more operands are contracted.
//!
//! In: per operand the set of axes it has, the output's axes, the sizes. Out: steps, or `None`
//! where one nest over all axes costs no more. Exact (dynamic programming over subsets) up to 8
//! operands, greedy above.
//! Why here: sizes decide the order, and a nest says only *what* is computed: the temporaries are
//! part of that. A cost is a count of multiplications and additions.

/// As many operands as the exact search takes: 3^8 splits.
const EXACT: usize = 8;

/// A set of axes, one bit each.
pub(super) type Mask = u64;

/// One contraction: `result` from one or two earlier values.
///
/// Values are numbered: first the operands, then the results of the steps in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The values that are multiplied.
    pub(super) inputs: Vec<usize>,
    /// The axes that remain.
    pub(super) result: Mask,
}

/// Chooses an order; the last step gives the output.
pub(super) fn plan(operands: &[Mask], output: Mask, sizes: &[i64]) -> Option<Vec<Step>> {
    if operands.len() < 3 || sizes.contains(&0) {
        return None;
    }
    let direct = operands.len() as f64 * volume(all_of(operands), sizes);
    let mut search = Search { steps: Vec::new(), cost: 0.0, output, sizes };
    let (ids, masks) = search.sum_alone(operands);
    if operands.len() <= EXACT {
        search.exact(&ids, &masks);
    } else {
        search.greedy(ids, masks, operands.len());
    }
    (search.cost < direct).then_some(search.steps)
}

fn all_of(masks: &[Mask]) -> Mask {
    masks.iter().fold(0, |all, m| all | m)
}

fn volume(mask: Mask, sizes: &[i64]) -> f64 {
    let of_mask = sizes.iter().enumerate().filter(|(axis, _)| mask >> axis & 1 == 1);
    of_mask.map(|(_, &size)| size as f64).product()
}

struct Search<'a> {
    steps: Vec<Step>,
    cost: f64,
    output: Mask,
    sizes: &'a [i64],
}

/// The cheapest way to a subset of the operands.
#[derive(Clone, Copy)]
struct Best {
    cost: f64,
    /// One half of the last pair; 0 for a single operand.
    half: usize,
    mask: Mask,
}

impl Search<'_> {
    /// Sums every operand over the axes that only it has; gives value numbers and axes.
    fn sum_alone(&mut self, operands: &[Mask]) -> (Vec<usize>, Vec<Mask>) {
        let mut ids: Vec<usize> = (0..operands.len()).collect();
        let mut masks = operands.to_vec();
        for i in 0..operands.len() {
            let others = (0..operands.len()).filter(|&j| j != i).fold(0, |m, j| m | operands[j]);
            let kept = operands[i] & (others | self.output);
            if volume(kept, self.sizes) < volume(operands[i], self.sizes) {
                self.cost += volume(operands[i], self.sizes);
                self.steps.push(Step { inputs: vec![i], result: kept });
                ids[i] = operands.len() + self.steps.len() - 1;
                masks[i] = kept;
            }
        }
        (ids, masks)
    }

    fn exact(&mut self, ids: &[usize], masks: &[Mask]) {
        let n = masks.len();
        let full = (1_usize << n) - 1;
        let members = |set: usize| (0..n).filter(move |i| set >> i & 1 == 1);
        let axes = |set: usize| members(set).fold(0, |m, i| m | masks[i]);
        let mut best = vec![Best { cost: 0.0, half: 0, mask: 0 }; full + 1];
        for set in 1..=full {
            if set.count_ones() == 1 {
                best[set].mask = axes(set);
                continue;
            }
            best[set].cost = f64::INFINITY;
            best[set].mask = axes(set) & (axes(full & !set) | self.output);
            let mut half = (set - 1) & set;
            while half > set / 2 {
                half = self.improve(&mut best, set, half);
            }
        }
        self.cost += best[full].cost;
        self.emit(&best, full, ids);
    }

    /// Tries `half` against the rest of `set`; gives the next half.
    fn improve(&self, best: &mut [Best], set: usize, half: usize) -> usize {
        let rest = set & !half;
        let pair = 2.0 * volume(best[half].mask | best[rest].mask, self.sizes);
        let cost = best[half].cost + best[rest].cost + pair;
        if cost < best[set].cost {
            best[set].cost = cost;
            best[set].half = half;
        }
        (half - 1) & set
    }

    /// Appends the steps that give `set`; gives its value number.
    fn emit(&mut self, best: &[Best], set: usize, ids: &[usize]) -> usize {
        if best[set].half == 0 {
            return ids[set.trailing_zeros() as usize];
        }
        let (a, b) = (best[set].half, set & !best[set].half);
        // the half with the first operand comes first, so that products read as written
        let (a, b) = if a.trailing_zeros() < b.trailing_zeros() { (a, b) } else { (b, a) };
        let inputs = vec![self.emit(best, a, ids), self.emit(best, b, ids)];
        self.steps.push(Step { inputs, result: best[set].mask });
        ids.len() + self.steps.len() - 1
    }

    /// Contracts the cheapest pair again and again.
    fn greedy(&mut self, mut ids: Vec<usize>, mut masks: Vec<Mask>, n_operands: usize) {
        while masks.len() > 1 {
            let mut cheapest = (f64::INFINITY, 0, 1);
            for j in 1..masks.len() {
                for i in 0..j {
                    let cost = 2.0 * volume(masks[i] | masks[j], self.sizes);
                    if cost < cheapest.0 {
                        cheapest = (cost, i, j);
                    }
                }
            }
            let (cost, i, j) = cheapest;
            let (mask, id) = (masks.remove(j), ids.remove(j));
            let others = (0..masks.len()).filter(|&o| o != i).fold(0, |m, o| m | masks[o]);
            let result = (masks[i] | mask) & (others | self.output);
            self.cost += cost;
            self.steps.push(Step { inputs: vec![ids[i], id], result });
            ids[i] = n_operands + self.steps.len() - 1;
            masks[i] = result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_contracted_in_the_cheap_order() {
        // ij,jk,kl->il with a thin k: (A B) C costs far less than the other way round
        let masks = [0b0011, 0b0110, 0b1100];
        let steps = plan(&masks, 0b1001, &[100, 100, 2, 100]).unwrap();
        assert_eq!(steps[0], Step { inputs: vec![0, 1], result: 0b0101 });
        assert_eq!(steps[1], Step { inputs: vec![3, 2], result: 0b1001 });
        let steps = plan(&masks, 0b1001, &[100, 2, 100, 100]).unwrap();
        assert_eq!(steps[0], Step { inputs: vec![1, 2], result: 0b1010 });
        assert_eq!(steps[1], Step { inputs: vec![0, 3], result: 0b1001 });
    }

    #[test]
    fn axes_of_one_operand_are_summed_first() {
        let steps = plan(&[0b011, 0b010, 0b100], 0b100, &[50, 50, 50]).unwrap();
        assert_eq!(steps[0], Step { inputs: vec![0], result: 0b010 });
    }

    #[test]
    fn no_plan_where_it_saves_nothing() {
        assert_eq!(plan(&[1, 1, 1], 1, &[100]), None);
        assert_eq!(plan(&[0b01, 0b11], 0b10, &[9, 9]), None);
        assert_eq!(plan(&[0b0011, 0b0110, 0b1100], 0b1001, &[0, 9, 9, 9]), None);
    }

    /// Every order of pairs, by brute force.
    fn cheapest(masks: &[Mask], output: Mask, sizes: &[i64]) -> f64 {
        if masks.len() == 1 {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for j in 1..masks.len() {
            for i in 0..j {
                let mut rest = masks.to_vec();
                let both = rest.remove(j) | rest.remove(i);
                let kept = both & (all_of(&rest) | output);
                rest.push(kept);
                best = best.min(2.0 * volume(both, sizes) + cheapest(&rest, output, sizes));
            }
        }
        best
    }

    #[test]
    fn the_exact_search_is_optimal_and_greedy_ends() {
        let mut state = 1_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for _ in 0..200 {
            let n = 3 + random(3) as usize;
            let masks: Vec<Mask> = (0..n).map(|_| random(31) + 1).collect();
            let sizes: Vec<i64> = (0..5).map(|_| 2 + random(9) as i64).collect();
            // every axis in the output: nothing is summed alone
            let output = all_of(&masks) & !random(4);
            let mut search = Search { steps: Vec::new(), cost: 0.0, output, sizes: &sizes };
            let ids: Vec<usize> = (0..n).collect();
            search.exact(&ids, &masks);
            assert_eq!(search.cost, cheapest(&masks, output, &sizes), "{masks:?} {output:b}");
            assert_eq!(search.steps.len(), n - 1);
        }
        let chain: Vec<Mask> = (0..12).map(|i| 0b11 << i).collect();
        let steps = plan(&chain, 1 | 1 << 12, &[10; 13]).unwrap();
        assert_eq!(steps.len(), 11);
        assert_eq!(steps.last().unwrap().result, 1 | 1 << 12);
    }
}
