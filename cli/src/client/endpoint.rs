//! The connection to a running mirrorc: a Unix socket, or TLS with a token. The invariant: the
//! token is sent only to a server whose certificate is valid for the requested name. (Rejected: an
//! option to accept any certificate; `--ca` names the authority to trust.)

use crate::exit::{Failure, plain};
use mrule_dataplane::privilege::User;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A connection, to read from and write to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The address of a running mirrorc, as it is written after `--to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The path of a Unix socket.
    Socket(PathBuf),
    /// A host and its port, for TLS.
    Tls { host: String, port: u16 },
}

/// The default port of `https://HOST`.
const HTTPS: u16 = 443;

impl Endpoint {
    /// `PATH` or `https://HOST[:PORT]`.
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Endpoint::Socket(text.into())) };
        if scheme != "https" {
            return Err(match scheme {
                "http" => format!(
                    "the remote API uses TLS: write `https://{rest}`, and name your token file with `--token-file FILE`"
                ),
                _ => "write the path of a control socket, or `https://HOST:PORT`".to_owned(),
            });
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let uri: hyper::Uri = format!("https://{rest}")
            .parse()
            .map_err(|_| format!("`{text}` is not a valid address; write `https://HOST:PORT`"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let no_port = uri.port_u16().is_none() && !rest.ends_with(uri.host().unwrap_or_default());
        if host.is_empty() || no_port || !matches!(uri.path(), "" | "/") || rest.contains('@') {
            return Err("write only a host and a port: `https://HOST:PORT`".to_owned());
        }
        Ok(Endpoint::Tls { host, port: uri.port_u16().unwrap_or(HTTPS) })
    }

    /// Whether the address is empty, as from an environment variable that is set to nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Endpoint::Socket(path) if path.as_os_str().is_empty())
    }

    /// The address as messages show it.
    pub fn name(&self) -> String {
        match self {
            Endpoint::Socket(path) => path.display().to_string(),
            Endpoint::Tls { host, port } if host.contains(':') => format!("https://[{host}]:{port}"),
            Endpoint::Tls { host, port } => format!("https://{host}:{port}"),
        }
    }

    /// Opens the connection.
    pub async fn connect(&self, ca: Option<&Path>) -> Result<Pin<Box<dyn Stream>>, Failure> {
        let nobody = |error: io::Error| {
            Failure::usage(format!("cannot connect to `{}`: {}", self.name(), plain(&error)))
        };
        match self {
            Endpoint::Socket(path) => {
                let reached = UnixStream::connect(path).await;
                Ok(Box::pin(reached.map_err(|error| match error.kind() {
                    ErrorKind::PermissionDenied => forbidden(path),
                    _ => nobody(error).help(
                        "start mirrorc with `mirrorc run ... --control SOCKET`, and use `--to` with the same socket",
                    ),
                })?))
            }
            Endpoint::Tls { host, port } => {
                let config = config(ca)?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| Failure::usage(format!("`{host}` is not a valid host name")))?;
                let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| {
                    nobody(error).help(format!(
                        "check that mirrorc runs with `--listen {}`, `--tls-cert`, `--tls-key` and `--tokens`,\n\
                         and that no firewall blocks the connection",
                        self.name().trim_start_matches("https://")
                    ))
                })?;
                let connector = tokio_rustls::TlsConnector::from(config);
                let shaken = connector.connect(name, tcp).await.map_err(|error| {
                    let why = refused(&error);
                    let failure =
                        Failure::usage(format!("cannot connect securely to `{}`: {why}", self.name()));
                    failure.help("name the certificate of its authority with `--ca FILE`")
                });
                Ok(Box::pin(shaken?))
            }
        }
    }
}

/// Why the TLS handshake failed, in the words of a user.
fn refused(error: &io::Error) -> String {
    let certificate = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match certificate {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "certificate signed by unknown authority".to_owned()
        }
        _ => plain(error),
    }
}

/// Why this user cannot open the control socket, and who can.
fn forbidden(path: &Path) -> Failure {
    let failure = |why: String| Failure::usage(format!("cannot open `{}`: {why}", path.display()));
    let Ok(about) = std::fs::metadata(path) else {
        // The lowest visible directory is the one without search permission.
        let closed = path.ancestors().skip(1).find(|above| above.exists());
        let closed = closed.map_or_else(|| ".".to_owned(), |above| above.display().to_string());
        return failure(format!("you have no permission for the directory `{closed}`"))
            .help("run the command as the user that mirrorc runs as, or as root: `sudo mirrorc ...`");
    };
    match about.uid() {
        0 => failure("only root can open it, because mirrorc runs as root".to_owned())
            .help("run the command as root, `sudo mirrorc ...`, or use the remote API with a token (`run --listen`)"),
        uid => {
            let owner = User::find(&uid.to_string()).map_or(uid.to_string(), |user| user.name);
            failure(format!("only root and the user `{owner}` can open it, because mirrorc runs as `{owner}`")).help(format!(
                "run the command as `sudo -u {owner} mirrorc ...`, or use the remote API with a token (`run --listen`)"
            ))
        }
    }
}

fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let wrong = |what: String| Failure::usage(format!("`{}`: {what}", path.display()));
            let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            for certificate in all.map_err(|error| wrong(error.to_string()))? {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let _some_are_of_no_use = roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_paths_and_hosts() {
        let remote = |host: &str, port| Ok(Endpoint::Tls { host: host.into(), port });
        assert_eq!(Endpoint::parse("/run/m/control"), Ok(Endpoint::Socket("/run/m/control".into())));
        assert_eq!(Endpoint::parse("https://m.example:8443/"), remote("m.example", 8443));
        assert_eq!(Endpoint::parse("https://[2001:db8::1]:1"), remote("2001:db8::1", 1));
        assert_eq!(Endpoint::parse("https://10.0.0.1"), remote("10.0.0.1", 443));
        for wrong in
            ["http://m.example", "https://", "https://m.example/v1", "https://u@m.example", "https://m:99999"]
        {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
