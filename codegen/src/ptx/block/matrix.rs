//! Matrix instructions and the loads and stores of their 8x8 matrices.

use std::ops::Range;

use warploom_ir::dtype::DType;
use warploom_ir::instruction::descriptor::{Fields, Reader};
use warploom_ir::instruction::{Action, Code, Matrix, Part, find};
use warploom_ir::kernel::device::{Device, Tile, WARP};
use warploom_ir::kernel::{KernelLoop, KernelNode};

use super::calls::{number, tile};
use super::{Registers, SHARED_POINTER, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;
use crate::llvm::team::SHARED;

/// `{ float, float }`.
fn structure(elems: &[&str]) -> String {
    format!("{{ {} }}", elems.join(", "))
}

impl Emitter<'_> {
    /// The numbers of the tiles that a slice of a fragment names, row by row.
    pub(super) fn tiles_of(&mut self, tile: &Tile) -> Vec<i64> {
        let r = &self.state().fragments[&tile.array];
        let (sizes, across) = ([r.layout.rows, r.layout.cols], r.tiles[1]);
        let mut ranges = [0..0, 0..0];
        for (i, slice) in tile.at.iter().enumerate() {
            let start = Lin::of(&slice.start, &self.env).as_constant();
            let start = start.expect("checked: constant after unrolling") / sizes[i];
            ranges[i] = start..start + slice.extent.expect("verified") / sizes[i];
        }
        let [rows, cols] = ranges;
        rows.flat_map(|r| cols.clone().map(move |c| r * across + c)).collect()
    }

    /// What is added to: the accumulators, or zeros where nothing is kept.
    fn kept(&mut self, acc: Vec<Value>, keep: &Lin) -> Vec<Value> {
        let zero = |v: &Value| {
            if v.is_float() { Value::float(v.elem, 0.0) } else { Value::int(v.elem, 0) }
        };
        match keep.as_constant() {
            Some(0) => acc.iter().map(zero).collect(),
            Some(_) => acc,
            None => {
                let keep = self.lin(keep);
                let keep = self.f.cmp_int("ne", &keep, 0);
                acc.iter().map(|v| self.f.select(&keep, v, &zero(v))).collect()
            }
        }
    }

    /// A product of fragments by an intrinsic.
    pub(super) fn registers_product(
        &mut self,
        m: &Matrix,
        code: &Code,
        tiles: [&Tile; 3],
        keep: &Lin,
    ) {
        let at = tiles.map(|t| self.tiles_of(t)[0]);
        let acc = self.load_registers(&tiles[0].array, at[0]);
        let acc = self.kept(acc, keep);
        let mut arguments = Vec::new();
        for (tile, at) in [(tiles[1], at[1]), (tiles[2], at[2])] {
            for register in self.load_registers(&tile.array, at) {
                // halves are passed as pairs, everything else narrow as bits
                let wanted = match (m.a, register.elem) {
                    (DType::F16, _) => "<2 x half>",
                    (_, "float") => "i32",
                    (_, same) => same,
                };
                arguments.push(self.f.cast("bitcast", &register, wanted).arg());
            }
        }
        arguments.extend(acc.iter().map(Value::arg));
        let elems: Vec<&str> = acc.iter().map(|v| v.elem).collect();
        let ty = structure(&elems);
        let text = format!("call {ty} {}({})", intrinsic(code), arguments.join(", "));
        let out = self.f.def("i32", 1, &text).text;
        let values = self.unpack(&out, &ty, acc[0].elem, acc.len());
        self.store_registers(&tiles[0].array, at[0], &values);
    }

    fn unpack(&mut self, from: &str, ty: &str, elem: &'static str, n: usize) -> Vec<Value> {
        (0..n).map(|i| self.f.def(elem, 1, &format!("extractvalue {ty} {from}, {i}"))).collect()
    }

    /// The descriptor of a tile in shared memory, as i64.
    pub(super) fn descriptor(&mut self, tile: &Tile, reader: Reader) -> Value {
        let shared = self.shared(tile);
        let at = self.starts(tile);
        let offset = self.offset(&shared, &at);
        let offset = self.narrow(&offset);
        let base = self.f.def("i32", 1, &format!("ptrtoint {SHARED_POINTER} {SHARED} to i32"));
        let address = self.f.bin("add", &base, &offset);
        let inside = self.f.bin_int("and", &address, 0x3_ffff);
        let units = self.f.bin_int("lshr", &inside, 4);
        let low = self.f.cast("zext nneg", &units, "i64");
        let [.., rows, _] = shared.shape.as_slice() else { unreachable!("verified: panels") };
        let panel = shared.panel.expect("verified: panels");
        let fields = Fields::of(*rows, panel, tile.transposed).bits(reader);
        self.f.bin_int("or", &low, fields.into())
    }

    /// An asynchronous product of shared memory, or of a fragment with it, by the assembler's text.
    pub(super) fn shared_product(
        &mut self,
        m: &Matrix,
        code: &Code,
        tiles: [&Tile; 3],
        keep: &Lin,
    ) {
        debug_assert_eq!(m.layout(Part::D).map(|l| l.n_threads()), Some(128));
        let at = self.tiles_of(tiles[0])[0];
        let operands = self.shared_operands(m, [tiles[1], tiles[2]], keep);
        self.shared_products(code, tiles, at, &[operands]);
    }

    /// The copies of a loop's body where this is an asynchronous product, and all add to the same
    /// elements: as one text, so that LLVM has the accumulators once. False where it is not.
    pub(crate) fn products_in_a_row(&mut self, l: &KernelLoop, copies: &[(Lin, u32)]) -> bool {
        let (true, [KernelNode::Device(node)]) = (self.program.is_some(), l.body.as_slice()) else {
            return false;
        };
        let Device::Call(call) = &**node else { return false };
        let instruction = find(&call.instruction).expect("verified: it is in the table");
        let (Action::Matrix(m), o) = (instruction.action, call.operands.as_slice()) else {
            return false;
        };
        if !m.shared || m.tensor || copies.iter().any(|(_, width)| *width != 1) {
            return false;
        }
        let tiles = [tile(&o[0]), tile(&o[1]), tile(&o[2])];
        let mut places = Vec::new();
        for (value, _) in copies {
            self.env.insert(l.var.clone(), value.clone());
            places.push(self.tiles_of(tiles[0])[0]);
        }
        let one = places.first().copied().filter(|first| places.iter().all(|at| at == first));
        if let Some(at) = one {
            let mut operands = Vec::new();
            for (value, _) in copies {
                self.env.insert(l.var.clone(), value.clone());
                let keep = Lin::of(number(&o[3]), &self.env);
                operands.push(self.shared_operands(&m, [tiles[1], tiles[2]], &keep));
            }
            self.shared_products(&instruction.code, tiles, at, &operands);
        }
        self.env.remove(&l.var);
        one.is_some()
    }

    /// The descriptors of both factors, or the registers of the first and the descriptor of the
    /// second; last whether sums are kept.
    fn shared_operands(&mut self, m: &Matrix, factors: [&Tile; 2], keep: &Lin) -> Vec<Value> {
        let mut operands = Vec::new();
        if m.fragment_a {
            let at = self.tiles_of(factors[0])[0];
            for register in self.load_registers(&factors[0].array, at) {
                operands.push(self.f.cast("bitcast", &register, "i32"));
            }
        } else {
            operands.push(self.descriptor(factors[0], Reader::Warpgroup));
        }
        operands.push(self.descriptor(factors[1], Reader::Warpgroup));
        operands.push(match keep.as_constant() {
            Some(v) => Value::int("i32", i64::from(v != 0).into()),
            None => {
                let value = self.lin(keep);
                let kept = self.f.cmp_int("ne", &value, 0);
                self.f.cast("zext", &kept, "i32")
            }
        });
        operands
    }

    /// Asynchronous products that add to one tile, one after the other.
    fn shared_products(
        &mut self,
        code: &Code,
        tiles: [&Tile; 3],
        at: i64,
        operands: &[Vec<Value>],
    ) {
        let Code::Assembly(text) = code else { unreachable!("there is no intrinsic for it") };
        let acc = self.load_registers(&tiles[0].array, at);
        let n = acc.len();
        let list = |numbers: Range<usize>| {
            let numbers: Vec<String> = numbers.map(|i| format!("${i}")).collect();
            format!("{{{}}}", numbers.join(", "))
        };
        let side = |tile: &Tile| u32::from(tile.transposed).to_string();
        let one = |k: usize, operands: &[Value]| {
            // twice as many operands as accumulators are numbered before the factors
            let first = 2 * n + k * operands.len();
            let [b, keep] = [2, 1].map(|back| first + operands.len() - back);
            let a = match operands {
                [_, _, _] => format!("${first}"),
                _registers => list(first..b),
            };
            text.replace("{d}", &list(0..n))
                .replace("{a}", &a)
                .replace("{b}", &format!("${b}"))
                .replace("{keep}", &format!("${keep}"))
                .replace("{ta}", &side(tiles[1]))
                .replace("{tb}", &side(tiles[2]))
        };
        let text: Vec<String> = operands.iter().enumerate().map(|(k, o)| one(k, o)).collect();
        let operands = operands.concat();
        let kind = |v: &Value| if v.elem == "i64" { "l" } else { "r" };
        let kinds: Vec<&str> = operands.iter().map(kind).collect();
        let values = self.tied(&text.join("\\0A"), &acc, &operands, &kinds.join(","));
        self.store_registers(&tiles[0].array, at, &values);
    }

    /// Assembler text through which values go: each comes out where it went in.
    fn tied(&mut self, text: &str, values: &[Value], more: &[Value], kinds: &str) -> Vec<Value> {
        let kind = |v: &Value| match v.elem {
            "double" => "=d",
            _ if v.is_float() => "=f",
            _ => "=r",
        };
        let mut constraints: Vec<String> = values.iter().map(|v| kind(v).to_owned()).collect();
        constraints.extend((0..values.len()).map(|i| i.to_string()));
        constraints.push(kinds.to_owned());
        let arguments: Vec<String> = values.iter().chain(more).map(Value::arg).collect();
        let elems: Vec<&str> = values.iter().map(|v| v.elem).collect();
        let ty = self.structure_name(structure(&elems));
        let call = format!(
            "call {ty} asm sideeffect \"{text}\", \"{}\"({}) convergent nounwind",
            constraints.join(","),
            arguments.join(", ")
        );
        let out = self.f.def("i32", 1, &call).text;
        let get = |(i, v): (usize, &Value)| {
            self.f.def(v.elem, 1, &format!("extractvalue {ty} {out}, {i}"))
        };
        values.iter().enumerate().map(get).collect()
    }

    /// A name for a type of many elements: LLVM would read them again at each use.
    fn structure_name(&mut self, structure: String) -> String {
        let known = self.structures.iter().position(|s| *s == structure);
        let number = known.unwrap_or_else(|| {
            self.structures.push(structure);
            self.structures.len() - 1
        });
        format!("%struct{number}")
    }

    /// Waits, and passes all accumulators of the team through the wait.
    pub(super) fn wait_matrix(&mut self, code: &Code, left: i64) {
        let Code::Assembly(text) = code else { unreachable!("it is written as text") };
        self.pass_through(&text.replace("{n}", &left.to_string()));
    }

    /// Assembler text that all fragments of the team go through which instructions may still write,
    /// so that nothing uses them before: registers of 64 bits are no results of theirs.
    pub(super) fn pass_through(&mut self, text: &str) {
        let names: Vec<_> = (self.state().fragments.iter())
            .filter(|(_, r)| r.layout.n_threads() == 128 && r.elem != "double" && !r.factor)
            .map(|(name, r)| (name.clone(), r.tiles[0] * r.tiles[1]))
            .collect();
        let mut all = Vec::new();
        for (name, tiles) in &names {
            for tile in 0..*tiles {
                all.extend(self.load_registers(name, tile));
            }
        }
        if all.is_empty() {
            self.f.line(&format!(
                "call void asm sideeffect \"{text}\", \"~{{memory}}\"() convergent"
            ));
            return;
        }
        let values = self.tied(text, &all, &[], "~{memory}");
        let mut rest = values.as_slice();
        for (name, tiles) in &names {
            let n = self.state().fragments[name].per_tile();
            for tile in 0..*tiles {
                let (these, after) = rest.split_at(n);
                self.store_registers(name, tile, these);
                rest = after;
            }
        }
    }

    /// The registers of the matrices in a part of a fragment, and where in the part each is,
    /// for the first warp.
    fn matrices_of(&self, tile: &Tile, r: &Registers) -> Vec<(usize, [i64; 2])> {
        let starts = self.starts(tile);
        let start = [0, 1].map(|side: usize| {
            starts[side].as_constant().expect("checked: constant after unrolling")
        });
        let extents = tile.matrix().expect("verified: rows and columns");
        let per_tile = r.per_tile() as i64;
        let mut out = Vec::new();
        for register in 0..r.slots.len() {
            let (tile, own) = (register as i64 / per_tile, register as i64 % per_tile);
            let [row, col] = r.layout.origin(r.packed() * own);
            let row = tile / r.tiles[1] * r.layout.rows + row - start[0];
            let col = tile % r.tiles[1] * r.layout.cols + col - start[1];
            if (0..extents[0]).contains(&row) && (0..extents[1]).contains(&col) {
                out.push((register, [row, col]));
            }
        }
        out
    }

    /// `ldmatrix` or `stmatrix`: thread l gives the address of row l mod 8 of matrix l / 8.
    pub(super) fn matrices(&mut self, code: &Code, fragment: &Tile, shared: &Tile, load: bool) {
        let r = self.state().fragments[&fragment.array].clone();
        let lane = self.state().lane.clone();
        let parts = self.matrices_of(fragment, &r);
        let corners: Vec<[i64; 2]> = (parts.iter())
            .map(|(_, [row, col])| if shared.transposed { [*col, *row] } else { [*row, *col] })
            .collect();
        let matrix = self.f.bin_int("lshr", &lane, 3);
        let mut at = [0, 1].map(|side| Value::int("i32", corners[0][side].into()));
        for (i, corner) in corners.iter().enumerate().skip(1) {
            let own = self.f.cmp_int("eq", &matrix, i as i128);
            for side in 0..2 {
                let here = Value::int("i32", corner[side].into());
                at[side] = self.f.select(&own, &here, &at[side]);
            }
        }
        let low = self.f.bin_int("and", &lane, 7);
        at[0] = self.f.bin("add", &at[0], &low);
        if r.layout.n_threads() > WARP {
            // each warp has its own rows
            let [rows, _] = r.layout.element(WARP, 0);
            let warp = self.state().team.warp.clone();
            let down = self.f.bin_int("mul nuw nsw", &warp, rows.into());
            let side = usize::from(shared.transposed);
            at[side] = self.f.bin("add", &at[side], &down);
        }
        let address = self.row_address(shared, at);
        let n = corners.len();
        let side = if shared.transposed { ".trans" } else { "" };
        let name = intrinsic(code).replace("{n}", &n.to_string()).replace("{ta}", side);
        if load {
            let elems = vec!["i32"; n];
            let ty = if n == 1 { "i32".to_owned() } else { structure(&elems) };
            let text = format!("call {ty} {name}({SHARED_POINTER} {address})");
            let out = self.f.def("i32", 1, &text);
            let values = if n == 1 { vec![out] } else { self.unpack(&out.text, &ty, "i32", n) };
            for ((register, _), value) in parts.iter().zip(&values) {
                let slot = &r.slots[*register];
                self.f.line(&format!("store {}, ptr {slot}, align 64", value.arg()));
            }
        } else {
            let load = |(register, _): &(usize, [i64; 2])| {
                let slot = &r.slots[*register];
                self.f.def(r.elem, 1, &format!("load {}, ptr {slot}, align 64", r.elem))
            };
            let values: Vec<Value> = parts.iter().map(load).collect();
            let list: Vec<String> = values.iter().map(Value::arg).collect();
            self.f.line(&format!(
                "call void {name}({SHARED_POINTER} {address}, {})",
                list.join(", ")
            ));
        }
    }

    /// The address of a row of 16 bytes at a place of a tile, as i32 values.
    fn row_address(&mut self, tile: &Tile, at: [Value; 2]) -> String {
        let shared = self.shared(tile);
        let bytes = shared.dtype.size_bytes() as i64;
        let starts = self.starts(tile);
        let start = self.offset(&shared, &starts);
        let [row, col] = at;
        let offset = match (shared.panel, shared.shape.as_slice()) {
            (Some(panel), [.., rows, _]) => {
                // the tile starts anywhere in a panel: columns go on from there
                let first = starts.last().expect("verified: it has columns").modulo(panel / bytes);
                let first = self.narrow(&first);
                let all = self.f.bin("add", &first, &col);
                let whole = self.f.bin_int("udiv", &all, (panel / bytes).into());
                let crossed = self.f.bin_int("mul", &whole, (rows * panel - panel).into());
                let along = self.f.bin_int("mul", &col, bytes.into());
                let down = self.f.bin_int("mul", &row, panel.into());
                let sum = self.f.bin("add", &along, &down);
                self.f.bin("add", &sum, &crossed)
            }
            (_, shape) => {
                let cols = shape.last().copied().unwrap_or(0);
                let down = self.f.bin_int("mul", &row, (cols * bytes).into());
                let along = self.f.bin_int("mul", &col, bytes.into());
                let inside = self.f.bin("add", &down, &along);
                return self.moved_place(&start, Some(&inside));
            }
        };
        let start = self.narrow(&start);
        let offset = self.f.bin("add", &start, &offset);
        let offset = self.permuted(&offset, shared.panel);
        self.pointer(&offset)
    }
}
