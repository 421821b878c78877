//! `export --safetensors`, and the model card.

use burn::tensor::Device;
use mmrest_encoders::{Bert, PackedTokens, Tokenizer};

use crate::common::{Fixture, fail_with, stdout, succeed_with};
use crate::python::{has, script};

/// A trained run with its text encoder in `encoder/` and the encoder's output for one text.
fn exported(fixture: &Fixture) -> Vec<f32> {
    succeed_with(&mut fixture.train("run", &["--quiet", "--epochs", "2"]));
    let [run, encoder, line, table] =
        ["run", "encoder", "line.jsonl", "table.csv"].map(|name| fixture.arg(name));
    let export = ["export", &run, "--safetensors", &encoder];
    let told = succeed_with(fixture.program().args(export));
    assert_eq!(stdout(&told).trim(), encoder);
    // Once more: what is there is of a text encoder alone.
    succeed_with(fixture.program().args(export));
    std::fs::write(&line, "{\"id\": \"a\", \"text\": \"a wonderful film\"}\n").unwrap();
    let predict = ["predict", &run, "--input", &line, "--embeddings", &table];
    succeed_with(fixture.program().args(predict));
    let text = fixture.read("table.csv");
    let (header, row) = text.split_once('\n').unwrap();
    let cells = header.split(',').zip(row.trim().split(','));
    cells
        .filter(|(name, _)| name.starts_with("text_encoder_output_"))
        .map(|(_, cell)| cell.parse().unwrap())
        .collect()
}

#[test]
fn a_text_encoder_is_exported_as_transformers_loads_it() {
    let fixture = Fixture::small();
    let expected = exported(&fixture);
    let folder = fixture.path("encoder");
    let (bert, _) = Bert::load_dir(&folder, &Device::flex()).unwrap();
    let ids = Tokenizer::from_dir(&folder)
        .unwrap()
        .encode("a wonderful film", 50);
    let first = bert.forward_first(&PackedTokens::from_sequences(std::slice::from_ref(&ids)));
    let first: Vec<f32> = first.into_data().try_to_vec().unwrap();
    assert_eq!(first.len(), expected.len());
    for (first, expected) in first.iter().zip(&expected) {
        assert!((first - expected).abs() < 1e-5, "{first} {expected}");
    }

    let other = fixture.arg("sample");
    let run = fixture.arg("run");
    let told = fail_with(
        fixture
            .program()
            .args(["export", &run, "--safetensors", &other]),
    );
    assert!(told.contains("no part of a text encoder"), "{told}");

    if !has(&["transformers", "torch"], "AutoModel") {
        return;
    }
    let load = "import json, sys, torch\n\
        from transformers import AutoModel, AutoTokenizer\n\
        ids, expected = json.loads(sys.argv[1])\n\
        model, info = AutoModel.from_pretrained('encoder', output_loading_info=True, add_pooling_layer=False)\n\
        assert not info['missing_keys'] and not info['unexpected_keys'], info\n\
        tokens = AutoTokenizer.from_pretrained('encoder')('a wonderful film', return_tensors='pt')\n\
        assert tokens['input_ids'][0].tolist() == ids, (tokens, ids)\n\
        with torch.no_grad():\n    first = model.eval()(**tokens).last_hidden_state[0, 0]\n\
        print(float((first - torch.tensor(expected)).abs().max()))\n";
    let arguments = serde_json::to_string(&(ids, expected)).unwrap();
    let printed = script(&fixture.path(""), load, &[&arguments]);
    let largest: f64 = printed.trim().parse().unwrap();
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn a_model_has_a_card() {
    let fixture = Fixture::small();
    for model in ["mmrest", "tfn"] {
        let name = format!("model.name={model}");
        let train = ["--quiet", "--epochs", "1", "--set", &name];
        succeed_with(&mut fixture.train(model, &train));
        let card = fixture.read(&format!("{model}/model/README.md"));
        let record = fixture.json(&format!("{model}/run.json"));
        for file in record["data_files"].as_array().unwrap() {
            assert!(card.contains(file["sha256"].as_str().unwrap()), "{card}");
        }
        let metrics = fixture.json(&format!("{model}/metrics.json"));
        let mae = metrics["test"]["mae"].as_f64().unwrap();
        for part in [
            "---\nlibrary_name: mmrest\n",
            &format!("    - type: mae\n      value: {mae}\n"),
            &format!(
                "| `mae` | {:.4} |",
                metrics["valid"]["mae"].as_f64().unwrap()
            ),
            "## Limits",
            "## Licences",
            "text, vision, audio",
        ] {
            assert!(card.contains(part), "{part}\n{card}");
        }
        assert!(!card.contains(fixture.path("").to_str().unwrap()), "{card}");
        if has(&["yaml"], "the card's front matter") {
            let read = "import sys, yaml\n\
                front = yaml.safe_load(open(sys.argv[1]).read().split('---\\n')[1])\n\
                results = front['model-index'][0]['results'][0]\n\
                print(results['metrics'][0]['type'], front['license'])\n";
            let card = fixture.arg(&format!("{model}/model/README.md"));
            assert_eq!(script(&fixture.path(""), read, &[&card]), "mae other\n");
        }
    }
}
