//! System libraries: which optional features of `mmrest` can be linked here, and which drivers can be loaded.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::machine::first_line;

/// A cargo feature that needs a system library when it is linked.
pub(crate) struct Linked {
    /// The feature, of `mmrest` and of the crate that uses the library.
    pub(crate) feature: &'static str,
    /// That crate.
    pub(crate) package: &'static str,
    /// What a person calls the library.
    pub(crate) library: &'static str,
    /// What to do where it is missing.
    pub(crate) hint: &'static str,
    /// pkg-config's names for it; any one does.
    pkg_config: &'static [&'static str],
    /// The linker's file names for it; any one does.
    files: &'static [&'static str],
    /// The environment variable that names its folder, where the build script reads one.
    variable: Option<&'static str>,
}

/// Eigendecomposition by LAPACK.
pub(crate) const LAPACK: Linked = Linked {
    feature: "lapack",
    package: "mmrest-metric",
    library: "OpenBLAS/LAPACK",
    hint: "install libopenblas-dev",
    pkg_config: &["openblas"],
    files: &["libopenblas.so", "libopenblas.dylib", "libopenblas.a"],
    variable: None,
};

/// HDF5 by the C library.
pub(crate) const HDF5: Linked = Linked {
    feature: "libhdf5",
    package: "mmrest-data",
    library: "libhdf5",
    hint: "install libhdf5-dev and pkg-config, or set HDF5_DIR",
    pkg_config: &["hdf5", "hdf5-serial"],
    files: &["libhdf5.so", "libhdf5.dylib", "libhdf5_serial.so"],
    variable: Some("HDF5_DIR"),
};

impl Linked {
    /// Where the library is, as found: pkg-config's word, the folder its variable names, or a file in a known folder.
    pub(crate) fn find(&self) -> Option<String> {
        let named = self.variable.and_then(|name| {
            let folder = PathBuf::from(env::var_os(name)?);
            folder
                .is_dir()
                .then(|| format!("{name}={}", folder.display()))
        });
        named
            .or_else(|| self.pkg_config.iter().find_map(|name| pkg_config(name)))
            .or_else(|| {
                find_file(&library_folders(), self.files).map(|path| path.display().to_string())
            })
    }
}

/// `name version` where pkg-config knows the name.
fn pkg_config(name: &str) -> Option<String> {
    first_line("pkg-config", &["--modversion", name]).map(|version| format!("{name} {version}"))
}

/// The Vulkan loader.
pub(crate) fn vulkan_loader() -> Option<PathBuf> {
    find_file(
        &library_folders(),
        &[
            "libvulkan.so.1",
            "libvulkan.so",
            "libvulkan.1.dylib",
            "libMoltenVK.dylib",
            "vulkan-1.dll",
        ],
    )
}

/// The Vulkan drivers' description files whose library is there.
pub(crate) fn vulkan_drivers() -> Vec<PathBuf> {
    let mut files = described_drivers();
    files.retain(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        library_of(&text).is_some_and(|library| has_library(file, library))
    });
    files
}

/// A driver's description file in words: that of Mesa's llvmpipe computes on the processor.
pub(crate) fn driver_in_words(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    let software = ["lvp_", "vk_swiftshader"];
    let kind = match software.iter().any(|known| name.starts_with(known)) {
        true if name.starts_with("lvp_") => " (llvmpipe, in software)",
        true => " (SwiftShader, in software)",
        false => "",
    };
    Some(format!("{name}{kind}"))
}

/// The value of `library_path` in a driver's description.
fn library_of(description: &str) -> Option<&str> {
    let (_, rest) = description.split_once("\"library_path\"")?;
    rest.split('"').nth(1)
}

/// Whether the library that `file` names is there: a path from the file's folder on, or a bare name for the loader.
fn has_library(file: &Path, library: &str) -> bool {
    match library.contains(['/', '\\']) {
        true => file
            .parent()
            .is_some_and(|folder| folder.join(library).is_file()),
        false => find_file(&library_folders(), &[library]).is_some(),
    }
}

/// The drivers' description files: those the loader's variables name, or else those in its folders.
fn described_drivers() -> Vec<PathBuf> {
    if let Some(named) = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .find_map(env::var_os)
    {
        return env::split_paths(&named)
            .filter(|path| path.is_file())
            .collect();
    }
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let roots = ["/usr/share", "/usr/local/share", "/etc"]
        .into_iter()
        .map(PathBuf::from)
        .chain(home);
    let mut files: Vec<PathBuf> = roots
        .filter_map(|root| fs::read_dir(root.join("vulkan/icd.d")).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
}

/// The first of `names` in the first of `folders` that has one.
pub(crate) fn find_file(folders: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    let paths = folders
        .iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

/// The folders where libraries are looked for: the loader's variables, then the usual places of Linux, WSL, CUDA,
/// macOS and Windows.
pub(crate) fn library_folders() -> Vec<PathBuf> {
    let variables = ["LD_LIBRARY_PATH", "LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
    let named = variables
        .into_iter()
        .filter_map(env::var_os)
        .flat_map(|list| env::split_paths(&list).collect::<Vec<_>>());
    let triple = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let mut folders: Vec<PathBuf> = named.collect();
    for known in [
        "/usr/local/lib",
        &triple,
        "/usr/lib64",
        "/usr/lib",
        "/lib64",
        "/lib",
        "/usr/lib/wsl/lib",
        "/usr/local/cuda/lib64",
        "/usr/local/cuda/compat",
        "/opt/homebrew/lib",
        "/opt/homebrew/opt/openblas/lib",
        "/opt/local/lib",
        r"C:\Windows\System32",
    ] {
        folders.push(known.into());
    }
    folders.push(Path::new(&triple).join("hdf5/serial"));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_counts_where_its_library_is() {
        let root = env::temp_dir().join(format!("xtask-driver-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("libdriver.so"), "").unwrap();
        let file = root.join("icd.json");
        let text = r#"{"ICD": {"api_version": "1.4", "library_path": "./libdriver.so"}}"#;
        assert_eq!(library_of(text), Some("./libdriver.so"));
        assert!(has_library(&file, "./libdriver.so"));
        assert!(!has_library(&file, "./libother.so"));
        assert!(!has_library(&file, "libsurely-nowhere.so"));
        assert_eq!(library_of("{}"), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn files_are_found_by_folder_first_and_name_second() {
        let root = env::temp_dir().join(format!("xtask-library-{}", std::process::id()));
        let (first, second) = (root.join("first"), root.join("second"));
        fs::create_dir_all(&first).unwrap();
        fs::create_dir_all(&second).unwrap();
        fs::write(first.join("libb.so"), "").unwrap();
        fs::write(second.join("liba.so"), "").unwrap();
        let folders = [root.join("missing"), first.clone(), second];
        assert_eq!(
            find_file(&folders, &["liba.so", "libb.so"]),
            Some(first.join("libb.so"))
        );
        assert_eq!(find_file(&folders, &["libc.so"]), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
