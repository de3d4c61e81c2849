//! `--webhook`, `--syslog` and their options: the receivers of alarms, and the drop rate that
//! raises one. The invariant: nothing is opened here. (Rejected: a settings file; a few options are
//! enough.)

use mrule_control::daemon;
use std::path::PathBuf;

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
    #[arg(long, value_name = "RATE", default_value_t = daemon::ALARM_DROPS, value_parser = rate, conflicts_with = "read")]
    alarm_drops: f64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| "write a number of drops in a second, as in `0`, `100` or `0.5`".to_owned())
}

impl Receivers {
    /// The receivers of a daemon.
    pub fn options(&self) -> daemon::Receivers {
        daemon::Receivers {
            webhooks: self.webhook.clone(),
            secret: self.webhook_secret_file.clone(),
            syslog: self.syslog.clone(),
            drops: self.alarm_drops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers() {
        assert_eq!((rate("0"), rate("0.5")), (Ok(0.0), Ok(0.5)));
        for wrong in ["", "-1", "nan", "inf", "1k"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
