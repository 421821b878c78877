//! Facts about this machine: processor, memory, and what other programs say of themselves.

use std::{env, fs, path::Path, process::Command, thread};

/// Whether the processor has all that x86-64-v4 means: AVX-512 F, BW, CD, DQ and VL.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_x86_v4() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl")
}

/// Another processor family has none of it.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn has_x86_v4() -> bool {
    false
}

/// Whether the processor has AVX2 and fused multiply-add, which x86-64 matrix kernels want at least.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("fma")
}

/// Another processor family has vector units of its own.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn has_avx2() -> bool {
    false
}

/// The operating system's own name where it has one, and the processor family.
pub(crate) fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = pretty.map_or(env::consts::OS, |name| name.trim_matches('"'));
    format!("{name}, {}", env::consts::ARCH)
}

/// Cores that this process may use.
pub(crate) fn cores() -> Option<usize> {
    thread::available_parallelism().ok().map(usize::from)
}

/// Memory in GiB: all of it, and what is free where the system tells.
pub(crate) fn memory() -> Option<(f64, Option<f64>)> {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(total) = kibibytes(&info, "MemTotal:") {
        let gib = |kib: u64| kib as f64 / 1_048_576.0;
        return Some((gib(total), kibibytes(&info, "MemAvailable:").map(gib)));
    }
    let bytes: f64 = first_line("sysctl", &["-n", "hw.memsize"])?.parse().ok()?;
    Some((bytes / 1_073_741_824.0, None))
}

/// Free space where a folder lies, in GiB, by `df -Pk`: its second line's fourth column, in KiB.
pub(crate) fn free_disk(folder: &Path) -> Option<f64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut fields = text.lines().nth(1)?.split_whitespace();
    let free: f64 = fields.nth(3)?.parse().ok()?;
    Some(free / 1_048_576.0)
}

/// The value of `key` in /proc/meminfo's lines, `key  N kB`.
fn kibibytes(info: &str, key: &str) -> Option<u64> {
    let value = info.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The first line a program prints when it ends well; `None` when it is missing, fails or says nothing.
pub(crate) fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_lines_are_read_by_key() {
        let info = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   12000000 kB\n";
        assert_eq!(kibibytes(info, "MemTotal:"), Some(24_000_000));
        assert_eq!(kibibytes(info, "MemAvailable:"), Some(12_000_000));
        assert_eq!(kibibytes(info, "SwapTotal:"), None);
    }

    #[test]
    fn a_program_that_is_missing_or_fails_says_nothing() {
        assert_eq!(first_line("a-program-that-nobody-has", &[]), None);
        #[cfg(unix)]
        assert_eq!(first_line("sh", &["-c", "echo heard; exit 1"]), None);
        #[cfg(unix)]
        assert_eq!(
            first_line("sh", &["-c", "echo ' heard '; echo more"]).as_deref(),
            Some("heard")
        );
    }

    #[test]
    fn avx512_never_comes_without_avx2() {
        assert!(!has_x86_v4() || has_avx2());
    }
}
