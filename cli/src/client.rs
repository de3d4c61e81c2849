//! The HTTP client of the commands: connects to the control socket or the remote API of a running
//! mirrorc ([`endpoint`]), sends one request and reads one answer. The invariant: when the server
//! refuses a request, the failure has the server's words. (Rejected: an HTTP client library; hyper,
//! which serves the API, can also be the client.)

mod endpoint;

use crate::exit::{Exit, Failure};
use endpoint::Endpoint;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of the running mirrorc.
#[derive(Debug, Clone, clap::Args)]
pub struct To {
    /// Address of the running mirrorc: the control socket given to `run --control`, or
    /// `https://HOST:PORT`
    #[arg(long, value_name = "SOCKET|URL", env = "MIRRORC_CONTROL", value_parser = Endpoint::parse)]
    to: Option<Endpoint>,
    /// File with the token that `mirrorc token` created, for the remote API
    #[arg(long, value_name = "FILE", env = "MIRRORC_TOKEN_FILE", value_parser = file)]
    token_file: Option<PathBuf>,
    /// File (PEM) with the certificate authority to trust for the remote API; without it, the
    /// authorities of the system
    #[arg(long, value_name = "FILE", env = "MIRRORC_CA", value_parser = file)]
    ca: Option<PathBuf>,
    /// Print the answer of the API as JSON
    #[arg(long)]
    pub json: bool,
}

/// A path; it is empty if an environment variable is set to nothing.
fn file(text: &str) -> Result<PathBuf, String> {
    Ok(text.into())
}

/// A path that is not empty.
fn named(file: &Option<PathBuf>) -> Option<&Path> {
    file.as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// The body of a request.
pub enum Sent {
    Nothing,
    Json(Value),
    /// Table rows, a JSON object on each line.
    Rows(Vec<u8>),
}

impl To {
    /// Sends a request and returns the answer's text.
    ///
    /// # Errors
    /// There is no answer, or the server refuses the request.
    pub fn text(&self, method: &str, path: &str, sent: Sent) -> Result<String, Failure> {
        self.ask(method, path, sent, async |response| {
            let status = response.status();
            let body = tokio::time::timeout(PATIENCE, response.collect()).await;
            let body = body.map_err(|_| self.broken("it takes longer than 60 s"))?;
            let body = body.map_err(|error| self.broken(&error.to_string()))?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            match status.as_u16() {
                200..300 => Ok(text),
                401 => Err(self.unknown(refused(401, &text))),
                status => Err(refused(status, &text)),
            }
        })
    }

    /// Sends a request and returns the answer's JSON.
    ///
    /// # Errors
    /// There is no answer, or the server refuses the request.
    pub fn json(&self, method: &str, path: &str, sent: Sent) -> Result<Value, Failure> {
        let text = self.text(method, path, sent)?;
        serde_json::from_str(&text).map_err(|error| self.broken(&error.to_string()))
    }

    /// Passes on each line of an answer as it arrives, until the answer ends or `line` fails.
    ///
    /// # Errors
    /// There is no answer, the server refuses the request, or `line` fails.
    pub fn lines(&self, path: &str, mut line: impl FnMut(&str) -> io::Result<()>) -> Result<(), Failure> {
        self.ask("GET", path, Sent::Nothing, async |mut response| {
            if response.status() == 401 {
                return Err(self.unknown(refused(401, "no valid token")));
            }
            let mut held = Vec::new();
            while let Some(frame) = response.frame().await {
                let frame = frame.map_err(|_| self.broken("mirrorc has ended"))?;
                held.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                    let whole: Vec<u8> = held.drain(..=end).collect();
                    line(String::from_utf8_lossy(&whole).trim_end())?;
                }
            }
            Ok(())
        })
    }

    fn ask<T>(
        &self,
        method: &str,
        path: &str,
        sent: Sent,
        take: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let endpoint = self.endpoint()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (kind, body) = match sent {
            Sent::Nothing => (None, Vec::new()),
            Sent::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Sent::Rows(rows) => (Some("application/x-ndjson"), rows),
        };
        let mut request = Request::builder().method(method).uri(path).header("host", "mirrorc");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        if let (Some(path), Endpoint::Tls { .. }) = (named(&self.token_file), endpoint) {
            let token =
                std::fs::read_to_string(path).map_err(|e| Failure::file("read", path.display(), &e))?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::usage(format!("cannot build the request: {error}")))?;
        runtime.block_on(async {
            let reached = tokio::time::timeout(PATIENCE, endpoint.connect(named(&self.ca))).await;
            let stream = reached.map_err(|_| self.broken("it takes longer than 60 s"))??;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| self.broken(&error.to_string()))?;
            let asked = async {
                let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
                let response = response.map_err(|_| self.broken("it takes longer than 60 s"))?;
                take(response.map_err(|error| self.broken(&error.to_string()))?).await
            };
            // The connection is polled while the request waits for its answer.
            let connection = async {
                let _ended = connection.await;
                std::future::pending::<()>().await
            };
            tokio::select! {
                answer = asked => answer,
                () = connection => Err(self.broken("mirrorc closed the connection")),
            }
        })
    }

    /// The address of the running mirrorc.
    ///
    /// # Errors
    /// It is not said; an environment variable that is empty says nothing.
    fn endpoint(&self) -> Result<&Endpoint, Failure> {
        self.to.as_ref().filter(|endpoint| !endpoint.is_empty()).ok_or_else(|| {
            Failure::usage("no running mirrorc is named").help(
                "use `--to SOCKET` with the control socket of `mirrorc run ... --control SOCKET`, or\n\
                 `--to https://HOST:PORT` for the remote API; or set the variable once:\n\
                 export MIRRORC_CONTROL=SOCKET",
            )
        })
    }

    /// Adds to a 401 answer what to do: the token is missing or invalid.
    fn unknown(&self, failure: Failure) -> Failure {
        match named(&self.token_file) {
            None => failure.help(
                "name the file with your token by `--token-file FILE` or MIRRORC_TOKEN_FILE; create a token with\n\
                 `mirrorc token` on the machine where mirrorc runs",
            ),
            Some(path) => failure.help(format!(
                "the token in `{}` was revoked, or it is new and mirrorc has not read its token file since\n\
                 (SIGHUP makes mirrorc read the file)",
                path.display()
            )),
        }
    }

    fn broken(&self, what: &str) -> Failure {
        let name = self.to.as_ref().map(Endpoint::name).unwrap_or_default();
        Failure::usage(format!("no answer from `{name}`: {what}"))
    }
}

/// The server's refusal as a failure.
fn refused(status: u16, text: &str) -> Failure {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or(text).to_owned();
    let mut failure = Failure::usage(detail);
    if status == 422 {
        failure.exit = Exit::Problems;
        let found = problem["diagnostics"]["diagnostics"].as_array();
        let lines = found.into_iter().flatten().map(|found| {
            let word = |name: &str| found[name].as_str().unwrap_or_default();
            let line = format!("{}:{}: {}", word("file"), found["line"], word("message"));
            found["help"].as_str().map_or(line.clone(), |help| format!("{line}; {help}"))
        });
        failure = failure.help(lines.collect::<Vec<_>>().join("\n"));
    }
    failure
}

/// A name, percent-encoded as a part of a path.
pub fn part(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
