//! Applies a study to one configuration: which variants are run, which are not, and why.

use anyhow::{Result, anyhow, bail};
use mmrest_data::{DataConfig, FramesOf, Kind, Modality};
use mmrest_learner::Config;
use mmrest_learner::config::{ModelConfig, closest};
use toml::Value;

use super::file::{PublishedEntry, StudyFile, SweepEntry, VariantEntry, overrides};
use super::search::Search;
use crate::project::ConfigFile;

/// Dotted keys with their values.
pub(crate) type Overrides = Vec<(String, Value)>;

/// Keys that only the study sets, with the reason.
const KEPT: [(&str, &str); 4] = [
    ("seed", "every variant is trained with the study's seeds"),
    ("train.selection", "a study chooses models by validation"),
    (
        "train.record_test",
        "the study decides when the test split is looked at",
    ),
    ("data.fold", "folds are asked for by --folds"),
];

/// A study applied to one configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The variants to run, the file's first, then the sweeps'.
    pub(crate) variants: Vec<Variant>,
    /// Name of the variant that the others are compared with.
    pub(crate) reference: String,
    /// Variants that are the same configuration as another.
    pub(crate) same: Vec<Same>,
    /// Variants that this configuration has no data for.
    pub(crate) skipped: Vec<Skipped>,
    /// Keys that are varied one at a time.
    pub(crate) sweeps: Vec<Sweep>,
    /// Keys that are searched together.
    pub(crate) searches: Vec<Search>,
    /// Published figures on this configuration's data.
    pub(crate) published: Vec<PublishedEntry>,
}

/// A variant to run.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) note: String,
    /// What it changes.
    pub(crate) set: Overrides,
    /// All it is, but for the seed.
    pub(crate) config: Config,
}

/// A variant that another already is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Same {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The other's name.
    pub(crate) variant: String,
}

/// A variant that is not run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// A key and the variants that its values are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sweep {
    pub(crate) key: String,
    pub(crate) symbol: String,
    pub(crate) note: String,
    /// Value as it is written, name of the variant that has it.
    pub(crate) points: Vec<(String, String)>,
}

impl Plan {
    /// What `study` comes to for the configuration in `file`, with `common` overrides for every variant. Where several
    /// set a key, the variant wins over `common`, that over the study's `base`, and that over the file.
    pub(crate) fn make(study: &StudyFile, file: &ConfigFile, common: &Overrides) -> Result<Self> {
        let mut below = overrides(&study.base);
        below.extend(common.iter().cloned());
        check_keys("base and --set", &below)?;
        // What a search goes by is validation.
        let record_test = study.searches.is_empty();
        let resolve = |set: &Overrides| resolve(file, &below, set, record_test);
        let own = resolve(&Vec::new())?;
        // A variant of another model is trained by that model's recipe, not by the one in the file.
        let resolve = |set: Overrides| -> Result<(Overrides, Config)> {
            let config = resolve(&set)?;
            if config.model.name() == own.model.name() {
                return Ok((set, config));
            }
            let named = |key: &str| below.iter().chain(&set).any(|(known, _)| known == key);
            let mut all = recipe_of(&config);
            all.retain(|(key, _)| !named(key));
            all.extend(set);
            let config = resolve(&all)?;
            Ok((all, config))
        };
        let mut plan = Self {
            variants: Vec::new(),
            reference: study.reference.clone(),
            same: Vec::new(),
            skipped: Vec::new(),
            sweeps: Vec::new(),
            searches: Vec::new(),
            published: study
                .published
                .iter()
                .filter(|entry| is_of(&file.name, &entry.data))
                .cloned()
                .collect(),
        };
        for entry in &study.variants {
            let variant = plan.variant(entry, &resolve)?;
            plan.admit(variant, &own)?;
        }
        if study.every_model {
            plan.every_model(&file.name, &resolve, &own)?;
        }
        for entry in &study.sweeps {
            plan.sweep(entry, &resolve, &own)?;
        }
        for entry in &study.searches {
            let mut points = Vec::new();
            let all = entry.points()?;
            let none = |name: &&String| !all.iter().any(|(known, _)| known == *name);
            if let Some(name) = entry.skip.iter().find(none) {
                bail!("the search has no point '{name}' to skip");
            }
            for (name, set) in all {
                if entry.skip.contains(&name) {
                    plan.skipped.push(Skipped {
                        reason: "its [[search]] skips it".into(),
                        name,
                    });
                    continue;
                }
                let variant = plan.variant(
                    &VariantEntry {
                        title: None,
                        note: String::new(),
                        name,
                        set: set.into_iter().collect(),
                    },
                    &resolve,
                )?;
                points.extend(plan.admit(variant, &own)?);
            }
            plan.searches.push(Search {
                points,
                halving: entry.halving(),
                note: entry.note.clone(),
            });
        }
        if !plan.variants.iter().any(|v| v.name == plan.reference) {
            let why = plan.skipped.iter().find(|s| s.name == plan.reference);
            let why = why.map_or("it is the same as another variant", |skipped| {
                &skipped.reason
            });
            bail!("the reference '{}' cannot be run: {why}", plan.reference);
        }
        Ok(plan)
    }

