//! What a nest's product is: its loops, its factors and who brings them, its instruction, and where
//! its results go.
//!
//! In: the loop around one statement that adds products of two elements. Out: the parts that the
//! loops play and an instruction of the right types; nothing where there is none.
//! Keeps: the results' last dimension is the instruction's columns.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Access;
use warploom_ir::instruction::numerics::Adder;
use warploom_ir::instruction::{Action, Instruction, Matrix, matrix_instructions};
use warploom_ir::nest::{Order, Role as ArrayRole};
use warploom_ir::schedule::{Poly, PolyStatement, TreeLoop};
use warploom_ir::target::Target;

use super::Auto;
use super::gpu::GpuOptions;
use super::gpu_scaled::accesses;
use super::gpu_tensor_loops::Chosen;
use super::tiles::{extent, span};
use crate::block::factor::Factor;
use crate::block::multiplied::Multiplied;
use crate::steps::ancestors;
use crate::tensor_cores::addable;

/// Most dimensions of an array that the copy engine moves boxes of.
const RANK: usize = 5;

/// What is known of a product.
pub(super) struct Product {
    pub(super) statement: Name,
    /// Loops and iterators of rows, columns and the sum, with their extents.
    pub(super) row: Line,
    pub(super) column: Line,
    pub(super) sum: Line,
    /// Loops around the rows and columns, outermost first: those of both factors, and further rows
    /// and columns.
    pub(super) batch: Vec<Line>,
    /// Those of them that are further rows, and further columns.
    pub(super) more: [Vec<Line>; 2],
    /// Further sums, around the sum.
    pub(super) others: Vec<Line>,
    pub(super) factors: [Access; 2],
    /// The scale of each of them, where it multiplies by scales.
    pub(super) scales: Option<[Access; 2]>,
    /// Who fills each of them, and whether the instruction takes its elements as they are.
    pub(super) fillers: [Filler; 2],
    pub(super) plain: [bool; 2],
    pub(super) target: Access,
    /// What was asked for.
    pub(super) by: By,
    /// An instruction of the right types, of any number of columns.
    pub(super) matrix: Matrix,
    /// The factor that is the instruction's A, where threads load its fragments.
    pub(super) loaded: Option<usize>,
    /// Most terms of partial sums, where the instruction's sums are to be added to others.
    pub(super) partial: Option<i64>,
    /// Data may leave out tiles.
    pub(super) chosen: bool,
    /// Terms are added in the order of the text.
    pub(super) in_order: bool,
    /// An array for results that the copy engine can write, and the statement that gives them to
    /// it; none where it is the sums' own.
    pub(super) out: Given<Name>,
    /// Where results go in the end: the statement that gives them to another array, if one does.
    pub(super) leaving: Given<Access>,
}

/// Where sums are given to, with the statement that does so, if there is one.
type Given<T> = Option<(Option<Name>, T)>;

impl Product {
    /// Whether neighbours of a tile's results are far from each other in memory.
    pub(super) fn scattered(&self) -> bool {
        self.leaving.as_ref().is_some_and(|(_, access)| {
            let last = access.indices.last().and_then(Affine::as_var);
            ![&self.row, &self.column].iter().any(|l| Some(&l.iter) == last)
        })
    }

    /// Whether threads turn the elements of a factor around for each tile.
    pub(super) fn turned(&self, factor: usize) -> bool {
        matches!(&self.fillers[factor], Filler::Threads(order) if !order.is_sorted())
    }

    /// All loops of the sum, the outermost first.
    pub(super) fn sums(&self) -> Vec<&Line> {
        self.others.iter().chain([&self.sum]).collect()
    }
}

/// Who brings a factor to shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// The copy engine, or asynchronous copies of threads.
    Engine,
    /// Threads, with the array's dimensions in this order: those of the array, or the sum's last
    /// where the instruction cannot take it otherwise.
    Threads(Vec<usize>),
}

/// The instruction for a product, who fills its operands, and whether it takes them as they are.
struct Brought {
    matrix: Matrix,
    fillers: [Filler; 2],
    plain: [bool; 2],
}

/// What multiplies, and who brings factors.
#[derive(Clone, Copy)]
pub(super) struct By {
    /// Instructions take their factors from registers, else from shared memory.
    pub(super) warps: bool,
    /// Threads fill both operands.
    pub(super) threads: bool,
    /// Pairs of blocks may multiply together.
    pub(super) pairs: bool,
}

