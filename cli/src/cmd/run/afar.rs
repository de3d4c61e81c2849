//! The arguments by which the API is reached remotely. The invariant: without certificate, key and
//! tokens there is no listening. (Rejected: a certificate that mirrorc makes for itself; nobody
//! could know whom they talk to.)

use crate::exit::Failure;
use crate::memory;
use mrule_control::api::{Bounds, Reservation, TlsFiles};
use mrule_dataplane::confine::{Grants, Network};
use mrule_dataplane::patience;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Where to listen, and by which files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Remote API")]
pub(super) struct Listen {
    /// Serve the HTTP API with TLS at this TCP address, to clients that have a token
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "read", requires_all = ["tls_cert", "tls_key", "tokens"])]
    listen: Option<SocketAddr>,
    /// File (PEM) with the certificate of the remote API and its chain
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_cert: Option<PathBuf>,
    /// File (PEM) with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_key: Option<PathBuf>,
    /// Token file, written by `mirrorc token`; on SIGHUP, mirrorc reads it and the certificate
    /// again
    #[arg(long, value_name = "FILE", requires = "listen")]
    tokens: Option<PathBuf>,
    /// Maximum number of API connections, counted separately for the remote API and the control
    /// socket
    #[arg(long, value_name = "N", default_value_t = 1200, value_parser = clap::value_parser!(u32).range(12..=100_000))]
    api_connections: u32,
    /// Maximum number of API connections from one address (for IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    api_connections_per_address: u32,
    /// Maximum memory for the bodies of all API requests together; a quarter is reserved for the
    /// control socket
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory::size)]
    api_body_memory: usize,
    /// Allow clients with a token to write stations that are files or FIFOs in this directory; may
    /// be given several times. A relative path of a client starts in the first directory
    #[arg(long, value_name = "DIR", requires = "listen")]
    allow_directory: Vec<PathBuf>,
    /// Allow clients with a token to write stations that send on this interface; may be given
    /// several times
    #[arg(long, value_name = "INTERFACE", requires = "listen")]
    allow_interface: Vec<String>,
    /// Allow clients with a token to write tunnels to this network, as in 192.0.2.0/24; may be
    /// given several times
    #[arg(long, value_name = "NETWORK", requires = "listen")]
    allow_network: Vec<Network>,
}

impl Listen {
    /// What clients of the API may take.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.api_connections as usize,
            per_address: self.api_connections_per_address as usize,
            bodies: self.api_body_memory as u64,
        }
    }

    /// Whether anybody may ask remotely.
    pub fn is_wanted(&self) -> bool {
        self.listen.is_some()
    }

    /// What clients are granted.
    ///
    /// # Errors
    /// A directory that cannot be opened.
    pub fn grants(&self) -> Result<Grants, Failure> {
        Ok(Grants::open(&self.allow_directory, &self.allow_interface, &self.allow_network)?)
    }

    /// Refuses directories that are the state's or in it. Where the state's file system hangs,
    /// names are compared. To be called after privileges are given up: a thread that hangs cannot
    /// give them up.
    ///
    /// # Errors
    /// Which directory is in that of the state.
    pub fn check_grants(&self, grants: &Grants, state: Option<&Path>) -> Result<(), Failure> {
        let Some(state) = state.filter(|_| grants.directories().next().is_some()) else { return Ok(()) };
        let path = state.to_owned();
        let found =
            patience::within(patience::OPENING, &AtomicBool::new(false), move || path.canonicalize().ok());
        let state = match found {
            Some(found) => found,
            None => std::path::absolute(state).ok(),
        };
        let inside = |granted: &&Path| state.as_ref().is_some_and(|state| granted.starts_with(state));
        if let Some(granted) = grants.directories().find(inside) {
            let why = format!("`--allow-directory {}` is in the directory of the state", granted.display());
            return Err(Failure::usage(why).help("grant a directory that has nothing else in it"));
        }
        Ok(())
    }

    /// The files that stations must not write, and what they are.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, &'static str)> {
        let named = [
            (&self.tls_cert, "the certificate"),
            (&self.tls_key, "the key of the certificate"),
            (&self.tokens, "the file of tokens"),
        ];
        named.into_iter().filter_map(|(path, what)| Some((path.as_ref()?, what)))
    }

    /// Reads the files and binds the address, if that is wanted; where another mirrorc is to be
    /// replaced, the address may be in use by that.
    ///
    /// # Errors
    /// Files and addresses that cannot be used.
    pub fn open(&self, take_over: bool) -> Result<Option<Reservation>, Failure> {
        let named = (&self.listen, &self.tls_cert, &self.tls_key, &self.tokens);
        let (Some(address), Some(cert), Some(key), Some(tokens)) = named else { return Ok(None) };
        let files = TlsFiles { certificate: cert.clone(), key: key.clone(), tokens: tokens.clone() };
        let reservation = Reservation::new(*address, files)?;
        if !take_over {
            reservation.is_free()?;
        }
        Ok(Some(reservation))
    }
}
