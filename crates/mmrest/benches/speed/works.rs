//! What is measured.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use mmrest_encoders::{Bert, BertConfig, LstmConfig, PackedTokens, Tokenizer, TokenizerOptions};
use mmrest_media::{AudioReader, FeatureSet, MediaError};
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, MultiMetric, MultiMetricConfig, ReceptiveField, Rows,
    assign, project_psd_f64, receptive_fields,
};

use rayon::prelude::*;

use crate::lengths;
use crate::predicting::predict_texts;
use crate::timing::Rounds;
use crate::training::{Setup, Training};

/// Segments of a batch.
pub(crate) const BATCH: usize = 64;
/// Dimensions of the shared space.
pub(crate) const DIM: usize = 64;
/// Clusters.
pub(crate) const CLUSTERS: usize = 7;

/// A work that is set up: each call does it once.
pub(crate) type Once = Box<dyn FnMut()>;

/// One line of the table.
pub(crate) struct Work {
    /// Its name, here and in speed.py.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// What of the other side's time it may take at most.
    pub(crate) goal: f64,
    pub(crate) rounds: Rounds,
    /// Sets the work up.
    pub(crate) set_up: fn(&Device) -> Result<Once, String>,
}

const LONG: Rounds = Rounds {
    least: 5,
    most: 30,
    seconds: 20.0,
};
const EPOCHS: Rounds = Rounds {
    least: 3,
    most: 5,
    seconds: 30.0,
};
const SHORT: Rounds = Rounds {
    least: 15,
    most: 200,
    seconds: 5.0,
};

/// Every line of the table.
pub(crate) const WORKS: [Work; 16] = [
    Work {
        name: "step-padded",
        what: "one training step, MiniLM-L6 fine-tuned, batch 64; PyTorch padded to 50 tokens",
        goal: 0.35,
        rounds: LONG,
        set_up: |device| step(device, Setup::MiniLm),
    },
    Work {
        name: "step-bucketed",
        what: "the same, batches of like length; PyTorch padded to the batch's longest",
        goal: 1.0,
        rounds: LONG,
        set_up: |device| step(device, Setup::ByLength),
    },
    Work {
        name: "step-mpnet",
        what: "one training step, MPNet-base fine-tuned, batch 16; PyTorch padded to the batch's longest",
        goal: 1.0,
        rounds: LONG,
        set_up: |device| step(device, Setup::Mpnet),
    },
    Work {
        name: "epoch",
        what: "a mean epoch of the default preset, MiniLM-L6 fine-tuned: 20 steps, the passes over the training set; PyTorch padded to 50 tokens, one pass",
        goal: 0.25,
        rounds: EPOCHS,
        set_up: |device| {
            let mut training = Training::new(device, Setup::DefaultPreset)?;
            Ok(Box::new(move || training.epoch()))
        },
    },
    Work {
        name: "epoch-steps",
        what: "the same, the segments of the bias kept from the steps; PyTorch padded to 50 tokens, the steps alone",
        goal: 0.25,
        rounds: EPOCHS,
        set_up: |device| {
            let mut training = Training::new(device, Setup::KeptSegments)?;
            Ok(Box::new(move || training.epoch()))
        },
    },
    Work {
        name: "epoch-frozen",
        what: "20 training steps with the text encoder's output cached",
        goal: 0.25,
        rounds: LONG,
        set_up: |device| {
            let mut training = Training::new(device, Setup::Cached)?;
            Ok(Box::new(move || {
                for _ in 0..training.batches() {
                    training.step();
                }
            }))
        },
    },
    Work {
        name: "lstm",
        what: "LSTM 64 x 375 x 20, hidden 64, ragged, forward and backward; PyTorch packed",
        goal: 1.0,
        rounds: SHORT,
        set_up: lstm,
    },
    Work {
        name: "bert-forward",
        what: "MiniLM-L6 forward on 512 ragged texts; transformers padded to the batch's longest",
        goal: 0.8,
        rounds: LONG,
        set_up: |device| forward(device, &minilm(), 512),
    },
    Work {
        name: "mpnet-forward",
        what: "MPNet-base forward on 128 ragged texts; transformers padded to the batch's longest",
        goal: 0.8,
        rounds: LONG,
        set_up: |device| forward(device, &mpnet(), 128),
    },
    Work {
        name: "predict-texts",
        what: "2,048 texts scored with MiniLM-L6; transformers padded to the longest of 64 as they come",
        goal: 0.6,
        rounds: EPOCHS,
        set_up: predict_texts,
    },
    Work {
        name: "kmeans",
        what: "k-means, 192 x 64, K = 7, 10 restarts; scikit-learn",
        goal: 0.10,
        rounds: SHORT,
        set_up: kmeans,
    },
    Work {
        name: "mmc-192",
        what: "L_MMC forward and backward, N = 192; PyTorch vectorised",
        goal: 0.5,
        rounds: SHORT,
        set_up: |device| mmc(device, 192),
    },
    Work {
        name: "mmc-384",
        what: "L_MMC forward and backward, N = 384; PyTorch vectorised",
        goal: 0.5,
        rounds: SHORT,
        set_up: |device| mmc(device, 384),
    },
    Work {
        name: "psd",
        what: "PSD projection of 8 matrices 64 x 64 in f64; torch.linalg.eigh",
        goal: 1.0,
        rounds: SHORT,
        set_up: |_| {
            let matrices: Vec<f64> = lengths::noise(8 * DIM * DIM, 9)
                .into_iter()
                .map(f64::from)
                .collect();
            Ok(Box::new(move || {
                let mut projected = matrices.clone();
                keep(project_psd_f64(&mut projected, DIM));
                keep(projected);
            }))
        },
    },
    Work {
        name: "tokenize",
        what: "WordPiece of 23,000 texts; Hugging Face tokenizers, batch",
        goal: 0.5,
        rounds: SHORT,
        set_up: tokenize,
    },
    Work {
        name: "sims33",
        what: "the 33 audio features of CH-SIMS, 8 recordings of 10 s; librosa, a process per thread",
        goal: 0.20,
        rounds: EPOCHS,
        set_up: sims33,
    },
];