/// A loop of a product.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) name: Name,
    pub(super) iter: Name,
    pub(super) extent: i64,
}

impl Auto {
    /// What a nest's one product is.
    pub(super) fn product_of(
        &mut self,
        top: &TreeLoop,
        options: &GpuOptions,
        by: By,
    ) -> Option<Product> {
        let poly = self.at.poly().clone();
        let names = top.body.statements();
        let mut updates =
            names.iter().filter_map(|n| poly.statement(n)).filter(|s| addable(&poly, s));
        let (s, None) = (updates.next()?, updates.next()) else { return None };
        let target = s.statement.target.clone();
        let store = crate::lower::typed(&poly, &self.at.nest().source, s).ok()?;
        let mut product = Multiplied::of(&store.value)?;
        let (mut factors, mut scales) = accesses(s, &mut product)?;
        let tree = self.at.tree().clone();
        let around = ancestors(&tree, &s.statement.name);
        let own = around.iter().copied().skip_while(|l| l.name != top.name);
        let mut lines = parts_of((&poly, s), own, &target, &factors, by)?;
        // the results' last dimension is the instruction's columns
        let end = target.indices.last().and_then(Affine::as_var);
        if lines[0].iter().any(|l| Some(&l.iter) == end) {
            factors.reverse();
            product.factors.reverse();
            if let Some(scales) = &mut scales {
                scales.reverse();
            }
            lines.swap(0, 1);
        }
        let Chosen { row, column, sum, batch, more, others } =
            Chosen::of(lines, &factors, &target)?;
        let lines = [&row, &column, &sum];
        let Brought { mut matrix, mut fillers, plain } =
            self.brought((s, &product), &factors, lines, (options.target, by))?;
        // boxes lie along more than a fragment's rows
        let several = more.iter().any(|lines| !lines.is_empty()) || !others.is_empty();
        let turning = (!several && !by.threads).then_some(&fillers);
        let loaded = turning.and_then(|f| self.loaded(f, &factors, lines, (&matrix, options)));
        if let Some(factor) = loaded {
            matrix.fragment_a = true;
            fillers[factor] = Filler::Engine;
        }
        let whole = matrix.adder.keeps(matrix.acc.precision_bits());
        let partial = s.statement.keeps.and_then(|k| k.over).filter(|_| !whole).map(i64::from);
        let (out, leaving) = self.results_of(&names, s, [&row, &column]);
        Some(Product {
            statement: s.statement.name.clone(),
            row,
            column,
            sum,
            batch,
            more,
            others,
            factors,
            scales,
            fillers,
            plain,
            target,
            by,
            matrix,
            loaded,
            partial,
            chosen: s.statement.guard.is_some(),
            in_order: s.statement.order == Order::Serial,
            out,
            leaving,
        })
    }

    /// An array for a product's results that the copy engine can write, and where they go in the
    /// end: each with the statement that gives them to it, if it is not the sums' own.
    fn results_of(
        &self,
        names: &[Name],
        s: &PolyStatement,
        own: [&Line; 2],
    ) -> (Given<Name>, Given<Access>) {
        let (poly, target) = (self.at.poly(), &s.statement.target);
        let results = names.iter().filter_map(|n| poly.statement(n)).filter(|o| {
            o.statement.name != s.statement.name
                && o.statement.target.array != target.array
                && o.statement.value.reads().iter().any(|a| a.array == target.array)
        });
        // a tile of the results is rows of a box where its dimensions are the last two
        let boxed = |a: &Access| {
            let two = a.indices.iter().rev().take(2);
            let tile = |e: &Affine| own.iter().any(|l| e.as_var() == Some(&l.iter));
            two.filter(|e| tile(e)).count() == 2 && self.by_engine(a)
        };
        let results: Vec<&PolyStatement> = results.collect();
        let leaving = match results.as_slice() {
            [] => Some((None, target.clone())),
            [one] => Some((Some(one.statement.name.clone()), one.statement.target.clone())),
            _several => None,
        };
        let mut outs = results.into_iter().filter(|o| boxed(&o.statement.target));
        let out = match outs.next().map(|o| &o.statement) {
            Some(s) => Some((Some(s.name.clone()), s.target.array.clone())),
            None => {
                let kept = poly.array(&target.array).is_some_and(|a| a.role != ArrayRole::Temp);
                (kept && boxed(target)).then(|| (None, target.array.clone()))
            }
        };
        (out, leaving)
    }

