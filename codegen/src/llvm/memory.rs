//! Array elements in memory and in register tiles: addresses, loads, stores, reductions.
//!
//! Keeps: values here have their type in memory (`bool` is i8, narrow floats are their bits); of
//! elements that share bytes each is loaded by itself; an access states the alignment that its
//! address has for all values of its variables, and no more.

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Index, Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Role};
use warploom_ir::planted::{Bug, planted};

use super::build::{Value, ty};
use super::emit::{BufferRegs, Emitter};
use super::expr::identity;
use super::lin::Lin;
use super::storage::alias;
use super::tile::{StoreForm, TileKey, contiguous, form};

/// LLVM's type of an element in memory.
pub(crate) const fn mem_elem(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "double",
        DType::F32 | DType::Tf32 => "float",
        DType::F16 | DType::Bf16 | DType::I16 | DType::U16 => "i16",
        DType::I64 | DType::U64 => "i64",
        DType::I32 | DType::U32 => "i32",
        DType::E4m3
        | DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3
        | DType::I8
        | DType::U8
        | DType::Bool => "i8",
    }
}

/// LLVM's type of addresses in a GPU's memory.
pub(crate) const GLOBAL: &str = "ptr addrspace(1)";
/// Bytes that arrays there start at multiples of (`warploom_ir::abi`): a power of two.
pub(crate) const ALIGNMENT: usize = 16;

/// Where an element is.
pub(super) struct Place {
    /// Its address.
    pointer: String,
    /// Bytes that this is a multiple of.
    align: usize,
}

