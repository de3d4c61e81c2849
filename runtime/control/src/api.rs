//! The control API: HTTP/1.1 and JSON on a Unix socket that only its owner can open. The
//! invariants: it runs on threads of its own and asks [`Control`] as everybody else does, so no
//! client, however slow or wrong, is waited for by a worker; connections, bodies, waiting events
//! and times are bounded; what is wrong is told as `application/problem+json`, and a program's
//! errors as `mirrorc check` tells them. (Rejected: TCP without TLS and tokens: whoever can change
//! rules can have all traffic copied anywhere; gRPC, which curl does not speak.)
//!
//! - `routes`: every route, its documentation (OpenAPI) and its handler in one table.
//! - `policies`, `state`, `stations`, `flows`, `watch`, `stream`, `history`: the handlers. `audit`:
//!   who asked for which change.
//! - `connections`, `bodies`, `gates`: what is bounded. `socket`: the file. `tls`: remote clients;
//!   `auth`: tokens; `caller`: who asks, and what is allowed. `problem`: errors.

mod audit;
mod auth;
mod bodies;
mod caller;
mod connections;
mod flows;
mod gates;
mod history;
mod metrics;
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

/// How long a client may take for the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a connection may take for the head of a request, also of the next one.
const HEAD: Duration = Duration::from_secs(5);

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections there can be by each way: remote, and at the socket.
    pub connections: usize,
    /// How many of them from one address.
    pub per_address: usize,
    /// How many bytes the bodies of all requests may have together.
    pub bodies: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: 1200, per_address: 64, bodies: 256 << 20 }
    }
}

/// How requests are answered in the words of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Renderers {
    /// What the compiler found, as `mirrorc check --format json` prints it.
    pub diagnostics: fn(&Compiled) -> Json,
    /// What was counted, as `mirrorc run --stats json` prints it.
    pub stats: fn(&Report) -> Json,
}

/// What handlers have.
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
    /// Asks the control plane, which may take a while, on a thread that may wait.
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
            // It has waited for its place.
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
    /// Has a program compiled in its turn and answers with what becomes of it. When the client goes
    /// away, and with it this future, the compilation is cancelled.
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

/// A server at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    runtime: Option<Runtime>,
    /// Its file goes when nobody is answered any more.
    _socket: Option<Socket>,
}

impl Server {
    /// Answers those who come to the control socket and remotely.
    ///
    /// # Errors
    /// [`Error::Control`]: no threads are to be had.
    pub fn start(
        socket: Option<Socket>,
        afar: Option<TlsListener>,
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
        if let Some(afar) = &afar {
            let listener = afar.listener().try_clone().and_then(TcpListener::from_std).map_err(failed)?;
            let (acceptor, request_listener) = afar.acceptor();
            let router = router.layer(Extension(request_listener));
            runtime.spawn(serve_afar(listener, acceptor, router, connections()));
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

/// Room for all connections beside what interfaces, stations and files take: the usual limit of a
/// process is 1024.
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
        // All at work: that is more than a thousand requests of the owner at once.
        let Some(connection) = connections.admit(None) else { continue };
        let peer = Peer::of(&stream);
        tokio::spawn(answer(stream, router.clone(), peer, connection));
    }
}

async fn serve_afar(
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
        // One too many of its address is closed at once.
        let Some(connection) = connections.admit(Some(address.ip())) else { continue };
        let (shaken, router) = (acceptor().accept(stream), router.clone());
        tokio::spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(HANDSHAKE, shaken) => shaken,
                () = connection.closed() => return,
            };
            // Whoever speaks no TLS, or none in time, is not answered.
            if let Ok(Ok(stream)) = shaken {
                answer(stream, router, Peer::afar(address), connection).await;
            }
        });
    }
}

/// No descriptors left, say: others will end.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn answer<S>(stream: S, router: Router, peer: Peer, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
    let service = audit::Known::new(TowerToHyperService::new(router), peer, connection.clone());
    let served = server.serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::select! {
        // A client that went away in the middle is no news.
        _gone = served => {}
        () = connection.closed() => {}
    }
}
