//! The control API: HTTP/1.1 and JSON on a Unix socket that only its owner can open. The invariants: it runs on threads of
//! its own and asks [`Control`] as everybody else does, so no client, however slow or wrong, is waited for by a
//! worker; connections, bodies, waiting events and times are bounded; what is wrong is told as `application/problem+json`,
//! and a program's errors as `mirrorc check` tells them. (Rejected: TCP without TLS and tokens: whoever can change rules can
//! have all traffic copied anywhere; gRPC, which curl does not speak.)
//!
//! - `routes`: every route, its documentation (OpenAPI) and its handler in one table.
//! - `policies`, `state`, `stations`, `flows`, `watch`, `history`: the handlers. `audit`: who asked for which change.
//! - `socket`: the file. `tls`: from afar; `door`: who may ask for what. `problem`: errors.

mod audit;
mod door;
mod flows;
mod history;
mod metrics;
mod policies;
mod problem;
mod routes;
mod socket;
mod state;
mod stations;
mod tls;
mod watch;

pub use crate::event::Hub;
pub use door::{Role, Token};
pub use socket::Socket;
pub use tls::{Afar, Papers, Renewal};

use crate::control::{Control, Refusal};
use crate::error::Error;
use crate::live::Report;
use audit::Peer;
use axum::{Extension, Router};
use door::Door;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mrule_compiler::compile::Compiled;
use problem::Problem;
use rustix::process::Resource;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

/// How many connections there can be by each way; more wait.
const CONNECTIONS: usize = 1200;

/// How long a client may take for the head of a request, and for each part of its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How requests are answered in the words of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Faces {
    /// What the compiler found, as `mirrorc check --format json` prints it.
    pub diagnostics: fn(&Compiled) -> Json,
    /// What was counted, as `mirrorc run --stats json` prints it.
    pub stats: fn(&Report) -> Json,
}

/// What handlers have.
#[derive(Debug)]
struct Api {
    control: Arc<Control>,
    faces: Faces,
    hub: Hub,
}

impl Api {
    /// Asks the control plane, which may take a while, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Api) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = self.clone();
        match tokio::task::spawn_blocking(move || question(&api)).await {
            Ok(answer) => answer.map_err(|refusal| Problem::of(refusal, &self.faces)),
            Err(_) => Err(Problem::new(500, "the question could not be answered; please report this")),
        }
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
    /// Answers those who come to the control socket and from afar.
    ///
    /// # Errors
    /// [`Error::Control`]: no threads are to be had.
    pub fn start(
        socket: Option<Socket>,
        afar: Option<Afar>,
        control: Arc<Control>,
        hub: Hub,
        faces: Faces,
    ) -> Result<Server, Error> {
        let path = socket.as_ref().map_or_else(|| "the API".into(), |socket| socket.path().to_owned());
        let failed = |source| Error::Control { path: path.clone(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(failed)?;
        more_descriptors();
        let router = routes::router(Arc::new(Api { control, faces, hub }));
        let _inside = runtime.enter();
        if let Some(socket) = &socket {
            let listener = UnixListener::from_std(socket.listener().map_err(failed)?).map_err(failed)?;
            runtime.spawn(serve_socket(listener, router.clone().layer(Extension(Door::Socket))));
        }
        if let Some(afar) = &afar {
            let listener = TcpListener::from_std(afar.listener().map_err(failed)?).map_err(failed)?;
            let (acceptor, door) = afar.acceptor();
            runtime.spawn(serve_afar(listener, acceptor, router.layer(Extension(door))));
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

/// Room for all connections beside what interfaces, stations and files take: the usual limit of a process is 1024.
fn more_descriptors() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(4 * CONNECTIONS as u64);
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        let _refused_then_fewer_can_come = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

async fn serve_socket(listener: UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            wait().await;
            continue;
        };
        let peer = Peer::of(&stream);
        tokio::spawn(answer(stream, router.clone(), peer, place));
    }
}

async fn serve_afar(listener: TcpListener, acceptor: impl Fn() -> TlsAcceptor, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, address)) = listener.accept().await else {
            wait().await;
            continue;
        };
        let (shaken, router) = (acceptor().accept(stream), router.clone());
        tokio::spawn(async move {
            // Whoever speaks no TLS, or none in time, is not answered.
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, shaken).await {
                answer(stream, router, Peer::afar(address), place).await;
            }
        });
    }
}

/// No descriptors left, say: others will end.
async fn wait() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn answer<S>(stream: S, router: Router, peer: Peer, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 << 10);
    // A client that went away in the middle is no news.
    let service = audit::Known::new(TowerToHyperService::new(router), peer);
    let _gone = server.serve_connection(TokioIo::new(stream), service).await;
    drop(place);
}
