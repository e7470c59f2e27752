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

/// The parameters of launches, 64 bits each, with the pointers to them that the driver wants.
pub(super) struct Arguments {
    words: Box<[Cell<u64>]>,
    pointers: Vec<*mut c_void>,
}

impl Arguments {
    /// What the driver reads at a launch.
    pub(super) const fn pointers(&mut self) -> &mut [*mut c_void] {
        self.pointers.as_mut_slice()
    }

    /// The pointers to the first `words` parameters and to these maps, for one launch.
    pub(super) fn with_maps(&mut self, words: usize, maps: &[EncodedMap]) {
        self.pointers.truncate(0);
        self.pointers.extend(self.words[..words].iter().map(|w| w.as_ptr().cast::<c_void>()));
        let of = |map: &EncodedMap| std::ptr::from_ref(&map.0).cast_mut().cast::<c_void>();
        self.pointers.extend(maps.iter().map(of));
    }

    /// Parameters with these values.
    pub(super) fn new(words: impl Iterator<Item = u64>) -> Self {
        let words: Box<[Cell<u64>]> = words.map(Cell::new).collect();
        let pointers = words.iter().map(|w| w.as_ptr().cast()).collect();
        Self { words, pointers }
    }

    /// Changes one of them.
    pub(super) fn set(&self, index: usize, word: u64) {
        self.words[index].set(word);
    }
}

/// A box of an array, as the copy engine reads it.
pub(super) struct EncodedMap(sys::CUtensorMap);

impl EncodedMap {
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
        DType::E4m3 | DType::E5m2 | DType::Ue8m0 | DType::I8 | DType::U8 | DType::Bool => {
            Of::CU_TENSOR_MAP_DATA_TYPE_UINT8
        }
    }
}
