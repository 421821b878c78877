//! Timing: warm-up, then rounds in which both sides take turns.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::torch::Torch;

/// Seconds that a work took, round by round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    /// The value below which a share of the samples lies.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            len => sorted[((len - 1) as f64 * share).round() as usize],
        }
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// From the lower to the upper quartile, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }
}

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// At least so many.
    pub(crate) least: usize,
    /// At most so many.
    pub(crate) most: usize,
    /// And, beyond the least, no longer than this.
    pub(crate) seconds: f64,
}

/// How long a side rests before its turn: OpenMP's threads go on spinning after their work is done, and would take the
/// processors from the other side.
const REST: Duration = Duration::from_millis(30);

/// How long a turn lasts at least, in seconds: short rounds are repeated, until threads are awake and caches warm.
const TURN: f64 = 0.05;

/// One turn of a side: the median seconds of its rounds.
fn turn(mut round: impl FnMut() -> Result<f64, String>) -> Result<f64, String> {
    std::thread::sleep(REST);
    let (mut rounds, mut passed) = (Samples::default(), 0.0);
    while passed < TURN {
        let seconds = round()?;
        rounds.0.push(seconds);
        passed += seconds;
    }
    Ok(rounds.median())
}

/// Rounds of ours and, where there is another side, of its in turn: A B A B.
pub(crate) fn measure(
    work: &mut dyn FnMut(),
    torch: Option<&mut Torch>,
    rounds: Rounds,
) -> Result<(Samples, Option<Samples>), String> {
    let mut timed = || {
        let start = Instant::now();
        work();
        Ok(start.elapsed().as_secs_f64())
    };
    measure_timed(&mut timed, torch, rounds)
}

/// [`measure`] of a work that tells its own seconds.
pub(crate) fn measure_timed(
    mut timed: &mut dyn FnMut() -> Result<f64, String>,
    mut torch: Option<&mut Torch>,
    rounds: Rounds,
) -> Result<(Samples, Option<Samples>), String> {
    timed()?;
    if let Some(torch) = torch.as_deref_mut() {
        torch.round()?;
    }
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let started = Instant::now();
    for round in 0..rounds.most {
        if round >= rounds.least && started.elapsed().as_secs_f64() > rounds.seconds {
            break;
        }
        ours.0.push(turn(&mut timed)?);
        if let Some(torch) = torch.as_deref_mut() {
            theirs.0.push(turn(|| torch.round())?);
        }
    }
    Ok((ours, torch.is_some().then_some(theirs)))
}
