//! The control API: HTTP/1.1 and JSON on a Unix socket that only its owner can open. The invariants: it runs on threads of
//! its own and asks [`Control`] as everybody else does, so no client, however slow or wrong, is waited for by a
//! worker; connections, bodies, waiting events and times are bounded; what is wrong is told as `application/problem+json`,
//! and a program's errors as `mirrorc check` tells them. (Rejected: TCP without TLS and tokens: whoever can change rules can
//! have all traffic copied anywhere; gRPC, which curl does not speak.)
//!
//! - `routes`: every route, its documentation (OpenAPI) and its handler in one table.
//! - `policies`, `state`, `watch`: the handlers. `hub`: events for whoever listens. `socket`: the file. `problem`: errors.

mod flows;
mod hub;
mod metrics;
mod policies;
mod problem;
mod routes;
mod socket;
mod state;
mod watch;

pub use hub::{Hub, Tee};
pub use socket::Socket;

use crate::control::{Control, Refusal};
use crate::error::Error;
use crate::live::Report;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mrule_compiler::compile::Compiled;
use problem::Problem;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// How many connections there can be; more wait.
const CONNECTIONS: usize = 64;

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
    _socket: Socket,
}

impl Server {
    /// Answers those who come to a socket.
    ///
    /// # Errors
    /// [`Error::Control`]: no threads are to be had.
    pub fn start(socket: Socket, control: Arc<Control>, hub: Hub, faces: Faces) -> Result<Server, Error> {
        let failed = |source| Error::Control { path: socket.path().to_owned(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .thread_name("control")
            .enable_all()
            .build()
            .map_err(failed)?;
        let router = routes::router(Arc::new(Api { control, faces, hub }));
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::from_std(socket.listener().map_err(failed)?).map_err(failed)?
        };
        runtime.spawn(serve(listener, router));
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

async fn serve(listener: tokio::net::UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors left, say: others will end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 << 10);
            // A client that went away in the middle is no news.
            let _gone = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}
