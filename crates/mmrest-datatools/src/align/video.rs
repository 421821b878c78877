//! Aligns one video.

use std::collections::BTreeSet;

use super::aligner::Aligner;
use super::collapse::collapse;
use super::sequence::Track;
use super::sequence::{Content, Met, Reference, Sequence};
use super::tensors::join;
use mmrest_data::csd::{self, Entry};
use mmrest_data::{DataError, Result};

/// What one sequence has of a video: rows by the reference row's index.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) pieces: Vec<(usize, Entry)>,
    pub(super) met: Met,
    /// Indices of the last reference that it has no rows for.
    pub(super) missing: Vec<usize>,
    /// Keys made of zeros.
    pub(super) imputed: usize,
    /// Keys that other sequences lack, taken away.
    pub(super) removed: usize,
}

/// A video aligned.
pub(super) struct AlignedVideo {
    /// One for each sequence, in their order.
    pub(super) lanes: Vec<Lane>,
    /// Whether some sequence had nothing to align to the second reference.
    pub(super) lost: bool,
}

impl Aligner {
    pub(super) fn align(&self, video: &str) -> Result<AlignedVideo> {
        let mut lanes: Vec<Lane> = self.sequences.iter().map(|_| Lane::default()).collect();
        let first = self.lanes_but(self.then);
        self.stage(video, self.reference, &first, &mut lanes)?;
        let mut lost = false;
        if let Some(then) = self.then {
            lost = first.iter().any(|&lane| lanes[lane].pieces.is_empty());
            if lost {
                for &lane in &first {
                    lanes[lane].pieces.clear();
                    lanes[lane].missing.clear();
                    lanes[lane].imputed = 0;
                }
            } else {
                self.second_stage(video, then, &mut lanes)?;
            }
        }
        if self.config.hard_unify || self.config.revert {
            hard_unify(&mut lanes);
        }
        if self.config.revert {
            for (lane, sequence) in lanes.iter_mut().zip(&self.sequences) {
                let pieces = std::mem::take(&mut lane.pieces);
                let entries = pieces.into_iter().map(|(_, entry)| entry).collect();
                let reverted = join(sequence.file.path(), video, entries)?;
                lane.pieces.extend(reverted.map(|entry| (0, entry)));
            }
        }
        Ok(AlignedVideo { lanes, lost })
    }

    fn lanes_but(&self, left_out: Option<usize>) -> Vec<usize> {
        let all = 0..self.sequences.len();
        all.filter(|&lane| Some(lane) != left_out).collect()
    }

    /// What is in the files, aligned to the first reference.
    fn stage(&self, video: &str, to: usize, those: &[usize], lanes: &mut [Lane]) -> Result<()> {
        let (references, met) = self.sequences[to].references(video)?;
        for &lane in those {
            let sequence = &self.sequences[lane];
            let mut made = if lane == to {
                let pieces = references.iter().map(|r| (r.index, r.row.clone()));
                Lane {
                    pieces: pieces.collect(),
                    met,
                    ..Lane::default()
                }
            } else {
                let (track, met) = sequence.track(video)?;
                Lane {
                    met,
                    ..cut(&track, &references)
                }
            };
            self.collapse(sequence, video, &mut made.pieces)?;
            if self.config.impute {
                impute(&mut made, &references, self.collapsed(sequence.content));
            }
            lanes[lane] = made;
        }
        Ok(())
    }

    /// What the first stage made, aligned to the second reference, uncollapsed.
    fn second_stage(&self, video: &str, to: usize, lanes: &mut [Lane]) -> Result<()> {
        let (references, met) = self.sequences[to].references(video)?;
        for lane in self.lanes_but(Some(to)) {
            let path = self.sequences[lane].file.path();
            let pieces = std::mem::take(&mut lanes[lane].pieces);
            let entries = pieces.into_iter().map(|(_, entry)| entry).collect();
            let merged = csd::merge(path, video, entries)?;
            let made = cut(&Track::new(merged), &references);
            lanes[lane].pieces = made.pieces;
            lanes[lane].missing = made.missing;
        }
        let pieces = references.into_iter().map(|r| (r.index, r.row));
        lanes[to].pieces = pieces.collect();
        lanes[to].met = met;
        Ok(())
    }

    fn collapse(
        &self,
        sequence: &Sequence,
        video: &str,
        pieces: &mut [(usize, Entry)],
    ) -> Result<()> {
        for (index, entry) in pieces {
            let rows = std::mem::replace(entry, Entry::empty());
            *entry = collapse(rows, &self.config.collapse).map_err(|reason| {
                DataError::entry(sequence.file.path(), &key(video, *index), reason)
            })?;
        }
        Ok(())
    }

    /// What rows hold after collapsing.
    fn collapsed(&self, content: Content) -> Content {
        match content {
            Content::Numbers(width) => Content::Numbers(width * self.config.collapse.len().max(1)),
            Content::Text => Content::Text,
        }
    }
}

fn cut(track: &Track, references: &[Reference]) -> Lane {
    let mut lane = Lane::default();
    for Reference { index, row } in references {
        let rows = row
            .intervals
            .first()
            .map_or_else(Entry::empty, |&interval| track.cut(interval));
        if rows.is_empty() {
            lane.missing.push(*index);
        } else {
            lane.pieces.push((*index, rows));
        }
    }
    lane
}

/// Zeros where the reference's key is missing, after all that is there, as the SDK has them.
fn impute(lane: &mut Lane, references: &[Reference], content: Content) {
    let have: BTreeSet<usize> = lane.pieces.iter().map(|piece| piece.0).collect();
    for Reference { index, row } in references {
        if !have.contains(index) {
            let entry = Entry {
                intervals: row.intervals.clone(),
                features: content.zeros(),
            };
            lane.pieces.push((*index, entry));
            lane.imputed += 1;
        }
    }
}

/// Keeps what all lanes have.
fn hard_unify(lanes: &mut [Lane]) {
    let keys = |lane: &Lane| -> BTreeSet<usize> { lane.pieces.iter().map(|p| p.0).collect() };
    let shared = lanes
        .iter()
        .map(keys)
        .reduce(|shared, keys| &shared & &keys)
        .unwrap_or_default();
    for lane in lanes {
        let before = lane.pieces.len();
        lane.pieces.retain(|piece| shared.contains(&piece.0));
        lane.removed = before - lane.pieces.len();
    }
}

/// The key of an aligned entry.
pub(super) fn key(video: &str, index: usize) -> String {
    format!("{video}[{index}]")
}
