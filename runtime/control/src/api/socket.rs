//! The socket's file. The invariants: nobody but the owner can connect, at no moment; a socket that
//! somebody listens at is never taken away, one that a killed process left is. (Rejected: a lock
//! file beside it, which a kill leaves, too.)

use mrule_dataplane::error::Error;
use mrule_dataplane::sys::socket;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that is listened at; its file goes with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at this path, with mode 0600. A socket there that nobody listens at any more is
    /// replaced.
    ///
    /// # Errors
    /// [`Error`]: somebody listens there, it is no socket, it is a TCP address, it cannot be made.
    pub fn listen(path: &Path) -> Result<Socket, Error> {
        Ok(Socket { listener: listen(path)?, path: path.to_owned() })
    }

    /// The process that listens at this path, 0 for one of another PID namespace; none where one
    /// could listen.
    ///
    /// # Errors
    /// [`Error`]: it is no socket, it is a TCP address, it cannot be reached.
    pub fn holder(path: &Path) -> Result<Option<i32>, Error> {
        let failed = |source| Error::Control { path: path.to_owned(), source };
        let taken = |why: &str| Error::Ports(format!("`{}` {why}", path.display()));
        if path.to_str().is_some_and(|text| text.parse::<std::net::SocketAddr>().is_ok()) {
            return Err(Error::Ports(format!(
                "`{}` is a TCP address, but the control socket is a file; use `--listen` for TCP, with TLS and tokens",
                path.display()
            )));
        }
        match std::fs::symlink_metadata(path) {
            Ok(about) if !about.file_type().is_socket() => {
                Err(taken("exists and is not a socket: remove it or choose another path"))
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
        // Somebody may have removed it; that is no reason to complain now.
        let _removed = std::fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::Control { path: path.to_owned(), source };
    if Socket::holder(path)?.is_some() {
        return Err(Error::Ports(format!(
            "`{}` is the control socket of a running process: choose another path",
            path.display()
        )));
    }
    // Under another name until nobody else can open it; then it takes the place of what a kill
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
        assert!(refused.contains("of a process that runs"), "{refused}");
        drop(first);
        assert!(path.exists(), "as after a kill");
        let second = listen(&path).unwrap();
        drop(second);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(listen(&path).unwrap_err().to_string().contains("is no socket"));
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
        let tcp = listen(Path::new("127.0.0.1:8080")).unwrap_err().to_string();
        assert!(tcp.contains("TCP") && tcp.contains("--listen"), "{tcp}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    }
}
