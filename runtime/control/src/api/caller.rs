//! The caller of a request, and what it may do. A request passes [`authenticate`] first and
//! [`allow`] at its route. The rule: without a valid token 401; about a policy that the token
//! cannot use 404, as if the policy did not exist; with a role that is too low 403; with a query
//! parameter that the route does not have 400. The invariant: nothing of a request is read,
//! recorded or stored as a change before its caller is known. (Rejected: 403 for the policy of
//! another client; it reveals that the policy exists.)

use super::auth::{RequestListener, Role, Token, Tokens, hash};
use super::bodies::Longest;
use super::connections::{Connection, Holding};
use super::problem::Problem;
use super::routes::Rule;
use super::{Api, audit::Peer};
use crate::control::Principal;
use crate::event::OWNER;
use axum::RequestExt;
use axum::extract::{Query, RawPathParams, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The delay of the answer to a wrong token.
const WRONG: Duration = Duration::from_millis(300);

tokio::task_local! {
    static CALLER: Caller;
}

/// The caller, for handlers and for the layers that see the answer.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The token's name; none for the owner of the control socket.
    pub name: Option<String>,
    pub role: Role,
    /// The only policy that the token can use and see.
    pub policy: Option<Arc<str>>,
    /// The address of a remote client.
    pub address: Option<IpAddr>,
    /// The name under which the client's share is counted.
    pub client: Arc<str>,
    /// The token that it sent, its hash, and all valid tokens.
    shown: Option<(Token, [u8; 32], watch::Receiver<Arc<Tokens>>)>,
}

impl Caller {
    /// The owner: a process that can open the control socket.
    fn owner() -> Caller {
        let client = Arc::from(OWNER);
        Caller { name: None, role: Role::Admin, policy: None, address: None, client, shown: None }
    }

    fn of(
        token: &Token,
        hash: [u8; 32],
        address: Option<IpAddr>,
        tokens: watch::Receiver<Arc<Tokens>>,
    ) -> Caller {
        Caller {
            name: Some(token.name.clone()),
            role: token.role,
            policy: token.policy.as_deref().map(Arc::from),
            address,
            client: token.name.as_str().into(),
            shown: Some((token.clone(), hash, tokens)),
        }
    }

    /// The caller of the current request.
    pub fn current() -> Option<Caller> {
        CALLER.try_with(Caller::clone).ok()
    }

    /// Whether the caller is the owner of the control socket.
    pub fn is_owner(&self) -> bool {
        self.shown.is_none()
    }

    /// Whether the caller may see things of this policy.
    pub fn sees(&self, policy: Option<&str>) -> bool {
        self.policy.is_none() || self.policy.as_deref() == policy
    }

    /// The policy in the query, otherwise the caller's policy, otherwise `main`.
    pub fn policy_or(&self, named: Option<String>) -> Result<String, Problem> {
        match (named, &self.policy) {
            (Some(named), Some(own)) if named != **own => Err(not_there(&named, own)),
            (Some(named), _) => Ok(named),
            (None, Some(own)) => Ok(own.to_string()),
            (None, None) => Ok(mrule_dataplane::live::MAIN.to_owned()),
        }
    }

    /// The caller as the control plane knows it. A token of one policy cannot load binding
    /// policies.
    pub fn principal(&self) -> Principal {
        let Some(name) = &self.name else { return Principal::owner() };
        let (again, may_bind) = (self.clone(), self.role >= Role::Admin && self.policy.is_none());
        Principal::client(name, may_bind, move || again.is_known())
    }

    /// Whether its token is still valid with the same rights.
    pub fn is_known(&self) -> bool {
        self.shown.as_ref().is_none_or(|(token, hash, tokens)| tokens.borrow().has(token, hash))
    }

    /// Checks the token again after a long operation.
    pub fn check_again(&self) -> Result<(), Problem> {
        if self.is_known() { Ok(()) } else { Err(Problem::new(401, UNKNOWN)) }
    }

