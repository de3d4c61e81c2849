//! Access rights. A user who can open the control socket is its owner and may do everything. A
//! remote client needs a token, which has a role, and for some clients one policy and some params.
//! The invariants: a token is stored only as its hash and compared in constant time; every route
//! has a required role; a request without the right is refused before its body is read. (Rejected:
//! passwords, which need slow hashes, while a token has 256 random bits; client certificates, which
//! few users can create.)

pub(super) use super::caller::Caller;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt::Write;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// The prefix of every token, so that a leaked token is recognised.
const PREFIX: &str = "mirrorc_";

/// A role; each role may also do what the roles before it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Set the params that its token names.
    Station,
    /// Read everything.
    Viewer,
    /// Change triggers, tables, params and flows.
    Operator,
    /// Load and unload policies.
    Author,
    /// Everything.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [Role::Station, Role::Viewer, Role::Operator, Role::Author, Role::Admin];

    /// The name of the role.
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

/// The rights of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The name of the client.
    pub name: String,
    /// The role of the client.
    pub role: Role,
    /// The only policy that the token can use.
    pub policy: Option<String>,
    /// The params that a station may set.
    pub params: Vec<String>,
}

impl Token {
    /// Creates a secret, and the line of a token file with its hash.
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
}

/// All valid tokens.
#[derive(Debug, Default)]
pub struct Tokens(Vec<(Token, [u8; 32])>);

impl Tokens {
    /// Parses a token file. Each line has a name, a role, for some a policy and params, and the
    /// hash: `ids station policy=main param=head sha256:...`; `#` begins a comment.
    ///
    /// # Errors
    /// The wrong line, and what is wrong.
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
                return Err(wrong(format!("the name `{}` occurs twice", token.0.name)));
            }
            all.push(token);
        }
        Ok(Tokens(all))
    }

    /// The number of tokens.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The token with this secret; the search takes the same time for each token.
    pub(super) fn find(&self, secret: &str) -> Option<&Token> {
        let hash = hash(secret);
        let mut found = None;
        for (token, own) in &self.0 {
            if bool::from(hash.ct_eq(own)) {
                found = Some(token);
            }
        }
        found
    }

    /// Whether the same token with this hash is still valid.
    pub(super) fn has(&self, token: &Token, hash: &[u8; 32]) -> bool {
        self.0.iter().any(|(other, own)| other == token && own == hash)
    }
}

/// The hash of a secret.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

fn parse_line(line: &str) -> Result<(Token, [u8; 32]), String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default().to_owned();
    let role = words.next().unwrap_or_default();
    let role = Role::of(role).ok_or_else(|| {
        let all = Role::ALL.map(Role::name).join(", ");
        format!("`{role}` is not a role; the roles are: {all}")
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
            return Err(format!("`{word}` is not one of `policy=NAME`, `param=NAME`, `sha256:HASH`"));
        }
    }
    if token.role == Role::Station && (token.policy.is_none() || token.params.is_empty()) {
        return Err("the token of a station needs a policy and params: `policy=main param=head`".to_owned());
    }
    if token.role != Role::Station && !token.params.is_empty() {
        return Err(format!(
            "`param=` is only for the role station; {} may set all params or none",
            token.role.name()
        ));
    }
    match hash {
        Some(hash) => Ok((token, hash)),
        None => Err("the hash is missing: write `sha256:` and 64 hexadecimal digits".to_owned()),
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

/// The listener that accepted a request.
#[derive(Debug, Clone)]
pub(super) enum RequestListener {
    /// The control socket, which only its owner can open.
    Socket,
    /// The remote API, with the tokens that it accepts.
    Tls(watch::Receiver<Arc<Tokens>>),
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
    fn what_is_wrong_with_a_file_is_said() {
        let hash = format!("sha256:{}", "0".repeat(64));
        for (text, says) in [
            (format!("a king {hash}"), "line 1: `king` is not a role; the roles are: station, viewer"),
            (format!("\na station {hash}"), "line 2: the token of a station needs a policy and params"),
            (format!("a viewer param=x {hash}"), "`param=` is only for the role station"),
            ("a viewer".into(), "the hash is missing"),
            ("a viewer sha256:12".into(), "the hash is missing"),
            (format!("a viewer {hash} extra"), "`extra` is not one of"),
            (format!("a viewer {hash}\na admin {hash}"), "line 2: the name `a` occurs twice"),
        ] {
            let error = Tokens::parse(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
