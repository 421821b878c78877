//! Writes the small valid inputs that the targets begin with: `corpus/TARGET/NUMBER`.

use std::path::Path;

use mmrest_fuzz::folder;
use mmrest_mutation::seed;

fn main() {
    let scratch = folder("corpus");
    write(&[
        ("csd", seed::csd(&scratch)),
        ("packed", seed::packed(&scratch)),
        ("pickle", seed::pickle()),
        ("release", seed::release()),
        ("table", seed::table()),
        ("recording", seed::recordings()),
        ("transcript", seed::transcripts()),
        ("features", seed::features()),
        ("segments", seed::segments()),
    ]);
    #[cfg(feature = "models")]
    write(&[
        ("config", seed::config()),
        ("lines", seed::lines()),
        ("bert", mmrest_fuzz::numbered("bert")),
        ("model", mmrest_fuzz::numbered("model")),
        ("checkpoint", mmrest_fuzz::numbered("checkpoint")),
    ]);
}

fn write(targets: &[(&str, Vec<Vec<u8>>)]) {
    for (target, inputs) in targets {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        std::fs::create_dir_all(&corpus).expect("a folder");
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(corpus.join(number.to_string()), input).expect("a file");
        }
        println!("{}: {} inputs", corpus.display(), inputs.len());
    }
}
