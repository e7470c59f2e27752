//! cublasLt as a contestant for products of two matrices.
//!
//! In: sizes, types, transpositions. Out: one launch for each algorithm that the library's
//! heuristic proposes, best guess first. Requires libcublasLt at run time, found as the driver is;
//! without it [`CublasLt::open`] says so.
//! Keeps: sums in f32 (f64 and i32 of factors of f64 and i8), also where several blocks share one;
//! row-major arrays. The library's
//! matrices are column-major: it is asked for `C^T = B^T A^T`, whose operands are our arrays.
//! Source: NVIDIA, cuBLAS library, "Using the cuBLASLt API".

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as Compute, cublasLtMatmulDescAttributes_t as Description,
    cublasLtMatmulPreferenceAttributes_t as Preferred, cublasLtReductionScheme_t as Reduction,
    cudaDataType_t as Type,
};
use warploom::DType;
use warploom::device::{Device, DeviceBuffer, ForeignLaunch};
use warploom::diag::{Blame, Diagnostic, Result};

/// `C[m, n] = Σ A[m, k] B[k, n]` of arrays that are row-major and dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows of `C`.
    pub m: usize,
    /// Columns of `C`.
    pub n: usize,
    /// What is summed over.
    pub k: usize,
    /// `A` is stored as `[k, m]`.
    pub a_transposed: bool,
    /// `B` is stored as `[n, k]`.
    pub b_transposed: bool,
    /// The elements of `A` and `B`.
    pub dtype: DType,
    /// The elements of `C`.
    pub out: DType,
    /// Sums of factors of 8 bits need not keep more than the tensor cores do.
    pub fast: bool,
}

impl Product {
    /// The extents of `A`, `B` and `C` as they are stored.
    #[must_use]
    pub const fn shapes(&self) -> [[usize; 2]; 3] {
        let Self { m, n, k, .. } = *self;
        [
            if self.a_transposed { [k, m] } else { [m, k] },
            if self.b_transposed { [n, k] } else { [k, n] },
            [m, n],
        ]
    }
}

/// The library, on a device.
pub struct CublasLt {
    handle: sys::cublasLtHandle_t,
    device: Device,
}

// SAFETY: the library's handle may be used from any thread ("Thread Safety" of its manual).
unsafe impl Send for CublasLt {}
// SAFETY: as above, by several at once.
unsafe impl Sync for CublasLt {}

impl CublasLt {
    /// Loads the library for a device.
    ///
    /// # Errors
    /// `E1120` where there is no libcublasLt; `E1121` where it does not start.
    pub fn open(device: &Device) -> Result<Arc<Self>> {
        // SAFETY: opens and closes the library, whose initialisers are sound to run.
        if !unsafe { sys::is_culib_present() } {
            let text = "there is no cublasLt on this machine (libcublasLt is not found)";
            let mut d = Diagnostic::new("E1120", Blame::Environment, text);
            d.help = Some(
                "it comes with the CUDA toolkit; its folder can be named in \
                LD_LIBRARY_PATH"
                    .to_owned(),
            );
            return Err(Box::new(d));
        }
        device.make_current()?;
        let handle = asked("cublasLt does not start", result::create_handle())?;
        Ok(Arc::new(Self { handle, device: device.clone() }))
    }

    /// The library's version, such as 130100 for 13.1.0.
    #[must_use]
    pub fn version(&self) -> usize {
        // SAFETY: the library is loaded, and the function reads nothing of ours.
        unsafe { sys::cublasLtGetVersion() }
    }

    /// The algorithms that the heuristic proposes for a product, at most `most`, with `workspace`
    /// to use.
    ///
    /// # Errors
    /// `E1121` where the library has none, or fails; types that it does not multiply.
    pub fn plan(
        self: &Arc<Self>,
        product: &Product,
        workspace: &DeviceBuffer,
        most: usize,
    ) -> Result<Arc<Plan>> {
        let (dtype, out) = (type_of(product.dtype)?, type_of(product.out)?);
        let desc = Desc::new(product)?;
        // ours are row-major: what has R rows of C elements is the library's matrix of C rows
        let layout = |dtype, [rows, columns]: [usize; 2]| Layout::new(dtype, columns, rows);
        let [a, b, c] = product.shapes();
        let layouts = [layout(dtype, b)?, layout(dtype, a)?, layout(out, c)?];
        self.device.make_current()?;
        let algorithms = self.propose(&desc, &layouts, workspace.size_bytes(), most)?;
        let (lt, workspace, product) = (Arc::clone(self), workspace.clone(), *product);
        Ok(Arc::new(Plan { lt, product, desc, layouts, algorithms, workspace }))
    }