/// Keeps a result from being optimised away.
pub(crate) fn keep<T>(value: T) {
    std::hint::black_box(value);
}

/// MiniLM-L6's shape; what the weights are does not matter to the time.
pub(crate) fn minilm() -> BertConfig {
    BertConfig::small(30_522, 384, 6, 12, 1536)
}

/// MPNet-base's shape.
pub(crate) fn mpnet() -> BertConfig {
    let mut config = BertConfig::small(30_527, 768, 12, 12, 3072).as_mpnet();
    (config.max_position_embeddings, config.layer_norm_eps) = (514, 1e-5);
    config
}

fn step(device: &Device, setup: Setup) -> Result<Once, String> {
    let mut training = Training::new(device, setup)?;
    Ok(Box::new(move || training.step()))
}

fn lstm(device: &Device) -> Result<Once, String> {
    let device = device.clone().autodiff();
    let (time, features) = (375, 20);
    let lstm = LstmConfig::new(features, DIM).init(&device);
    let lengths = lengths::frames(BATCH, 3, time);
    let values = lengths::noise(BATCH * time * features, 4);
    let frames = Tensor::<3>::from_data(TensorData::new(values, [BATCH, time, features]), &device);
    Ok(Box::new(move || {
        let last = lstm.last_hidden(frames.clone(), &lengths);
        keep(last.sum().backward());
    }))
}

fn forward(device: &Device, config: &BertConfig, texts: usize) -> Result<Once, String> {
    let bert: Bert = config.init(device);
    let mut texts = lengths::texts(&lengths::tokens(texts, 7), 8);
    texts.sort_by_key(Vec::len);
    let batches: Vec<PackedTokens> = texts
        .chunks(BATCH)
        .map(PackedTokens::from_sequences)
        .collect();
    Ok(Box::new(move || {
        for batch in &batches {
            keep(bert.forward_first(batch).into_data());
        }
    }))
}

fn kmeans(_: &Device) -> Result<Once, String> {
    let values = lengths::rows(192, DIM, CLUSTERS);
    let config = KMeansConfig {
        clusters: CLUSTERS,
        restarts: 10,
        ..KMeansConfig::default()
    };
    Ok(Box::new(move || {
        if let Ok(rows) = Rows::new(&values, DIM) {
            keep(config.fit(rows, 1));
        }
    }))
}

/// Clusters, centre k the first row of its kind.
pub(crate) fn clusters(count: usize, dim: usize) -> Clusters {
    Clusters {
        dim,
        centers: lengths::rows(count, dim, count),
        bins: (0..count).map(|cluster| cluster % 7).collect(),
        metric: (0..count).collect(),
    }
}

/// L_MMC of some rows.
pub(crate) struct Mmc {
    rows: TensorData,
    bins: Vec<usize>,
    assignment: Vec<usize>,
    fields: Vec<Vec<usize>>,
    clusters: Clusters,
    metric: MultiMetric,
    device: Device,
}

impl Mmc {
    pub(crate) fn new(
        device: &Device,
        count: usize,
        clusters: usize,
        dim: usize,
    ) -> Result<Self, String> {
        let device = device.clone().autodiff();
        let values = lengths::rows(count, dim, clusters);
        let metric = MultiMetricConfig {
            dim,
            clusters,
            ridge: 0.01,
        };
        let clusters = self::clusters(clusters, dim);
        let rows = Rows::new(&values, dim).map_err(|error| error.to_string())?;
        let assignment = assign(rows, &clusters.centers);
        let field = ReceptiveField::Nearest(32);
        Ok(Self {
            fields: receptive_fields(rows, &clusters.centers, &assignment, field),
            bins: (0..count).map(|row| row % 7).collect(),
            rows: TensorData::new(values, [count, dim]),
            metric: metric.init(&device),
            assignment,
            clusters,
            device,
        })
    }

