//! `cargo xtask doctor`: what this machine has, line by line, and what to do about what it lacks.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    Outcome,
    cargo::{program_path, workspace_root},
    cuda,
    library::{HDF5, LAPACK, Linked, driver_in_words, vulkan_drivers, vulkan_loader},
    machine::{cores, first_line, free_disk, has_avx2, has_x86_v4, memory, system},
};

/// One line of the table.
struct Row {
    name: &'static str,
    /// What was found; `None` marks the line `--`.
    found: Option<String>,
    /// What it is for, or what to do where it is missing.
    hint: &'static str,
}

/// A line of the table.
fn row(name: &'static str, found: Option<String>, hint: &'static str) -> Row {
    Row { name, found, hint }
}

/// Prints the table. Nothing that it looks for is an error to lack.
pub(crate) fn main(args: &[OsString]) -> Outcome {
    if let Some(extra) = args.first() {
        return Err(format!("doctor takes no argument, not {}", extra.display()));
    }
    let root = workspace_root();
    let rows: Vec<Row> = [
        computer(&root),
        tools(),
        features(),
        gpus(&Gpus::of_this_machine()),
        data(&root.join("data")),
        encoders(&root.join("data/bert")),
        program(),
    ]
    .into_iter()
    .flatten()
    .collect();
    crate::terminal::print(&table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn computer(root: &Path) -> Vec<Row> {
    let memory = memory().map(|(total, free)| match free {
        Some(free) => format!("{total:.1} GiB, {free:.1} free"),
        None => format!("{total:.1} GiB"),
    });
    let yes = |present: bool| present.then(|| "yes".to_owned());
    vec![
        row("system", Some(system()), ""),
        row(
            "cores",
            cores().map(|cores| cores.to_string()),
            "training uses all of them",
        ),
        row("memory", memory, "8 GiB build and train; MOSEI wants 16"),
        row(
            "disk",
            free_disk(root).map(|free| format!("{free:.1} GiB free")),
            "a CPU build takes 4 GB, a GPU build 10 more",
        ),
        row(
            "AVX2",
            yes(has_avx2()),
            "the least for fast matrix products on x86-64",
        ),
        row(
            "AVX-512",
            yes(has_x86_v4()),
            "chosen by itself (feature x86-v4)",
        ),
    ]
}

fn tools() -> Vec<Row> {
    let linker = ["cc", "gcc", "clang"]
        .into_iter()
        .find_map(|name| first_line(name, &["--version"]));
    vec![
        row(
            "rustc",
            first_line("rustc", &["--version"]),
            concat!("at least ", env!("CARGO_PKG_RUST_VERSION")),
        ),
        row("C linker", linker, "needed to link: install gcc or clang"),
    ]
}

fn features() -> Vec<Row> {
    let linked = |of: Linked, hint| row(of.library, of.find(), hint);
    vec![
        linked(
            HDF5,
            "only for MMREST_FEATURES=libhdf5: apt install libhdf5-dev pkg-config",
        ),
        linked(
            LAPACK,
            "only for MMREST_FEATURES=lapack: apt install libopenblas-dev",
        ),
    ]
}

/// What the GPUs' backends need.
fn gpus(found: &Gpus) -> Vec<Row> {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let drivers: Vec<String> = found
        .vulkan_drivers
        .iter()
        .filter_map(|file| driver_in_words(file))
        .collect();
    let gpu = found.nvidia.as_deref().and_then(cuda::gpu);
    let driver = match (&found.cuda_driver, &gpu) {
        (None, _) => None,
        (Some(library), None) => Some(library.display().to_string()),
        (Some(library), Some(gpu)) => Some(format!("{}, {}", gpu.driver, library.display())),
    };
    vec![
        row(
            "Vulkan loader",
            shown(&found.vulkan_loader),
            "only for --backend wgpu: apt install libvulkan1",
        ),
        row(
            "Vulkan drivers",
            (!drivers.is_empty()).then(|| drivers.join(", ")),
            "only for --backend wgpu: the GPU maker's driver, or in software: apt install mesa-vulkan-drivers",
        ),
        row(
            "NVIDIA driver",
            driver,
            "only for --backend cuda: apt install nvidia-driver, or your system's name for it, 580 or later",
        ),
        row(
            "NVIDIA GPU",
            gpu.as_ref().map(|gpu| gpu.name.clone()),
            "only for --backend cuda: nvidia-smi finds none",
        ),
        row(
            "GPU memory",
            gpu.map(|gpu| gpu.memory),
            "MiniLM trains in 2 GiB, bert-base in 6",
        ),
        row(
            "libdevice",
            shown(&found.libdevice),
            "only to run --backend cuda: pip install --target cuda nvidia-nvvm; export CUDA_PATH=$PWD/cuda/nvidia/cu13",
        ),
        row(
            "LLVM for CUDA",
            shown(&found.llvm),
            "only to build for --backend cuda: cargo xtask gpu-setup",
        ),
    ]
}

/// What of it this machine has.
#[derive(Default)]
struct Gpus {
    vulkan_loader: Option<PathBuf>,
    vulkan_drivers: Vec<PathBuf>,
    cuda_driver: Option<PathBuf>,
    /// The first line of nvidia-smi's answer.
    nvidia: Option<String>,
    libdevice: Option<PathBuf>,
    llvm: Option<PathBuf>,
}

impl Gpus {
    fn of_this_machine() -> Self {
        Self {
            vulkan_loader: vulkan_loader(),
            vulkan_drivers: vulkan_drivers(),
            cuda_driver: cuda::driver(),
            nvidia: first_line("nvidia-smi", &cuda::QUERY),
            libdevice: cuda::libdevice(),
            llvm: cuda::llvm(),
        }
    }
}

fn data(folder: &Path) -> Vec<Row> {
    vec![
        row(
            "data/mosi",
            contents(&folder.join("mosi")),
            "CMU-MOSI: cargo xtask data fetch mosi",
        ),
        row(
            "data/mosei",
            contents(&folder.join("mosei")),
            "CMU-MOSEI: cargo xtask data fetch mosei",
        ),
        row(
            "data/sample",
            contents(&folder.join("sample")),
            "made data for a first try; data/README.md says how",
        ),
    ]
}

/// How many files a folder holds, and their size together.
fn contents(folder: &Path) -> Option<String> {
    let files = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok());
    let sizes: Vec<u64> = files
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .collect();
    let megabytes = sizes.iter().sum::<u64>() as f64 / 1e6;
    (!sizes.is_empty()).then(|| format!("{} files, {megabytes:.1} MB", sizes.len()))
}

/// The BERT directories that are complete.
fn encoders(folder: &Path) -> Vec<Row> {
    let complete = |path: &Path| {
        let has = |name: &str| path.join(name).is_file();
        has("config.json")
            && has("vocab.txt")
            && (has("model.safetensors") || has("pytorch_model.bin"))
    };
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut names: Vec<String> = entries
        .filter(|path| complete(path))
        .filter_map(|path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        })
        .collect();
    names.sort();
    let found = (!names.is_empty()).then(|| names.join(", "));
    vec![row(
        "data/bert",
        found,
        "a folder each: config.json, vocab.txt, model.safetensors or pytorch_model.bin",
    )]
}

