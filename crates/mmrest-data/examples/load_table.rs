//! Loads a table of texts and labels, counts what is wrong with it, and prints its segments.
//!
//! `cargo run --release --example load_table`

use std::error::Error;

use mmrest_data::{DataConfig, Kind, Modality, load};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let table = "video_id,clip_id,text,label,mode\n\
                 a,0,a wonderful film,2.4,train\n\
                 a,1,hardly worth the time,-1.6,train\n\
                 b,0,I have seen better,-3.4,valid\n\
                 c,0,go and see it,3.0,test\n";
    std::fs::write(folder.path().join("label.csv"), table)?;
    let config = DataConfig {
        kind: Kind::Table,
        dir: ".".into(),
        table: Some("label.csv".into()),
        modalities: vec![Modality::Text],
        ..DataConfig::default()
    };
    let data = load(&config, folder.path())?;
    println!("{}", data.report);
    for (split, segments) in [("train", &data.train), ("valid", &data.valid), ("test", &data.test)] {
        for segment in segments {
            println!("{split:<6}{:<6}{:>5?}  {}", segment.id, segment.label, segment.text);
        }
    }
    Ok(())
}
