//! What the command line takes and refuses, and what its help says.

use super::*;
use crate::study::file::is_study;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn help_names_every_configuration_and_study() {
    let mut command = Arguments::command();
    let mut help = |name: &str| {
        let command = command.find_subcommand_mut(name).unwrap();
        command
            .render_help()
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let (train, ablate) = (help("train"), help("ablate"));
    for (name, text) in shipped::CONFIGS {
        let shown = if is_study(text) { &ablate } else { &train };
        let found = [",", ")"]
            .iter()
            .any(|end| shown.contains(&format!("{name}{end}")));
        assert!(found, "{name} is not in\n{shown}");
    }
}

#[test]
fn resume_needs_a_folder() {
    assert!(Arguments::try_parse_from(["mmrest", "train", "sample", "--resume"]).is_err());
    assert!(Arguments::try_parse_from(["mmrest", "eval", "run", "--split", "all"]).is_err());
}

#[test]
fn what_trains_nothing_begins_nothing_afresh() {
    let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
    assert!(parse("mmrest ablate sample --fresh").is_ok());
    assert!(parse("mmrest ablate sample --collect").is_ok());
    assert!(parse("mmrest ablate sample --fresh --collect").is_err());
}

#[test]
fn what_is_asked_for_is_required() {
    let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
    for (line, needed) in [
        ("mmrest export run", "<--onnx <FILE>|--safetensors <DIR>>"),
        (
            "mmrest predict run",
            "<FILE|DIR|-|--input <FILE|DIR|->|--transcript <FILE|DIR>>",
        ),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(
            error.kind(),
            clap::error::ErrorKind::MissingRequiredArgument
        );
        let told = error.to_string();
        let required = told.lines().nth(1).unwrap_or_default();
        assert_eq!(required.trim(), needed, "{told}");
    }
    for line in [
        "mmrest export run --onnx a",
        "mmrest export run --safetensors a",
        "mmrest export run --onnx a --safetensors b",
        "mmrest predict run a",
        "mmrest predict run --input a",
        "mmrest predict run --transcript a",
        "mmrest predict run --media a --transcript b",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    assert!(parse("mmrest predict run a --input b").is_err());
    assert!(parse("mmrest predict run --media a").is_err());
}

#[test]
fn help_fits_80_columns() {
    let mut command = Arguments::command();
    command.build();
    let mut left = vec![command];
    while let Some(mut command) = left.pop() {
        let help = command.render_long_help().to_string();
        // Usage is not folded.
        let mut lines = help.lines().filter(|line| !line.starts_with("Usage"));
        let long = lines.find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{}", command.get_name());
        left.extend(command.get_subcommands().cloned());
    }
}

#[test]
fn several_devices_are_a_list() {
    let line = "mmrest train sample --backend wgpu --devices 0,2";
    let parsed = Arguments::try_parse_from(line.split(' ')).unwrap();
    let Command::Train(train) = parsed.command else {
        panic!("not train");
    };
    assert_eq!(train.devices(), [0, 2]);
    let both = format!("{line} --device 1");
    assert!(Arguments::try_parse_from(both.split(' ')).is_err());
    let line = "mmrest ablate sample --backend wgpu --devices 1,3";
    let parsed = Arguments::try_parse_from(line.split(' ')).unwrap();
    let Command::Ablate(ablate) = parsed.command else {
        panic!("not ablate");
    };
    assert_eq!((ablate.devices(), ablate.jobs), (vec![1, 3], None));
}
