//! The tiny BERT of `fixtures/make_tiny_bert.py`, every number of it, and a plain implementation in f64.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

pub const CONFIG: &str = r#"{
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 12, "hidden_size": 8,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 10,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0, "use_cache": true
}"#;

/// Names and values in the canonical spelling, in the order of the script.
pub fn tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    for (table, rows) in [("word", 12), ("position", 10), ("token_type", 2)] {
        shapes.push((
            format!("embeddings.{table}_embeddings.weight"),
            vec![rows, 8],
        ));
    }
    let mut both = |name: String, weight: &[usize]| {
        shapes.push((format!("{name}.weight"), weight.to_vec()));
        shapes.push((format!("{name}.bias"), weight[..1].to_vec()));
    };
    both("embeddings.LayerNorm".into(), &[8]);
    for layer in 0..2 {
        let at = format!("encoder.layer.{layer}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            both(format!("{at}.attention.{part}"), &[8, 8]);
        }
        both(format!("{at}.attention.output.LayerNorm"), &[8]);
        both(format!("{at}.intermediate.dense"), &[12, 8]);
        both(format!("{at}.output.dense"), &[8, 12]);
        both(format!("{at}.output.LayerNorm"), &[8]);
    }
    let value = |t: usize, k: usize| (((t * 131 + k * 7919) % 1009) as f64 / 1009.0 - 0.5) as f32;
    let fill = |(t, (name, shape)): (usize, (String, Vec<usize>))| {
        let count = shape.iter().product();
        (name, shape, (0..count).map(|k| value(t, k)).collect())
    };
    shapes.into_iter().enumerate().map(fill).collect()
}

/// The tiny BERT as an MPNet: without token types, with a bias of eight buckets.
pub const MPNET_CONFIG: &str = r#"{
    "model_type": "mpnet", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "relative_attention_num_buckets": 8
}"#;

/// The tensors of [`MPNET_CONFIG`], in MPNet's names.
pub fn mpnet_tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let names = [
        ("attention.self.query", "attention.attn.q"),
        ("attention.self.key", "attention.attn.k"),
        ("attention.self.value", "attention.attn.v"),
        ("attention.output.dense", "attention.attn.o"),
        ("attention.output.LayerNorm", "attention.LayerNorm"),
    ];
    let rename = |name: &str| {
        names
            .iter()
            .fold(name.to_owned(), |name, (of, to)| name.replace(of, to))
    };
    let value = |k: usize| ((k * 37 % 17) as f32 - 8.0) / 4.0;
    let mut tensors = vec![(
        "encoder.relative_attention_bias.weight".to_owned(),
        vec![8, 2],
        (0..16).map(value).collect(),
    )];
    for (name, shape, mut values) in self::tensors() {
        if name.contains("token_type") {
            continue;
        }
        let mut shape = shape;
        if name.contains("position") {
            // Two rows for padding stand before the others.
            shape[0] += 2;
            values.splice(0..0, [9.0; 16]);
        }
        tensors.push((rename(&name), shape, values));
    }
    tensors
}

