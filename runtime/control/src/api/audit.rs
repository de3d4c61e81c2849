//! The audit log: each request that may change something is an event, with the user and process at
//! the other end of the socket, or the token's name and the address of a remote client, the
//! request, and the status of the answer. The invariants: a change is recorded, also if the client
//! disconnects before the answer; recording changes no answer; the body of a refused request is not
//! recorded. (Rejected: recording in each handler; a new handler would forget it.)

use super::Api;
use super::auth::Caller;
use super::bodies::{Body, Longest};
use super::connections::Connection;
use super::problem::Detail;
use crate::event::{Hub, Kind, Record, on_behalf};
use axum::extract::{FromRequest, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use serde_json::{Map, Value as Json, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UnixStream;

/// The longest body that is recorded, in bytes.
const BODY: u64 = 1024;

/// The peer of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
    /// The address of a remote client.
    from: Option<SocketAddr>,
}

impl Peer {
    /// The process that opened a Unix connection, as the kernel reports it (SO_PEERCRED).
    pub fn of(stream: &UnixStream) -> Peer {
        let peer = stream.peer_cred();
        peer.map(|peer| Peer { uid: Some(peer.uid()), pid: peer.pid(), from: None }).unwrap_or_default()
    }

    /// A remote client at this address.
    pub fn remote(from: SocketAddr) -> Peer {
        Peer { from: Some(from), ..Peer::default() }
    }

    /// The address of a remote client.
    pub fn address(&self) -> Option<IpAddr> {
        self.from.map(|from| from.ip())
    }

    /// The peer as a member of an event, with the name of the token that it sent.
    fn by(&self, token: Option<&str>) -> Json {
        match self.from {
            Some(from) => json!({ "from": from.to_string(), "token": token }),
            None => json!({ "uid": self.uid, "pid": self.pid }),
        }
    }
}

/// A service that adds its peer to each request.
#[derive(Debug, Clone)]
pub(super) struct WithCaller<S> {
    service: S,
    peer: Peer,
    connection: Arc<Connection>,
}

impl<S> WithCaller<S> {
    /// Wraps a service; all its requests come from `peer`.
    pub fn new(service: S, peer: Peer, connection: Arc<Connection>) -> WithCaller<S> {
        WithCaller { service, peer, connection }
    }
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithCaller<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.connection.clone());
        self.service.call(request)
    }
}

/// Records a request when it ends, in whatever way.
struct AuditedRequest {
    hub: Hub,
    client: Arc<str>,
    members: Map<String, Json>,
    /// The body if it is short: recorded unless the request is refused.
    body: Option<Json>,
    status: Option<StatusCode>,
}

impl Drop for AuditedRequest {
    fn drop(&mut self) {
        let mut members = std::mem::take(&mut self.members);
        if let Some(body) = self.body.take().filter(|_| self.status.is_none_or(|status| status.is_success()))
        {
            members.insert("body".into(), body);
        }
        if let Some(status) = self.status {
            members.insert("status".into(), status.as_u16().into());
        }
        let members = Json::Object(members);
        on_behalf(Some(self.client.clone()), || self.hub.tell(Record::now(Kind::Change, members)));
    }
}

/// Records a request of an authenticated client.
pub(super) async fn audit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let dry = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "dry_run=true"));
    let Some(caller) = request.extensions().get::<Caller>().filter(|_| changes && !dry).cloned() else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let mut members = Map::new();
    members.insert("by".into(), peer.by(caller.name.as_deref()));
    members.insert("request".into(), format!("{} {path}", request.method()).into());
    let of = path.strip_prefix("/v1/policies/").and_then(|rest| rest.split(['/', '?']).next());
    members.extend(of.map(|policy| ("policy".to_owned(), policy.into())));
    let client = caller.client.clone();
    let mut asked = AuditedRequest { hub: api.hub.clone(), client, members, body: None, status: None };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| (1..=BODY).contains(&length)) {
        let (parts, body) = request.into_parts();
        let mut copy = Request::new(body);
        *copy.extensions_mut() = parts.extensions.clone();
        copy.extensions_mut().insert(Longest(BODY as usize));
        let Body(body) = match Body::from_request(copy, &()).await {
            Ok(body) => body,
            Err(problem) => return asked.over(problem.into_response()),
        };
        let said = serde_json::from_slice(&body);
        asked.body = Some(said.unwrap_or_else(|_| String::from_utf8_lossy(&body).into()));
        request = Request::from_parts(parts, body.into());
    } else if let Some(length) = length.filter(|length| *length > 0) {
        asked.members.insert("body_bytes".into(), length.into());
    }
    let response = next.run(request).await;
    asked.over(response)
}

impl AuditedRequest {
    fn over(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        if let Some(Detail(why)) = response.extensions().get::<Detail>() {
            self.members.insert("reason".into(), why.as_str().into());
        }
        response
    }
}
