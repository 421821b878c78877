//! The names by which a server on loopback may be called.
//!
//! Any web page can make a browser send requests to this machine, and a name of its own that leads here makes them look like
//! its own: it could then read the answers. It cannot change what the browser sends as `Host`.

use std::net::IpAddr;

/// Whether a `Host` header names this machine as itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_own_names_alone() {
        for own in [
            "localhost",
            "LocalHost:80",
            "mmrest.localhost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "example.org",
            "localhost.example.org:80",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "[::2]:80",
            "notlocalhost",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
