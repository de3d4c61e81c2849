//! The remote API: TCP, always with TLS and tokens. The invariants: nothing is answered before the
//! handshake, which has a time limit; remote connections have their own limit, so they never keep
//! the owner of the control socket out; if new certificates or tokens cannot be read, or other
//! users can read or write them, the old ones stay in use. (Rejected: unencrypted TCP behind a
//! separate proxy: a reader of the wire would get the token.)

use super::auth::{RequestListener, Tokens};
use mrule_dataplane::error::Error;
use mrule_dataplane::patience;
use mrule_dataplane::privilege::private;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The files of the remote API.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate and its chain, as PEM.
    pub certificate: PathBuf,
    /// The private key of the certificate, as PEM.
    pub key: PathBuf,
    /// The token file, with lines that `mirrorc token` writes.
    pub tokens: PathBuf,
}

/// A listening address.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    files: TlsFiles,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    tokens: Arc<watch::Sender<Arc<Tokens>>>,
}

/// An address to listen at, with the files read: already bound, unless another process listens
/// there.
#[derive(Debug)]
pub struct Reservation {
    address: SocketAddr,
    files: TlsFiles,
    config: Arc<ServerConfig>,
    tokens: Arc<Tokens>,
    listener: std::io::Result<TcpListener>,
}

/// The longest wait for an address of a process that has just ended.
const ENDING: Duration = Duration::from_secs(2);

impl Reservation {
    /// Reads the files and binds the address.
    ///
    /// # Errors
    /// [`Error`]: no interface has the address; a file cannot be read or is invalid.
    pub fn new(address: SocketAddr, files: TlsFiles) -> Result<Reservation, Error> {
        let (config, tokens) = (read_certificate(&files)?, read_tokens(&files)?);
        if tokens.count() == 0 {
            return Err(Error::NoToken { path: files.tokens.clone() });
        }
        let listener = TcpListener::bind(address);
        match listener {
            Err(source) if source.kind() != ErrorKind::AddrInUse => Err(Error::Listen { address, source }),
            listener => Ok(Reservation { address, files, config, tokens, listener }),
        }
    }

    /// The address, if another process listens there.
    pub fn in_use(&self) -> Option<SocketAddr> {
        self.listener.is_err().then_some(self.address)
    }

    /// Checks that no other process listens there.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn is_free(&self) -> Result<(), Error> {
        match self.in_use() {
            Some(address) => Err(Error::Listen { address, source: ErrorKind::AddrInUse.into() }),
            None => Ok(()),
        }
    }

    /// Listens with the socket that was bound, or with the socket that the replaced mirrorc has
    /// passed on (`handed`); if that mirrorc has just ended, waits for its address.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn listen(self, handed: Option<TcpListener>, replaced: bool) -> Result<TlsListener, Error> {
        let Reservation { address, files, config, tokens, mut listener } = self;
        listener = match handed {
            Some(handed) => Ok(handed),
            None => listener,
        };
        let begun = Instant::now();
        while replaced && listener.is_err() && begun.elapsed() < ENDING {
            std::thread::sleep(Duration::from_millis(20));
            listener = TcpListener::bind(address);
        }
        let failed = |source| Error::Listen { address, source };
        let listener = listener.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (config, tokens) = (Arc::new(RwLock::new(config)), Arc::new(watch::Sender::new(tokens)));
        Ok(TlsListener { listener, files, config, tokens })
    }
}

impl TlsListener {
    /// The address; the kernel may have chosen its port.
    ///
    /// # Errors
    /// An error of the kernel.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The handle that reads the files again.
    pub fn renewal(&self) -> TlsReload {
        TlsReload { files: self.files.clone(), config: self.config.clone(), tokens: self.tokens.clone() }
    }

    /// The listening socket.
    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// The acceptor of TLS connections, and the listener that their requests carry.
    pub(super) fn acceptor(&self) -> (impl Fn() -> tokio_rustls::TlsAcceptor + use<>, RequestListener) {
        let config = self.config.clone();
        let acceptor = move || config.read().unwrap_or_else(PoisonError::into_inner).clone().into();
        (acceptor, RequestListener::Tls(self.tokens.subscribe()))
    }
}

/// Reads certificates and tokens again.
#[derive(Debug)]
pub struct TlsReload {
    files: TlsFiles,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    tokens: Arc<watch::Sender<Arc<Tokens>>>,
}

impl TlsReload {
    /// Reads the files again, for future connections and requests; event streams of revoked tokens
    /// end. A revoked token does not wait for a certificate, nor the other way round; a file that
    /// hangs is refused in time.
    pub fn renew(&self) -> Renewed {
        self.renew_by(patience::OPENING, read_certificate, read_tokens)
    }

