//! The kernels of attention, and their launches.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{BLOCK, FIELDS, Sides, Walk};
use crate::gpu::dropout::{factor, mask};
use crate::gpu::launch::{cubes, empty, shared_values};

/// What the launches of all kernels that walk over rows have in common.
struct Launch {
    queries: CubeTensor,
    keys: CubeTensor,
    values: CubeTensor,
    tasks: CubeTensor,
    key: CubeTensor,
    cubes: CubeCount,
    dim: CubeDim,
    blocks: u32,
    reach: u32,
    threshold: u32,
    kept: f32,
    scale: f32,
    heads: usize,
    /// Width of a head.
    size: usize,
    /// Rows of the other side that a tile of shared memory holds, of two tensors.
    tile: usize,
    causal: bool,
    dropped: bool,
    tasks_type: ElemType,
}

impl Launch {
    fn new(sides: Sides<CubeBackend>, walk: Walk) -> Self {
        let Walk {
            blocks,
            reach,
            heads,
        } = walk;
        let [queries, keys, values] =
            [sides.queries, sides.keys, sides.values].map(into_contiguous);
        let [tasks, key] = [sides.tasks, sides.key].map(into_contiguous);
        let size = queries.shape()[1] / heads.heads;
        let (dropped, threshold, kept) = mask(heads.dropout);
        Self {
            cubes: cubes(blocks * heads.heads),
            dim: CubeDim::new_1d(BLOCK as u32),
            blocks: blocks as u32,
            reach: reach as u32,
            threshold,
            kept,
            scale: 1.0 / (size as f32).sqrt(),
            heads: heads.heads,
            size,
            tile: (shared_values(&queries.client) / (2 * size)).clamp(1, BLOCK),
            causal: heads.causal,
            dropped,
            tasks_type: dtype_to_storage_type(tasks.dtype),
            queries,
            keys,
            values,
            tasks,
            key,
        }
    }
}

pub(in super::super) fn forward(sides: Sides<CubeBackend>, walk: Walk) -> (CubeTensor, CubeTensor) {
    let launch = Launch::new(sides, walk);
    let [asked, width] = launch.queries.shape().dims();
    let out = empty(&launch.queries, [asked, width]);
    let sums = empty(&launch.queries, [asked, launch.heads]);
    attention_forward::launch(
        &out.client,
        launch.cubes,
        launch.dim,
        launch.queries.into_tensor_arg(),
        launch.keys.into_tensor_arg(),
        launch.values.into_tensor_arg(),
        launch.tasks.into_tensor_arg(),
        launch.key.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        launch.blocks,
        launch.reach,
        launch.threshold,
        launch.kept,
        launch.scale,
        launch.heads,
        launch.size,
        launch.tile,
        launch.causal,
        launch.dropped,
        launch.tasks_type,
    );
    (out, sums)
}

pub(in super::super) fn stats(
    out: CubeTensor,
    gradient: CubeTensor,
    sums: CubeTensor,
) -> CubeTensor {
    let [out, gradient, sums] = [out, gradient, sums].map(into_contiguous);
    let ([asked, heads], width) = (sums.shape().dims(), out.shape()[1]);
    let stats = empty(&out, [asked, 2 * heads]);
    let client = out.client.clone();
    attention_stats::launch(
        &client,
        cubes((asked * heads).div_ceil(BLOCK)),
        CubeDim::new_1d(BLOCK as u32),
        out.into_tensor_arg(),
        gradient.into_tensor_arg(),
        sums.into_tensor_arg(),
        stats.clone().into_tensor_arg(),
        (asked * heads) as u32,
        width / heads,
    );
    stats
}