    fn propose(
        &self,
        desc: &Desc,
        [first, second, c]: &[Layout; 3],
        workspace: usize,
        most: usize,
    ) -> Result<Vec<sys::cublasLtMatmulAlgo_t>> {
        let preference = Preference::new(workspace)?;
        let none = sys::cublasLtMatmulHeuristicResult_t {
            algo: sys::cublasLtMatmulAlgo_t { data: [0; 8] },
            workspaceSize: 0,
            state: sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
            wavesCount: 0.0,
            reserved: [0; 4],
        };
        let mut found = vec![none; most];
        let mut count = 0;
        // SAFETY: all objects live, and `found` has room for as many as are asked for.
        let done = unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                self.handle,
                desc.0,
                first.0,
                second.0,
                c.0,
                c.0,
                preference.0,
                i32::try_from(most).unwrap_or(i32::MAX),
                found.as_mut_ptr(),
                &raw mut count,
            )
        };
        asked("cublasLt has no algorithm", done.result())?;
        let count = usize::try_from(count).unwrap_or(0);
        let usable = |r: &&sys::cublasLtMatmulHeuristicResult_t| {
            r.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS && r.workspaceSize <= workspace
        };
        Ok(found.iter().take(count).filter(usable).map(|r| r.algo).collect())
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        if self.device.make_current().is_ok() {
            // SAFETY: the handle is ours, and what uses it holds an Arc of `self`. A failure leaves
            // nothing to do.
            let _ = unsafe { result::destroy_handle(self.handle) };
        }
    }
}

/// A product with the algorithms proposed for it.
pub struct Plan {
    lt: Arc<CublasLt>,
    product: Product,
    desc: Desc,
    /// Of the library's first operand (our `B`), its second (our `A`), and `C`.
    layouts: [Layout; 3],
    algorithms: Vec<sys::cublasLtMatmulAlgo_t>,
    workspace: DeviceBuffer,
}

// SAFETY: descriptors are plain memory that nothing changes after `plan`.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Plan {
    /// How many algorithms there are.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.algorithms.len()
    }

    /// One algorithm on arrays.
    ///
    /// # Errors
    /// `E1102` for arrays that are not those of the product; `E1121` where there is no such
    /// candidate. What the library refuses comes from the launch.
    pub fn on(
        self: &Arc<Self>,
        candidate: usize,
        [a, b, c]: [&DeviceBuffer; 3],
    ) -> Result<ForeignLaunch> {
        let Product { dtype, out, .. } = self.product;
        let wanted = [dtype, dtype, out].into_iter().zip(self.product.shapes());
        for (array, (dtype, shape)) in [a, b, c].into_iter().zip(wanted) {
            let fits = array.dtype() == dtype && array.shape() == shape.as_slice();
            if !fits || !array.device().is(&self.lt.device) {
                let text = format!("{array:?} is not the array {dtype}{shape:?} of a product");
                return Err(Box::new(Diagnostic::input("E1102", text)));
            }
        }
        let algorithm = *self.algorithms.get(candidate).ok_or_else(|| {
            let count = self.candidates();
            refused(&format!("cublasLt proposes {count} algorithms, none is number {candidate}"))
        })?;
        let (plan, addresses) = (Arc::clone(self), [a, b, c].map(DeviceBuffer::address));
        let writes = [c.clone(), self.workspace.clone()];
        let work = move |stream| plan.enqueue(&algorithm, addresses, stream);
        // SAFETY: the library puts a product on the stream it is given, which reads `a` and `b` and
        // writes `c` and the workspace: their shapes were compared with its layouts, and `plan`
        // keeps those alive.
        Ok(unsafe { ForeignLaunch::new(&self.lt.device, &[a.clone(), b.clone()], &writes, work) })
    }

    fn enqueue(
        &self,
        algorithm: &sys::cublasLtMatmulAlgo_t,
        [a, b, c]: [u64; 3],
        stream: *mut c_void,
    ) -> Result<()> {
        let [one, zero] = scales(self.product.dtype);
        let [first, second, out] = &self.layouts;
        // SAFETY: numbers and objects outlive the call; addresses are those of arrays that the
        // launch keeps alive, with the shapes that the layouts have.
        let done = unsafe {
            result::matmul(
                self.lt.handle,
                self.desc.0,
                one.as_ptr().cast(),
                zero.as_ptr().cast(),
                pointer(b),
                first.0,
                pointer(a),
                second.0,
                pointer(c),
                out.0,
                pointer(c),
                out.0,
                algorithm,
                pointer(self.workspace.address()),
                self.workspace.size_bytes(),
                stream.cast(),
            )
        };
        asked("cublasLt refuses a product", done)
    }
}

/// An address of the device's memory as C has it.
fn pointer(address: u64) -> *mut c_void {
    let address = usize::try_from(address).expect("an address of this machine");
    std::ptr::with_exposed_provenance_mut(address)
}

/// One and zero as the library's numbers for products of a type.
fn scales(dtype: DType) -> [[u8; 8]; 2] {
    let low = |[a, b, c, d]: [u8; 4]| [a, b, c, d, 0, 0, 0, 0];
    if dtype == DType::F64 {
        [1.0_f64, 0.0].map(f64::to_ne_bytes)
    } else if dtype == DType::I8 {
        [1_i32, 0].map(i32::to_ne_bytes).map(low)
    } else {
        [1.0_f32, 0.0].map(f32::to_ne_bytes).map(low)
    }
}

