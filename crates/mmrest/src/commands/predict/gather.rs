//! Segments of a set or a folder, a window of them at a time.

use anyhow::{Result, anyhow};
use mmrest_data::{DataError, Segment};

use super::scorer::Scorer;

/// Bytes of segments that are held at a time; one that is larger is held alone.
const MOST_BYTES: usize = 64 << 20;

/// Takes segments one by one and scores them by the window.
pub(super) struct Gather<'a> {
    scorer: &'a mut Scorer,
    segments: Vec<Segment>,
    bytes: usize,
    failed: Option<anyhow::Error>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(scorer: &'a mut Scorer) -> Self {
        Self {
            scorer,
            segments: Vec::new(),
            bytes: 0,
            failed: None,
        }
    }

    /// Takes a segment in. [`DataError::Stopped`] where something went wrong that [`finish`](Self::finish) says.
    pub(super) fn take(&mut self, segment: Segment) -> Result<(), DataError> {
        self.scorer.begin();
        let bytes = bytes(&segment);
        let taken = match self.scorer.check(&segment) {
            Err(message) => Err(anyhow!("{}: {message}", segment.id)),
            Ok(()) if self.bytes + bytes > MOST_BYTES => self.score(),
            Ok(()) => Ok(()),
        };
        let scored = taken.and_then(|()| {
            self.bytes += bytes;
            self.segments.push(segment);
            if self.segments.len() >= Scorer::WINDOW {
                self.score()
            } else {
                Ok(())
            }
        });
        scored.map_err(|error| {
            self.failed = Some(error);
            DataError::Stopped
        })
    }

    fn score(&mut self) -> Result<()> {
        self.scorer.score(&self.segments)?;
        self.segments.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Scores what is left. `visited`: how the visit of all segments ended.
    pub(super) fn finish<T>(mut self, visited: Result<T, DataError>) -> Result<T> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let visited = visited?;
        self.score()?;
        Ok(visited)
    }
}

fn bytes(segment: &Segment) -> usize {
    let numbers = segment.vision.values.len() + segment.audio.values.len();
    numbers * size_of::<f32>() + segment.text.len()
}
