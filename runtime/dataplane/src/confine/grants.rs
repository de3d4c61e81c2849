//! What API clients are granted at the start of a run: directories, interfaces, networks.
//! Invariants: a directory is opened once, at the start, and all paths of clients are looked up
//! beneath that handle. A refusal says what was wanted, what is granted, and which option grants
//! it. (Rejected: grants per token; SIGHUP can change the token file, but the grants are for the
//! whole run.)

use super::location;
use crate::error::Error;
use mrule_compiler::hir::{Station, Target};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// A directory beneath which clients may write.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The path as given.
    path: PathBuf,
    /// The path without symbolic links.
    real: PathBuf,
    handle: OwnedFd,
}

impl Directory {
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// A network that tunnels of clients may lead to: an address and the length of its prefix (RFC
/// 4632, RFC 4291).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The address as a number and its length in bits. An IPv4 address in IPv6 notation counts as IPv4.
fn number(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Network {
    fn has(&self, host: IpAddr) -> bool {
        let ((network, width), (host, of_host)) = (number(self.address), number(host));
        let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        width == of_host && (network ^ host) & mask == 0
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| {
            format!("`{address}` is no address; write a network as in `192.0.2.0/24` or `2001:db8::/32`")
        })?;
        let (value, width) = number(address);
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok().filter(|bits| *bits <= width));
        let bits = bits.ok_or_else(|| format!("the length of a prefix of `{address}` is 0 to {width}"))?;
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        if value & !mask != 0 {
            return Err(format!("`{text}` has bits behind its prefix; write the network's first address"));
        }
        Ok(Network { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// What clients may reach; nothing by default.
#[derive(Debug, Default)]
pub struct Grants {
    directories: Vec<Directory>,
    interfaces: Vec<String>,
    networks: Vec<Network>,
}

impl Grants {
    /// Opens the directories.
    ///
    /// # Errors
    /// [`Error::Grant`]: a directory does not exist, is no directory, or cannot be opened.
    pub fn open(
        directories: &[PathBuf],
        interfaces: &[String],
        networks: &[Network],
    ) -> Result<Grants, Error> {
        let open = |path: &PathBuf| {
            let failed = |source| Error::Grant { path: path.clone(), source };
            let real = path.canonicalize().map_err(failed)?;
            let handle = location::open_directory(&real).map_err(|error| failed(error.into()))?;
            Ok::<_, Error>(Directory { path: path.clone(), real, handle })
        };
        Ok(Grants {
            directories: directories.iter().map(open).collect::<Result<_, _>>()?,
            interfaces: interfaces.to_vec(),
            networks: networks.to_vec(),
        })
    }

    /// The handles of the directories, for the rules that the kernel enforces.
    pub(crate) fn handles(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.directories.iter().map(Directory::handle)
    }

    /// The directories, without symbolic links.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|directory| directory.real.as_path())
    }

    /// Whether the definition of a client's station is allowed.
    ///
    /// # Errors
    /// [`Error::NotGranted`].
    pub fn check(&self, station: &Station) -> Result<(), Error> {
        let refused = |reason| Err(Error::NotGranted { station: station.name.clone(), reason });
        let said = |what: &str, granted: String, option: &str| {
            let granted = if granted.is_empty() { "none".to_owned() } else { granted };
            format!("{what}; granted to clients are: {granted}; `run {option}` grants more")
        };
        match &station.target {
            Target::Interface { name } if self.interfaces.contains(name) => Ok(()),
            Target::Interface { name } => refused(said(
                &format!("it sends on the interface `{name}`"),
                self.interfaces.join(", "),
                "--allow-interface INTERFACE",
            )),
            Target::Tunnel { host, .. } if self.networks.iter().any(|network| network.has(*host)) => Ok(()),
            Target::Tunnel { host, .. } => {
                refused(said(&format!("it sends to {host}"), join(&self.networks), "--allow-network NETWORK"))
            }
            Target::Pcapng { path, .. } | Target::Pipe { path: Some(path) } => match self.locate(path) {
                Ok(_) => Ok(()),
                Err(why) => refused(why),
            },
            Target::Pipe { path: None } => {
                refused("standard output belongs to the owner of the run; give the pipe a path".to_owned())
            }
        }
    }

    /// The directory that a client's path lies in, and the path beneath it. A relative path lies in
    /// the first directory. An absolute path begins with a directory as given, or without its
    /// symbolic links.
    ///
    /// # Errors
    /// The path lies in no granted directory, or contains `..`; in words.
    pub(crate) fn locate(&self, path: &str) -> Result<(&Directory, PathBuf), String> {
        let asked = Path::new(path);
        if asked.components().any(|part| part == Component::ParentDir) {
            return Err(format!("`{path}` has `..`, which paths of clients cannot have"));
        }
        let found = if asked.is_absolute() {
            self.directories.iter().find_map(|directory| {
                let Directory { path, real, .. } = directory;
                let rest = asked.strip_prefix(path).or_else(|_| asked.strip_prefix(real)).ok()?;
                Some((directory, rest.to_owned()))
            })
        } else {
            self.directories.first().map(|directory| (directory, asked.to_owned()))
        };
        let granted = self.directories.iter().map(|d| d.path.display().to_string()).collect::<Vec<_>>();
        let granted = if granted.is_empty() { "none".to_owned() } else { granted.join(", ") };
        let (directory, rest) = found.ok_or_else(|| {
            format!(
                "it writes `{path}`; directories granted to clients are: {granted}; `run --allow-directory \
                 DIR` grants more"
            )
        })?;
        let rest: PathBuf = rest.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        if rest.as_os_str().is_empty() {
            return Err(format!("`{path}` is a directory; name a file in it"));
        }
        Ok((directory, rest))
    }
}

fn join(networks: &[Network]) -> String {
    networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn networks_have_their_hosts() {
        for (network, host, has) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.has(host.parse().unwrap()), has, "{network} {host}");
        }
        for (wrong, says) in [
            ("192.0.2.1/24", "bits behind its prefix"),
            ("192.0.2.0/33", "0 to 32"),
            ("2001:db8::/129", "0 to 128"),
            ("example.net", "is no address"),
            ("", "is no address"),
        ] {
            let why = wrong.parse::<Network>().unwrap_err();
            assert!(why.contains(says), "{wrong}: {why}");
        }
    }

    #[test]
    fn paths_of_clients_lie_in_a_granted_directory() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = [one.path().to_owned(), two.path().to_owned()];
        let grants = Grants::open(&directories, &[], &[]).unwrap();
        let rest = |path: &str| grants.locate(path).map(|(of, rest)| (of.path.clone(), rest));
        let first = |rest: &str| Ok((one.path().to_owned(), PathBuf::from(rest)));
        assert_eq!(rest("a.pcapng"), first("a.pcapng"));
        assert_eq!(rest("./d//a.pcapng"), first("d/a.pcapng"));
        let absolute = two.path().join("d/a").to_str().unwrap().to_owned();
        assert_eq!(rest(&absolute), Ok((two.path().to_owned(), PathBuf::from("d/a"))));
        for (path, says) in [
            ("/etc/passwd", "granted to clients are: /"),
            ("../a", "has `..`"),
            ("d/../../a", "has `..`"),
            (one.path().to_str().unwrap(), "is a directory"),
            (".", "is a directory"),
            ("", "is a directory"),
        ] {
            let why = rest(path).unwrap_err();
            assert!(why.contains(says), "{path}: {why}");
        }
        let none = Grants::default().locate("a").unwrap_err();
        assert!(none.contains("are: none") && none.contains("--allow-directory"), "{none}");
    }
}
