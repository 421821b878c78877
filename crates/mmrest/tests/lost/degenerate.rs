//! Data of which there is next to nothing to learn: training is defined on them all the same.

use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Segment, Split, Widths};

use super::bench::{Bench, succeed};

const WIDTHS: Widths = Widths {
    vision: 3,
    audio: 2,
};

/// A data set of so many segments a split, and a configuration that trains on it.
fn made(bench: &Bench, name: &str, sizes: [usize; 3], segment: impl Fn(usize) -> Segment) {
    let path = bench.path(&format!("{name}.h5"));
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
        bench.path("")
    );
    std::fs::write(bench.path(&format!("{name}.toml")), config).unwrap();
}

/// A segment like no other.
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
fn train(bench: &Bench, name: &str, more: &[&str]) {
    for preset in ["paper", "official", "ordinal"] {
        let preset = format!("preset={preset}");
        let more = [more, &["--set", &preset]].concat();
        let run = format!("{name}-{preset}");
        let again = format!("{run}-again");
        let warned = succeed(&mut bench.train_own(&format!("{name}.toml"), &run, &more));
        assert!(!warned.contains("not taken"), "{run}: {warned}");
        succeed(&mut bench.train_own(&format!("{name}.toml"), &again, &more));
        assert!(bench.results(&run) == bench.results(&again), "{run}");
        let [predictions, metrics] = bench.results(&run);
        for line in predictions.lines().skip(1) {
            let prediction: f64 = line.split(',').nth(3).unwrap().parse().unwrap();
            assert!(prediction.is_finite(), "{run}: {line}");
        }
        assert!(!metrics.contains("NaN"), "{run}: {metrics}");
    }
}

#[test]
fn identical_segments() {
    let bench = Bench::new();
    made(&bench, "same", SIZES, |number| Segment {
        id: format!("v{number}[0]"),
        video: format!("v{number}"),
        ..usual(0)
    });
    train(&bench, "same", &[]);
}

#[test]
fn a_single_label() {
    let bench = Bench::new();
    made(&bench, "label", SIZES, |number| Segment {
        label: Some(1.0),
        ..usual(number)
    });
    train(&bench, "label", &[]);
}

#[test]
fn a_modality_of_zeros_and_a_constant_feature() {
    let bench = Bench::new();
    made(&bench, "zeros", SIZES, |number| {
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
    train(&bench, "zeros", &[]);
}

#[test]
fn a_modality_that_no_segment_has() {
    let bench = Bench::new();
    made(&bench, "absent", SIZES, |number| Segment {
        vision: Frames::empty(3),
        ..usual(number)
    });
    train(&bench, "absent", &[]);
}

#[test]
fn one_segment_a_split_and_batches_of_one() {
    let bench = Bench::new();
    made(&bench, "one", [1, 1, 1], usual);
    train(&bench, "one", &[]);
    made(&bench, "few", [5, 2, 2], usual);
    train(&bench, "few", &["--set", "train.batch_size=1"]);
}

#[test]
fn fewer_rows_than_clusters_on_several_devices() {
    let bench = Bench::new();
    made(&bench, "few", [2, 2, 2], usual);
    train(&bench, "few", &["--devices", "0,0"]);
}