    /// The instruction for a statement, and who brings each of its factors to shared memory.
    fn brought(
        &self,
        (s, product): (&PolyStatement, &Multiplied),
        factors: &[Access; 2],
        [row, column, sum]: [&Line; 3],
        (target, by): (Target, By),
    ) -> Option<Brought> {
        let (poly, values) = (self.at.poly(), &product.factors);
        let matrix = instruction(poly, s, product, (target, by.warps))?;
        let plain = [values[0].plain(matrix.a), values[1].plain(matrix.b)];
        let fillers = [(0, row), (1, column)].map(|(i, own)| {
            match self.filler(&factors[i], [own, sum], &matrix, by) {
                Filler::Engine if !plain[i] && !self.late(&values[i], &matrix) => {
                    Filler::Threads((0..factors[i].indices.len()).collect())
                }
                other => other,
            }
        });
        // no thread writes half a byte
        let whole = !matrix.a.packed() || fillers.iter().all(|f| *f == Filler::Engine);
        whole.then_some(Brought { matrix, fillers, plain })
    }

    /// The one factor that threads would turn around for each tile, where they can load fragments
    /// of it as it lies: of elements of 32 bits, as those of fewer would be loaded one by one.
    fn loaded(
        &self,
        fillers: &[Filler; 2],
        factors: &[Access; 2],
        [row, column, sum]: [&Line; 3],
        (matrix, options): (&Matrix, &GpuOptions),
    ) -> Option<usize> {
        let turns = |f: &Filler| matches!(f, Filler::Threads(order) if !order.is_sorted());
        let factor = match fillers.each_ref().map(turns) {
            [true, false] => 0,
            [false, true] => 1,
            [false, false] | [true, true] => return None,
        };
        let any = Matrix { transposable: true, ..*matrix };
        let own = [row, column][factor];
        let by = By { warps: false, threads: false, pairs: false };
        let engine = self.filler(&factors[factor], [own, sum], &any, by) == Filler::Engine;
        let (a, b) = if factor == 0 { (matrix.a, matrix.b) } else { (matrix.b, matrix.a) };
        let wanted = Matrix { fragment_a: true, a, b, ..*matrix };
        let there = |i: &Instruction| {
            i.action == Action::Matrix(wanted) && i.targets.contains(&options.target)
        };
        let wide = matrix.a.size_bytes() == 4;
        (wide && engine && matrix_instructions().iter().any(there)).then_some(factor)
    }

    /// Whether threads can compute a factor on the way from shared memory to registers.
    fn late(&self, factor: &Factor, matrix: &Matrix) -> bool {
        let dtype = self.at.poly().array(&factor.array).map(|a| a.dtype);
        let each = !matrix.shared && !matrix.tensor && matrix.a.size_bytes() == 8;
        each && dtype == Some(matrix.a) && factor.keeps_zero()
    }

    /// Who brings a factor to shared memory, along whose rows the sum has to run, or the rows or
    /// columns that are its own where it can be transposed.
    fn filler(&self, factor: &Access, [own, sum]: [&Line; 2], matrix: &Matrix, by: By) -> Filler {
        let uses = |d: usize, l: &Line| factor.indices[d].vars().contains(&l.iter);
        let along = |d: &usize| uses(*d, sum);
        let rank = factor.indices.len();
        let last = rank == 0 || along(&(rank - 1)) || matrix.transposable && uses(rank - 1, own);
        let piece = if matrix.shared { 16 } else { 4.max(self.bytes_of(&factor.array)) };
        let boxes = dense(factor) && (!matrix.shared || rank <= RANK);
        if last && boxes && !by.threads && self.in_pieces(factor, piece) {
            return Filler::Engine;
        }
        let (inner, mut order): (Vec<usize>, Vec<usize>) =
            (0..rank).partition(|d| !last && along(d));
        order.extend(inner);
        Filler::Threads(order)
    }

    /// Whether the copy engine can move boxes of an array: rows of whole 16 bytes.
    pub(super) fn by_engine(&self, access: &Access) -> bool {
        self.extents(access).len() <= RANK && dense(access) && self.in_pieces(access, 16)
    }

