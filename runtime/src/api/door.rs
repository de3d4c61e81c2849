//! Who may ask for what. Whoever can open the control socket is its owner and may do all; from afar there are tokens, each with
//! a role, and for stations and customers with the one policy and the params that it may speak of. The invariants: a token is
//! kept as its hash only, compared in constant time; a route says which role it needs, and without one it is not there;
//! what is not allowed is refused before its body is read. (Rejected: passwords, which need slow hashes: a token has 256 bits of chance;
//! certificates of clients, which few of those who should ask can make.)

use super::problem::Problem;
use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// What tokens begin with, so that they are known for what they are where they should not be.
const PREFIX: &str = "mirrorc_";

/// How long a wrong token waits for its answer.
const WRONG: Duration = Duration::from_millis(300);

/// What one may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Change the params that its token names.
    Station,
    /// Look at everything.
    Viewer,
    /// Change triggers, tables, params and flows.
    Operator,
    /// Load and unload policies.
    Author,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Station, Role::Viewer, Role::Operator, Role::Author, Role::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Station => "station",
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Author => "author",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn of(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only policy that it may speak of.
    pub policy: Option<String>,
    /// The params that a station may change.
    pub params: Vec<String>,
}

impl Token {
    /// A new secret, and the line of a file of tokens that knows it.
    ///
    /// # Errors
    /// What is wrong with the token; the system has no random numbers.
    pub fn mint(&self) -> Result<(String, String), String> {
        let mut chance = [0_u8; 32];
        SystemRandom::new().fill(&mut chance).map_err(|_| "the system has no random numbers".to_owned())?;
        let secret = format!("{PREFIX}{}", hex(&chance));
        let mut line = format!("{} {}", self.name, self.role.name());
        if let Some(policy) = &self.policy {
            let _text = write!(line, " policy={policy}");
        }
        for param in &self.params {
            let _text = write!(line, " param={param}");
        }
        let _text = write!(line, " sha256:{}", hex(digest(&SHA256, secret.as_bytes()).as_ref()));
        Tokens::parse(&line)?;
        Ok((secret, line))
    }

    /// Whether it may ask for what needs this role, of this policy and param.
    fn may(&self, needs: Role, policy: Option<&str>, param: Option<&str>) -> bool {
        if self.policy.is_some() && self.policy.as_deref() != policy {
            return false;
        }
        self.role >= needs
            || self.role == Role::Station && param.is_some_and(|p| self.params.iter().any(|own| own == p))
    }
}

/// Everybody who may ask from afar.
#[derive(Debug, Default)]
pub struct Tokens(Vec<(Token, [u8; 32])>);

impl Tokens {
    /// A line each: a name, a role, for some a policy and params, and the hash: `ids station policy=main param=head
    /// sha256:...`; `#` begins a remark.
    ///
    /// # Errors
    /// Which line is wrong, and what with it.
    pub fn parse(text: &str) -> Result<Tokens, String> {
        let mut all: Vec<(Token, [u8; 32])> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |what: String| format!("line {}: {what}", at + 1);
            let token = parse_line(line).map_err(wrong)?;
            if all.iter().any(|(other, _)| other.name == token.0.name) {
                return Err(wrong(format!("`{}` is named twice", token.0.name)));
            }
            all.push(token);
        }
        Ok(Tokens(all))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whose secret this is; takes as long for each one.
    fn find(&self, secret: &str) -> Option<&Token> {
        let hash = digest(&SHA256, secret.as_bytes());
        let mut found = None;
        for (token, own) in &self.0 {
            if bool::from(hash.as_ref().ct_eq(own)) {
                found = Some(token);
            }
        }
        found
    }
}

fn parse_line(line: &str) -> Result<(Token, [u8; 32]), String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let role = words.next().unwrap_or_default();
    let role = Role::of(role).ok_or_else(|| {
        let all = Role::ALL.map(Role::name).join(", ");
        format!("`{role}` is no role; there are: {all}")
    })?;
    let (mut token, mut hash) = (Token { name, role, policy: None, params: Vec::new() }, None);
    for word in words {
        if let Some(policy) = word.strip_prefix("policy=") {
            token.policy = Some(policy.to_owned());
        } else if let Some(param) = word.strip_prefix("param=") {
            token.params.push(param.to_owned());
        } else if let Some(text) = word.strip_prefix("sha256:") {
            hash = unhex(text);
        } else {
            return Err(format!("`{word}` is none of `policy=NAME`, `param=NAME`, `sha256:HASH`"));
        }
    }
    if token.role == Role::Station && (token.policy.is_none() || token.params.is_empty()) {
        return Err("a station's token names its policy and params: `policy=main param=head`".to_owned());
    }
    if token.role != Role::Station && !token.params.is_empty() {
        return Err(format!("`param=` is for stations; {} may change all params or none", token.role.name()));
    }
    match hash {
        Some(hash) => Ok((token, hash)),
        None => Err("no hash: `sha256:` and 64 hexadecimal digits".to_owned()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The way by which a request came.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// The control socket, which only its owner can open.
    Socket,
    /// From afar: who may come.
    Afar(Arc<RwLock<Arc<Tokens>>>),
}

/// Who asks: for handlers, and for whoever sees the answer on its way.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The token's; none for the owner of the control socket.
    pub name: Option<String>,
    pub role: Role,
}

