//! Alarms by syslog: RFC 5424 over UDP (RFC 5426), TCP with a length before each message (RFC 6587,
//! 3.4.1), or the socket of the local daemon. The invariant: every message is valid by RFC 5424,
//! whatever an event contains: texts from packets cannot end a message, begin another one, or
//! control a terminal. (Rejected: a library; the maintained libraries write no structured data or
//! no lengths, and the format is short.)

use super::{Failed, in_time};
use crate::event::{Kind, Record};
use serde_json::Value as Json;
use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};

/// The facility: system daemons (RFC 5424, 6.2.1).
const DAEMON: u8 = 3;

/// The longest message, in bytes: receivers should accept this length (RFC 5424, 6.1).
const LONGEST: usize = 2048;

/// The longest value, in bytes.
const LONGEST_VALUE: usize = 256;

/// The members that become structured data, in this order.
const DATA: [&str; 7] = ["policy", "version", "trigger", "key", "reason", "station", "interface"];

/// The name of our structured data. 32473 is the enterprise number for examples (RFC 5612); mirrorc
/// has no number of its own.
const DATA_ID: &str = "mirrorc@32473";

/// A receiver of syslog messages.
#[derive(Debug)]
pub struct Syslog {
    to: Address,
    link: Option<Link>,
}

#[derive(Debug, PartialEq, Eq)]
enum Address {
    Udp(String, u16),
    Tcp(String, u16),
    Unix(PathBuf),
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

impl fmt::Display for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &String| if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match &self.to {
            Address::Udp(to, port) => write!(f, "syslog udp://{}:{port}", host(to)),
            Address::Tcp(to, port) => write!(f, "syslog tcp://{}:{port}", host(to)),
            Address::Unix(path) => write!(f, "syslog unix:{}", path.display()),
        }
    }
}

fn address(text: &str) -> Result<Address, String> {
    const FORM: &str = "write `udp://host:514`, `tcp://host:601` or `unix:/dev/log`";
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        return if path.is_absolute() {
            Ok(Address::Unix(path))
        } else {
            Err(format!("the path must begin with `/`; {FORM}"))
        };
    }
    let (make, default, rest): (fn(String, u16) -> Address, u16, &str) = match text.split_once("://") {
        Some(("udp", rest)) => (Address::Udp, 514, rest),
        Some(("tcp", rest)) => (Address::Tcp, 601, rest),
        Some((other, _)) => return Err(format!("`{other}` is not supported; {FORM}")),
        None => return Err(FORM.to_owned()),
    };
    let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, port))) => (host, port),
        Some(None) => return Err(format!("a bracket is not closed; {FORM}")),
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None if port.is_empty() => Some(default),
        None => None,
    };
    let port = port.ok_or_else(|| format!("the port must be a number from 1 to 65535; {FORM}"))?;
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'));
    if host.is_empty() || host.contains(odd) {
        return Err(format!("`{host}` is not a host name; {FORM}"));
    }
    Ok(make(host.to_owned(), port))
}

impl Syslog {
    /// A receiver at an address: `udp://host:514`, `tcp://host:601`, `unix:/dev/log`.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn new(text: &str) -> Result<Syslog, String> {
        Ok(Syslog { to: address(text)?, link: None })
    }

    pub(super) async fn send(&mut self, batch: &[Arc<Record>]) -> Result<(), Failed> {
        for (sent, record) in batch.iter().enumerate() {
            if let Err(error) = in_time(self.send_one(&message(record))).await {
                // After a partial send, the rest would be a corrupt message: connect again.
                self.link = None;
                let text = error.to_string();
                let why = text.split(" (os error").next().unwrap_or(&text);
                return Err(Failed::Later(sent, why.to_owned()));
            }
        }
        Ok(())
    }

    async fn send_one(&mut self, message: &str) -> io::Result<()> {
        let link = match self.link.take() {
            Some(link) if !link.has_hung_up() => link,
            _ => self.to.connect().await?,
        };
        match self.link.insert(link) {
            Link::Udp(socket) => socket.send(message.as_bytes()).await.map(drop),
            Link::Unix(socket) => socket.send(message.as_bytes()).await.map(drop),
            Link::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()).await,
        }
    }
}

impl Link {
    /// A TCP receiver sends nothing except its end. Whatever is written after that is lost.
    fn has_hung_up(&self) -> bool {
        let Link::Tcp(stream) = self else { return false };
        let mut ignored = [0; 512];
        // Reads a limited amount from a receiver that sends something nevertheless.
        for _ in 0..8 {
            match stream.try_read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Ok(_) | Err(_) => return true,
            }
        }
        false
    }
}

impl Address {
    async fn connect(&self) -> io::Result<Link> {
        match self {
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path).map_err(|error| match error.raw_os_error() {
                    Some(libc::EPROTOTYPE) => io::Error::other("it is not a datagram socket"),
                    _ => error,
                })?;
                Ok(Link::Unix(socket))
            }
            Address::Udp(host, port) => {
                let mut failed = io::Error::from(ErrorKind::NotFound);
                for to in lookup_host((host.as_str(), *port)).await? {
                    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let socket = UdpSocket::bind(any).await?;
                    match socket.connect(to).await {
                        Ok(()) => return Ok(Link::Udp(socket)),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Link::Tcp(stream))
            }
        }
    }
}

