//! Who asked for which change: each request that may change something is an event, with the user and process at the other end
//! of the socket, or from afar the token's name and the address, what was asked, and what was answered. The invariants: a change that was made is told, also when the client
//! went away before it was answered; looking on changes no answer. (Rejected: telling it in each handler; a new one
//! would forget.)

use super::door::Caller;
use super::problem::{Detail, Problem};
use super::{Api, PATIENCE};
use crate::event::{Hub, Kind, Record};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use serde_json::{Map, Value as Json, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UnixStream;

/// How long a body may be that is told, in bytes.
const BODY: u64 = 1024;

/// Whoever is at the other end.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
    /// From afar.
    from: Option<SocketAddr>,
}

impl Peer {
    /// The kernel says who made the connection (SO_PEERCRED).
    pub fn of(stream: &UnixStream) -> Peer {
        let peer = stream.peer_cred();
        peer.map(|peer| Peer { uid: Some(peer.uid()), pid: peer.pid(), from: None }).unwrap_or_default()
    }

    /// Somebody at this address.
    pub fn afar(from: SocketAddr) -> Peer {
        Peer { from: Some(from), ..Peer::default() }
    }
}

/// A service whose requests say who asks.
#[derive(Debug, Clone)]
pub(super) struct Known<S> {
    service: S,
    peer: Peer,
}

impl<S> Known<S> {
    /// All requests are this one's.
    pub fn new(service: S, peer: Peer) -> Known<S> {
        Known { service, peer }
    }
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Known<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.service.call(request)
    }
}

/// Tells of a request when it is over, however that comes about.
struct Asked {
    hub: Hub,
    members: Map<String, Json>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let members = std::mem::take(&mut self.members);
        self.hub.tell(Record::now(Kind::Change, Json::Object(members)));
    }
}

/// Looks on while a request is answered.
pub(super) async fn audit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let dry = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "dry_run=true"));
    if !changes || dry {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let asked = json!({
        "by": match peer.from {
            Some(from) => json!({ "from": from.to_string() }),
            None => json!({ "uid": peer.uid, "pid": peer.pid }),
        },
        "asked": format!("{} {path}", request.method()),
    });
    let Json::Object(members) = asked else { return next.run(request).await };
    let mut asked = Asked { hub: api.hub.clone(), members };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| (1..=BODY).contains(&length)) {
        let (parts, body) = request.into_parts();
        let body = match tokio::time::timeout(PATIENCE, to_bytes(body, BODY as usize)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Problem::new(400, format!("the body: {error}")).into_response(),
            Err(_) => {
                let late = format!("the body did not come within {} s", PATIENCE.as_secs());
                return Problem::new(408, late).into_response();
            }
        };
        let said = serde_json::from_slice(&body);
        asked.members.insert("body".into(), said.unwrap_or_else(|_| String::from_utf8_lossy(&body).into()));
        request = Request::from_parts(parts, Body::from(body));
    } else if let Some(length) = length.filter(|length| *length > 0) {
        asked.members.insert("body_bytes".into(), length.into());
    }
    let response = next.run(request).await;
    if let (Some(Caller { name: Some(name), .. }), Some(by)) =
        (response.extensions().get(), asked.members.get_mut("by").and_then(Json::as_object_mut))
    {
        by.insert("token".into(), name.as_str().into());
    }
    asked.members.insert("status".into(), response.status().as_u16().into());
    if let Some(Detail(why)) = response.extensions().get::<Detail>() {
        asked.members.insert("reason".into(), why.as_str().into());
    }
    response
}
