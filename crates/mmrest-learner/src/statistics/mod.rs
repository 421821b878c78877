//! What a study says of runs: means and deviations over seeds, bootstrap intervals, paired tests, effect sizes.
//!
//! Everything random takes a seed, and gives the same numbers whatever the number of threads.

mod bootstrap;
mod holm;
mod permutation;
mod repeated;
mod spread;

pub use bootstrap::{Bootstrap, Interval};
pub use holm::holm;
pub use permutation::{PairedTest, SignFlips};
pub use repeated::{Repeated, column_means};
pub use spread::{Spread, median};
