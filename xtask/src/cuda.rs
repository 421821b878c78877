//! What CUDA needs on this machine: an LLVM to build with, the driver and libdevice to run with.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::library::{find_file, library_folders};

/// The folder, below the user's data, where the build script of burn's CUDA compiler (tracel-llvm-bundler) looks for its
/// LLVM.
const LLVM: &str = "tracel/tracel-llvm-23.1.0-4";
/// The empty file in it that tells the build script that it is complete.
pub(crate) const INSTALLED: &str = ".tracel-llvm-installed";

/// Where the LLVM belongs: the platform's folder of a user's data.
pub(crate) fn llvm_place() -> Option<PathBuf> {
    data_folder(&|name| env::var_os(name)).map(|folder| folder.join(LLVM))
}

/// The LLVM that burn's CUDA compiler is built with, where it is complete.
pub(crate) fn llvm() -> Option<PathBuf> {
    llvm_place().filter(|place| place.join(INSTALLED).is_file())
}

/// As the crate `dirs` has it, which the build script asks.
fn data_folder(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if cfg!(windows) {
        return variable("LOCALAPPDATA").map(PathBuf::from);
    }
    let named = |name| variable(name).map(PathBuf::from);
    let folder = |name| named(name).filter(|folder| folder.is_absolute());
    if cfg!(target_os = "macos") {
        return Some(folder("HOME")?.join("Library/Application Support"));
    }
    folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")))
}

/// The driver's library.
pub(crate) fn driver() -> Option<PathBuf> {
    let mut folders = library_folders();
    folders.push("/usr/local/nvidia/lib64".into());
    find_file(&folders, &["libcuda.so.1", "libcuda.so", "nvcuda.dll"])
}

/// NVIDIA's mathematical functions, which compiled kernels are linked with, where burn's compiler looks for them.
pub(crate) fn libdevice() -> Option<PathBuf> {
    libdevice_in(env::var_os("CUDA_PATH"), Path::new("/"))
}

/// The toolkit that `CUDA_PATH` names, or else the first of the usual ones.
fn libdevice_in(named: Option<OsString>, root: &Path) -> Option<PathBuf> {
    let known = ["usr/local/cuda", "opt/cuda", "usr/lib/cuda", "usr"];
    let toolkit = match named {
        Some(named) => PathBuf::from(named),
        None => known
            .into_iter()
            .map(|folder| root.join(folder))
            .find(|folder| folder.join("nvvm/libdevice").is_dir())?,
    };
    let file = toolkit.join("nvvm/libdevice/libdevice.10.bc");
    file.is_file().then_some(file)
}

/// A GPU as nvidia-smi's query of name, memory in total and free, and driver tells it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    /// `T, F free`.
    pub(crate) memory: String,
    pub(crate) driver: String,
}

/// What nvidia-smi is asked.
pub(crate) const QUERY: [&str; 2] = [
    "--query-gpu=name,memory.total,memory.free,driver_version",
    "--format=csv,noheader",
];

/// One line of its answer.
pub(crate) fn gpu(line: &str) -> Option<Gpu> {
    let mut fields = line.split(',').map(str::trim);
    let mut next = || fields.next().filter(|field| !field.is_empty());
    let (name, total, free, driver) = (next()?, next()?, next()?, next()?);
    Some(Gpu {
        name: name.to_owned(),
        memory: format!("{total}, {free} free"),
        driver: driver.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_users_data_are_where_the_variables_say() {
        let with = |pairs: &'static [(&str, &str)]| {
            data_folder(&|name| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.into())
            })
        };
        assert_eq!(
            with(&[("XDG_DATA_HOME", "/d"), ("HOME", "/home/x")]),
            Some("/d".into())
        );
        assert_eq!(
            with(&[("XDG_DATA_HOME", "relative"), ("HOME", "/home/x")]),
            Some("/home/x/.local/share".into())
        );
        assert_eq!(with(&[("HOME", "")]), None);
    }

    #[test]
    fn the_folder_is_the_one_of_the_locked_bundler() {
        let lock = fs::read_to_string(crate::cargo::workspace_root().join("Cargo.lock")).unwrap();
        let (_, after) = lock.split_once("name = \"tracel-llvm-bundler\"\n").unwrap();
        let version = after.split('"').nth(1).unwrap();
        assert!(
            LLVM.ends_with(&format!("/tracel-llvm-{version}")),
            "{version}"
        );
    }

    #[test]
    fn libdevice_is_looked_for_where_the_compiler_looks() {
        let root = env::temp_dir().join(format!("xtask-libdevice-{}", std::process::id()));
        assert_eq!(libdevice_in(None, &root), None);
        let folder = root.join("opt/cuda/nvvm/libdevice");
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(libdevice_in(None, &root), None);
        let file = folder.join("libdevice.10.bc");
        fs::write(&file, "").unwrap();
        assert_eq!(libdevice_in(None, &root), Some(file.clone()));
        let named = |path: PathBuf| libdevice_in(Some(path.into()), &root);
        assert_eq!(named(root.join("opt/cuda")), Some(file));
        // A variable that leads nowhere is not made up for.
        assert_eq!(named(root.join("elsewhere")), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_gpu_is_read_from_nvidia_smi() {
        let found = gpu("NVIDIA H100 80GB HBM3, 81559 MiB, 81000 MiB, 580.159.04");
        let gpu_is = Gpu {
            name: "NVIDIA H100 80GB HBM3".into(),
            memory: "81559 MiB, 81000 MiB free".into(),
            driver: "580.159.04".into(),
        };
        assert_eq!(found, Some(gpu_is));
        assert_eq!(gpu("No devices were found"), None);
    }
}
