//! Searches over keys of the configuration, judged by validation alone: grid, random, successive halving.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use toml::{Table, Value};

use super::file::{check_name, in_name};
use super::plan::Overrides;

/// How often a point is drawn again that was drawn before, at most, for each point that is wanted.
const DRAWS_PER_SAMPLE: usize = 100;

/// `[[search]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchEntry {
    /// How points are found and judged.
    pub(crate) method: Method,
    /// What is expected of it.
    #[serde(default)]
    pub(crate) note: String,
    /// The number of points; of a grid all.
    #[serde(default)]
    samples: Option<usize>,
    /// Seed of the points.
    #[serde(default = "one")]
    seed: u64,
    /// Of halving: epochs of the first round.
    #[serde(default)]
    epochs: Option<usize>,
    /// Of halving: one in this many points goes on, with this many times the epochs.
    #[serde(default)]
    factor: Option<usize>,
    /// Points that are left out, by name: those that can never run.
    #[serde(default)]
    pub(super) skip: Vec<String>,
    /// Keys with their values: a list, or a range `{ low, high }`, with `log = true` on a logarithmic scale.
    space: Table,
}

fn one() -> u64 {
    1
}

/// How points are found and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// Every combination of the listed values.
    Grid,
    /// Points drawn at random.
    Random,
    /// Random points that are trained for a few epochs, of which the best go on for longer, and so on (Jamieson and
    /// Talwalkar 2016).
    Halving,
}

/// The values that a key may have.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    List(Vec<Value>),
    Range(Range),
}

/// `{ low, high, log }`; of whole numbers where both ends are.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    low: Number,
    high: Number,
    #[serde(default)]
    log: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

/// A search of a plan: the variants that are its points, and how it goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    /// Names of the variants.
    pub(crate) points: Vec<String>,
    /// Its rounds, where it is by halving.
    pub(crate) halving: Option<Halving>,
    pub(crate) note: String,
}

/// The rounds of successive halving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halving {
    epochs: usize,
    factor: usize,
}

impl SearchEntry {
    /// Checks what can be checked without a configuration.
    pub(super) fn check(&self) -> Result<()> {
        let values = self.values()?;
        if values.is_empty() {
            bail!("a [[search]] has no key in its space");
        }
        let wants = |what: &str| anyhow!("a search by {} needs {what}", self.method.name());
        let has_none = |what: &str| anyhow!("a search by {} has no {what}", self.method.name());
        match self.method {
            Method::Grid => {
                for (key, values) in &values {
                    if matches!(values, Values::Range(_)) {
                        bail!("the grid over {key} needs a list of values, not a range");
                    }
                }
                if self.samples.is_some() {
                    return Err(has_none("samples: it has every combination"));
                }
            }
            Method::Random | Method::Halving => {
                if self.samples.is_none_or(|samples| samples == 0) {
                    return Err(wants("samples, the number of its points"));
                }
            }
        }
        match self.method {
            Method::Halving if self.epochs.is_none_or(|epochs| epochs == 0) => {
                return Err(wants("epochs, those of its first round"));
            }
            Method::Grid | Method::Random if self.epochs.or(self.factor).is_some() => {
                return Err(has_none("epochs and no factor: those are of halving"));
            }
            _ => {}
        }
        if self.factor.is_some_and(|factor| factor < 2) {
            bail!("the factor of a halving must be at least 2: one point in so many goes on");
        }
        Ok(())
    }

    /// The rounds, where it is by halving.
    pub(super) fn halving(&self) -> Option<Halving> {
        let epochs = self.epochs.filter(|_| self.method == Method::Halving)?;
        let factor = self.factor.unwrap_or(3);
        Some(Halving { epochs, factor })
    }

