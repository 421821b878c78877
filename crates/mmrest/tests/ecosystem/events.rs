//! `train --log tensorboard`: TensorBoard reads the columns of `epochs.csv`, also of a run that was resumed.

use crate::common::{Fixture, below, succeed_with};
use crate::python::{has, script};

#[test]
fn tensorboard_reads_the_epochs_of_a_run() {
    let fixture = Fixture::small();
    let log = ["--quiet", "--log", "tensorboard", "--epochs"];
    succeed_with(&mut fixture.train("run", &[&log[..], &["2"]].concat()));
    succeed_with(&mut fixture.train("run", &[&log[..], &["3", "--resume"]].concat()));
    let files = below(&fixture.path("run/tensorboard"));
    assert_eq!(files.len(), 2, "one for each start: {files:?}");
    let plain = ["--quiet", "--epochs", "1"];
    succeed_with(&mut fixture.train("plain", &plain));
    assert!(!fixture.path("plain/tensorboard").exists());

    if !has(&["tensorboard"], "TensorBoard's events") {
        return;
    }
    let read = "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n\
        events = EventAccumulator('run/tensorboard')\n\
        events.Reload()\n\
        for tag in ('loss/total', 'loss/task', 'valid/mae', 'learning_rate/rest'):\n    \
        print(tag, *(f'{e.step}:{e.value!r}' for e in events.Scalars(tag)))\n";
    let printed = script(&fixture.path(""), read, &[]);
    for (tag, column) in [
        ("loss/total", "loss"),
        ("loss/task", "loss_task"),
        ("valid/mae", "valid_mae"),
        ("learning_rate/rest", "learning_rate"),
    ] {
        let line = printed.lines().find_map(|line| line.strip_prefix(tag));
        let line = line.unwrap_or_else(|| panic!("no {tag}: {printed}"));
        let found: Vec<(usize, f64)> = line
            .split_whitespace()
            .map(|event| event.split_once(':').unwrap())
            .map(|(step, value)| (step.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let expected = fixture.epochs("run", column);
        assert_eq!(found.len(), 3, "{tag}: {line}");
        for ((step, value), (epoch, expected)) in found.iter().zip(expected.iter().enumerate()) {
            assert_eq!(*step, epoch + 1);
            assert!(
                (value - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{tag}"
            );
        }
    }
}
