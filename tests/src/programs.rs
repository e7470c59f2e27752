//! Block programs for any sizes: the text of the persistent matrix product in clusters, of which
//! `examples/kernels/gemm_wgmma_cluster.kernel` is the one for 4096.
//!
//! Why here: grouped tiles are divisions by numbers of tiles, which are constants of a kernel.

/// `C = A B^T` with A of `m` x `k` and B of `n` x `k`, in tiles of 256 rows (two blocks of 128) and
/// `columns` columns.
#[derive(Clone, Copy, Debug)]
pub struct PersistentProduct {
    /// Rows of A and C.
    pub m: i64,
    /// Rows of B, columns of C.
    pub n: i64,
    /// Columns of A and B.
    pub k: i64,
    /// Columns of a tile of C: 128 or 256, as two slabs of 64 take turns.
    pub columns: i64,
    /// Pairs of blocks that run.
    pub clusters: i64,
    /// Most rows of tiles that are gone through together.
    pub group: i64,
}

impl PersistentProduct {
    /// For a GPU of 132 multiprocessors.
    #[must_use]
    pub const fn large(m: i64, n: i64, k: i64) -> Self {
        Self { m, n, k, columns: 256, clusters: 66, group: 8 }
    }

    /// The kernel's text.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { m, n, k, columns, clusters, group } = *self;
        let (rows, cols, steps) = ((m + 255) / 256, (n + columns - 1) / columns, (k + 63) / 64);
        // groups without a rest
        let group = (1..=group.min(rows)).rev().find(|g| rows % g == 0).unwrap_or(1);
        let (tiles, grouped) = (rows * cols, group * cols);
        let ring =
            |tile: &str, step: &str| format!("{steps} * floordiv({tile}, {clusters}) + {step}");
        let row = |t: &str| format!("{group} * floordiv({t}, {grouped}) + mod({t}, {group})");
        let col = |t: &str| format!("floordiv(mod({t}, {grouped}), {group})");
        let (bytes, half) = (128 * (128 + columns), columns / 2);
        TEMPLATE
            .replace("$LOAD", &ring("t", "k"))
            .replace("$NEXT", &ring("u", "q + 3"))
            .replace("$LAST", &ring("u", &(steps - 1).to_string()))
            .replace("$USE", &ring("u", "q"))
            .replace("$ROW_T", &row("t"))
            .replace("$COL_T", &col("t"))
            .replace("$ROW_U", &row("u"))
            .replace("$COL_U", &col("u"))
            .replace("$TILES", &tiles.to_string())
            .replace("$STEPS", &steps.to_string())
            .replace("$CLUSTERS", &clusters.to_string())
            .replace("$HALF", &half.to_string())
            .replace("$BYTES", &bytes.to_string())
            .replace("$SLABS", &(columns / 64).to_string())
            .replace("$COLUMNS", &columns.to_string())
            .replace("$M", &m.to_string())
            .replace("$N", &n.to_string())
            .replace("$K", &k.to_string())
    }
}

/// The text with `$` names for what depends on sizes.
const TEMPLATE: &str = include_str!("persistent.kernel");