    fn renew_by(&self, time: Duration, certificate: Read<ServerConfig>, tokens: Read<Tokens>) -> Renewed {
        // Tokens first: a certificate file that hangs must not delay the revocation of a token.
        let tokens = in_time(time, &self.files, &self.files.tokens, tokens).map(|tokens| {
            let count = tokens.count();
            self.tokens.send_replace(tokens);
            count
        });
        let certificate = in_time(time, &self.files, &self.files.certificate, certificate)
            .map(|config| *self.config.write().unwrap_or_else(PoisonError::into_inner) = config);
        Renewed { certificate, tokens }
    }

    /// The token file.
    pub fn tokens(&self) -> &Path {
        &self.files.tokens
    }
}

/// The result of reading the files again; a refused file leaves the old state.
#[derive(Debug)]
pub struct Renewed {
    /// The result for the certificate and its key.
    pub certificate: Result<(), Error>,
    /// The number of tokens, or the error.
    pub tokens: Result<usize, Error>,
}

/// A function that reads one kind of file.
type Read<T> = fn(&TlsFiles) -> Result<Arc<T>, Error>;

/// Reads a file with a time limit; the error names `path` if the system does not answer.
fn in_time<T: Send + Sync + 'static>(
    time: Duration,
    files: &TlsFiles,
    path: &Path,
    read: Read<T>,
) -> Result<Arc<T>, Error> {
    let files = files.clone();
    let done = patience::within(time, &AtomicBool::new(false), move || read(&files));
    let hung = || wrong(path, "its file system does not answer, or no thread can be started".to_owned());
    done.ok_or_else(hung)?
}

fn wrong(path: &Path, why: String) -> Error {
    Error::TlsFile { path: path.to_owned(), why }
}

fn read_certificate(files: &TlsFiles) -> Result<Arc<ServerConfig>, Error> {
    let of_pem = |error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => "the file has none in PEM format".to_owned(),
        other => other.to_string(),
    };
    let unread = |what: &str, error: Error| match error {
        Error::Open { path, source } => wrong(&path, format!("the {what} cannot be read: {source}")),
        other => other,
    };
    let certificate = private::read(&files.certificate, private::Open::ToReaders);
    let certificate = certificate.map_err(|error| unread("certificate", error))?;
    let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain
        .map_err(|e| wrong(&files.certificate, format!("the certificate cannot be read: {}", of_pem(e))))?;
    if chain.is_empty() {
        return Err(wrong(
            &files.certificate,
            "the certificate cannot be read: the file has none in PEM format".to_owned(),
        ));
    }
    let key = private::read(&files.key, private::Open::ToGroup).map_err(|error| unread("key", error))?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|e| wrong(&files.key, format!("the key cannot be read: {}", of_pem(e))))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            wrong(&files.certificate, format!("the certificate and the key cannot be used: {error}"))
        })?;
    Ok(Arc::new(config))
}

fn read_tokens(files: &TlsFiles) -> Result<Arc<Tokens>, Error> {
    let text = String::from_utf8(private::read(&files.tokens, private::Open::ToReaders)?);
    let text = text.map_err(|_| wrong(&files.tokens, "the file is not UTF-8 text".to_owned()))?;
    Ok(Arc::new(Tokens::parse(&text).map_err(|what| wrong(&files.tokens, what))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn hangs<T>(_: &TlsFiles) -> Result<Arc<T>, Error> {
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_certificate_that_hangs_keeps_no_token_from_being_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, "").unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
        let config = config.unwrap().with_no_client_auth().with_cert_resolver(resolver);
        let hash = format!("sha256:{}", "0".repeat(64));
        let before = Tokens::parse(&format!("vera viewer {hash}\n")).unwrap();
        assert_eq!(before.count(), 1);
        let reload = TlsReload {
            files: TlsFiles { certificate: path.clone(), key: path.clone(), tokens: path },
            config: Arc::new(RwLock::new(Arc::new(config))),
            tokens: Arc::new(watch::Sender::new(Arc::new(before))),
        };
        let renewed = reload.renew_by(SHORT, hangs, hangs);
        assert!(renewed.tokens.unwrap_err().to_string().contains("does not answer"));
        assert_eq!(reload.tokens.borrow().count(), 1, "what is not known takes nothing away");
        let renewed = reload.renew_by(SHORT, hangs, read_tokens);
        assert!(renewed.certificate.unwrap_err().to_string().contains("does not answer"));
        assert_eq!((renewed.tokens.unwrap(), reload.tokens.borrow().count()), (0, 0));
    }
}
