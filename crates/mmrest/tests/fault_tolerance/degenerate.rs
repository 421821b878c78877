//! Training works on data with almost nothing to learn.

use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Segment, Split, Widths};

use crate::common::Fixture;
use crate::succeed;

const WIDTHS: Widths = Widths {
    vision: 3,
    audio: 2,
};

/// Writes a data set with `sizes` segments per split, and a configuration that trains on it.
fn made(fixture: &Fixture, name: &str, sizes: [usize; 3], segment: impl Fn(usize) -> Segment) {
    let path = fixture.path(&format!("{name}.h5"));
    let mut writer = PackedWriter::create(&path, WIDTHS, false).unwrap();
    let mut number = 0;
    for (split, size) in Split::ALL.into_iter().zip(sizes) {
        for _ in 0..size {
            writer.push(split, &segment(number)).unwrap();
            number += 1;
        }
    }
    writer.finish(About::default()).unwrap();
    let config = format!(
        "[data]\nkind = \"packed\"\ndir = {:?}\nfile = \"{name}.h5\"\nmodalities = [\"vision\", \"audio\"]\n\
         [train]\nepochs = 2\n",
        fixture.path("")
    );
    std::fs::write(fixture.path(&format!("{name}.toml")), config).unwrap();
}

/// A segment that differs from the others.
fn usual(number: usize) -> Segment {
    let value = |at: usize| ((number * 7 + at * 3) % 11) as f32 / 5.0 - 1.0;
    Segment {
        id: format!("v{number}[0]"),
        video: format!("v{number}"),
        text: String::new(),
        vision: Frames {
            values: (0..3 * (1 + number % 4)).map(value).collect(),
            width: 3,
        },
        audio: Frames {
            values: (0..2 * (1 + number % 3)).map(value).collect(),
            width: 2,
        },
        label: Some((number % 7) as f32 - 3.0),
    }
}

/// Segments of the three splits.
const SIZES: [usize; 3] = [20, 5, 6];

/// Trains in every preset; every prediction is a number, and two runs are the same.
fn train(fixture: &Fixture, name: &str, more: &[&str]) {
    for preset in ["kernel", "paper", "official", "ordinal"] {
        let preset = format!("preset={preset}");
        let more = [more, &["--set", &preset]].concat();
        let run = format!("{name}-{preset}");
        let again = format!("{run}-again");
        let warned = succeed(&mut fixture.train_own(&format!("{name}.toml"), &run, &more));
        assert!(!warned.contains("not taken"), "{run}: {warned}");
        succeed(&mut fixture.train_own(&format!("{name}.toml"), &again, &more));
        assert!(fixture.results(&run) == fixture.results(&again), "{run}");
        let [predictions, metrics] = fixture.results(&run);
        for line in predictions.lines().skip(1) {
            let prediction: f64 = line.split(',').nth(3).unwrap().parse().unwrap();
            assert!(prediction.is_finite(), "{run}: {line}");
        }
        assert!(!metrics.contains("NaN"), "{run}: {metrics}");
    }
}

#[test]
fn identical_segments() {
    let fixture = Fixture::small();
    made(&fixture, "same", SIZES, |number| Segment {
        id: format!("v{number}[0]"),
        video: format!("v{number}"),
        ..usual(0)
    });
    train(&fixture, "same", &[]);
}

#[test]
fn a_single_label() {
    let fixture = Fixture::small();
    made(&fixture, "label", SIZES, |number| Segment {
        label: Some(1.0),
        ..usual(number)
    });
    train(&fixture, "label", &[]);
}

#[test]
fn a_modality_of_zeros_and_a_constant_feature() {
    let fixture = Fixture::small();
    made(&fixture, "zeros", SIZES, |number| {
        let mut segment = usual(number);
        segment.vision.values.fill(0.0);
        segment
            .audio
            .values
            .iter_mut()
            .step_by(2)
            .for_each(|v| *v = 0.3);
        segment
    });
    train(&fixture, "zeros", &[]);
}

#[test]
fn a_modality_that_no_segment_has() {
    let fixture = Fixture::small();
    made(&fixture, "absent", SIZES, |number| Segment {
        vision: Frames::empty(3),
        ..usual(number)
    });
    train(&fixture, "absent", &[]);
}

#[test]
fn one_segment_a_split_and_batches_of_one() {
    let fixture = Fixture::small();
    made(&fixture, "one", [1, 1, 1], usual);
    train(&fixture, "one", &[]);
    made(&fixture, "few", [5, 2, 2], usual);
    train(&fixture, "few", &["--set", "train.batch_size=1"]);
}

#[test]
fn fewer_rows_than_clusters_on_several_devices() {
    let fixture = Fixture::small();
    made(&fixture, "few", [2, 2, 2], usual);
    train(&fixture, "few", &["--devices", "0,0"]);
}