/// Writes tensors as a safetensors file.
pub fn write_safetensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (
            name.clone(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// BERT in plain loops over one sequence, in f64.
pub struct Naive {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    heads: usize,
    activation: fn(f64) -> f64,
}

pub type Rows = Vec<Vec<f64>>;

impl Naive {
    pub fn new(
        tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
        heads: usize,
        activation: fn(f64) -> f64,
    ) -> Self {
        let wide = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
            (name, (shape, values.into_iter().map(f64::from).collect()))
        };
        Self {
            tensors: tensors.into_iter().map(wide).collect(),
            heads,
            activation,
        }
    }

    fn row(&self, table: &str, row: usize) -> &[f64] {
        let (shape, values) = &self.tensors[&format!("embeddings.{table}_embeddings.weight")];
        &values[row * shape[1]..(row + 1) * shape[1]]
    }

    fn linear(&self, at: &str, x: &Rows) -> Rows {
        let (shape, weight) = &self.tensors[&format!("{at}.weight")];
        let bias = &self.tensors[&format!("{at}.bias")].1;
        let dot = |x: &[f64], out: usize| -> f64 {
            x.iter()
                .zip(&weight[out * shape[1]..])
                .map(|(a, b)| a * b)
                .sum::<f64>()
                + bias[out]
        };
        x.iter()
            .map(|x| (0..shape[0]).map(|out| dot(x, out)).collect())
            .collect()
    }

    fn norm(&self, at: &str, x: &Rows) -> Rows {
        let (gamma, beta) = (
            &self.tensors[&format!("{at}.weight")].1,
            &self.tensors[&format!("{at}.bias")].1,
        );
        let one = |x: &Vec<f64>| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let scaled = x.iter().map(|v| (v - mean) / (variance + 1e-12).sqrt());
            scaled
                .zip(gamma.iter().zip(beta))
                .map(|(v, (g, b))| v * g + b)
                .collect()
        };
        x.iter().map(one).collect()
    }

    fn attention(&self, at: &str, x: &Rows) -> Rows {
        let [query, key, value] = self
            .names()
            .map(|part| self.linear(&format!("{at}.{part}"), x));
        let size = query[0].len() / self.heads;
        let mut joined = vec![vec![0.0; query[0].len()]; x.len()];
        let relative = self.tensors.get("encoder.relative_attention_bias.weight");
        for (head, to) in (0..self.heads).flat_map(|head| (0..x.len()).map(move |to| (head, to))) {
            let columns = head * size..(head + 1) * size;
            let bias = |from: usize| match relative {
                Some((shape, table)) => table[bucket(from, to, shape[0]) * shape[1] + head],
                None => 0.0,
            };
            let score = |(place, from): (usize, &Vec<f64>)| {
                let dot: f64 = query[to][columns.clone()]
                    .iter()
                    .zip(&from[columns.clone()])
                    .map(|(a, b)| a * b)
                    .sum();
                (dot / (size as f64).sqrt() + bias(place)).exp()
            };
            let scores: Vec<f64> = key.iter().enumerate().map(score).collect();
            let total: f64 = scores.iter().sum();
            for (from, score) in scores.iter().enumerate() {
                for column in columns.clone() {
                    joined[to][column] += score / total * value[from][column];
                }
            }
        }
        let output = if self.is_mpnet() {
            "attn.o"
        } else {
            "output.dense"
        };
        self.linear(&format!("{at}.{output}"), &joined)
    }

    fn is_mpnet(&self) -> bool {
        self.tensors
            .contains_key("encoder.relative_attention_bias.weight")
    }

    fn names(&self) -> [&str; 3] {
        if self.is_mpnet() {
            ["attn.q", "attn.k", "attn.v"]
        } else {
            ["self.query", "self.key", "self.value"]
        }
    }

    /// `[tokens][hidden]` of one sequence.
    pub fn forward(&self, ids: &[u32]) -> Rows {
        self.states(ids).pop().unwrap()
    }

    /// The embeddings, then the states after each layer.
    pub fn states(&self, ids: &[u32]) -> Vec<Rows> {
        let add = |a: &Rows, b: &Rows| -> Rows {
            a.iter()
                .zip(b)
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
                .collect()
        };
        let first = if self.is_mpnet() { 2 } else { 0 };
        let none = [0.0; 8];
        let embed = |(position, id): (usize, &u32)| {
            let (word, place, kind) = (
                self.row("word", *id as usize),
                self.row("position", first + position),
                if self.is_mpnet() {
                    &none[..]
                } else {
                    self.row("token_type", 0)
                },
            );
            word.iter()
                .zip(place)
                .zip(kind)
                .map(|((a, b), c)| a + b + c)
                .collect()
        };
        let mut x = self.norm(
            "embeddings.LayerNorm",
            &ids.iter().enumerate().map(embed).collect(),
        );
        let mut states = vec![x.clone()];
        for layer in 0..2 {
            let at = format!("encoder.layer.{layer}");
            let attended = add(&x, &self.attention(&format!("{at}.attention"), &x));
            let norm = if self.is_mpnet() {
                "LayerNorm"
            } else {
                "output.LayerNorm"
            };
            let attended = self.norm(&format!("{at}.attention.{norm}"), &attended);
            let wide = self.linear(&format!("{at}.intermediate.dense"), &attended);
            let wide = wide
                .into_iter()
                .map(|row| row.into_iter().map(self.activation).collect())
                .collect();
            x = self.norm(
                &format!("{at}.output.LayerNorm"),
                &add(
                    &attended,
                    &self.linear(&format!("{at}.output.dense"), &wide),
                ),
            );
            states.push(x.clone());
        }
        states
    }
}

/// MPNet's bucket of the distance between a key and a query.
fn bucket(key: usize, query: usize, buckets: usize) -> usize {
    let (side, far) = (buckets / 2, key.abs_diff(query));
    let exact = side / 2;
    let far = if far < exact {
        far
    } else {
        let scale = (far as f64 / exact as f64).ln() / (128.0 / exact as f64).ln();
        (exact + (scale * (side - exact) as f64) as usize).min(side - 1)
    };
    far + if key > query { side } else { 0 }
}

/// The exact GELU, its error function by the series (good for the small numbers here).
pub fn gelu(x: f64) -> f64 {
    let z = x / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        term *= -z * z / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

pub fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

pub fn relu(x: f64) -> f64 {
    x.max(0.0)
}
