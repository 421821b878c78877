//! The kernels of attention, and their launches.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{BLOCK, FIELDS};
use crate::gpu::dropout::{factor, mask};
use crate::gpu::launch::{cubes, empty, shared_values};

/// Blocks, most rows of a sequence that is asked, heads, and whether attention is causal.
pub(in super::super) type Settings = (usize, usize, usize, bool);

/// Rows of the other side that a tile of shared memory holds, of `width` values each.
fn tile(like: &CubeTensor, width: usize) -> usize {
    (shared_values(&like.client) / width).clamp(1, BLOCK)
}

pub(in super::super) fn forward(
    rows: [CubeTensor; 3],
    tasks: CubeTensor,
    key: CubeTensor,
    (blocks, reach, heads, causal): Settings,
    dropout: f64,
) -> (CubeTensor, CubeTensor) {
    let [queries, keys, values] = rows.map(into_contiguous);
    let [tasks, key] = [tasks, key].map(into_contiguous);
    let [asked, width] = queries.shape().dims();
    let (out, sums) = (
        empty(&queries, [asked, width]),
        empty(&queries, [asked, heads]),
    );
    let size = width / heads;
    let (dropped, threshold, kept) = mask(dropout);
    let (client, tile) = (queries.client.clone(), tile(&queries, 2 * size));
    let tasks_type = dtype_to_storage_type(tasks.dtype);
    attention_forward::launch(
        &client,
        cubes(blocks * heads),
        CubeDim::new_1d(BLOCK as u32),
        queries.into_tensor_arg(),
        keys.into_tensor_arg(),
        values.into_tensor_arg(),
        tasks.into_tensor_arg(),
        key.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        blocks as u32,
        reach as u32,
        threshold,
        kept,
        1.0 / (size as f32).sqrt(),
        heads,
        size,
        tile,
        causal,
        dropped,
        tasks_type,
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

/// What both sides' kernels get: queries, keys, values, the output's gradient, stats, tasks, key.
pub(in super::super) type Inputs = [CubeTensor; 7];

pub(in super::super) fn queries(
    inputs: Inputs,
    (blocks, reach, heads, causal): Settings,
    dropout: f64,
) -> CubeTensor {
    let [queries, keys, values, gradient, stats, tasks, key] = inputs.map(into_contiguous);
    let [asked, width] = queries.shape().dims();
    let out = empty(&queries, [asked, width]);
    let size = width / heads;
    let (dropped, threshold, kept) = mask(dropout);
    let (client, tile) = (queries.client.clone(), tile(&queries, 2 * size));
    let tasks_type = dtype_to_storage_type(tasks.dtype);
    attention_queries::launch(
        &client,
        cubes(blocks * heads),
        CubeDim::new_1d(BLOCK as u32),
        queries.into_tensor_arg(),
        keys.into_tensor_arg(),
        values.into_tensor_arg(),
        gradient.into_tensor_arg(),
        stats.into_tensor_arg(),
        tasks.into_tensor_arg(),
        key.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        blocks as u32,
        reach as u32,
        threshold,
        kept,
        1.0 / (size as f32).sqrt(),
        heads,
        size,
        tile,
        causal,
        dropped,
        tasks_type,
    );
    out
}

pub(in super::super) fn told(
    inputs: Inputs,
    (blocks, reach, heads, causal): Settings,
    dropout: f64,
) -> CubeTensor {
    let [queries, keys, values, gradient, stats, tasks, key] = inputs.map(into_contiguous);
    let [told, width] = keys.shape().dims();
    let out = empty(&queries, [told, 2 * width]);
    let size = width / heads;
    let (dropped, threshold, kept) = mask(dropout);
    let (client, tile) = (queries.client.clone(), tile(&queries, 2 * size));
    let tasks_type = dtype_to_storage_type(tasks.dtype);
    attention_told::launch(
        &client,
        cubes(blocks * heads),
        CubeDim::new_1d(BLOCK as u32),
        queries.into_tensor_arg(),
        keys.into_tensor_arg(),
        values.into_tensor_arg(),
        gradient.into_tensor_arg(),
        stats.into_tensor_arg(),
        tasks.into_tensor_arg(),
        key.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        blocks as u32,
        reach as u32,
        threshold,
        kept,
        1.0 / (size as f32).sqrt(),
        heads,
        size,
        tile,
        causal,
        dropped,
        tasks_type,
    );
    out
}

/// One number of a task.
#[cube]
fn field<I: Numeric>(tasks: &Tensor<I>, task: usize, #[comptime] field: usize) -> usize {
    u32::cast_from(tasks[task * FIELDS + field]) as usize
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
    let first = field(tasks, task, 0usize);
    let count = field(tasks, task, 1usize);
    let other = field(tasks, task, 2usize);
    let others = field(tasks, task, 3usize);
    let sees = field(tasks, task, 4usize) + field(tasks, task, 5usize) + unit;

    let mut key_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut value_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut query = Array::<f32>::new(size);
    let mut sum = Array::<f32>::new(size);
    let row = first + unit;
    for d in 0..size {
        sum[d] = 0.0f32;
        query[d] = 0.0f32;
    }
    if unit < count {
        for d in 0..size {
            query[d] = queries[row * heads * size + head * size + d] * scale;
        }
    }
    let mut most = f32::new(-1e30);
    let mut total = 0.0f32;

    let mut start = 0usize;
    while start < others {
        let mut rows = others - start;
        if rows > tile {
            rows = tile.runtime();
        }
        copy(keys, &mut key_rows, other + start, rows, head, heads, size);
        copy(
            values,
            &mut value_rows,
            other + start,
            rows,
            head,
            heads,
            size,
        );
        sync_cube();
        if unit < count {
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
    if unit < count {
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
    let first = field(tasks, task, 0usize);
    let count = field(tasks, task, 1usize);
    let other = field(tasks, task, 2usize);
    let others = field(tasks, task, 3usize);
    let sees = field(tasks, task, 4usize) + field(tasks, task, 5usize) + unit;

    let mut key_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut value_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut query = Array::<f32>::new(size);
    let mut slope = Array::<f32>::new(size);
    let mut sum = Array::<f32>::new(size);
    let row = first + unit;
    for d in 0..size {
        sum[d] = 0.0f32;
        query[d] = 0.0f32;
        slope[d] = 0.0f32;
    }
    let mut logarithm = 0.0f32;
    let mut delta = 0.0f32;
    if unit < count {
        for d in 0..size {
            query[d] = queries[row * heads * size + head * size + d] * scale;
            slope[d] = gradient[row * heads * size + head * size + d];
        }
        logarithm = stats[2 * (row * heads + head)];
        delta = stats[2 * (row * heads + head) + 1];
    }

    let mut start = 0usize;
    while start < others {
        let mut rows = others - start;
        if rows > tile {
            rows = tile.runtime();
        }
        copy(keys, &mut key_rows, other + start, rows, head, heads, size);
        copy(
            values,
            &mut value_rows,
            other + start,
            rows,
            head,
            heads,
            size,
        );
        sync_cube();
        if unit < count {
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
    if unit < count {
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
    let first = field(tasks, task, 0usize);
    let count = field(tasks, task, 1usize);
    let other = field(tasks, task, 2usize);
    let others = field(tasks, task, 3usize);
    let own = field(tasks, task, 4usize) + unit;
    let seen = field(tasks, task, 5usize);

    let mut query_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut slope_rows = Shared::<[f32]>::new_slice(comptime!(tile * size));
    let mut known = Array::<f32>::new(size);
    let mut value = Array::<f32>::new(size);
    let mut to_key = Array::<f32>::new(size);
    let mut to_value = Array::<f32>::new(size);
    let row = first + unit;
    for d in 0..size {
        known[d] = 0.0f32;
        value[d] = 0.0f32;
        to_key[d] = 0.0f32;
        to_value[d] = 0.0f32;
    }
    if unit < count {
        for d in 0..size {
            known[d] = keys[row * heads * size + head * size + d] * scale;
            value[d] = values[row * heads * size + head * size + d];
        }
    }

    let mut start = 0usize;
    while start < others {
        let mut rows = others - start;
        if rows > tile {
            rows = tile.runtime();
        }
        copy(
            queries,
            &mut query_rows,
            other + start,
            rows,
            head,
            heads,
            size,
        );
        copy(
            gradient,
            &mut slope_rows,
            other + start,
            rows,
            head,
            heads,
            size,
        );
        sync_cube();
        if unit < count {
            for i in 0..rows {
                if !causal || own < seen + start + i {
                    let asking = (other + start + i) * heads + head;
                    let mut score = 0.0f32;
                    let mut through = 0.0f32;
                    for d in 0..size {
                        score += known[d] * query_rows[i * size + d];
                        through += value[d] * slope_rows[i * size + d];
                    }
                    let chance = (score - stats[2 * asking]).exp();
                    let mut share = chance;
                    if dropped {
                        let place = (asking as u32) * reach + own as u32;
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
    if unit < count {
        let at = row * 2 * heads * size + head * size;
        for d in 0..size {
            out[at + d] = to_key[d];
            out[at + heads * size + d] = to_value[d];
        }
    }
}
