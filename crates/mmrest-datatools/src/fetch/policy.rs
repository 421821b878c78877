//! Timeouts and retries of a download, and how its progress is shown.

use std::time::Duration;

use mmrest_data::{DataError, Result};
use rand::RngExt;

/// How often and how long a download is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries of one request, the first included; the count begins again whenever a try got on by
    /// [`progress`](Self::progress).
    pub tries: u32,
    /// Wait before the second try; it doubles from try to try. The actual wait is drawn from its upper half.
    pub first_wait: Duration,
    /// Longest wait between two tries, also where the server asks for a longer one.
    pub longest_wait: Duration,
    /// Longest time to reach the server.
    pub connect_timeout: Duration,
    /// Longest time without a byte; a connection that is silent for longer counts as broken.
    pub read_timeout: Duration,
    /// Most redirects followed.
    pub redirects: u32,
    /// Bytes that count as getting on.
    pub progress: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tries: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(60),
            redirects: 10,
            progress: 1 << 20,
        }
    }
}

/// Why a try ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something on this machine; trying again does not help.
    Local(DataError),
    /// Something about the answer that will not change.
    Refused(String),
    /// Something that may pass. The wait is the server's wish; none leaves it to the policy.
    Passing {
        reason: String,
        wait: Option<Duration>,
    },
}

impl Stop {
    /// Something that may pass.
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing {
            reason: reason.into(),
            wait: None,
        }
    }

    /// What can be tried again at once.
    pub(super) fn at_once(reason: impl Into<String>) -> Self {
        Self::Passing {
            reason: reason.into(),
            wait: Some(Duration::ZERO),
        }
    }
}

impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        Self::Local(error)
    }
}

impl Policy {
    /// Tries until it succeeds, is refused, or has failed too often. A try is given how far the last one came and says,
    /// with its failure, how far it came itself.
    pub(super) fn retry<T>(
        &self,
        url: &str,
        progress: &dyn Progress,
        mut attempt: impl FnMut() -> (u64, Result<T, Stop>),
    ) -> Result<T> {
        let refused = |reason: String| DataError::Fetch {
            url: url.to_owned(),
            reason,
        };
        let mut failures = 0;
        let mut furthest = 0_u64;
        loop {
            let (reached, outcome) = attempt();
            let (reason, wait) = match outcome {
                Ok(value) => return Ok(value),
                Err(Stop::Local(error)) => return Err(error),
                Err(Stop::Refused(reason)) => return Err(refused(reason)),
                Err(Stop::Passing { reason, wait }) => (reason, wait),
            };
            if reached >= furthest.saturating_add(self.progress) {
                failures = 0;
                furthest = reached;
            }
            failures += 1;
            if failures >= self.tries {
                return Err(refused(given_up(&reason, failures, reached)));
            }
            let wait = wait.map_or_else(|| self.wait(failures), |wait| wait.min(self.longest_wait));
            tracing::info!(
                url,
                reason,
                failures,
                ?wait,
                "download failed, trying again"
            );
            progress.retry(&reason, failures, wait);
            std::thread::sleep(wait);
        }
    }

    /// The wait after this many failures: doubled from one to the next, bounded, and drawn from its upper half so that
    /// many clients do not come back at once.
    fn wait(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let longest = self.first_wait.saturating_mul(doubled);
        let longest = longest.min(self.longest_wait);
        longest.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

fn given_up(reason: &str, tries: u32, reached: u64) -> String {
    let tries = if tries == 1 {
        "one try".to_owned()
    } else {
        format!("{tries} tries")
    };
    match reached {
        0 => format!("{reason} (given up after {tries})"),
        _ => {
            format!("{reason} (given up after {tries}; run it again to go on from {reached} bytes)")
        }
    }
}

/// Receives the progress of downloads.
pub trait Progress {
    /// A file of `total` bytes, if the server said how many, goes on from byte `position`. Comes again after a broken
    /// connection.
    fn begin(&self, name: &str, position: u64, total: Option<u64>);
    /// The bytes up to `position` are there.
    fn advance(&self, position: u64);
    /// A try failed for this reason, the `failures`-th in a row; the next begins after `wait`.
    fn retry(&self, reason: &str, failures: u32, wait: Duration);
    /// All of a file is there and is being checked.
    fn check(&self, name: &str);
}

/// Shows no progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _name: &str, _position: u64, _total: Option<u64>) {}
    fn advance(&self, _position: u64) {}
    fn retry(&self, _reason: &str, _failures: u32, _wait: Duration) {}
    fn check(&self, _name: &str) {}
}

#[cfg(test)]
mod tests {
    use super::super::Silent;
    use super::*;

    #[test]
    fn waits_double_within_their_bounds() {
        let policy = Policy {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(350),
            ..Policy::default()
        };
        for (failures, longest) in [(1, 100), (2, 200), (3, 350), (40, 350)] {
            for _ in 0..50 {
                let wait = policy.wait(failures).as_millis();
                assert!(
                    (longest / 2..=longest).contains(&wait),
                    "{failures}: {wait}"
                );
            }
        }
    }

    #[test]
    fn tries_are_counted_anew_only_when_a_try_got_further_than_ever() {
        let policy = Policy {
            tries: 2,
            first_wait: Duration::ZERO,
            progress: 10,
            ..Policy::default()
        };
        let mut reached = [10, 20, 25, 5, 40].into_iter();
        let mut tries = 0;
        let outcome: Result<()> = policy.retry("u", &Silent, || {
            tries += 1;
            (reached.next().unwrap(), Err(Stop::passing("broke")))
        });
        assert_eq!(tries, 3, "10 and 20 got on, 25 did not");
        let error = outcome.unwrap_err().to_string();
        assert!(
            error.contains("broke (given up after 2 tries; run it again to go on from 25"),
            "{error}"
        );
    }
}