    /// Returns when its token is revoked or its rights change.
    pub async fn revoked(&mut self) {
        let Some((token, hash, tokens)) = &mut self.shown else { return std::future::pending().await };
        while tokens.borrow_and_update().has(token, hash) {
            if tokens.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether the caller has a role, for a policy and param.
    fn may(&self, needs: Role, param: Option<&str>) -> bool {
        let own = |param: &str| self.shown.iter().any(|(token, ..)| token.params.iter().any(|p| p == param));
        self.role >= needs || self.role == Role::Station && param.is_some_and(own)
    }

    /// The caller and its role, for messages.
    fn is(&self) -> String {
        let of = self.policy.as_ref().map(|policy| format!(" of policy `{policy}`")).unwrap_or_default();
        format!("`{}` is {}{of}", self.name.as_deref().unwrap_or("the owner"), self.role.name())
    }
}

const UNKNOWN: &str = "invalid or revoked token";

fn not_there(policy: &str, own: &str) -> Problem {
    Problem::new(404, format!("this token cannot use policy `{policy}`; it is for policy `{own}`"))
}

/// Identifies the caller, before anything else is read.
pub(super) async fn authenticate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let tokens = match request.extensions().get::<RequestListener>().cloned() {
        Some(RequestListener::Tls(tokens)) => Some(tokens),
        Some(RequestListener::Socket) => None,
        None => return Problem::new(401, "the request carries no listener").into_response(),
    };
    let caller = match tokens {
        None => Caller::owner(),
        Some(tokens) => {
            let header = request.headers().get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
            let secret = header.and_then(|header| header.strip_prefix("Bearer ")).map(str::trim);
            let known = tokens.borrow().clone();
            match secret.and_then(|secret| Some((known.find(secret)?, hash(secret)))) {
                Some((token, hash)) => Caller::of(token, hash, peer.address(), tokens),
                None => {
                    let why = match secret {
                        Some(_) => UNKNOWN,
                        None => "the request needs a token: `Authorization: Bearer mirrorc_...`",
                    };
                    let asked = format!("{} {}", request.method(), request.uri().path());
                    api.hub.unauthenticated(peer.address(), &asked, why);
                    drop(request);
                    return refuse(why).await;
                }
            }
        }
    };
    let busy = request.extensions().get::<Arc<Connection>>().map(|connection| {
        connection.known();
        connection.begin()
    });
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(api.bodies.clone());
    let response = CALLER.scope(caller, next.run(request)).await;
    response.map(|body| Holding::around(body, busy))
}

async fn refuse(why: &str) -> Response {
    tokio::time::sleep(WRONG).await;
    let mut refused = Problem::new(401, why).into_response();
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    // A client without a valid token cannot keep its connection.
    refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    refused
}

/// Passes a request on to its route, if its caller has the right.
pub(super) async fn allow(rule: Rule, mut request: Request, next: Next) -> Response {
    // A path part that is not UTF-8 cannot be a name.
    let parts = match request.extract_parts::<RawPathParams>().await {
        Ok(parts) => parts,
        Err(wrong) => return Problem::new(400, format!("the path: {wrong}")).into_response(),
    };
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Problem::new(401, "the request carries no caller").into_response();
    };
    let part = |name: &str| parts.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
    if let (Some(policy), Some(own)) = (part("policy"), &caller.policy)
        && !caller.sees(Some(policy))
    {
        return not_there(policy, own).into_response();
    }
    if !caller.may(rule.needs, part("param").filter(|_| rule.own_params)) {
        let why = format!("{}; this request needs the role {}", caller.is(), rule.needs.name());
        return Problem::new(403, why).into_response();
    }
    if part("policy").is_none() && caller.policy.is_some() && !rule.filtered {
        let why = format!("{}; this request is about all policies", caller.is());
        return Problem::new(403, why).into_response();
    }
    if let Err(problem) = check_query(request.uri(), rule.query) {
        return problem.into_response();
    }
    request.extensions_mut().insert(Longest(rule.longest));
    next.run(request).await
}

/// Checks that a query has only parameters of the route, each once and with a value: a request with
/// a misspelled `dry_run` must not load.
fn check_query(uri: &Uri, takes: &[(&str, &str)]) -> Result<(), Problem> {
    let bad = |why: String| Err(Problem::new(400, why));
    let pairs = match Query::<Vec<(String, String)>>::try_from_uri(uri) {
        Ok(Query(pairs)) => pairs,
        Err(rejection) => return bad(rejection.body_text()),
    };
    for (at, (name, value)) in pairs.iter().enumerate() {
        if !takes.iter().any(|(known, _)| known == name) {
            let known: Vec<String> = takes.iter().map(|(name, _)| format!("`{name}`")).collect();
            return bad(match known.as_slice() {
                [] => format!("this path has no query parameters; remove `{name}`"),
                known => format!("this path has no query parameter `{name}`; it has {}", known.join(", ")),
            });
        }
        if value.is_empty() {
            return bad(format!("`{name}` has no value; write `{name}=VALUE`, or remove it"));
        }
        if pairs.iter().take(at).any(|(other, _)| other == name) {
            return bad(format!("the query parameter `{name}` occurs twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    fn caller(role: Role, policy: Option<&str>, params: &[&str]) -> Caller {
        let params = params.iter().map(|param| (*param).to_owned()).collect();
        let token = Token { name: "x".into(), role, policy: policy.map(str::to_owned), params };
        let (tokens, known) = watch::channel(Arc::default());
        drop(tokens);
        Caller::of(&token, [0; 32], None, known)
    }

    #[test]
    fn roles_may_what_they_may() {
        let station = caller(Role::Station, Some("main"), &["head"]);
        assert!(station.may(Role::Operator, Some("head")) && station.may(Role::Station, None));
        assert!(!station.may(Role::Operator, Some("depth")) && !station.may(Role::Viewer, None));
        let operator = caller(Role::Operator, None, &[]);
        assert!(operator.may(Role::Viewer, None) && operator.may(Role::Operator, None));
        assert!(!operator.may(Role::Author, None) && operator.sees(Some("a")) && operator.sees(None));
        let tenant = caller(Role::Author, Some("a"), &[]);
        assert!(tenant.sees(Some("a")) && !tenant.sees(Some("b")) && !tenant.sees(None));
        assert_eq!(tenant.policy_or(None).unwrap(), "a");
        assert!(tenant.policy_or(Some("b".into())).is_err());
        assert_eq!(operator.policy_or(None).unwrap(), "main");
        assert!(!tenant.is_known(), "nobody knows it");
    }

    #[test]
    fn queries_are_what_the_route_takes() {
        let takes = &[("dry_run", ""), ("version", "")];
        for (query, wrong) in [
            ("", None),
            ("?dry_run=true&version=1", None),
            ("?dryrun=true", Some("it has `dry_run`, `version`")),
            ("?dry_run=", Some("`dry_run` has no value")),
            ("?version", Some("`version` has no value")),
            ("?version=1&version=2", Some("twice")),
            ("?%64ry_run=true&dry_run=false", Some("twice")),
        ] {
            let found = check_query(&format!("/v1/x{query}").parse().unwrap(), takes);
            match wrong {
                None => assert!(found.is_ok(), "{query}"),
                Some(says) => {
                    let said = found.unwrap_err().to_string();
                    assert!(said.contains(says), "{query}: {said}");
                }
            }
        }
    }
}
