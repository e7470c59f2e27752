//! What launches give to kernels: words, and tensor maps that the driver encodes.
//!
//! In: addresses, numbers and boxes of arrays. Out: the pointers that a launch hands over. Keeps:
//! what a pointer points to lives as long as its owner here. Why here: beside `driver`, which
//! launches.

use std::cell::Cell;
use std::ffi::c_void;

use cudarc::driver::sys;
use warploom_ir::diag::Result;
use warploom_ir::dtype::DType;

use super::args::BoxOf;
use super::driver::Context;
use super::recorded::Recorded;
use super::replay::Replay;

/// The parameters of launches: words of 64 bits, then maps, with the pointers to them that the
/// driver wants.
pub(super) struct Arguments<'m> {
    words: Box<[Cell<u64>]>,
    maps: &'m [Vec<EncodedMap>],
    pointers: Vec<*mut c_void>,
}

impl<'m> Arguments<'m> {
    /// Parameters that begin with these words; `maps` are those of each function.
    pub(super) fn new(words: impl Iterator<Item = u64>, maps: &'m [Vec<EncodedMap>]) -> Self {
        Self { words: words.map(Cell::new).collect(), maps, pointers: Vec::new() }
    }

    /// What the driver reads at a launch of a function: the first `words`, and its maps.
    pub(super) fn of(&mut self, function: usize, words: usize) -> &[*mut c_void] {
        self.pointers.truncate(0);
        self.pointers.extend(self.words[..words].iter().map(|w| w.as_ptr().cast::<c_void>()));
        self.pointers.extend(self.maps[function].iter().map(EncodedMap::pointer));
        &self.pointers
    }

    /// Changes one of them.
    pub(super) fn set(&self, index: usize, word: u64) {
        self.words[index].set(word);
    }
}

/// A launch's function and grid.
pub(super) type Started = (usize, [u32; 3]);

/// What every launch gets: words first, the maps of its function last.
pub(super) struct Given {
    /// Their places never change, as `known` points to them.
    words: Box<[u64]>,
    maps: Box<[Vec<EncodedMap>]>,
    /// The launches, where no loop is around any: nothing else has to be found out.
    known: Option<Vec<Known>>,
    /// How many launches there are.
    count: u64,
    /// All of them at once, where that is worth it.
    replay: Option<Replay<Recorded>>,
}

/// A launch of which all is known: its function, its grid, the pointers to its parameters.
pub(super) struct Known {
    pub(super) function: usize,
    pub(super) grid: [u32; 3],
    pub(super) parameters: Box<[*mut c_void]>,
}

// SAFETY: the pointers of `known` point into `words` and `maps` of the same value, which nothing
// changes; the driver reads what they point to.
unsafe impl Send for Given {}
// SAFETY: as above.
unsafe impl Sync for Given {}

impl Given {
    /// These words and maps, for so many launches, of functions on grids where these are known.
    pub(super) fn new(
        words: Vec<u64>,
        maps: Vec<Vec<EncodedMap>>,
        (count, launches): (u64, Option<Vec<Started>>),
        replay: Option<Replay<Recorded>>,
    ) -> Self {
        let (words, maps) = (words.into_boxed_slice(), maps.into_boxed_slice());
        let word = |w: &u64| std::ptr::from_ref(w).cast_mut().cast::<c_void>();
        let known = |(function, grid): Started| {
            let own = maps[function].iter().map(EncodedMap::pointer);
            Known { function, grid, parameters: words.iter().map(word).chain(own).collect() }
        };
        let known = launches.map(|all| all.into_iter().map(known).collect());
        Self { words, maps, known, count, replay }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn replay(&self) -> Option<&Replay<Recorded>> {
        self.replay.as_ref()
    }

    pub(super) const fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) const fn maps(&self) -> &[Vec<EncodedMap>] {
        &self.maps
    }

    pub(super) fn known(&self) -> Option<&[Known]> {
        self.known.as_deref()
    }
}

/// A box of an array, as the copy engine reads it.
pub(super) struct EncodedMap(sys::CUtensorMap);

impl EncodedMap {
    fn pointer(&self) -> *mut c_void {
        std::ptr::from_ref(&self.0).cast_mut().cast()
    }

    /// Has the driver encode it.
    ///
    /// # Errors
    /// `E1114` where the driver refuses.
    pub(super) fn new(context: &Context, of: &BoxOf) -> Result<Self> {
        use sys::{
            CUtensorMapFloatOOBfill as Fill, CUtensorMapInterleave as Interleave,
            CUtensorMapL2promotion as Promotion, CUtensorMapSwizzle as Swizzle,
        };
        context.bind()?;
        let swizzle = match of.panel {
            128 => Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            64 => Swizzle::CU_TENSOR_MAP_SWIZZLE_64B,
            32 => Swizzle::CU_TENSOR_MAP_SWIZZLE_32B,
            _ => Swizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
        };
        let rank = of.extents.len();
        assert!(
            rank == of.sizes.len() && rank == of.steps.len() && rank == of.strides.len() + 1,
            "made together"
        );
        let mut map = sys::CUtensorMap { opaque: [0; 16] };
        // SAFETY: the lists have `rank` and `rank - 1` numbers and outlive the call, as the map
        // does; the array's address is only written down.
        let done = unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut map,
                element(of.dtype),
                u32::try_from(rank).expect("few dimensions"),
                std::ptr::with_exposed_provenance_mut(
                    usize::try_from(of.address).expect("an address of this machine"),
                ),
                of.extents.as_ptr(),
                of.strides.as_ptr(),
                of.sizes.as_ptr(),
                of.steps.as_ptr(),
                Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        context.check("a tensor map cannot be encoded", done.result())?;
        Ok(Self(map))
    }
}

/// The driver's name of an element type; only its size matters where no value is made.
const fn element(dtype: DType) -> sys::CUtensorMapDataType {
    use sys::CUtensorMapDataType as Of;
    match dtype {
        DType::F64 => Of::CU_TENSOR_MAP_DATA_TYPE_FLOAT64,
        DType::I64 | DType::U64 => Of::CU_TENSOR_MAP_DATA_TYPE_UINT64,
        DType::F32 | DType::Tf32 => Of::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        DType::I32 | DType::U32 => Of::CU_TENSOR_MAP_DATA_TYPE_UINT32,
        DType::F16 => Of::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        DType::Bf16 => Of::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
        DType::I16 | DType::U16 => Of::CU_TENSOR_MAP_DATA_TYPE_UINT16,
        DType::E4m3
        | DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3
        | DType::I8
        | DType::U8
        | DType::Bool => Of::CU_TENSOR_MAP_DATA_TYPE_UINT8,
    }
}
