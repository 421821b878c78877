//! The order in which the sequences of a ragged batch are stepped through.

/// Some sequences of a padded batch, longest first: those that have ended leave the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Sequences of the batch, longest first.
    pub(super) order: Vec<usize>,
    /// Sequences alive at each step, never increasing.
    pub(super) active: Vec<usize>,
}

impl Schedule {
    /// All sequences of a batch padded to `time` frames. A length of 0 counts as 1, one beyond `time` as `time`.
    pub(super) fn new(lengths: &[usize], time: usize) -> Self {
        let lengths = clamped(lengths, time);
        Self::of(sorted(&lengths), &lengths)
    }

    /// The batch in groups of about `size` sequences, each group with short and long ones alike.
    pub(super) fn groups(lengths: &[usize], time: usize, size: usize) -> Vec<Self> {
        let lengths = clamped(lengths, time);
        let order = sorted(&lengths);
        let groups = lengths.len().div_ceil(size.max(1));
        let group = |first: usize| order.iter().copied().skip(first).step_by(groups).collect();
        (0..groups)
            .map(|first| Self::of(group(first), &lengths))
            .collect()
    }

    fn of(order: Vec<usize>, lengths: &[usize]) -> Self {
        let steps = order.first().map_or(0, |longest| lengths[*longest]);
        let active = (0..steps)
            .map(|step| order.partition_point(|sequence| lengths[*sequence] > step))
            .collect();
        Self { order, active }
    }

    /// Frames of the batch `[batch * time]` in the order they are read: step by step, longest sequence first.
    pub(super) fn frames(&self, time: usize) -> impl Iterator<Item = usize> + '_ {
        self.steps()
            .map(move |(sequence, step)| sequence * time + step)
    }

    /// Sequence and step of every frame in the order they are read.
    pub(super) fn steps(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let active = self.active.iter().enumerate();
        active.flat_map(move |(step, count)| {
            let alive = self.order[..*count].iter();
            alive.map(move |&sequence| (sequence, step))
        })
    }

    /// Number of frames that are read.
    pub(super) fn len(&self) -> usize {
        self.active.iter().sum()
    }

    /// Where each sequence of the batch is in the order; for a schedule of the whole batch.
    pub(super) fn place(&self) -> Vec<usize> {
        let mut place = vec![0; self.order.len()];
        for (position, sequence) in self.order.iter().enumerate() {
            place[*sequence] = position;
        }
        place
    }
}

/// Lengths of sequences in a batch padded to `time` frames: 0 counts as 1, one beyond `time` as `time`.
pub(super) fn clamped(lengths: &[usize], time: usize) -> Vec<usize> {
    let clamp = |length: &usize| (*length).min(time).max(1);
    lengths.iter().map(clamp).collect()
}

/// Sequences by length, longest first.
fn sorted(lengths: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|sequence| std::cmp::Reverse(lengths[*sequence]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_live_frame_is_read_once() {
        let schedule = Schedule::new(&[2, 4, 0, 9], 4);
        assert_eq!(schedule.active, [4, 3, 2, 2]);
        assert_eq!(schedule.place(), [2, 0, 3, 1]);
        let frames: Vec<usize> = schedule.frames(4).collect();
        assert_eq!(frames, [4, 12, 0, 8, 5, 13, 1, 6, 14, 7, 15]);
        assert_eq!(schedule.len(), frames.len());
    }

    #[test]
    fn groups_share_out_the_same_frames() {
        let lengths = [5, 1, 3, 3, 0, 7, 2];
        let mut frames: Vec<usize> = Schedule::new(&lengths, 6).frames(6).collect();
        let groups = Schedule::groups(&lengths, 6, 3);
        assert_eq!(groups.len(), 3);
        let mut grouped: Vec<usize> = groups.iter().flat_map(|group| group.frames(6)).collect();
        frames.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, frames);
    }
}
