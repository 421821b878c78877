//! Writes the small valid inputs that the targets begin with: `corpus/TARGET/NUMBER`.

use std::path::Path;

use mmrest_fuzz::{folder, numbered};
use mmrest_mutation::seed;

fn main() {
    let scratch = folder("corpus");
    for (target, inputs) in [
        ("csd", seed::csd(&scratch)),
        ("packed", seed::packed(&scratch)),
        ("pickle", seed::pickle()),
        ("release", seed::release()),
        ("table", seed::table()),
        ("config", seed::config()),
        ("lines", seed::lines()),
        ("bert", numbered("bert")),
        ("model", numbered("model")),
        ("checkpoint", numbered("checkpoint")),
    ] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&corpus).expect("a folder");
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(corpus.join(number.to_string()), input).expect("a file");
        }
        println!("{}: {} inputs", corpus.display(), inputs.len());
    }
}