    fn variant(
        &self,
        entry: &VariantEntry,
        resolve: &impl Fn(Overrides) -> Result<(Overrides, Config)>,
    ) -> Result<Variant> {
        let set = overrides(&entry.set);
        check_keys(&format!("variant '{}'", entry.name), &set)?;
        let (set, config) = resolve(set).map_err(|e| anyhow!("variant '{}': {e}", entry.name))?;
        Ok(Variant {
            name: entry.name.clone(),
            title: entry.title.clone().unwrap_or_else(|| entry.name.clone()),
            note: entry.note.clone(),
            set,
            config,
        })
    }

    /// Adds a variant, unless there is nothing to run; returns the name of the variant that has its results.
    fn admit(&mut self, variant: Variant, own: &Config) -> Result<Option<String>> {
        if variant.config.figures != own.figures {
            bail!(
                "variant '{}' has other figures, which cannot be compared",
                variant.name
            );
        }
        let lacks = |m: &&Modality| variant.config.uses(**m) && !own.uses(**m);
        if let Some(missing) = Modality::ALL.iter().find(lacks) {
            self.skipped.push(Skipped {
                reason: format!("the configuration has no {missing}"),
                name: variant.name,
            });
            return Ok(None);
        }
        if self.variants.iter().any(|other| other.name == variant.name) {
            bail!("two variants are called '{}': take one away", variant.name);
        }
        let twin = self
            .variants
            .iter()
            .find(|other| other.config == variant.config);
        if let Some(twin) = twin.map(|twin| twin.name.clone()) {
            self.same.push(Same {
                name: variant.name,
                title: variant.title,
                variant: twin.clone(),
            });
            return Ok(Some(twin));
        }
        let name = variant.name.clone();
        self.variants.push(variant);
        Ok(Some(name))
    }

    /// Adds a variant for each registered model, with the model's preset for these data.
    fn every_model(
        &mut self,
        config: &str,
        resolve: &impl Fn(Overrides) -> Result<(Overrides, Config)>,
        own: &Config,
    ) -> Result<()> {
        for &name in ModelConfig::NAMES {
            let taken = |variant: &Variant| variant.name == name;
            let Some(model) =
                ModelConfig::default_of(name).filter(|_| !self.variants.iter().any(taken))
            else {
                continue;
            };
            let preset = preset_for(&model, config, &own.data);
            let set: Overrides = vec![
                ("model.name".into(), name.into()),
                ("preset".into(), preset.into()),
            ];
            match resolve(set) {
                // What a model cannot do without is in its refusal.
                Err(error) => self.skipped.push(Skipped {
                    name: name.into(),
                    reason: error.to_string(),
                }),
                Ok((set, config)) => {
                    let variant = Variant {
                        name: name.into(),
                        title: title_of(name),
                        note: format!("preset {preset}"),
                        set,
                        config,
                    };
                    self.admit(variant, own)?;
                }
            }
        }
        Ok(())
    }

    fn sweep(
        &mut self,
        entry: &SweepEntry,
        resolve: &impl Fn(Overrides) -> Result<(Overrides, Config)>,
        own: &Config,
    ) -> Result<()> {
        let symbol = entry.symbol.clone().unwrap_or_else(|| entry.key.clone());
        let mut points = Vec::new();
        for value in &entry.values {
            let name = entry.variant_name(value)?;
            let written = name
                .split_once('=')
                .map_or("", |(_, value)| value)
                .to_string();
            let mut set = toml::Table::new();
            set.insert(entry.key.clone(), value.clone());
            let variant = VariantEntry {
                title: Some(format!("{symbol} = {written}")),
                note: String::new(),
                name,
                set,
            };
            let variant = self.variant(&variant, resolve)?;
            points.extend(self.admit(variant, own)?.map(|found| (written, found)));
        }
        self.sweeps.push(Sweep {
            key: entry.key.clone(),
            symbol,
            note: entry.note.clone(),
            points,
        });
        Ok(())
    }

