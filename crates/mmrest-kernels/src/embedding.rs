//! Rows of a table by their numbers.

use burn::prelude::*;
use rayon::prelude::*;

use crate::operation::{Tape, apply, input};
use crate::vector::BLOCK;

/// The rows of a table `[rows, width]` that `ids` name, `[ids, width]`.
///
/// The table's gradient is one block of zeros to which the gradients of the named rows are added.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use mmrest_kernels::embedding::rows_of;
///
/// let device = Device::flex().autodiff();
/// let table = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device).require_grad();
/// let rows = rows_of(table.clone(), &[2, 0, 2]);
/// assert_eq!(rows.dims(), [3, 2]);
/// let gradient = table.grad(&rows.sum().backward()).unwrap();
/// assert_eq!(gradient.into_data().try_to_vec::<f32>().unwrap(), [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
/// ```
///
/// # Panics
///
/// On a table that [`takes`](crate::operation::takes) refuses, and on a number that is not below `rows`.
#[must_use]
pub fn rows_of(table: Tensor<2>, ids: &[usize]) -> Tensor<2> {
    let [rows, width] = table.dims();
    apply([input(table)], |[table], record| {
        let row = |id: &usize| &table.values()[id * width..][..width];
        let values = ids.iter().flat_map(row).copied().collect();
        let tape = record.then(|| Rows {
            ids: ids.to_vec(),
            rows,
        });
        (values, [ids.len(), width], tape)
    })
}

#[derive(Clone, Debug)]
struct Rows {
    ids: Vec<usize>,
    /// Those of the table.
    rows: usize,
}

impl Tape<1> for Rows {
    fn backward(self, gradient: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let width = gradient.len() / self.ids.len().max(1);
        // Zeros are written on all threads: memory that the system only promises is mapped twice, when it is read and
        // when the optimiser writes to it.
        let mut out = vec![0.0; self.rows * width];
        out.par_chunks_mut(BLOCK).for_each(|block| block.fill(0.0));
        for (id, row) in self.ids.iter().zip(gradient.chunks_exact(width.max(1))) {
            for (sum, value) in out[id * width..][..width].iter_mut().zip(row) {
                *sum += value;
            }
        }
        [Some(out)]
    }
}