    /// Forward and backward.
    pub(crate) fn once(&self) {
        let rows = Tensor::<2>::from_data(self.rows.clone(), &self.device).require_grad();
        let loss = MmcLossConfig::default().forward(
            rows,
            &self.bins,
            &self.assignment,
            &self.fields,
            &self.clusters,
            &self.metric,
            1,
        );
        keep(loss.map(|loss| loss.total.backward()));
    }
}

fn mmc(device: &Device, count: usize) -> Result<Once, String> {
    let mmc = Mmc::new(device, count, CLUSTERS, DIM)?;
    Ok(Box::new(move || mmc.once()))
}

/// A word of small letters for each number.
pub(crate) fn word(id: u64) -> String {
    let mut letters = String::new();
    let mut rest = id;
    while rest > 0 || letters.len() < 2 {
        letters.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    letters
}

/// A vocabulary of the special tokens, single letters and so many words.
pub(crate) fn vocabulary(words: u64) -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
    let pieces = (b'a'..=b'z').map(|letter| format!("##{}", char::from(letter)));
    let words = (0..words).map(word);
    special
        .into_iter()
        .chain(letters)
        .chain(pieces)
        .chain(words)
        .collect()
}

/// The folder of what both sides read, which is removed in the end.
pub(crate) fn scratch() -> Result<PathBuf, String> {
    let folder = scratch_path();
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Removes what [`scratch`] has made, as far as it can be.
pub(crate) fn remove_scratch() {
    let _ = std::fs::remove_dir_all(scratch_path());
}

fn scratch_path() -> PathBuf {
    std::env::temp_dir().join(format!("mmrest-bench-{}", std::process::id()))
}

/// 23,000 texts of pieces of a vocabulary of BERT's size, written where both sides read them.
pub(crate) fn tokenizer_files() -> Result<[PathBuf; 2], String> {
    let folder = scratch()?;
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut mix = lengths::Mix(11);
    let texts: Vec<String> = lengths::tokens(23_000, 12)
        .into_iter()
        .map(|length| {
            let words = (0..length).map(|_| word(mix.next() % 60_000));
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let files = [folder.join("texts.txt"), folder.join("vocab.txt")];
    std::fs::write(&files[0], texts.join("\n")).map_err(wrong)?;
    std::fs::write(&files[1], vocabulary(30_000).join("\n")).map_err(wrong)?;
    Ok(files)
}

fn tokenize(_: &Device) -> Result<Once, String> {
    let [texts, vocabulary] = tokenizer_files()?;
    let text = std::fs::read_to_string(&texts).map_err(|error| error.to_string())?;
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    let tokenizer = Tokenizer::from_vocab(&vocabulary, TokenizerOptions::default())
        .map_err(|error| error.to_string())?;
    Ok(Box::new(move || keep(tokenizer.encode_all(&texts, 50))))
}

/// Recordings for both sides: gliding tones and noise, 16 bits at the features' own sample rate.
pub(crate) fn sound_files() -> Result<[PathBuf; 8], String> {
    let folder = scratch()?;
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let rate = FeatureSet::Sims33.parameters().sample_rate;
    let files = std::array::from_fn(|number| folder.join(format!("{number}.wav")));
    for (number, file) in files.iter().enumerate() {
        let noise = lengths::noise(10 * rate as usize, 13 + number as u64);
        let mut phase = 0.0_f32;
        let mut bytes = b"RIFF".to_vec();
        let size = 2 * noise.len() as u32;
        bytes.extend((36 + size).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        bytes.extend([rate, 2 * rate].map(u32::to_le_bytes).as_flattened());
        bytes.extend(b"\x02\0\x10\0data");
        bytes.extend(size.to_le_bytes());
        for (i, noise) in noise.into_iter().enumerate() {
            phase += 0.03 + 0.01 * number as f32 + i as f32 * 1e-7;
            bytes.extend(((phase.sin() * 8_000.0 + noise * 1_000.0) as i16).to_le_bytes());
        }
        std::fs::write(file, bytes).map_err(wrong)?;
    }
    Ok(files)
}

fn sims33(_: &Device) -> Result<Once, String> {
    let files = sound_files()?;
    let features = |path: &std::path::PathBuf| -> Result<_, MediaError> {
        let mut reader = AudioReader::open(path)?;
        let mut samples = Vec::new();
        while let Some(block) = reader.next_block()? {
            samples.extend(block);
        }
        Ok(FeatureSet::Sims33.compute(&samples))
    };
    features(&files[0]).map_err(|error| error.to_string())?;
    Ok(Box::new(move || {
        keep(files.par_iter().map(features).collect::<Vec<_>>());
    }))
}
