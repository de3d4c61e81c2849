//! The control API: HTTP/1.1 and JSON, on a Unix socket that only its owner can open, and over TLS.
//! The invariants: the API has its own threads and uses [`Control`] like every other caller, so no
//! worker waits for a slow or faulty client; connections, bodies, waiting events and times are
//! bounded; errors are `application/problem+json`, and program errors are as in `mirrorc check`.
//! (Rejected: TCP without TLS and tokens: a client that can change rules can have all traffic
//! copied anywhere; gRPC, which curl does not support.)
//!
//! - `routes`: every route, its documentation and handler in one table. `openapi`: the document.
//! - `policies`, `state`, `stations`, `flows`, `watch`, `stream`, `history`: the handlers. `audit`:
//!   who asked for which change. `metrics`, `families`: counts for Prometheus.
//! - `connections`, `bodies`, `gates`: what is bounded. `socket`: the file. `tls`: remote clients;
//!   `auth`: tokens; `caller`: who asks, and what is allowed. `problem`: errors.

mod audit;
mod auth;
mod bodies;
mod caller;
mod connections;
mod families;
mod flows;
mod gates;
mod history;
mod metrics;
mod openapi;
mod policies;
mod problem;
mod routes;
mod socket;
mod state;
mod stations;
mod stream;
mod tls;
mod watch;

pub use crate::event::Hub;
pub use auth::{Role, Token};
pub use families::{METRICS, Metric, MetricKind, MetricLabel};
pub use openapi::document as openapi;
pub use socket::Socket;
pub use tls::{Renewed, Reservation, TlsFiles, TlsListener, TlsReload};

use crate::control::Report;
use crate::control::{Control, Refusal};
use crate::event::on_behalf;
use audit::Peer;
use auth::RequestListener;
use axum::{Extension, Router};
use bodies::Bodies;
use caller::Caller;
use connections::{Connection, Connections, Patient};
use gates::{Gates, Streams};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mrule_compiler::budget::CompileBudget;
use mrule_compiler::compile::Compiled;
use mrule_dataplane::error::Error;
use problem::Problem;
use rustix::process::Resource;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// The longest time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The longest time for the head of a request, also of the next request on a connection.
const HEAD: Duration = Duration::from_secs(5);

/// The resource limits of clients.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The largest number of connections to the remote API, and to the control socket.
    pub connections: usize,
    /// The largest number of connections from one address.
    pub per_address: usize,
    /// The largest number of bytes of all request bodies together.
    pub bodies: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: 1200, per_address: 64, bodies: 256 << 20 }
    }
}

/// The functions that render answers as the command line does.
#[derive(Debug, Clone, Copy)]
pub struct Renderers {
    /// Renders the compiler's diagnostics, as `mirrorc check --format json` prints them.
    pub diagnostics: fn(&Compiled) -> Json,
    /// Renders the counts, as `mirrorc run --stats json` prints them.
    pub stats: fn(&Report) -> Json,
}

/// The state that all handlers share.
#[derive(Debug)]
struct Api {
    control: Arc<Control>,
    renderers: Renderers,
    hub: Hub,
    bodies: Arc<Bodies>,
    gates: Gates,
    streams: Streams,
}

impl Api {
    /// Runs a call to the control plane, which may block, on a thread that may block.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Api) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        let caller = Caller::current();
        let place = self.gates.enter(caller.as_ref()).await;
        let (api, again) = (self.clone(), caller.clone());
        let client = caller.map(|caller| caller.client);
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            // The request has waited for its turn: the token may have been revoked meanwhile.
            if again.is_some_and(|caller| !caller.is_known()) {
                return Err(Refusal::Revoked);
            }
            on_behalf(client, || question(&api))
        });
        match asked.await {
            Ok(answer) => answer.map_err(|refusal| Problem::of(refusal, &self.renderers)),
            Err(_) => Err(Problem::new(500, "mirrorc could not answer the request; please report this")),
        }
    }
}

