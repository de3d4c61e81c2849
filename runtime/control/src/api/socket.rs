//! The file of the control socket. The invariants: at no moment can anybody but the owner connect;
//! a socket with a listener is never replaced, a socket that a killed process left is. (Rejected: a
//! lock file beside it; a kill leaves that, too.)

use mrule_dataplane::error::Error;
use mrule_dataplane::sys::socket;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket; dropping it removes its file.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at this path, with mode 0600. Replaces a socket without a listener.
    ///
    /// # Errors
    /// [`Error`]: another process listens there, the file is not a socket, the path is a TCP
    /// address, or the socket cannot be created.
    pub fn listen(path: &Path) -> Result<Socket, Error> {
        Ok(Socket { listener: listen(path)?, path: path.to_owned() })
    }

    /// The process that listens at this path, 0 for a process of another PID namespace; none if the
    /// path is free.
    ///
    /// # Errors
    /// [`Error`]: the file is not a socket, the path is a TCP address, or it cannot be reached.
    pub fn holder(path: &Path) -> Result<Option<i32>, Error> {
        let failed = |source| Error::Control { path: path.to_owned(), source };
        let unusable = |why| Error::SocketPath { path: path.to_owned(), why };
        if path.to_str().is_some_and(|text| text.parse::<std::net::SocketAddr>().is_ok()) {
            return Err(unusable(
                "is a TCP address, but the control socket is a file; use `--listen` for TCP, with TLS and tokens",
            ));
        }
        match std::fs::symlink_metadata(path) {
            Ok(about) if !about.file_type().is_socket() => {
                Err(unusable("exists and is not a socket: remove it or choose another path"))
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(stream) => Ok(Some(socket::peer(stream.as_fd()).map_err(failed)?.0)),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
                Err(error) => Err(failed(error)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn listener(&self) -> std::io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The file may already be removed; that needs no message.
        let _removed = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::Control { path: path.to_owned(), source };
    if Socket::holder(path)?.is_some() {
        let why = "is the control socket of a running process: choose another path";
        return Err(Error::SocketPath { path: path.to_owned(), why });
    }
    // The socket has a temporary name until its mode is set; then it replaces a socket that a kill
    // left.
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(format!(".{}", std::process::id()));
    let hidden = Path::new(&hidden);
    let _left_by_the_same_number = std::fs::remove_file(hidden);
    let listener = UnixListener::bind(hidden).map_err(failed)?;
    let placed = std::fs::set_permissions(hidden, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(hidden, path))
        .and_then(|()| listener.set_nonblocking(true));
    if let Err(error) = placed {
        let _removed = std::fs::remove_file(hidden);
        return Err(failed(error));
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn a_live_socket_stays_and_a_dead_one_goes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("control");
        let first = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = listen(&path).unwrap_err().to_string();
        assert!(refused.contains("of a running process"), "{refused}");
        drop(first);
        assert!(path.exists(), "as after a kill");
        let second = listen(&path).unwrap();
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(listen(&path).unwrap_err().to_string().contains("is not a socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
        let tcp = listen(Path::new("127.0.0.1:8080")).unwrap_err().to_string();
        assert!(tcp.contains("TCP") && tcp.contains("--listen"), "{tcp}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    }
}
