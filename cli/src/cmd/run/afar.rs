//! The arguments by which the API is reached from afar. The invariant: without certificate, key and tokens there is no
//! listening. (Rejected: a certificate that mirrorc makes for itself; nobody could know whom they talk to.)

use crate::exit::Failure;
use crate::memory;
use mrule_runtime::api::{Afar, Bounds, Papers};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to listen, and by which files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "From afar")]
pub(super) struct Listen {
    /// Listen at this TCP address for the HTTP API, with TLS, for those who have a token
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "read", requires_all = ["tls_cert", "tls_key", "tokens"])]
    listen: Option<SocketAddr>,
    /// The certificate, and those that vouch for it, as PEM
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_cert: Option<PathBuf>,
    /// Its private key, as PEM
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_key: Option<PathBuf>,
    /// Who may ask for what: a file that `mirrorc token` writes; SIGHUP reads it and the certificate again
    #[arg(long, value_name = "FILE", requires = "listen")]
    tokens: Option<PathBuf>,
    /// How many connections there can be to the API, by each way: from afar, and at the control socket
    #[arg(long, value_name = "N", default_value_t = 1200, value_parser = clap::value_parser!(u32).range(12..=100_000))]
    api_connections: u32,
    /// How many of them from one address (of IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    api_connections_per_address: u32,
    /// How much memory the bodies of all requests to the API may take together; a quarter is for the control socket only
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory::size)]
    api_body_memory: usize,
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

    /// Whether anybody may ask from afar.
    pub fn is_wanted(&self) -> bool {
        self.listen.is_some()
    }

    /// Listens, if that is wanted.
    pub fn open(&self) -> Result<Option<Afar>, Failure> {
        let Listen {
            listen: Some(address),
            tls_cert: Some(cert),
            tls_key: Some(key),
            tokens: Some(tokens),
            ..
        } = self
        else {
            return Ok(None);
        };
        let papers = Papers { certificate: cert.clone(), key: key.clone(), tokens: tokens.clone() };
        Ok(Some(Afar::listen(*address, papers)?))
    }
}