    /// The points: the name of each and what it sets.
    pub(super) fn points(&self) -> Result<Vec<(String, Overrides)>> {
        let values = self.values()?;
        let points = match self.method {
            Method::Grid => grid(&values),
            Method::Random | Method::Halving => self.drawn(&values),
        };
        let keys: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        let short = short_names(&keys);
        let named = points.into_iter().map(|point| {
            let parts = point
                .iter()
                .zip(&short)
                .map(|((key, value), short)| Ok(format!("{short}={}", in_name(key, value)?)));
            let name = parts.collect::<Result<Vec<_>>>()?.join("+");
            check_name(&name)?;
            Ok((name, point))
        });
        named.collect()
    }

    fn values(&self) -> Result<Vec<(String, Values)>> {
        let mut found = Vec::new();
        values_in("", &self.space, &mut found)?;
        Ok(found)
    }

    /// Different points, drawn at random.
    fn drawn(&self, values: &[(String, Values)]) -> Vec<Overrides> {
        let samples = self.samples.unwrap_or(0);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let (mut points, mut known) = (Vec::new(), BTreeSet::new());
        for _ in 0..samples.saturating_mul(DRAWS_PER_SAMPLE) {
            if points.len() == samples {
                break;
            }
            let point: Overrides = values
                .iter()
                .map(|(key, values)| (key.clone(), values.draw(&mut random)))
                .collect();
            if known.insert(format!("{point:?}")) {
                points.push(point);
            }
        }
        points
    }
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Halving => "halving",
        }
    }
}

/// Adds the keys at or below `key`, dotted, with their values.
fn values_in(key: &str, table: &Table, found: &mut Vec<(String, Values)>) -> Result<()> {
    for (name, value) in table {
        let key = match key {
            "" => name.clone(),
            _ => format!("{key}.{name}"),
        };
        match value {
            Value::Array(list) if list.is_empty() => bail!("the search over {key} has no values"),
            Value::Array(list) => found.push((key, Values::List(list.clone()))),
            Value::Table(range) if range.contains_key("low") || range.contains_key("high") => {
                let range: Range = Value::Table(range.clone()).try_into().map_err(|_| {
                    anyhow!(
                        "the search over {key}: give numbers low and high, and perhaps log = true"
                    )
                })?;
                range.check(&key)?;
                found.push((key, Values::Range(range)));
            }
            Value::Table(inner) => values_in(&key, inner, found)?,
            other => bail!(
                "the search over {key}: expected a list of values or a range {{ low, high }}, found {other}"
            ),
        }
    }
    Ok(())
}

impl Values {
    fn draw(&self, random: &mut ChaCha8Rng) -> Value {
        match self {
            Self::List(list) => list[random.random_range(0..list.len())].clone(),
            Self::Range(range) => range.draw(random),
        }
    }
}

impl Range {
    fn check(&self, key: &str) -> Result<()> {
        let (low, high) = (self.low.value(), self.high.value());
        if !(low < high && low.is_finite() && high.is_finite()) {
            bail!("the search over {key}: low must be below high");
        }
        if self.log && low <= 0.0 {
            bail!("the search over {key}: low must be above 0 on a logarithmic scale");
        }
        Ok(())
    }

    /// A value of four significant digits, so that its name is all of it; or a whole number.
    fn draw(&self, random: &mut ChaCha8Rng) -> Value {
        let at: f64 = random.random_range(0.0..1.0);
        let whole = match (self.low, self.high) {
            (Number::Whole(low), Number::Whole(high)) => Some((low, high)),
            _ => None,
        };
        // Every whole number of the range has the same share of it.
        let (low, high) = match whole {
            Some((low, high)) => (low as f64 - 0.5, high as f64 + 0.5),
            None => (self.low.value(), self.high.value()),
        };
        let value = if self.log {
            let low = if low > 0.0 { low } else { self.low.value() };
            low * (high / low).powf(at)
        } else {
            low + at * (high - low)
        };
        match whole {
            Some((low, high)) => Value::Integer((value.round() as i64).clamp(low, high)),
            None => Value::Float(format!("{value:.3e}").parse().unwrap_or(value)),
        }
    }
}

