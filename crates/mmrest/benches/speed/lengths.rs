//! Lengths and values that both sides of a comparison draw alike (benches/torch/speed.py does the same).

/// SplitMix64 (Steele, Lea & Flood, 2014).
pub(crate) struct Mix(pub(crate) u64);

impl Mix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Lengths distributed as CMU-MOSI's texts in tokens: mean 14.8, at most 50.
pub(crate) fn tokens(count: usize, seed: u64) -> Vec<usize> {
    let mut mix = Mix(seed);
    let length = |uniform: f64| 3 + (11.8 * -(1.0 - uniform * 0.985).ln()) as usize;
    (0..count).map(|_| length(mix.uniform()).min(50)).collect()
}

/// Lengths of sequences, evenly between a tenth of the longest and the longest.
pub(crate) fn frames(count: usize, seed: u64, longest: usize) -> Vec<usize> {
    let mut mix = Mix(seed);
    let length = |uniform: f64| (longest as f64 * (0.1 + 0.9 * uniform)) as usize;
    (0..count).map(|_| length(mix.uniform()).max(1)).collect()
}

/// Token ids of such lengths.
pub(crate) fn texts(lengths: &[usize], seed: u64) -> Vec<Vec<u32>> {
    let mut mix = Mix(seed);
    let mut id = || u32::try_from(1000 + mix.next() % 28_000).unwrap_or(1000);
    lengths
        .iter()
        .map(|&length| (0..length).map(|_| id()).collect())
        .collect()
}

/// Rows of `dim` features around `centers` centres, row i around centre i modulo `centers`.
pub(crate) fn rows(count: usize, dim: usize, centers: usize) -> Vec<f32> {
    let mut mix = Mix(5);
    let centers: Vec<f64> = (0..centers * dim).map(|_| 4.0 * mix.uniform()).collect();
    let value = |i: usize| centers[i % centers.len()];
    (0..count * dim)
        .map(|i| (value(i) + mix.uniform()) as f32)
        .collect()
}

/// Values in [-1, 1).
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut mix = Mix(seed);
    (0..count)
        .map(|_| (2.0 * mix.uniform() - 1.0) as f32)
        .collect()
}
