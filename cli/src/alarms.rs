//! `--webhook`, `--syslog` and their options: the receivers of alarms, and the drop rate that
//! raises one. The invariant: an invalid address or secret is refused before the run starts; a
//! receiver that does not answer is no error. (Rejected: a settings file; a few options are
//! enough.)

use crate::exit::{Failure, plain};
pub use mrule_control::alarm::Target;
use mrule_control::alarm::{Alarms, Syslog, Webhook};
use mrule_dataplane::privilege::private;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The receivers of alarms, and the alarm threshold.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Alarms")]
pub struct Receivers {
    /// Post alarms as JSON to this URL (https or http); may be given several times
    ///
    /// An alarm is sent when a trigger is raised or cleared, a station or interface goes down or
    /// up, a policy is loaded, unloaded or refused, or packets are dropped.
    #[arg(long, value_name = "URL", conflicts_with = "read")]
    webhook: Vec<String>,
    /// Sign each post with the secret in FILE: HMAC-SHA256, in the header X-Mirrorc-Signature
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_secret_file: Option<PathBuf>,
    /// Send alarms by syslog (RFC 5424): udp://HOST:PORT, tcp://HOST:PORT, unix:/dev/log; may be
    /// given several times
    #[arg(long, value_name = "ADDRESS", conflicts_with = "read")]
    syslog: Vec<String>,
    /// Send an alarm if there are more than RATE drops in a second: packets not read or not
    /// forwarded, copies not sent
    #[arg(long, value_name = "RATE", default_value_t = 100.0, value_parser = rate, conflicts_with = "read")]
    alarm_drops: f64,
}

/// The longest secret, in bytes.
const SECRET: u64 = 4096;

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| "write a number of drops in a second, as in `0`, `100` or `0.5`".to_owned())
}

impl Receivers {
    /// The drops in a second above which an alarm is sent.
    pub fn drops(&self) -> f64 {
        self.alarm_drops
    }

    /// The files that stations must not write, and what they are.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, &'static str)> {
        self.webhook_secret_file.iter().map(|path| (path, "the secret of webhooks"))
    }

    /// The receivers of alarms.
    ///
    /// # Errors
    /// An address or a secret that cannot be used.
    pub fn targets(&self) -> Result<Vec<Target>, Failure> {
        let secret = self.webhook_secret_file.as_deref().map(secret).transpose()?;
        let mut targets = Vec::new();
        for url in &self.webhook {
            let webhook = Webhook::new(url, secret.as_deref());
            let webhook =
                webhook.map_err(|why| Failure::usage(format!("`--webhook` cannot be used: {why}")))?;
            targets.push(Target::Webhook(Box::new(webhook)));
        }
        for address in &self.syslog {
            let syslog = Syslog::new(address);
            let syslog = syslog
                .map_err(|why| Failure::usage(format!("`--syslog {address}` cannot be used: {why}")))?;
            targets.push(Target::Syslog(syslog));
        }
        Ok(targets)
    }
}

/// Starts the threads that send alarms; none, if there are no targets.
///
/// # Errors
/// No thread can be had.
pub fn start(
    targets: Vec<Target>,
    tell: impl Fn(String) + Send + Sync + 'static,
) -> Result<Option<Alarms>, Failure> {
    if targets.is_empty() {
        return Ok(None);
    }
    let failed =
        |error| Failure::usage(format!("cannot start the threads that send alarms: {}", plain(&error)));
    Alarms::start(targets, tell).map(Some).map_err(failed)
}

/// Reads a secret; a line end at its end is not part of it.
fn secret(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::file("read", path.display(), &error);
    let mut secret = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    file.take(SECRET + 1).read_to_end(&mut secret).map_err(failed)?;
    private::check(path, mode, private::Open::ToGroup).map_err(Failure::usage)?;
    let length = secret.trim_ascii_end().len();
    secret.truncate(length);
    let wrong = |what: &str| {
        let failure = Failure::usage(format!("the secret in `{}` {what}", path.display()));
        failure.help("create a secret: head -c 32 /dev/urandom | base64")
    };
    match secret.len() as u64 {
        0 => Err(wrong("is empty")),
        SECRET.. => Err(wrong("is too long: 4096 bytes at most")),
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
            secret(&path).map_err(|failure| failure.message)
        };
        assert_eq!(with(b"hush\r\n").unwrap(), b"hush");
        assert!(with(b"\n").unwrap_err().contains("is empty"));
        assert!(with(&[b'x'; 5000]).unwrap_err().contains("too long"));
        std::fs::set_permissions(place.path().join("secret"), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(secret(&place.path().join("secret")).unwrap_err().message.contains("chmod o-r"));
        assert!(secret(&place.path().join("none")).unwrap_err().message.contains("no such file"));
        assert!(secret(place.path()).unwrap_err().message.contains("is a directory"));
    }

    #[test]
    fn rates_are_numbers() {
        assert_eq!((rate("0"), rate("0.5")), (Ok(0.0), Ok(0.5)));
        for wrong in ["", "-1", "nan", "inf", "1k"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