    /// Whether the rows of an array are whole pieces of so many bytes.
    fn in_pieces(&self, access: &Access, bytes: i64) -> bool {
        let row = self.extents(access).last().copied().flatten();
        row.is_some_and(|n| n * self.bits_of(&access.array) % (8 * bytes) == 0)
    }

    /// Extents of an array, where they are known.
    pub(super) fn extents(&self, access: &Access) -> Vec<Option<i64>> {
        let poly = self.at.poly();
        let shape = poly.array(&access.array).map_or(&[][..], |a| &a.shape);
        shape.iter().map(|e| poly.fixed(e)).collect()
    }

    /// Bytes of a row of an array in memory; none where that is not known.
    pub(super) fn pitch(&self, access: &Access) -> i64 {
        let row = self.extents(access).last().copied().flatten();
        row.unwrap_or(0) * self.bits_of(&access.array) / 8
    }

    /// Bytes of an array; none where its size is not known.
    pub(super) fn whole(&self, access: &Access) -> i64 {
        let count = self.extents(access).into_iter().product::<Option<i64>>().unwrap_or(0);
        count.saturating_mul(self.bits_of(&access.array)) / 8
    }

    fn bits_of(&self, array: &str) -> i64 {
        self.at.poly().array(array).map_or(64, |a| a.dtype.bits() as i64)
    }

    pub(super) fn bytes_of(&self, array: &str) -> i64 {
        self.at.poly().array(array).map_or(8, |a| a.dtype.size_bytes() as i64)
    }
}

/// The loops around a product by what moves along them: the target and the first factor, the target
/// and the second, both factors, all three.
fn parts_of<'t>(
    (poly, s): (&Poly, &PolyStatement),
    own: impl Iterator<Item = &'t TreeLoop>,
    target: &Access,
    factors: &[Access; 2],
    by: By,
) -> Option<[Vec<Line>; 4]> {
    let mut lines = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for l in own {
        let iter = l.rows.get(&s.statement.name)?.as_var()?.clone();
        let uses = |a: &Access| a.indices.iter().any(|e| e.vars().contains(&iter));
        let part = match (uses(target), uses(&factors[0]), uses(&factors[1])) {
            (true, true, false) => 0,
            (true, false, true) => 1,
            (false, true, true) => 2,
            (true, true, true) => 3,
            _other => return None,
        };
        // warps may have fewer rows and columns in some tiles, and shorter sums: of a triangle
        let extent = match part {
            0..=2 if by.warps => span(poly, s, &iter)?,
            _whole => extent(poly, s, &iter)?,
        };
        lines[part].push(Line { name: l.name.clone(), iter, extent });
    }
    Some(lines)
}

/// The instruction for a statement's types, with the fewest columns: one that takes the factors as
/// they are, else one that takes their values.
fn instruction(
    poly: &Poly,
    s: &PolyStatement,
    product: &Multiplied,
    (target, warps): (Target, bool),
) -> Option<Matrix> {
    let acc: DType = poly.array(&s.statement.target.array).map(|a| a.dtype)?;
    let bits = s.statement.keeps.map_or(acc.precision_bits(), |k| k.bits);
    let [a, b] = &product.factors;
    let scaled = product.scaled_by();
    let all = matrix_instructions();
    let such = |fits: &dyn Fn(&Factor, DType) -> bool, bits: u32| {
        all.iter().find_map(|i| match i.action {
            Action::Matrix(m) => {
                let ordered = s.statement.order != Order::Serial || m.adder == Adder::Sequential;
                let sums = m.shared != warps && m.acc == acc && m.adder.keeps(bits) && ordered;
                let same = m.scales.map(|s| s.dtype) == scaled;
                let there = sums && same && i.targets.contains(&target);
                (there && fits(a, m.a) && fits(b, m.b)).then_some(m)
            }
            _other => None,
        })
    };
    let plain = |f: &Factor, dtype: DType| f.plain(dtype);
    match such(&plain, bits) {
        // one that takes them and drops bits of the sums is for the user to ask for
        None if scaled.is_some() || such(&plain, 0).is_some() => None,
        None => such(&|f, dtype| f.fits(dtype), bits),
        found => found,
    }
}

/// Whether each iterator moves an access by one element of a row, if along it: pieces of rows have
/// no gaps.
fn dense(access: &Access) -> bool {
    let row = access.indices.last();
    row.is_none_or(|e| e.vars().iter().all(|v| e.coefficient(v) == 1))
}