/// The two ways back have the same arguments: `gradients` are the output's and its stats.
macro_rules! back {
    ($name:ident, $kernel:ident, $rows:ident, $wide:literal) => {
        pub(in super::super) fn $name(
            sides: Sides<CubeBackend>,
            gradients: [CubeTensor; 2],
            walk: Walk,
        ) -> CubeTensor {
            let launch = Launch::new(sides, walk);
            let [gradient, stats] = gradients.map(into_contiguous);
            let [rows, width] = launch.$rows.shape().dims();
            let out = empty(&launch.$rows, [rows, $wide * width]);
            $kernel::launch(
                &out.client,
                launch.cubes,
                launch.dim,
                launch.queries.into_tensor_arg(),
                launch.keys.into_tensor_arg(),
                launch.values.into_tensor_arg(),
                gradient.into_tensor_arg(),
                stats.into_tensor_arg(),
                launch.tasks.into_tensor_arg(),
                launch.key.into_tensor_arg(),
                out.clone().into_tensor_arg(),
                launch.blocks,
                launch.reach,
                launch.threshold,
                launch.kept,
                launch.scale,
                launch.heads,
                launch.size,
                launch.tile,
                launch.causal,
                launch.dropped,
                launch.tasks_type,
            );
            out
        }
    };
}

back!(queries, attention_queries, queries, 1);
back!(told, attention_told, keys, 2);

/// The block of a cube.
#[derive(CubeType, Clone, Copy)]
#[expand(derive(Clone, Copy))]
struct Own {
    /// How many rows it has.
    count: usize,
    /// The first row of the other side, and how many there are.
    other: usize,
    others: usize,
    /// The unit's row: of all, and of its sequence.
    row: usize,
    at: usize,
    /// How many more keys than its place a query sees where attention is causal.
    seen: usize,
}

#[cube]
fn own<I: Numeric>(tasks: &Tensor<I>, task: usize) -> Own {
    Own {
        count: field(tasks, task, 1usize),
        other: field(tasks, task, 2usize),
        others: field(tasks, task, 3usize),
        row: field(tasks, task, 0usize) + UNIT_POS as usize,
        at: field(tasks, task, 4usize) + UNIT_POS as usize,
        seen: field(tasks, task, 5usize),
    }
}

/// One number of a task.
#[cube]
fn field<I: Numeric>(tasks: &Tensor<I>, task: usize, #[comptime] field: usize) -> usize {
    u32::cast_from(tasks[task * FIELDS + field]) as usize
}

/// A head of a unit's row, times `scale`; zeros for a unit without a row.
#[cube]
fn of_row(
    from: &Tensor<f32>,
    own: Own,
    head: usize,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] size: usize,
) -> Array<f32> {
    let mut values = zeros(size);
    if (UNIT_POS as usize) < own.count {
        for d in 0..size {
            values[d] = from[own.row * heads * size + head * size + d] * scale;
        }
    }
    values
}

/// Zeros in a unit's own memory.
#[cube]
fn zeros(#[comptime] size: usize) -> Array<f32> {
    let mut values = Array::<f32>::new(size);
    for d in 0..size {
        values[d] = 0.0f32;
    }
    values
}

/// How many rows the tile has that begins at `start` of the other side.
#[cube]
fn rows_of_tile(own: Own, start: usize, #[comptime] tile: usize) -> usize {
    let mut rows = own.others - start;
    if rows > tile {
        rows = tile.runtime();
    }
    rows
}

