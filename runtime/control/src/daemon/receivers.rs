//! Who is told of alarms, from their addresses. The invariant: what can be known to be wrong with
//! an address or a secret is refused before anything starts; a receiver that is not there is no
//! error. (Rejected: opening them when the first alarm comes; a mistake would be found at night.)

use super::DaemonError;
use super::options::Receivers;
use crate::alarm::{Alarms, Syslog, Target, Webhook};
use mrule_dataplane::privilege::private;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How long a secret may be, in bytes.
const SECRET: u64 = 4096;

/// Who is to be told.
///
/// # Errors
/// An address or a secret that cannot be used.
pub(super) fn targets(of: &Receivers) -> Result<Vec<Target>, DaemonError> {
    let secret = of.secret.as_deref().map(secret).transpose()?;
    let mut targets = Vec::new();
    for url in &of.webhooks {
        let webhook = Webhook::new(url, secret.as_deref()).map_err(DaemonError::Webhook)?;
        targets.push(Target::Webhook(Box::new(webhook)));
    }
    for address in &of.syslog {
        let wrong = |why| DaemonError::Syslog { address: address.clone(), why };
        targets.push(Target::Syslog(Syslog::new(address).map_err(wrong)?));
    }
    Ok(targets)
}

/// Starts telling; nobody, where nobody is named.
///
/// # Errors
/// [`DaemonError::Alarms`].
pub(super) fn start(
    targets: Vec<Target>,
    tell: impl Fn(String) + Send + Sync + 'static,
) -> Result<Option<Alarms>, DaemonError> {
    if targets.is_empty() {
        return Ok(None);
    }
    Alarms::start(targets, tell).map(Some).map_err(DaemonError::Alarms)
}

/// Reads a secret; a line end behind it is not part of it.
fn secret(path: &Path) -> Result<Vec<u8>, DaemonError> {
    let failed = |source| DaemonError::Secret { path: path.to_owned(), source };
    let mut secret = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    file.take(SECRET + 1).read_to_end(&mut secret).map_err(failed)?;
    private::check(path, mode, private::Open::ToGroup).map_err(DaemonError::OpenSecret)?;
    let length = secret.trim_ascii_end().len();
    secret.truncate(length);
    let wrong = |what| Err(DaemonError::BadSecret { path: path.to_owned(), what });
    match secret.len() as u64 {
        0 => wrong("is empty"),
        SECRET.. => wrong("is too long: 4096 bytes at most"),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn secrets_are_read_or_refused() {
        let place = tempfile::tempdir().unwrap();
        let with = |text: &[u8]| {
            let path = place.path().join("secret");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            secret(&path).map_err(|error| error.to_string())
        };
        assert_eq!(with(b"hush\r\n").unwrap(), b"hush");
        assert!(with(b"\n").unwrap_err().contains("is empty"));
        assert!(with(&[b'x'; 5000]).unwrap_err().contains("too long"));
        std::fs::set_permissions(place.path().join("secret"), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(secret(&place.path().join("secret")).unwrap_err().to_string().contains("chmod o-r"));
        assert!(secret(&place.path().join("none")).unwrap_err().to_string().contains("no such file"));
        assert!(secret(place.path()).unwrap_err().to_string().contains("is a directory"));
    }
}
