//! Alarms by HTTP: posts JSON to a URL, with several waiting events in one request. With a secret,
//! a signature proves the sender and the time. The invariants: TLS certificates are checked with
//! the system's authorities; parts of a URL that may be secret are never shown; redirects are not
//! followed, because they lead to another server. (Rejected: a larger HTTP client; hyper is a
//! dependency already.)

use super::{Failed, PATIENCE};
use crate::event::Record;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ring::hmac;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value as Json, json};
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The bytes of an answer that are read, so that the connection can be reused.
const ANSWER: usize = 64 << 10;

/// The longest time for the rest of an answer.
const END: Duration = Duration::from_secs(1);

/// The time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(30);

/// A webhook.
pub struct Webhook {
    url: Uri,
    key: Option<hmac::Key>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Shown without path and query, which may be secret.
impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        write!(f, "webhook {}://{authority}", self.url.scheme_str().unwrap_or_default())
    }
}

/// Reads the URL of a webhook.
///
/// # Errors
/// What is wrong with the URL.
pub(super) fn url(text: &str) -> Result<Uri, String> {
    const FORM: &str = "write a URL, as in `https://example.com/hooks/mirrorc`";
    let url: Uri = text.parse().map_err(|error| format!("{error}; {FORM}"))?;
    match url.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(format!("`{other}` is not supported; {FORM}")),
        None => return Err(FORM.to_owned()),
    }
    let authority = url.authority().ok_or_else(|| FORM.to_owned())?;
    if authority.as_str().contains('@') {
        return Err(
            "a name and password in the URL are not supported; sign the posts with `--webhook-secret-file`"
                .to_owned(),
        );
    }
    if authority.host().is_empty() || text.contains('#') {
        return Err(FORM.to_owned());
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none_or(|port| port == 0)
    {
        return Err(format!("the port must be a number from 1 to 65535; {FORM}"));
    }
    Ok(url)
}

impl Webhook {
    /// A webhook at a URL, signed with a secret if there is one.
    ///
    /// # Errors
    /// The URL is wrong, or the system's certificate authorities cannot be read.
    pub fn new(text: &str, secret: Option<&[u8]>) -> Result<Webhook, String> {
        let url = url(text)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(PATIENCE));
        http.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new();
        let tls = match url.scheme_str() {
            Some("https") => tls.with_provider_and_native_roots(default_provider()).map_err(|error| {
                format!("cannot read the system's certificate authorities: {error}; set SSL_CERT_FILE")
            })?,
            _ => tls.with_tls_config(no_roots().map_err(|error| error.to_string())?),
        };
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Webhook { url, key: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)), client })
    }

    pub(super) async fn send(&self, batch: &[Arc<Record>]) -> Result<(), Failed> {
        let events: Vec<Json> = batch.iter().map(|record| record.json()).collect();
        let body = json!({ "version": 1, "host": super::syslog::host(), "events": events }).to_string();
        let time = mrule_dataplane::clock::now() / 1_000_000_000;
        let mut request = Request::post(self.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", concat!("mirrorc/", env!("CARGO_PKG_VERSION")))
            .header("x-mirrorc-timestamp", time);
        if let Some(key) = &self.key {
            let signature = hmac::sign(key, format!("{time}.{body}").as_bytes());
            let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            request = request.header("x-mirrorc-signature", format!("sha256={hex}"));
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| Failed::Refused(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Err(_) => Err(Failed::Later(0, format!("no answer within {} s", PATIENCE.as_secs()))),
            Ok(Err(error)) => Err(Failed::Later(0, said(&error))),
            Ok(Ok(answer)) => {
                let status = answer.status();
                let end = Limited::new(answer.into_body(), ANSWER).collect();
                // If the rest does not arrive, only the connection is lost, not the answer.
                let _only_its_end = tokio::time::timeout(END, end).await;
                judge(status)
            }
        }
    }
}

/// The TLS configuration for plain HTTP, which needs no certificates.
fn no_roots() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(default_provider().into());
    let config = config.with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Interprets a status code: `Later` for the codes that RFC 9110 and RFC 6585 define as temporary.
fn judge(status: StatusCode) -> Result<(), Failed> {
    let why = || format!("the answer is {status}");
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_server_error() => Err(Failed::Later(0, why())),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            Err(Failed::Later(0, why()))
        }
        status if status.is_redirection() => Err(Failed::Refused(format!(
            "{}; mirrorc does not follow redirects: use the URL that the redirect names",
            why()
        ))),
        _ => Err(Failed::Refused(why())),
    }
}

/// The cause of an error: hyper's own text only says that the client failed.
fn said(error: &hyper_util::client::legacy::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        if !texts.iter().any(|known| known.contains(text)) {
            texts.push(text.to_owned());
        }
        source = inner.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_a_reason() {
        for good in
            ["http://127.0.0.1:8080/x?y=z", "https://example.com", "http://[::1]/", "http://[::1]:80/a"]
        {
            assert!(url(good).is_ok(), "{good}: {:?}", url(good));
        }
        for (bad, why) in [
            ("", "write a URL"),
            ("example.com/x", "write a URL"),
            ("ftp://example.com/", "`ftp` is not supported"),
            ("https://", "write a URL"),
            ("https:///x", "write a URL"),
            ("https://a:b@example.com/", "--webhook-secret-file"),
            ("https://example.com:99999/", "port"),
            ("https://example.com:/", "port"),
            ("https://example.com/#part", "write a URL"),
            ("https://exam ple.com/", "write a URL"),
        ] {
            let refused = url(bad).unwrap_err();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
        let shown = Webhook::new("http://hooks.example.com:8080/services/SECRET?token=SECRET", None).unwrap();
        assert_eq!(shown.to_string(), "webhook http://hooks.example.com:8080");
        assert!(!format!("{shown:?}").contains("SECRET"));
    }

    #[test]
    fn statuses_say_whether_to_try_again() {
        let of = |code: u16| judge(StatusCode::from_u16(code).unwrap());
        for code in [200, 201, 202, 204] {
            assert_eq!(of(code), Ok(()));
        }
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(of(code), Err(Failed::Later(0, _))), "{code}");
        }
        for code in [301, 302, 307, 400, 401, 403, 404, 410, 413] {
            assert!(matches!(of(code), Err(Failed::Refused(_))), "{code}");
        }
    }
}
