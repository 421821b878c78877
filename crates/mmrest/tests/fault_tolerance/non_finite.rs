//! Steps whose loss is not finite are skipped and reported; too many in a row end the run.

use crate::common::{Fixture, fail_with};
use crate::succeed;

/// A margin so large that the intra part overflows wherever more than three cells have pairs: in some of these small
/// batches, and not in others.
const OVERFLOWS: [&str; 6] = [
    "--set",
    "model.mmrest.loss.margin=1e38",
    "--set",
    "model.mmrest.clusters.receptive_field=cell",
    "--set",
    "train.batch_size=4",
];

const TWO: [&str; 2] = ["--epochs", "2"];

const MANY: [&str; 2] = ["--set", "train.non_finite_steps=1000"];

#[test]
fn steps_that_are_not_finite_are_skipped_told_and_counted() {
    let fixture = Fixture::small();
    let all = [&OVERFLOWS[..], &MANY, &TWO].concat();
    let warned = succeed(&mut fixture.train("run", &all));
    let skipped = fixture.epochs("run", "skipped_steps");
    println!("skipped {skipped:?} of 18 steps an epoch");
    assert!(
        skipped.iter().all(|&count| count > 0.0 && count < 18.0),
        "{skipped:?}"
    );
    let told: Vec<&str> = warned
        .lines()
        .filter(|line| line.contains("not taken"))
        .collect();
    assert_eq!(told.len() as f64, skipped.iter().sum::<f64>(), "{warned}");
    for line in &told {
        for part in [
            "epoch ",
            "step ",
            "'intra'",
            "loss part intra (inf)",
            "in a row",
        ] {
            assert!(line.contains(part), "{line}");
        }
        let ids = line.split_once("Segments of the batch: ").unwrap().1;
        assert!((1..=4).contains(&ids.split(", ").count()), "{line}");
        assert!(ids.split(", ").all(|id| id.contains('[')), "{line}");
    }
    let log = fixture.read("run/log.jsonl");
    assert_eq!(log.matches("not taken").count(), told.len());
    assert!(
        fixture
            .epochs("run", "loss")
            .iter()
            .all(|loss| loss.is_finite())
    );

    // The same once more, and in two starts.
    succeed(&mut fixture.train("again", &all));
    assert!(fixture.results("again") == fixture.results("run"));
    let one = [&OVERFLOWS[..], &MANY, &["--epochs", "1"]].concat();
    succeed(&mut fixture.train("parted", &one));
    succeed(&mut fixture.train("parted", &[&all[..], &["--resume"]].concat()));
    assert!(fixture.results("parted") == fixture.results("run"));
    assert_eq!(fixture.epochs("parted", "skipped_steps"), skipped);
}

#[test]
fn several_devices_skip_the_same_steps_every_time() {
    let fixture = Fixture::small();
    let all = [&OVERFLOWS[..], &MANY, &TWO, &["--devices", "0,0"]].concat();
    let told = ["one", "two"].map(|name| {
        let warned = succeed(&mut fixture.train(name, &all));
        let lines = warned.lines().filter(|line| line.contains("not taken"));
        lines.map(String::from).collect::<Vec<_>>()
    });
    assert!(!told[0].is_empty());
    assert_eq!(told[0], told[1]);
    assert!(fixture.results("one") == fixture.results("two"));
}

#[test]
fn too_many_in_a_row_end_the_run_with_its_last_good_state() {
    let fixture = Fixture::small();
    succeed(&mut fixture.train("run", &["--epochs", "1"]));
    let wild = ["--set", "train.learning_rate=1e30"];
    let accept = ["--accept-changed", "train.learning_rate"];
    let resume = [&["--epochs", "4", "--resume"], &wild[..], &accept].concat();
    let told = fail_with(&mut fixture.train("run", &resume));
    for part in [
        "3 steps in a row",
        "train.non_finite_steps",
        "epochs up to 1 are kept",
        "Segments",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(fixture.path("run/checkpoints/epoch-0001").exists());
    assert!(!fixture.path("run/checkpoints/epoch-0002").exists());
    let mut eval = fixture.program();
    succeed(eval.arg("eval").arg(fixture.path("run")));

    // Back at the old rate it ends as if nothing had been.
    let back = ["--set", "train.learning_rate=0.001", "--epochs", "3"];
    succeed(&mut fixture.train("run", &[&back[..], &accept, &["--resume"]].concat()));
    succeed(&mut fixture.train("whole", &["--epochs", "3"]));
    assert!(fixture.results("run") == fixture.results("whole"));
}