/// What is multiplied and how.
struct Desc(sys::cublasLtMatmulDesc_t);

impl Desc {
    fn new(product: &Product) -> Result<Self> {
        let (compute, scale) = if product.dtype == DType::F64 {
            (Compute::CUBLAS_COMPUTE_64F, Type::CUDA_R_64F)
        } else if product.dtype == DType::I8 {
            (Compute::CUBLAS_COMPUTE_32I, Type::CUDA_R_32I)
        } else if product.dtype == DType::Tf32 {
            (Compute::CUBLAS_COMPUTE_32F_FAST_TF32, Type::CUDA_R_32F)
        } else {
            (Compute::CUBLAS_COMPUTE_32F, Type::CUDA_R_32F)
        };
        let made = result::create_matmul_desc(compute, scale);
        let desc = Self(asked("cublasLt has no description", made)?);
        // CUBLAS_OP_T is 1; the library's first operand is our B
        desc.set(Description::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(product.b_transposed))?;
        desc.set(Description::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(product.a_transposed))?;
        if product.fast {
            desc.set(Description::CUBLASLT_MATMUL_DESC_FAST_ACCUM, &1_i8)?;
        }
        Ok(desc)
    }

    fn set<T>(&self, attribute: Description, value: &T) -> Result<()> {
        let (value, bytes) = (std::ptr::from_ref(value).cast(), size_of::<T>());
        // SAFETY: the description lives, and the library compares `bytes` with what it expects.
        let done = unsafe { result::set_matmul_desc_attribute(self.0, attribute, value, bytes) };
        asked("cublasLt refuses what a product is to be", done)
    }
}

impl Drop for Desc {
    fn drop(&mut self) {
        // SAFETY: it is ours and used no more. A failure leaves nothing to do.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// A column-major matrix.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(dtype: Type, rows: usize, columns: usize) -> Result<Self> {
        let stride = i64::try_from(rows).unwrap_or(i64::MAX);
        let made = result::create_matrix_layout(dtype, rows as u64, columns as u64, stride);
        Ok(Self(asked("cublasLt has no such matrix", made)?))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it is ours and used no more. A failure leaves nothing to do.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// What the heuristic may propose.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new(workspace: usize) -> Result<Self> {
        let preference = Self(asked("cublasLt has no preference", result::create_matmul_pref())?);
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &(workspace as u64))?;
        // parts of a sum are not added in 16 bits
        let kinds = Reduction::CUBLASLT_REDUCTION_SCHEME_INPLACE as u32
            | Reduction::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(Preferred::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &kinds)?;
        Ok(preference)
    }

    fn set<T>(&self, attribute: Preferred, value: &T) -> Result<()> {
        let bytes = size_of::<T>();
        // SAFETY: the preference lives, and the library compares `bytes` with what it expects.
        let done = unsafe {
            result::set_matmul_pref_attribute(
                self.0,
                attribute,
                std::ptr::from_ref(value).cast(),
                bytes,
            )
        };
        asked("cublasLt refuses a preference", done)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it is ours and used no more. A failure leaves nothing to do.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

fn type_of(dtype: DType) -> Result<Type> {
    match dtype {
        DType::F32 => Ok(Type::CUDA_R_32F),
        DType::Tf32 => Ok(Type::CUDA_R_32F),
        DType::F16 => Ok(Type::CUDA_R_16F),
        DType::Bf16 => Ok(Type::CUDA_R_16BF),
        DType::F64 => Ok(Type::CUDA_R_64F),
        DType::E4m3 => Ok(Type::CUDA_R_8F_E4M3),
        DType::I8 => Ok(Type::CUDA_R_8I),
        DType::I32 => Ok(Type::CUDA_R_32I),
        DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3
        | DType::I64
        | DType::U64
        | DType::U32
        | DType::I16
        | DType::U16
        | DType::U8
        | DType::Bool => Err(refused(&format!("cublasLt is not asked for products of {dtype}"))),
    }
}

fn refused(text: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E1121", Blame::Environment, text))
}

fn asked<T>(what: &str, done: std::result::Result<T, CublasError>) -> Result<T> {
    done.map_err(|e| refused(&format!("{what}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_lie_as_they_are_stored() {
        let dtype = DType::Bf16;
        let of = |a_transposed, b_transposed| Product {
            m: 2,
            n: 3,
            k: 5,
            a_transposed,
            b_transposed,
            dtype,
            out: DType::F32,
            fast: false,
        };
        assert_eq!(of(false, false).shapes(), [[2, 5], [5, 3], [2, 3]]);
        assert_eq!(of(true, true).shapes(), [[5, 2], [3, 5], [2, 3]]);
    }

    #[test]
    fn a_machine_without_the_library_says_so() {
        let Ok(device) = Device::open(0) else { return println!("skipped: there is no GPU") };
        match CublasLt::open(&device) {
            Ok(lt) => assert!(lt.version() >= 110_000, "{}", lt.version()),
            Err(d) => assert_eq!(d.code, "E1120", "{d}"),
        }
    }
}
