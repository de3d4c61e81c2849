//! The arguments by which the API is reached remotely. The invariant: without certificate, key and
//! tokens there is no listening. (Rejected: a certificate that mirrorc makes for itself; nobody
//! could know whom they talk to.)

use crate::memory;
use mrule_control::api::{Bounds, TlsFiles};
use mrule_control::daemon;
use mrule_dataplane::confine::Network;
use std::net::SocketAddr;
use std::path::PathBuf;

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

    /// Where to listen, and by which files.
    pub fn options(&self) -> Option<daemon::Listen> {
        let named = (&self.listen, &self.tls_cert, &self.tls_key, &self.tokens);
        let (Some(address), Some(cert), Some(key), Some(tokens)) = named else { return None };
        let files = TlsFiles { certificate: cert.clone(), key: key.clone(), tokens: tokens.clone() };
        Some(daemon::Listen { address: *address, files })
    }

    /// What stations of clients may reach.
    pub fn granted(&self) -> daemon::Granted {
        daemon::Granted {
            directories: self.allow_directory.clone(),
            interfaces: self.allow_interface.clone(),
            networks: self.allow_network.clone(),
        }
    }
}