/// Every combination, the last key changing fastest.
fn grid(values: &[(String, Values)]) -> Vec<Overrides> {
    let mut points = vec![Overrides::new()];
    for (key, values) in values {
        let Values::List(list) = values else { continue };
        points = points
            .into_iter()
            .flat_map(|point| {
                list.iter().map(move |value| {
                    let mut point = point.clone();
                    point.push((key.clone(), value.clone()));
                    point
                })
            })
            .collect();
    }
    points
}

/// The last parts of keys, where those tell them apart.
fn short_names<'a>(keys: &[&'a str]) -> Vec<&'a str> {
    let last: Vec<&str> = keys
        .iter()
        .map(|key| key.rsplit_once('.').map_or(*key, |(_, last)| last))
        .collect();
    let different: BTreeSet<&&str> = last.iter().collect();
    if different.len() == last.len() {
        last
    } else {
        keys.to_vec()
    }
}

/// How far a halving has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// The points that are in the running.
    pub(crate) left: Vec<String>,
    /// Epochs that they are to reach; none for all.
    pub(crate) until: Option<usize>,
    /// Whether all of them are there.
    pub(crate) reached: bool,
}

impl Halving {
    /// How far it has come. `epochs`: how many a run has at most. `errors`: of each point and each of its runs the
    /// validation errors by epoch, and whether the run is finished; a point whose run failed has no runs.
    pub(crate) fn standing(
        self,
        points: &[String],
        epochs: usize,
        errors: &BTreeMap<String, Vec<(Vec<f64>, bool)>>,
    ) -> Standing {
        let runs = |point: &String| errors.get(point).map_or(&[][..], Vec::as_slice);
        let alive = points.iter().filter(|point| !runs(point).is_empty());
        let mut left: Vec<String> = alive.cloned().collect();
        let mut until = self.epochs;
        while left.len() > 1 && until < epochs {
            let reached = |point: &String| {
                let mut runs = runs(point).iter();
                runs.all(|(errors, finished)| *finished || errors.len() >= until)
            };
            if !left.iter().all(reached) {
                return Standing {
                    left,
                    until: Some(until),
                    reached: false,
                };
            }
            let score = |point: &String| {
                let best = runs(point).iter().map(|(errors, _)| {
                    let errors = errors.iter().take(until).copied();
                    errors
                        .filter(|error| !error.is_nan())
                        .fold(f64::INFINITY, f64::min)
                });
                best.sum::<f64>() / runs(point).len() as f64
            };
            // A stable order: of equal points the first goes on.
            left.sort_by(|a, b| score(a).total_cmp(&score(b)));
            left.truncate(left.len().div_ceil(self.factor));
            until = until.saturating_mul(self.factor);
        }
        let finished = |point: &String| runs(point).iter().all(|(_, finished)| *finished);
        Standing {
            reached: left.iter().all(finished),
            left,
            until: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<SearchEntry> {
        let entry: SearchEntry = toml::from_str(text)?;
        entry.check()?;
        Ok(entry)
    }

    fn names(text: &str) -> Vec<String> {
        let points = entry(text).unwrap().points().unwrap();
        points.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_grid_has_every_combination() {
        let text = "method = \"grid\"\n[space]\ntrain.learning_rate = [1e-4, 3e-4]\nmodel.mmrest.bias = [true, false]";
        let names = names(text);
        assert_eq!(names.len(), 4);
        assert_eq!(names[0], "bias=true+learning_rate=0.0001");
        assert_eq!(names[1], "bias=true+learning_rate=0.0003");
        let keys = ["a.x", "b.x"];
        assert_eq!(short_names(&keys), keys);
    }

    #[test]
    fn random_points_are_different_in_range_and_repeatable() {
        let text = "method = \"random\"\nsamples = 50\n[space]\na.rate = { low = 1e-5, high = 1e-2, log = true }\n\
                    a.count = { low = 2, high = 9 }\na.word = [\"x\", \"y\"]";
        let points = entry(text).unwrap().points().unwrap();
        assert_eq!(points.len(), 50);
        let mut below = 0;
        for (name, point) in &points {
            let of = |key: &str| {
                point
                    .iter()
                    .find(|(known, _)| known == key)
                    .unwrap()
                    .1
                    .clone()
            };
            let rate = of("a.rate").as_float().unwrap();
            assert!((1e-5..=1e-2).contains(&rate), "{name}");
            below += usize::from(rate < 1e-3);
            assert!(
                (2..=9).contains(&of("a.count").as_integer().unwrap()),
                "{name}"
            );
            assert!(name.contains(&format!("rate={rate}")), "{name}");
        }
        assert!(
            (25..42).contains(&below),
            "two thirds of a logarithmic range: {below}"
        );
        assert_eq!(names(text), names(text));
        assert_ne!(
            names(text),
            names(&text.replace("samples = 50", "samples = 50\nseed = 2"))
        );
        let few = "method = \"random\"\nsamples = 9\n[space]\na = [1, 2]";
        assert_eq!(names(few).len(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_search_is_said() {
        for (text, said) in [
            ("method = \"grid\"\n[space]", "no key"),
            ("method = \"grid\"\n[space]\na = []", "a has no values"),
            (
                "method = \"grid\"\n[space]\na = { low = 1, high = 2 }",
                "needs a list",
            ),
            (
                "method = \"grid\"\nsamples = 3\n[space]\na = [1]",
                "every combination",
            ),
            ("method = \"random\"\n[space]\na = [1]", "needs samples"),
            (
                "method = \"random\"\nsamples = 3\n[space]\na = { low = 2, high = 1 }",
                "low must be below",
            ),
            (
                "method = \"random\"\nsamples = 3\n[space]\na = { low = 0, high = 1, log = true }",
                "above 0",
            ),
            (
                "method = \"random\"\nsamples = 3\n[space]\na = { low = 0, hi = 1 }",
                "low and high",
            ),
            (
                "method = \"random\"\nsamples = 3\n[space]\na = 4",
                "found 4",
            ),
            (
                "method = \"halving\"\nsamples = 3\n[space]\na = [1]",
                "needs epochs",
            ),
            (
                "method = \"halving\"\nsamples = 3\nepochs = 1\nfactor = 1\n[space]\na = [1]",
                "at least 2",
            ),
            (
                "method = \"random\"\nsamples = 3\nepochs = 1\n[space]\na = [1]",
                "are of halving",
            ),
        ] {
            let error = entry(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_halving_keeps_the_best_of_each_round() {
        let halving = Halving {
            epochs: 1,
            factor: 3,
        };
        let points: Vec<String> = ('a'..='i').map(String::from).collect();
        // The later, the better at first; of the last three the earliest at the end.
        let errors = |epochs: usize, finished: bool, of: usize| {
            let curve = |epoch: usize| {
                if epoch == 0 {
                    9.0 - of as f64
                } else {
                    0.1 * of as f64
                }
            };
            vec![((0..epochs).map(curve).collect::<Vec<f64>>(), finished)]
        };
        let mut known = BTreeMap::new();
        for (of, point) in points.iter().enumerate() {
            known.insert(point.clone(), errors(0, false, of));
        }
        let standing = halving.standing(&points, 10, &known);
        assert_eq!(
            (standing.left.len(), standing.until, standing.reached),
            (9, Some(1), false)
        );
        for (of, point) in points.iter().enumerate() {
            known.insert(point.clone(), errors(1, false, of));
        }
        let standing = halving.standing(&points, 10, &known);
        assert_eq!(
            (&standing.left[..], standing.until),
            (&["i", "h", "g"].map(String::from)[..], Some(3))
        );
        for (of, point) in points.iter().enumerate().skip(6) {
            known.insert(point.clone(), errors(3, false, of));
        }
        let standing = halving.standing(&points, 10, &known);
        assert_eq!(
            (&standing.left[..], standing.until),
            (&["g".to_string()][..], None)
        );
        assert!(!standing.reached);
        known.insert("g".into(), errors(10, true, 6));
        assert!(halving.standing(&points, 10, &known).reached);
        // A point whose run failed is out.
        known.insert("i".into(), Vec::new());
        let standing = halving.standing(&points, 10, &known);
        assert!(!standing.left.contains(&"i".to_string()));
    }
}