impl Api {
    /// Has a program compiled in its turn, and returns the result. When the client disconnects,
    /// this future is dropped and the compilation is cancelled.
    async fn compile<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &auth::Caller,
        work: impl FnOnce(&Api, &CompileBudget) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = self.clone();
        let work = move |budget: &CompileBudget| {
            work(&api, budget).map_err(|refusal| Problem::of(refusal, &api.renderers))
        };
        let ticket = self.control.compile(caller.name.as_deref(), work);
        let ticket = ticket.map_err(|refusal| Problem::of(refusal, &self.renderers))?;
        let none = || {
            Err(Problem::new(
                503,
                "the program was not compiled; if mirrorc is not ending, please report this",
            ))
        };
        ticket.answer().await.unwrap_or_else(none)
    }
}

/// A running server; dropping it ends the server.
#[derive(Debug)]
pub struct Server {
    runtime: Option<Runtime>,
    /// The socket file is removed after the last answer.
    _socket: Option<Socket>,
}

impl Server {
    /// Serves the control socket and the remote API.
    ///
    /// # Errors
    /// [`Error::Control`]: no thread can be started.
    pub fn start(
        socket: Option<Socket>,
        remote: Option<TlsListener>,
        control: Arc<Control>,
        hub: Hub,
        renderers: Renderers,
        bounds: Bounds,
    ) -> Result<Server, Error> {
        let path = socket.as_ref().map_or_else(|| "the API".into(), |socket| socket.path().to_owned());
        let failed = |source| Error::Control { path: path.clone(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(gates::THREADS)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(failed)?;
        more_descriptors(bounds.connections);
        let api = Api {
            control,
            renderers,
            hub,
            bodies: Bodies::new(bounds.bodies),
            gates: Gates::default(),
            streams: Streams::new(bounds.connections),
        };
        let router = routes::router(Arc::new(api));
        let connections = || Connections::new(bounds.connections, bounds.per_address);
        let _inside = runtime.enter();
        if let Some(socket) = &socket {
            let listener = UnixListener::from_std(socket.listener().map_err(failed)?).map_err(failed)?;
            let router = router.clone().layer(Extension(RequestListener::Socket));
            runtime.spawn(serve_socket(listener, router, connections()));
        }
        if let Some(remote) = &remote {
            let listener = remote.listener().try_clone().and_then(TcpListener::from_std).map_err(failed)?;
            let (acceptor, request_listener) = remote.acceptor();
            let router = router.layer(Extension(request_listener));
            runtime.spawn(serve_remote(listener, acceptor, router, connections()));
        }
        drop(_inside);
        Ok(Server { runtime: Some(runtime), _socket: socket })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
    }
}

/// Raises the limit of file descriptors, so that all connections fit beside interfaces, stations
/// and files: the usual limit of a process is 1024.
fn more_descriptors(connections: usize) {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(4 * connections as u64);
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        let _refused_then_fewer_can_come = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

async fn serve_socket(listener: UnixListener, router: Router, connections: Arc<Connections>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            wait().await;
            continue;
        };
        // All connections are busy: the owner has over a thousand open requests.
        let Some(connection) = connections.admit(None) else { continue };
        let peer = Peer::of(&stream);
        tokio::spawn(answer(stream, router.clone(), peer, connection));
    }
}

async fn serve_remote(
    listener: TcpListener,
    acceptor: impl Fn() -> TlsAcceptor,
    router: Router,
    connections: Arc<Connections>,
) {
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            wait().await;
            continue;
        };
        // A connection over the share of its address is closed at once.
        let Some(connection) = connections.admit(Some(address.ip())) else { continue };
        let (shaken, router) = (acceptor().accept(stream), router.clone());
        tokio::spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(HANDSHAKE, shaken) => shaken,
                () = connection.closed() => return,
            };
            // A client that does not complete a TLS handshake in time gets no answer.
            if let Ok(Ok(stream)) = shaken {
                answer(stream, router, Peer::remote(address), connection).await;
            }
        });
    }
}

/// For example, no file descriptor is left: other connections will end.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn answer<S>(stream: S, router: Router, peer: Peer, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
    let service = audit::WithCaller::new(TowerToHyperService::new(router), peer, connection.clone());
    let served = server.serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::select! {
        // A client that disconnects during a request needs no message.
        _gone = served => {}
        () = connection.closed() => {}
    }
}
