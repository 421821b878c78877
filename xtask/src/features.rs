//! Which cargo features `mmrest` is built with.
//!
//! Runs, tests and lints ask for them here, so that burn is compiled once for all of them.

use std::{collections::BTreeSet, env, ffi::OsString};

use crate::machine;

/// The environment variable that adds features, separated by commas or blanks: `MMREST_FEATURES="lapack,libhdf5"`.
pub(crate) const VARIABLE: &str = "MMREST_FEATURES";

/// A set of `mmrest`'s features, in a fixed order: the same set is the same build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features(BTreeSet<String>);

impl Features {
    /// What this machine and the environment ask for, whatever the command.
    pub(crate) fn of_this_machine() -> Self {
        let extra = env::var_os(VARIABLE).unwrap_or_default();
        Self::select(&[], machine::has_x86_v4(), &extra.to_string_lossy())
    }

    /// The same, with the backend that the program's arguments name.
    pub(crate) fn for_program(args: &[OsString]) -> Self {
        let extra = env::var_os(VARIABLE).unwrap_or_default();
        Self::select(args, machine::has_x86_v4(), &extra.to_string_lossy())
    }

    /// The choice itself, from facts alone.
    fn select(args: &[OsString], x86_v4: bool, extra: &str) -> Self {
        let mut set: BTreeSet<String> = backends(args).into_iter().map(str::to_owned).collect();
        let draws = args.first().is_some_and(|a| a == "report" || a == "ablate");
        if draws && args.iter().any(|a| a == "--png") {
            set.insert("png".to_owned());
        }
        if args.first().is_some_and(|a| a == "train") && args.iter().any(|a| a == "--tui") {
            set.insert("tui".to_owned());
        }
        if x86_v4 {
            set.insert("x86-v4".to_owned());
        }
        let named = extra.split(|c: char| c == ',' || c.is_whitespace());
        set.extend(named.filter(|name| !name.is_empty()).map(str::to_owned));
        Self(set)
    }

    /// These and one more.
    pub(crate) fn with(mut self, feature: &str) -> Self {
        self.0.insert(feature.to_owned());
        self
    }

    /// Whether a feature is among them.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.0.contains(feature)
    }

    /// The arguments for a cargo command that builds several packages: `--features mmrest/a,mmrest/b`, or none.
    pub(crate) fn arguments(&self) -> Vec<String> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let names: Vec<String> = self.0.iter().map(|name| format!("mmrest/{name}")).collect();
        vec!["--features".to_owned(), names.join(",")]
    }
}

/// The features of every `--backend NAME` or `--backend=NAME` before a bare `--`. CPU names need none; what an unknown
/// name means is the program's to say.
fn backends(args: &[OsString]) -> Vec<&'static str> {
    let args = args.iter().map(|arg| arg.to_str().unwrap_or_default());
    let args: Vec<&str> = args.take_while(|arg| *arg != "--").collect();
    let asks_for = |known: &str| {
        args.windows(2).any(|pair| pair == ["--backend", known])
            || args
                .iter()
                .any(|arg| arg.strip_prefix("--backend=") == Some(known))
    };
    ["wgpu", "cuda"]
        .into_iter()
        .filter(|known| asks_for(known))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(line: &str, x86_v4: bool, extra: &str) -> Vec<String> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Features::select(&args, x86_v4, extra).arguments()
    }

    fn features(names: &str) -> Vec<String> {
        vec!["--features".to_owned(), names.to_owned()]
    }

    #[test]
    fn a_plain_run_on_a_plain_machine_needs_none() {
        assert!(select("train --config configs/mosi.toml", false, "").is_empty());
        assert!(select("train --backend flex", false, " ,").is_empty());
    }

    #[test]
    fn the_backend_is_found_in_both_spellings_and_anywhere() {
        assert_eq!(
            select("train --backend cuda --epochs 2", false, ""),
            features("mmrest/cuda")
        );
        assert_eq!(
            select("--backend=wgpu eval run", false, ""),
            features("mmrest/wgpu")
        );
    }

    #[test]
    fn pictures_as_png_are_built_in_for_reports_that_ask() {
        assert_eq!(
            select("report a b --png", false, ""),
            features("mmrest/png")
        );
        assert_eq!(
            select("ablate mosi --png --seeds 2", false, ""),
            features("mmrest/png")
        );
        assert!(select("report a", false, "").is_empty());
        assert!(select("predict --png", false, "").is_empty());
    }

    #[test]
    fn the_dashboard_is_built_in_for_training_that_asks() {
        assert_eq!(
            select("train sample --tui --backend cuda", true, ""),
            features("mmrest/cuda,mmrest/tui,mmrest/x86-v4")
        );
        assert!(select("train sample", false, "").is_empty());
        assert!(select("predict run --tui", false, "").is_empty());
    }

    #[test]
    fn only_an_option_names_a_backend() {
        for line in [
            "predict cuda",
            "train --backends cuda",
            "train --backend",
            "predict -- --backend cuda",
            "train --backend=CUDA",
        ] {
            assert!(select(line, false, "").is_empty(), "{line}");
        }
    }

    #[test]
    fn the_processor_and_the_environment_add_theirs_in_a_fixed_order() {
        assert_eq!(select("train", true, ""), features("mmrest/x86-v4"));
        assert_eq!(
            select("train --backend wgpu", true, "libhdf5, lapack lapack"),
            features("mmrest/lapack,mmrest/libhdf5,mmrest/wgpu,mmrest/x86-v4")
        );
    }

    #[test]
    fn adding_one_keeps_the_rest() {
        let base = Features::select(&[], true, "");
        assert_eq!(
            base.clone().with("cuda").arguments(),
            features("mmrest/cuda,mmrest/x86-v4")
        );
        assert!(base.has("x86-v4") && !base.has("cuda"));
        assert_eq!(base.clone().with("x86-v4"), base);
    }

    #[cfg(unix)]
    #[test]
    fn arguments_that_are_not_unicode_are_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let args = [
            OsString::from_vec(vec![0xff]),
            "--backend".into(),
            "cuda".into(),
        ];
        assert_eq!(
            Features::select(&args, false, "").arguments(),
            features("mmrest/cuda")
        );
    }
}