    /// The variants that `only` lists, by name or by a sweep's key; all variants if it is empty.
    pub(crate) fn chosen(&self, only: &[String]) -> Result<Vec<&Variant>> {
        let mut names: Vec<&str> = Vec::new();
        for wanted in only {
            let of_sweep = self.sweeps.iter().filter(|sweep| sweep.key == *wanted);
            let points = of_sweep.flat_map(|sweep| &sweep.points);
            let before = names.len();
            names.extend(points.map(|(_, name)| name.as_str()));
            names.extend(self.find(wanted));
            if names.len() == before {
                bail!("{}", self.unknown(wanted));
            }
        }
        let wanted = |variant: &&Variant| only.is_empty() || names.contains(&variant.name.as_str());
        Ok(self.variants.iter().filter(wanted).collect())
    }

    /// The variant of that name, or the one with the same configuration.
    fn find(&self, name: &str) -> Option<&str> {
        let own = self
            .variants
            .iter()
            .map(|variant| (&variant.name, &variant.name));
        let same = self.same.iter().map(|same| (&same.name, &same.variant));
        let mut all = own.chain(same);
        all.find(|(known, _)| *known == name)
            .map(|(_, found)| found.as_str())
    }

    fn unknown(&self, wanted: &str) -> String {
        if let Some(skipped) = self.skipped.iter().find(|skipped| skipped.name == wanted) {
            return format!("--only {wanted}: {}", skipped.reason);
        }
        let names = self.variants.iter().map(|variant| variant.name.as_str());
        let keys = self.sweeps.iter().map(|sweep| sweep.key.as_str());
        let known: Vec<&str> = names.chain(keys).collect();
        let meant = closest(wanted, known.iter().copied());
        let meant = meant.map_or(String::new(), |name| format!("did you mean '{name}'? "));
        format!(
            "--only {wanted}: the study has no such variant; {meant}it has {}",
            known.join(", ")
        )
    }
}

/// The configuration of a variant, with its modalities in canonical order.
fn resolve(
    file: &ConfigFile,
    below: &Overrides,
    set: &Overrides,
    record_test: bool,
) -> Result<Config> {
    let mut all: Overrides = below.iter().chain(set).cloned().collect();
    all.push(("train.selection".into(), "valid_mae".into()));
    all.push(("train.record_test".into(), record_test.into()));
    let mut config = file.load(&all)?;
    let in_use = Modality::ALL.into_iter().filter(|&m| config.uses(m));
    config.data.modalities = in_use.collect();
    Ok(config)
}

/// What the preset in force says of training, as overrides.
fn recipe_of(config: &Config) -> Overrides {
    let recipe = overrides(&config.recipe()).into_iter();
    recipe
        .map(|(key, value)| (format!("train.{key}"), value))
        .collect()
}

/// A model's title in tables: as its paper writes it.
fn title_of(name: &str) -> String {
    match name {
        "mmrest" => "MMRest".into(),
        "self-mm" => "Self-MM".into(),
        "mult" => "MulT".into(),
        "mmlcn-like" => "MMLCN-like".into(),
        acronym => acronym.to_uppercase(),
    }
}

/// The longest sequences of the aligned releases: a frame per token.
const ALIGNED: usize = 50;

/// A model's preset for the data of a configuration of this name: `<data>-unaligned` where there is one and frames come at
/// rates of their own, else `<data>`, else the first.
fn preset_for(model: &ModelConfig, config: &str, data: &DataConfig) -> &'static str {
    let mut presets = model.presets().iter().map(|(preset, _)| *preset);
    let first = presets.clone().next().unwrap_or_default();
    let Some(plain) = presets.clone().find(|preset| is_of(config, preset)) else {
        return first;
    };
    let release = data.file.as_deref().unwrap_or_default();
    let longer = match data.max_frames {
        Some(most) => most > ALIGNED,
        None => data.kind == Kind::Mmsa && release.contains("unaligned"),
    };
    let unaligned = presets.find(|preset| preset.strip_prefix(plain) == Some("-unaligned"));
    let unaligned = unaligned.filter(|_| longer && data.frames == FramesOf::Own);
    unaligned.unwrap_or(plain)
}