fn program() -> Vec<Row> {
    let built = program_path()
        .ok()
        .filter(|path| path.is_file())
        .map(|path| path.display().to_string());
    vec![row(
        "mmrest built",
        built,
        "the first command that needs it compiles it, 10 to 15 minutes on two cores",
    )]
}

/// The rows, aligned: mark, name, what was found, hint.
fn table(rows: &[Row]) -> String {
    let found = |row: &Row| row.found.clone().unwrap_or_else(|| "not found".to_owned());
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let names = width(&|row| row.name.chars().count());
    let values = width(&|row| found(row).chars().count()).min(48);
    let mut text = String::new();
    for row in rows {
        let mark = if row.found.is_some() { "ok" } else { "--" };
        let line = format!(
            "{mark}  {:names$}  {:values$}  {}",
            row.name,
            found(row),
            row.hint
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_marks_what_is_missing() {
        let rows = [
            row("rustc", Some("1.95".to_owned()), ""),
            row("CUDA driver", None, "install it"),
        ];
        assert_eq!(
            table(&rows),
            "ok  rustc        1.95\n--  CUDA driver  not found  install it\n"
        );
    }

    #[test]
    fn what_a_gpu_lacks_is_told_with_the_command_that_brings_it() {
        let rows = gpus(&Gpus::default());
        assert!(rows.iter().all(|row| row.found.is_none()));
        let hint = |name: &str| rows.iter().find(|row| row.name == name).unwrap().hint;
        assert!(hint("LLVM for CUDA").ends_with("cargo xtask gpu-setup"));
        assert!(hint("libdevice").contains("CUDA_PATH="));
        assert!(hint("NVIDIA driver").contains("apt install"));
    }

    #[test]
    fn a_gpu_is_told_with_its_driver_and_memory_and_software_as_such() {
        let rows = gpus(&Gpus {
            vulkan_drivers: vec![
                "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json".into(),
                "/etc/vulkan/icd.d/nvidia_icd.json".into(),
            ],
            cuda_driver: Some("/usr/lib/libcuda.so.1".into()),
            nvidia: Some("NVIDIA L4, 23034 MiB, 22000 MiB, 580.1".into()),
            ..Gpus::default()
        });
        let found = |name: &str| {
            rows.iter()
                .find(|row| row.name == name)
                .unwrap()
                .found
                .clone()
        };
        assert_eq!(
            found("Vulkan drivers").unwrap(),
            "lvp_icd.x86_64.json (llvmpipe, in software), nvidia_icd.json"
        );
        assert_eq!(
            found("NVIDIA driver").unwrap(),
            "580.1, /usr/lib/libcuda.so.1"
        );
        assert_eq!(found("NVIDIA GPU").unwrap(), "NVIDIA L4");
        assert_eq!(found("GPU memory").unwrap(), "23034 MiB, 22000 MiB free");
    }

    #[test]
    fn an_encoder_without_weights_is_not_complete() {
        let root = std::env::temp_dir().join(format!("xtask-doctor-{}", std::process::id()));
        for (name, files) in [
            (
                "whole",
                ["config.json", "vocab.txt", "model.safetensors"].as_slice(),
            ),
            ("part", &["config.json", "vocab.txt"]),
        ] {
            fs::create_dir_all(root.join(name)).unwrap();
            for file in files {
                fs::write(root.join(name).join(file), "1").unwrap();
            }
        }
        assert_eq!(encoders(&root)[0].found.as_deref(), Some("whole"));
        assert_eq!(
            contents(&root.join("part")).as_deref(),
            Some("2 files, 0.0 MB")
        );
        assert_eq!(contents(&root.join("none")), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