/// Lets a request through that may ask for what needs this role.
pub(super) async fn allow(needs: Role, mut request: Request, next: Next) -> Response {
    // Whoever asks: what is no text cannot be the name of anything.
    let parts = match request.extract_parts::<RawPathParams>().await {
        Ok(parts) => parts,
        Err(wrong) => return Problem::new(400, format!("the path: {wrong}")).into_response(),
    };
    let tokens = match request.extensions().get::<Door>().cloned() {
        Some(Door::Afar(tokens)) => tokens,
        Some(Door::Socket) => {
            request.extensions_mut().insert(Caller { name: None, role: Role::Admin });
            return next.run(request).await;
        }
        // What came by no door that we know did not come.
        None => return Problem::new(401, "who asks?").into_response(),
    };
    let tokens = tokens.read().unwrap_or_else(PoisonError::into_inner).clone();
    let header = request.headers().get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let secret = header.and_then(|header| header.strip_prefix("Bearer ")).map(str::trim);
    let Some(token) = secret.and_then(|secret| tokens.find(secret)) else {
        tokio::time::sleep(WRONG).await;
        let detail = match secret {
            Some(_) => "this token is not known here, or not any more",
            None => "a token is needed: `Authorization: Bearer mirrorc_...`",
        };
        let mut refused = Problem::new(401, detail).into_response();
        let way = header::HeaderValue::from_static("Bearer");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, way);
        return refused;
    };
    let part = |name: &str| parts.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
    let caller = Caller { name: Some(token.name.clone()), role: token.role };
    let mut answer = if token.may(needs, part("policy"), part("param")) {
        request.extensions_mut().insert(caller.clone());
        next.run(request).await
    } else {
        let of = token.policy.as_ref().map(|policy| format!(" of policy `{policy}`")).unwrap_or_default();
        let is = format!("{}{of}", token.role.name());
        Problem::new(403, format!("`{}` is {is}; this needs {}", token.name, needs.name())).into_response()
    };
    answer.extensions_mut().insert(caller);
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    fn token(role: Role, policy: Option<&str>, params: &[&str]) -> Token {
        let params = params.iter().map(|param| (*param).to_owned()).collect();
        Token { name: "x".into(), role, policy: policy.map(str::to_owned), params }
    }

    #[test]
    fn a_secret_is_found_by_its_line_and_no_other() {
        let (secret, line) = token(Role::Station, Some("main"), &["head"]).mint().unwrap();
        let (other, _) = token(Role::Admin, None, &[]).mint().unwrap();
        assert!(!line.contains(secret.strip_prefix(PREFIX).unwrap()) && secret.len() == 72);
        let tokens = Tokens::parse(&format!("# ours\n\n{line} # until May\n")).unwrap();
        assert_eq!(tokens.find(&secret), Some(&token(Role::Station, Some("main"), &["head"])));
        assert_eq!(tokens.find(&other), None);
        assert_eq!((tokens.find(""), tokens.count()), (None, 1));
    }

    #[test]
    fn roles_may_what_they_may() {
        let station = token(Role::Station, Some("main"), &["head"]);
        assert!(station.may(Role::Operator, Some("main"), Some("head")));
        assert!(!station.may(Role::Operator, Some("main"), Some("depth")));
        assert!(!station.may(Role::Operator, Some("other"), Some("head")));
        assert!(!station.may(Role::Viewer, None, None) && !station.may(Role::Author, Some("main"), None));
        assert!(station.may(Role::Station, Some("main"), None));
        let operator = token(Role::Operator, None, &[]);
        assert!(operator.may(Role::Viewer, None, None) && operator.may(Role::Operator, Some("a"), None));
        assert!(!operator.may(Role::Author, Some("a"), None));
        let tenant = token(Role::Author, Some("a"), &[]);
        assert!(tenant.may(Role::Author, Some("a"), None) && tenant.may(Role::Viewer, Some("a"), None));
        assert!(!tenant.may(Role::Author, Some("b"), None) && !tenant.may(Role::Viewer, None, None));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let hash = format!("sha256:{}", "0".repeat(64));
        for (text, says) in [
            (format!("a king {hash}"), "line 1: `king` is no role; there are: station, viewer"),
            (format!("\na station {hash}"), "line 2: a station's token names its policy and params"),
            (format!("a viewer param=x {hash}"), "`param=` is for stations"),
            ("a viewer".into(), "no hash"),
            ("a viewer sha256:12".into(), "no hash"),
            (format!("a viewer {hash} extra"), "`extra` is none of"),
            (format!("a viewer {hash}\na admin {hash}"), "line 2: `a` is named twice"),
        ] {
            let error = Tokens::parse(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