/// Whether a configuration of this name is about the data set `data`: `mosi-words` is about `mosi`.
fn is_of(config: &str, data: &str) -> bool {
    let rest = config.strip_prefix(data);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn check_keys(whose: &str, set: &Overrides) -> Result<()> {
    for (key, why) in KEPT {
        if set.iter().any(|(found, _)| found == key) {
            bail!("{whose}: {key} cannot be set here, since {why}: leave it out");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mmrest_models::MmRestConfig;

    use super::*;
    use crate::shipped;

    fn plan(config: &str, study: &str, common: &[(&str, Value)]) -> Result<Plan> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, config).unwrap();
        let file = crate::project::find_config(file.to_str().unwrap()).unwrap();
        let common = common
            .iter()
            .map(|(key, value)| ((*key).to_string(), value.clone()));
        Plan::make(&StudyFile::parse(study).unwrap(), &file, &common.collect())
    }

    const STUDY: &str = r#"
        title = "T"
        reference = "full"
        variant = [
            { name = "full" },
            { name = "no-bias", set = { model.mmrest.bias = false } },
            { name = "text", set = { data.modalities = ["text"] } },
            { name = "vision", set = { data.modalities = ["vision"] } },
            { name = "both", set = { data.modalities = ["audio", "text"] } },
        ]
        sweep = [{ key = "model.mmrest.clusters.clusters", symbol = "K", values = [5, 7] }]
    "#;
    const CONFIG: &str = "preset = \"paper\"\ndata.modalities = [\"text\", \"audio\"]";

    fn mmrest(config: &Config) -> &MmRestConfig {
        match &config.model {
            ModelConfig::MmRest { config } => config,
            other => panic!("{} is not mmrest", other.name()),
        }
    }

    #[test]
    fn variants_are_run_once_and_only_where_there_are_data() {
        let plan = plan(CONFIG, STUDY, &[]).unwrap();
        let names: Vec<&str> = plan.variants.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "full",
                "no-bias",
                "text",
                "model.mmrest.clusters.clusters=5"
            ]
        );
        assert_eq!(plan.skipped.len(), 1);
        assert!(plan.skipped[0].reason.contains("vision"));
        let same: Vec<&str> = plan.same.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(same, ["both", "model.mmrest.clusters.clusters=7"]);
        assert!(plan.same.iter().all(|same| same.variant == "full"));
        let points = [("5", "model.mmrest.clusters.clusters=5"), ("7", "full")];
        let points = points.map(|(a, b)| (a.to_string(), b.to_string()));
        assert_eq!(plan.sweeps[0].points, points);
        assert!(plan.variants.iter().all(|v| v.config.train.record_test));
    }

    #[test]
    fn a_variant_wins_over_what_is_set_for_all() {
        let set = [
            ("model.mmrest.bias", true.into()),
            ("model.mmrest.clusters.clusters", 3.into()),
        ];
        let plan = plan(CONFIG, STUDY, &set).unwrap();
        let of = |name: &str| plan.variants.iter().find(|v| v.name == name).unwrap();
        assert!(!mmrest(&of("no-bias").config).bias);
        assert_eq!(mmrest(&of("text").config).clusters.clusters, 3);
        assert_eq!(
            mmrest(&of("model.mmrest.clusters.clusters=7").config)
                .clusters
                .clusters,
            7
        );
    }

    #[test]
    fn a_search_makes_variants_and_does_not_record_the_test_split() {
        let study = format!(
            "{STUDY}\nsearch = [{{ method = \"grid\", space = {{ model.mmrest.gamma = [0.3, 0.6], \
             model.mmrest.bias = [true] }} }}]"
        );
        let plan = plan(CONFIG, &study, &[]).unwrap();
        assert_eq!(
            plan.searches[0].points,
            ["bias=true+gamma=0.3", "bias=true+gamma=0.6"]
        );
        assert!(plan.variants.iter().all(|v| !v.config.train.record_test));
    }

    #[test]
    fn every_registered_model_becomes_a_variant() {
        let study = STUDY.replace("reference", "every_model = true\nreference");
        let plan = plan(CONFIG, &study, &[]).unwrap();
        for name in ModelConfig::NAMES {
            let variant = plan.variants.iter().any(|v| v.name == *name);
            let same = plan.same.iter().any(|same| same.name == *name);
            let skipped = plan.skipped.iter().any(|skipped| skipped.name == *name);
            assert!(variant || same || skipped, "{name}");
        }
        let self_mm = plan.variants.iter().find(|v| v.name == "self-mm").unwrap();
        assert_eq!(self_mm.config.preset, "mosi");
        assert!(is_of("mosi-words", "mosi") && !is_of("mosi-words", "mos") && is_of("a", "a"));
    }

    fn plan_of(config: &str, study: &str, common: &Overrides) -> Plan {
        let file = crate::project::find_config(config).unwrap();
        Plan::make(&StudyFile::parse(study).unwrap(), &file, common).unwrap()
    }

    /// What a model's preset sets, as `batch_size` or another key of `[train]`.
    fn of_preset(config: &Config, key: &str) -> Option<Value> {
        let recipe = recipe_of(config).into_iter();
        let key = format!("train.{key}");
        recipe
            .rev()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    const EVERY_MODEL: &str =
        "title = \"T\"\nreference = \"own\"\nevery_model = true\nvariant = [{ name = \"own\" }]";

    #[test]
    fn other_models_are_trained_by_the_recipe_of_their_preset() {
        for name in shipped::names(false) {
            let plan = plan_of(name, EVERY_MODEL, &Vec::new());
            let own = &plan.variants[0].config;
            let batch = match name {
                "mosei" | "mosei-mmsa" => 128,
                "sample" => 32,
                _ => 64,
            };
            assert_eq!(
                (own.model.name(), own.train.batch_size),
                ("mmrest", batch),
                "{name}"
            );
            assert!(plan.variants.len() > 10, "{name}");
            let titles: Vec<&str> = plan.variants.iter().map(|v| v.title.as_str()).collect();
            for title in ["Self-MM", "MulT", "MCL-MCF", "MMLCN-like"] {
                assert!(titles.contains(&title), "{titles:?}");
            }
            for variant in &plan.variants[1..] {
                let config = &variant.config;
                let expected = of_preset(config, "batch_size").unwrap();
                let found = Value::Integer(config.train.batch_size as i64);
                assert_eq!(found, expected, "{name} {}", variant.name);
            }
        }
        let set = vec![("train.batch_size".into(), 8.into())];
        let plan = plan_of("mosei", EVERY_MODEL, &set);
        assert!(plan.variants.iter().all(|v| v.config.train.batch_size == 8));
        let words = plan_of(
            "mosi-words",
            shipped::config("compare-words").unwrap(),
            &Vec::new(),
        );
        for variant in words
            .variants
            .iter()
            .filter(|v| v.name.starts_with("mag-bert"))
        {
            assert_eq!(variant.config.train.batch_size, 32);
        }
        assert_eq!(words.variants[0].config.train.batch_size, 64);
    }

    #[test]
    fn frames_of_their_own_rate_have_the_unaligned_preset() {
        for (name, expected) in [
            ("mosi", "mosi-unaligned"),
            ("mosi-mmsa", "mosi-unaligned"),
            ("mosei", "mosei-unaligned"),
            ("mosei-mmsa", "mosei-unaligned"),
            ("mosi-words", "mosi"),
            ("mosi-timing", "mosi"),
            ("sims", "mosi"),
        ] {
            let plan = plan_of(name, EVERY_MODEL, &Vec::new());
            let dmd = plan.variants.iter().find(|v| v.name == "dmd").unwrap();
            assert_eq!(dmd.config.preset, expected, "{name}");
        }
        let shorter = vec![("data.max_frames".into(), 50.into())];
        let plan = plan_of("mosi", EVERY_MODEL, &shorter);
        let dmd = plan.variants.iter().find(|v| v.name == "dmd").unwrap();
        assert_eq!(dmd.config.preset, "mosi");
    }

    #[test]
    fn only_takes_names_and_keys_of_sweeps() {
        let plan = plan(CONFIG, STUDY, &[]).unwrap();
        let chosen = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|s| (*s).to_string()).collect();
            let chosen = plan.chosen(&only)?;
            Ok::<_, anyhow::Error>(chosen.iter().map(|v| v.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).unwrap().len(), 4);
        assert_eq!(chosen(&["text", "both"]).unwrap(), ["full", "text"]);
        assert_eq!(
            chosen(&["model.mmrest.clusters.clusters"]).unwrap(),
            ["full", "model.mmrest.clusters.clusters=5"]
        );
        assert!(
            chosen(&["vision"])
                .unwrap_err()
                .to_string()
                .contains("no vision")
        );
        assert!(
            chosen(&["nothing"])
                .unwrap_err()
                .to_string()
                .contains("no-bias")
        );
    }

    #[test]
    fn keys_of_the_study_itself_and_bad_values_are_refused_by_name() {
        let with = |set: &str| {
            let study = STUDY.replace("model.mmrest.bias = false", set);
            plan(CONFIG, &study, &[]).unwrap_err().to_string()
        };
        for (set, said) in [
            ("seed = 3", "'no-bias': seed"),
            ("train.selection = \"valid_mae\"", "train.selection"),
            ("figures = \"sims\"", "other figures"),
            ("loss.eta = 1", "'no-bias'"),
        ] {
            assert!(with(set).contains(said), "{}", with(set));
        }
        let common = plan(CONFIG, STUDY, &[("seed", 3.into())]).unwrap_err();
        assert!(common.to_string().contains("--set"), "{common}");
    }
}
