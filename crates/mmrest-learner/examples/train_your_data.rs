//! Trains on three-modality data of your own: `cargo run --release --example train_your_data`
use mmrest_data::packed::{About, PackedWriter};
use mmrest_data::{Frames, Segment, Split, Widths};
use mmrest_learner::run::{RunOptions, default_folder, train};

const VOCAB: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] awful bad poor plain fine good superb";
const CONFIG: &str = "data = { kind = 'packed', dir = '.', file = 'mine.h5' }
    text = { bert = '.', from_scratch = true } # or bert = the folder of a pretrained one
    train = { epochs = 15, learning_rate = 1e-3, text_learning_rate = 1e-3 }";
const BERT: &str = "{\"hidden_size\": 32, \"num_hidden_layers\": 1, \"num_attention_heads\": 4}";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?.keep(); // or a folder of yours
    std::env::set_current_dir(&root)?;
    let (vision, audio) = (3, 2); // features a frame
    let mut set = PackedWriter::create("mine.h5".as_ref(), Widths { vision, audio }, true)?;
    for i in 0..160 {
        let class = i * 3 % 7; // your segments: a text, frames of features, a label in -3 to 3
        let frames = |width| Frames::new(vec![class as f32; 4 * width], width);
        let segment = Segment {
            id: format!("segment {i}"),
            video: format!("video {i}"),
            text: VOCAB.split(' ').nth(5 + class).unwrap_or_default().into(),
            vision: frames(vision),
            audio: frames(audio),
            label: Some(class as f32 - 3.0),
        };
        let split = [Split::Train, Split::Valid, Split::Train, Split::Test][i % 4];
        set.push(split, &segment)?;
    }
    set.finish(About::default())?;
    std::fs::write("config.json", BERT)?; // of a BERT that starts from scratch
    std::fs::write("vocab.txt", VOCAB.replace(' ', "\n"))?;
    let options = RunOptions::new(default_folder(&root, "mine", 1), root);
    train(&mmrest_learner::Config::parse(CONFIG, &[])?, &options)?;
    println!("run {}", options.folder.path().display());
    print!("{}", std::fs::read_to_string(options.folder.predictions())?);
    Ok(())
}