/// The severity (RFC 5424, 6.2.1).
fn severity(kind: Kind) -> u8 {
    let (error, warning, notice) = (3, 4, 5);
    match kind {
        Kind::StationDown | Kind::InterfaceDown | Kind::ForwardingDown | Kind::Degraded => error,
        Kind::Raised | Kind::Full | Kind::Drops | Kind::Refused => warning,
        _ => notice,
    }
}

/// The name of this host, as it stands in messages.
pub(super) fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// An event as a message.
fn message(record: &Record) -> String {
    let priority = DAEMON * 8 + severity(record.kind);
    let time = jiff::Timestamp::from_nanosecond(record.time.into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let id = record.kind.name().replace(' ', "_");
    let mut text = format!("<{priority}>1 {time:.6} {} mirrorc {} {id} ", host(), std::process::id());
    let values =
        DATA.iter().filter_map(|name| Some((name, record.members.get(*name).filter(|v| !v.is_null())?)));
    let values: Vec<(&&str, String)> = values.map(|(name, value)| (name, words(value))).collect();
    if values.is_empty() {
        text.push('-');
    } else {
        let _infallible = write!(text, "[{DATA_ID}");
        for (name, value) in &values {
            let _infallible = write!(text, " {name}=\"{}\"", escaped(value));
        }
        text.push(']');
    }
    let said = record.word("note").map_or_else(|| sentence(record, &values), |note| note.to_owned());
    let said = printable(&said);
    text.push(' ');
    if !said.is_ascii() {
        // The byte order mark says that the text is UTF-8 (RFC 5424, 6.4).
        text.push('\u{feff}');
    }
    text.push_str(&said);
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

/// A sentence about a trigger.
fn sentence(record: &Record, values: &[(&&str, String)]) -> String {
    let value = |name: &str| values.iter().find(|(of, _)| **of == name).map(|(_, value)| value.as_str());
    let mut text = format!("trigger {} was {}", value("trigger").unwrap_or("?"), record.kind.name());
    for (name, before) in [("key", " for "), ("reason", ": ")] {
        if let Some(value) = value(name) {
            text.push_str(before);
            text.push_str(value);
        }
    }
    text
}

/// A value as text: the parts of a key separated by blanks.
fn words(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(parts) => parts.iter().map(words).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Replaces control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A value, escaped for quotes (RFC 5424, 6.3.3).
fn escaped(value: &str) -> String {
    let mut text = printable(value);
    text.truncate(text.floor_char_boundary(LONGEST_VALUE));
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_read_or_refused_with_a_reason() {
        for (text, shown) in [
            ("udp://log.example.com", "syslog udp://log.example.com:514"),
            ("udp://192.0.2.1:5140", "syslog udp://192.0.2.1:5140"),
            ("tcp://[2001:db8::1]", "syslog tcp://[2001:db8::1]:601"),
            ("tcp://[::1]:1468", "syslog tcp://[::1]:1468"),
            ("unix:/dev/log", "syslog unix:/dev/log"),
            ("unix:///dev/log", "syslog unix:/dev/log"),
        ] {
            assert_eq!(Syslog::new(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("", "udp://host:514"),
            ("log.example.com:514", "udp://host:514"),
            ("tls://log.example.com", "`tls` is not supported"),
            ("udp://", "`` is not a host"),
            ("udp://:514", "`` is not a host"),
            ("udp://host:0", "from 1 to 65535"),
            ("udp://host:x", "from 1 to 65535"),
            ("udp://host:99999", "from 1 to 65535"),
            ("tcp://[::1", "not closed"),
            ("tcp://host/path", "not a host"),
            ("unix:log", "must begin with `/`"),
        ] {
            let refused = Syslog::new(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn messages_are_as_the_standard_has_them() {
        let members = json!({ "trigger": "scan", "policy": "main", "key": ["10.0.0.1", 443], "reason": "a \"b\" \\ ]\n\u{1b}[31m" });
        let members = members.as_object().unwrap().clone();
        let text =
            message(&Record { kind: Kind::Raised, time: 1_700_000_000_123_456_789, client: None, members });
        let (head, rest) = text.split_once(" [").unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!((words[0], words[1], words[3]), ("<28>1", "2023-11-14T22:13:20.123456Z", "mirrorc"));
        assert_eq!(words[5], "raised");
        let expected = "mirrorc@32473 policy=\"main\" trigger=\"scan\" key=\"10.0.0.1 443\" \
                        reason=\"a \\\"b\\\" \\\\ \\]??[31m\"] trigger scan was raised for 10.0.0.1 443: a \"b\" \\ ]??[31m";
        assert_eq!(rest, expected);
        let note = message(&Record::now(Kind::StationUp, json!({ "note": "é is up" })));
        assert!(note.contains(" station_up - \u{feff}é is up") && note.starts_with("<29>1 "), "{note}");
        let long = Record::now(Kind::Raised, json!({ "key": "é]".repeat(3000), "note": "é".repeat(3000) }));
        let long = message(&long);
        assert!(long.len() <= LONGEST && long.matches("\"] ").count() == 1, "{long}");
    }
}