/// Copies rows of one head to shared memory, every unit some of the values.
#[cube]
fn copy(
    from: &Tensor<f32>,
    to: &mut Shared<[f32]>,
    first: usize,
    rows: usize,
    head: usize,
    #[comptime] heads: usize,
    #[comptime] size: usize,
) {
    let mut at = UNIT_POS as usize;
    while at < rows * size {
        to[at] = from[(first + at / size) * (heads * size) + head * size + at % size];
        at += CUBE_DIM as usize;
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
fn attention_forward<I: Numeric>(
    queries: &Tensor<f32>,  // [asked, width]
    keys: &Tensor<f32>,     // [told, width]
    values: &Tensor<f32>,   // [told, width]
    tasks: &Tensor<I>,      // [blocks, FIELDS]
    key: &Tensor<f32>,      // [4]
    out: &mut Tensor<f32>,  // [asked, width]
    sums: &mut Tensor<f32>, // [asked, heads]
    blocks: u32,
    reach: u32,
    threshold: u32,
    kept: f32,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] size: usize,
    #[comptime] tile: usize,
    #[comptime] causal: bool,
    #[comptime] dropped: bool,
    #[define(I)] _tasks_type: ElemType,
) {
    let task = CUBE_POS / heads;
    let head = CUBE_POS % heads;
    if task >= blocks as usize {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let own = own(tasks, task);
    let sees = own.at + own.seen;

    let mut key_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut value_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let query = of_row(queries, own, head, scale, heads, size);
    let mut sum = zeros(size);
    let row = own.row;
    let mut most = f32::new(-1e30);
    let mut total = 0.0f32;

    let mut start = 0usize;
    while start < own.others {
        let rows = rows_of_tile(own, start, tile);
        let from = own.other + start;
        copy(keys, &mut key_rows, from, rows, head, heads, size);
        copy(values, &mut value_rows, from, rows, head, heads, size);
        sync_cube();
        if unit < own.count {
            for j in 0..rows {
                if !causal || start + j < sees {
                    let mut score = 0.0f32;
                    for d in 0..size {
                        score += query[d] * key_rows[j * size + d];
                    }
                    if score > most {
                        let shrink = (most - score).exp();
                        total *= shrink;
                        for d in 0..size {
                            sum[d] *= shrink;
                        }
                        most = score;
                    }
                    let chance = (score - most).exp();
                    total += chance;
                    let mut share = chance;
                    if dropped {
                        let place = ((row * heads + head) as u32) * reach + (start + j) as u32;
                        share *= factor(place, key, threshold, kept);
                    }
                    for d in 0..size {
                        sum[d] += share * value_rows[j * size + d];
                    }
                }
            }
        }
        sync_cube();
        start += tile;
    }
    if unit < own.count {
        for d in 0..size {
            out[row * heads * size + head * size + d] = sum[d] / total;
        }
        sums[row * heads + head] = most + total.ln();
    }
}

#[cube(launch)]
fn attention_stats(
    out: &Tensor<f32>,       // [asked, width]
    gradient: &Tensor<f32>,  // [asked, width]
    sums: &Tensor<f32>,      // [asked, heads]
    stats: &mut Tensor<f32>, // [asked, 2 heads]: the sum's logarithm and δ of every head
    count: u32,
    #[comptime] size: usize,
) {
    let at = CUBE_POS * (CUBE_DIM as usize) + UNIT_POS as usize;
    if at < count as usize {
        let mut sum = 0.0f32;
        for d in 0..size {
            sum += out[at * size + d] * gradient[at * size + d];
        }
        stats[2 * at] = sums[at];
        stats[2 * at + 1] = sum;
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
fn attention_queries<I: Numeric>(
    queries: &Tensor<f32>,  // [asked, width]
    keys: &Tensor<f32>,     // [told, width]
    values: &Tensor<f32>,   // [told, width]
    gradient: &Tensor<f32>, // [asked, width]
    stats: &Tensor<f32>,    // [asked, 2 heads]
    tasks: &Tensor<I>,      // [blocks, FIELDS]
    key: &Tensor<f32>,      // [4]
    out: &mut Tensor<f32>,  // [asked, width]: the queries' gradient
    blocks: u32,
    reach: u32,
    threshold: u32,
    kept: f32,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] size: usize,
    #[comptime] tile: usize,
    #[comptime] causal: bool,
    #[comptime] dropped: bool,
    #[define(I)] _tasks_type: ElemType,
) {
    let task = CUBE_POS / heads;
    let head = CUBE_POS % heads;
    if task >= blocks as usize {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let own = own(tasks, task);
    let sees = own.at + own.seen;

    let mut key_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut value_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let query = of_row(queries, own, head, scale, heads, size);
    let slope = of_row(gradient, own, head, 1.0f32, heads, size);
    let mut sum = zeros(size);
    let row = own.row;
    let mut logarithm = 0.0f32;
    let mut delta = 0.0f32;
    if unit < own.count {
        logarithm = stats[2 * (row * heads + head)];
        delta = stats[2 * (row * heads + head) + 1];
    }

    let mut start = 0usize;
    while start < own.others {
        let rows = rows_of_tile(own, start, tile);
        let from = own.other + start;
        copy(keys, &mut key_rows, from, rows, head, heads, size);
        copy(values, &mut value_rows, from, rows, head, heads, size);
        sync_cube();
        if unit < own.count {
            for j in 0..rows {
                if !causal || start + j < sees {
                    let mut score = 0.0f32;
                    let mut through = 0.0f32;
                    for d in 0..size {
                        score += query[d] * key_rows[j * size + d];
                        through += slope[d] * value_rows[j * size + d];
                    }
                    if dropped {
                        let place = ((row * heads + head) as u32) * reach + (start + j) as u32;
                        through *= factor(place, key, threshold, kept);
                    }
                    let of_score = (score - logarithm).exp() * (through - delta) * scale;
                    for d in 0..size {
                        sum[d] += of_score * key_rows[j * size + d];
                    }
                }
            }
        }
        sync_cube();
        start += tile;
    }
    if unit < own.count {
        for d in 0..size {
            out[row * heads * size + head * size + d] = sum[d];
        }
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel has what it has")]
fn attention_told<I: Numeric>(
    queries: &Tensor<f32>,  // [asked, width]
    keys: &Tensor<f32>,     // [told, width]
    values: &Tensor<f32>,   // [told, width]
    gradient: &Tensor<f32>, // [asked, width]
    stats: &Tensor<f32>,    // [asked, 2 heads]
    tasks: &Tensor<I>,      // [blocks, FIELDS]
    key: &Tensor<f32>,      // [4]
    out: &mut Tensor<f32>,  // [told, 2 width]: gradients of keys and values
    blocks: u32,
    reach: u32,
    threshold: u32,
    kept: f32,
    scale: f32,
    #[comptime] heads: usize,
    #[comptime] size: usize,
    #[comptime] tile: usize,
    #[comptime] causal: bool,
    #[comptime] dropped: bool,
    #[define(I)] _tasks_type: ElemType,
) {
    let task = CUBE_POS / heads;
    let head = CUBE_POS % heads;
    if task >= blocks as usize {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let own = own(tasks, task);

    let mut query_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut slope_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let known = of_row(keys, own, head, scale, heads, size);
    let value = of_row(values, own, head, 1.0f32, heads, size);
    let mut to_key = zeros(size);
    let mut to_value = zeros(size);

    let mut start = 0usize;
    while start < own.others {
        let rows = rows_of_tile(own, start, tile);
        let from = own.other + start;
        copy(queries, &mut query_rows, from, rows, head, heads, size);
        copy(gradient, &mut slope_rows, from, rows, head, heads, size);
        sync_cube();
        if unit < own.count {
            for i in 0..rows {
                if !causal || own.at < own.seen + start + i {
                    let asking = (from + i) * heads + head;
                    let mut score = 0.0f32;
                    let mut through = 0.0f32;
                    for d in 0..size {
                        score += known[d] * query_rows[i * size + d];
                        through += value[d] * slope_rows[i * size + d];
                    }
                    let chance = (score - stats[2 * asking]).exp();
                    let mut share = chance;
                    if dropped {
                        let place = (asking as u32) * reach + own.at as u32;
                        let factor = factor(place, key, threshold, kept);
                        through *= factor;
                        share *= factor;
                    }
                    let of_score = chance * (through - stats[2 * asking + 1]) * scale;
                    for d in 0..size {
                        to_key[d] += of_score * query_rows[i * size + d];
                        to_value[d] += share * slope_rows[i * size + d];
                    }
                }
            }
        }
        sync_cube();
        start += tile;
    }
    if unit < own.count {
        let at = own.row * 2 * heads * size + head * size;
        for d in 0..size {
            out[at + d] = to_key[d];
            out[at + heads * size + d] = to_value[d];
        }
    }
}