impl Emitter<'_> {
    /// Where an element is; indices do not depend on the lane.
    pub(super) fn place_of(&mut self, array: &Name, dims: &[Lin]) -> Place {
        Place { align: self.alignment(array, dims), pointer: self.address(array, dims) }
    }

    /// Bytes that an element's address is a multiple of. LLVM finds those of few terms alone, and
    /// makes one access of neighbours only where it knows.
    fn alignment(&self, array: &Name, dims: &[Lin]) -> usize {
        let regs = &self.buffers[array];
        let own = regs.dtype.size_bytes();
        let theirs = self.kernel.buffers.iter().find(|b| b.name == *array);
        let Some(buffer) = theirs.filter(|_| regs.pointer.elem == GLOBAL) else { return own };
        // of 0 or more elements between neighbours, and of the element's place
        let (mut between, mut zeros) = (0, ALIGNMENT.trailing_zeros());
        for (dim, extent) in dims.iter().zip(&buffer.shape).rev() {
            zeros = zeros.min(dim.zeros() + between);
            between += Lin::of(extent, &self.env).zeros();
        }
        (own << zeros).min(ALIGNMENT)
    }

    /// The address of an element; indices do not depend on the lane.
    pub(crate) fn address(&mut self, array: &Name, dims: &[Lin]) -> String {
        if let Some(pointer) = self.shared_address(array, dims) {
            return pointer;
        }
        let regs = self.buffers[array].clone();
        let elem = mem_elem(regs.dtype);
        let (mut p, space) = (regs.pointer.text, regs.pointer.elem);
        for (dim, stride) in dims.iter().zip(&regs.strides) {
            if dim.as_constant() == Some(0) || stride.text == "0" {
                continue;
            }
            let i = self.lin(dim);
            let i = if stride.text == "1" { i } else { self.f.bin("mul nsw", &i, stride) };
            p = self
                .f
                .def(
                    space,
                    1,
                    &format!("getelementptr inbounds {elem}, {space} {p}, i64 {}", i.text),
                )
                .text;
        }
        p
    }

    /// The position of an element in an array of any shape.
    pub(crate) fn position(&mut self, regs: &BufferRegs, dims: &[Lin]) -> Value {
        let mut sum = Value::int("i64", 0);
        for (dim, stride) in dims.iter().zip(&regs.strides) {
            let i = self.lin(dim);
            let moved = self.f.bin("mul nsw", &i, stride);
            sum = self.f.bin("add", &sum, &moved);
        }
        sum
    }

    /// An element of four bits of its byte: those at odd positions are the upper halves.
    pub(crate) fn half_of(&mut self, byte: &Value, position: &Value) -> Value {
        let odd = self.f.bin_int("and", position, 1);
        let shift = self.f.bin_int("shl", &odd, 2);
        let shift = self.f.resize(&shift, byte.elem, false);
        let half = self.f.bin("lshr", byte, &shift);
        self.f.bin_int("and", &half, 0xf)
    }

    /// An element that shares its byte with a neighbour.
    fn load_half(&mut self, array: &Name, dims: &[Lin]) -> Value {
        let regs = self.buffers[array].clone();
        let position = self.position(&regs, dims);
        let at = self.f.bin_int("lshr", &position, 1);
        let (space, alias) = (regs.pointer.elem, alias(regs.class));
        let base = &regs.pointer.text;
        let text = format!("getelementptr inbounds i8, {space} {base}, {}", at.arg());
        let p = self.f.def(space, 1, &text).text;
        let byte = self.f.def("i8", 1, &format!("load i8, {space} {p}, align 1{alias}"));
        self.half_of(&byte, &position)
    }

    /// Elements from memory: one, or `width` neighbours.
    pub(crate) fn load_memory(&mut self, array: &Name, dims: &[Lin], width: u32) -> Value {
        if self.buffers[array].packed {
            assert_eq!(width, 1, "elements that share bytes are loaded one by one");
            return self.load_half(array, dims);
        }
        let first: Vec<Lin> = dims.iter().map(|d| d.in_lane(0)).collect();
        let place = self.place_of(array, &first);
        self.load_from(array, &place, width)
    }

    /// Elements of an array at this address.
    pub(super) fn load_from(&mut self, array: &Name, place: &Place, width: u32) -> Value {
        let regs = &self.buffers[array];
        let (elem, stack, space) = (mem_elem(regs.dtype), regs.stack, regs.pointer.elem);
        let (Place { pointer: p, align }, alias) = (place, alias(regs.class));
        let ty = ty(elem, width);
        let raw = self.f.def(elem, width, &format!("load {ty}, {space} {p}, align {align}{alias}"));
        // an element without a value must be some value, or LLVM could assume anything
        if stack { self.f.def(elem, width, &format!("freeze {}", raw.arg())) } else { raw }
    }

    /// Writes one element or neighbours, where `mask` says.
    pub(crate) fn store_memory(
        &mut self,
        array: &Name,
        dims: &[Lin],
        value: &Value,
        mask: Option<&Value>,
    ) {
        if self.paired_store(array, dims, value) {
            return;
        }
        let first: Vec<Lin> = dims.iter().map(|d| d.in_lane(0)).collect();
        let Place { pointer: p, align } = self.place_of(array, &first);
        let regs = &self.buffers[array];
        let (space, alias) = (regs.pointer.elem, alias(regs.class));
        match mask {
            None => {
                self.f.line(&format!("store {}, {space} {p}, align {align}{alias}", value.arg()))
            }
            Some(mask) => {
                let mask = self.f.splat(mask, value.lanes);
                let suffix = super::build::mangle(value.elem, value.lanes);
                let name = format!("@llvm.masked.store.{suffix}.p0");
                let (value, mask) = (value.arg(), mask.arg());
                self.f.line(&format!(
                    "call void {name}({value}, ptr align {align} {p}, {mask}){alias}"
                ));
            }
        }
    }

    /// Elements from their tile or from memory.
    fn load_at(&mut self, array: &Name, dims: &[Lin], width: u32) -> Value {
        let key = TileKey { array: array.clone(), dims: dims.to_vec(), width, partial: None };
        match self.tiles.get(&key) {
            Some(tile) => {
                let elem = mem_elem(self.buffers[array].dtype);
                let load = format!("load {}, ptr {}, align 64", ty(elem, width), tile.slot);
                self.f.def(elem, width, &load)
            }
            None => self.load_memory(array, dims, width),
        }
    }

    /// Elements to their tile or to memory.
    pub(super) fn store_at(
        &mut self,
        array: &Name,
        dims: &[Lin],
        value: &Value,
        mask: Option<&Value>,
    ) {
        let width = value.lanes;
        let key = TileKey { array: array.clone(), dims: dims.to_vec(), width, partial: None };
        let Some(tile) = self.tiles.get(&key) else {
            return self.store_memory(array, dims, value, mask);
        };
        let slot = tile.slot.clone();
        let value = match mask {
            None => value.clone(),
            Some(mask) => {
                let load = format!("load {}, ptr {slot}, align 64", value.ty());
                let old = self.f.def(value.elem, width, &load);
                self.f.select(mask, value, &old)
            }
        };
        self.f.line(&format!("store {}, ptr {slot}, align 64", value.arg()));
    }

    /// An array element as an expression sees it, in all lanes.
    pub(crate) fn read(&mut self, array: &Name, indices: &[Index]) -> Value {
        if let Some(raw) = self.ahead.take() {
            return self.loaded(self.buffers[array].dtype, raw);
        }
        let dims: Vec<Lin> = indices.iter().map(|i| Lin::of(i, &self.env)).collect();
        if let Some(value) = self.constant(array, &dims) {
            return value;
        }
        let raw = match contiguous(&dims).filter(|step| *step == 0 || !self.buffers[array].packed) {
            Some(0) => self.load_at(array, &dims, 1),
            Some(1) => self.load_at(array, &dims, self.width),
            Some(-1) => {
                let last: Vec<Lin> =
                    dims.iter().map(|d| d.in_lane(i64::from(self.width) - 1)).collect();
                let forwards = self.load_memory(array, &last, self.width);
                self.f.reversed(&forwards)
            }
            Some(_) | None => self.gathered(array, &dims),
        };
        self.loaded(self.buffers[array].dtype, raw)
    }

    /// An entry of a table of constants, where its place is known.
    fn constant(&mut self, array: &Name, dims: &[Lin]) -> Option<Value> {
        let kernel = self.kernel;
        let buffer = kernel.buffers.iter().find(|b| b.name == *array)?;
        let Role::Const(values) = &buffer.role else { return None };
        let mut place = 0_i64;
        for (dim, extent) in dims.iter().zip(&buffer.shape) {
            let extent = Lin::of(extent, &self.env).as_constant()?;
            let at = dim.as_constant().filter(|at| (0..extent).contains(at))?;
            place = place.checked_mul(extent)?.checked_add(at)?;
        }
        let value = *values.get(usize::try_from(place).ok()?)?;
        Some(self.literal(value, buffer.dtype))
    }

    /// The element of each lane.
    fn gathered(&mut self, array: &Name, dims: &[Lin]) -> Value {
        let lanes: Vec<Value> = (0..i64::from(self.width))
            .map(|lane| {
                let dims: Vec<Lin> = dims.iter().map(|d| d.in_lane(lane)).collect();
                self.load_at(array, &dims, 1)
            })
            .collect();
        self.f.gather(&lanes)
    }

    fn loaded(&mut self, dtype: DType, raw: Value) -> Value {
        match dtype {
            DType::Bool => self.f.cmp_int("ne", &raw, 0),
            DType::Ue4m3 => self.unsigned(&raw),
            _ => raw,
        }
    }

    pub(super) fn stored(&mut self, value: Value) -> Value {
        if value.elem == "i1" { self.f.cast("zext", &value, "i8") } else { value }
    }

    /// A statement instance, or as many as there are lanes.
    pub(crate) fn store(&mut self, s: &Store<Index>) {
        let dims: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, &self.env)).collect();
        match form(s, &self.env, self.width) {
            StoreForm::Scalar => self.store_scalar(s, &dims),
            StoreForm::Vector => {
                let mask = s.guard.as_ref().map(|g| self.typed(g));
                let old = s.op.is_update().then(|| self.load_at(&s.array, &dims, self.width));
                let value = self.updated(s, old);
                let value = self.f.splat(&value, self.width);
                self.store_at(&s.array, &dims, &value, mask.as_ref());
            }
            StoreForm::Reduce => self.store_reduced(s, &dims),
            StoreForm::Scatter => {
                let old = s.op.is_update().then(|| self.gathered(&s.array, &dims));
                let value = self.updated(s, old);
                let value = self.f.splat(&value, self.width);
                for lane in 0..self.width {
                    let at: Vec<Lin> = dims.iter().map(|d| d.in_lane(lane.into())).collect();
                    let one = self.f.extract(&value, lane);
                    self.store_at(&s.array, &at, &one, None);
                }
            }
            StoreForm::Lanes => {
                let (width, env) = (self.width, self.env.clone());
                self.width = 1;
                for lane in 0..i64::from(width) {
                    for value in self.env.values_mut() {
                        if value.has_lane() {
                            *value = value.in_lane(lane);
                        }
                    }
                    let dims: Vec<Lin> = dims.iter().map(|d| d.in_lane(lane)).collect();
                    self.store_scalar(s, &dims);
                    self.env = env.clone();
                }
                self.width = width;
            }
        }
    }

    fn store_scalar(&mut self, s: &Store<Index>, dims: &[Lin]) {
        let end = s.guard.as_ref().map(|g| {
            let c = self.typed(g);
            let (yes, end) = (self.f.label("when"), self.f.label("end"));
            self.f.cond_br(&c, &yes, &end);
            self.f.start(&yes);
            end
        });
        let old = s.op.is_update().then(|| self.load_at(&s.array, dims, 1));
        let value = self.updated(s, old);
        self.store_at(&s.array, dims, &value, None);
        if let Some(end) = end {
            self.f.br(&end);
            self.f.start(&end);
        }
    }

    /// The target's new content, as in memory; an update combines it with the old content there.
    pub(crate) fn updated(&mut self, s: &Store<Index>, old: Option<Value>) -> Value {
        let value = match old {
            Some(raw) => {
                let old = self.loaded(s.dtype, raw);
                let old = self.convert_nearest(&old, s.dtype, s.value.dtype);
                self.combined(s, &old)
            }
            None => self.typed(&s.value),
        };
        let value = self.convert_nearest(&value, s.value.dtype, s.dtype);
        self.stored(value)
    }

    /// `old op value`, with one rounding for a sum of products where that is allowed.
    fn combined(&mut self, s: &Store<Index>, old: &Value) -> Value {
        let strict = s.strict && !planted(Bug::StrictContracted);
        let fused = matches!(s.value.dtype, DType::F32 | DType::F64) && !strict;
        if let (AssignOp::Add, true, Some((a, b))) = (s.op, fused, product(&s.value)) {
            let (a, b) = (self.typed(a), self.typed(b));
            return self.f.intrinsic("fmuladd", &[&a, &b, old]);
        }
        let value = self.typed(&s.value);
        self.combine(s.op, s.value.dtype, old, &value)
    }

    /// All lanes into one element.
    fn store_reduced(&mut self, s: &Store<Index>, dims: &[Lin]) {
        let key = TileKey {
            array: s.array.clone(),
            dims: dims.to_vec(),
            width: self.width,
            partial: Some((s.op, s.dtype)),
        };
        let mask = s.guard.as_ref().map(|g| self.typed(g));
        let Some(tile) = self.tiles.get(&key) else {
            let value = self.typed(&s.value);
            let value = self.f.splat(&value, self.width);
            let value = match mask {
                Some(mask) => {
                    let identity = identity(s.op, s.dtype);
                    self.f.select(&mask, &value, &identity)
                }
                None => value,
            };
            let one = self.reduce(s.op, s.dtype, value);
            return self.combine_element(&s.array, dims, s.op, s.dtype, &one);
        };
        let slot = tile.slot.clone();
        let elem = mem_elem(s.dtype);
        let old = self.f.def(
            elem,
            self.width,
            &format!("load {}, ptr {slot}, align 64", ty(elem, self.width)),
        );
        let mut new = self.combined(s, &old);
        if let Some(mask) = mask {
            new = self.f.select(&mask, &new, &old);
        }
        self.f.line(&format!("store {}, ptr {slot}, align 64", new.arg()));
    }

    /// Combines a value into an element.
    pub(crate) fn combine_element(
        &mut self,
        array: &Name,
        dims: &[Lin],
        op: AssignOp,
        dtype: DType,
        value: &Value,
    ) {
        let old = self.load_at(array, dims, 1);
        let new = self.combine(op, dtype, &old, value);
        self.store_at(array, dims, &new, None);
    }

    /// Combines all lanes: halves onto halves, so the order is the same on every run.
    pub(crate) fn reduce(&mut self, op: AssignOp, dtype: DType, mut value: Value) -> Value {
        while value.lanes > 1 {
            let half = value.lanes / 2;
            let pick = |from: u32| {
                let list: Vec<String> = (from..from + half).map(|l| format!("i32 {l}")).collect();
                format!("<{half} x i32> <{}>", list.join(", "))
            };
            if half == 1 {
                let (a, b) = (self.f.extract(&value, 0), self.f.extract(&value, 1));
                return self.combine(op, dtype, &a, &b);
            }
            let shuffle = |mask: String| {
                format!("shufflevector {}, {} poison, {mask}", value.arg(), value.ty())
            };
            let low = self.f.def(value.elem, half, &shuffle(pick(0)));
            let high = self.f.def(value.elem, half, &shuffle(pick(half)));
            value = self.combine(op, dtype, &low, &high);
        }
        value
    }
}

/// The factors of a product.
fn product(value: &Typed<Index>) -> Option<(&Typed<Index>, &Typed<Index>)> {
    match &value.kind {
        TypedKind::Binary(warploom_ir::expr::BinOp::Mul, a, b) => Some((a, b)),
        TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Read { .. }
        | TypedKind::Unary(..)
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Convert { .. }
        | TypedKind::Bitcast(_) => None,
    }
}
