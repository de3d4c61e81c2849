//! Errors of requests, as in RFC 9457. The invariant: every unsuccessful answer is a problem; its
//! detail says what to do. (Rejected: our own error codes; the status and the text are enough.)

use super::Renderers;
use crate::control::Refusal;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// An unsuccessful answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: u16,
    detail: String,
    /// The compiler's diagnostics.
    diagnostics: Option<Json>,
    /// The seconds after which to try again.
    retry: Option<u32>,
}

/// The detail of a problem, for the layers that see the answer.
#[derive(Debug, Clone)]
pub(super) struct Detail(pub String);

impl Problem {
    pub fn new(status: u16, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), diagnostics: None, retry: None }
    }

    pub fn of(refusal: Refusal, renderers: &Renderers) -> Problem {
        let detail = refusal.to_string();
        let (status, diagnostics) = match refusal {
            Refusal::Unknown(_) => (404, None),
            Refusal::Bad(_) => (400, None),
            Refusal::Conflict(_) | Refusal::Moved => (409, None),
            Refusal::Stale(_) => (412, None),
            Refusal::Forbidden(_) => (403, None),
            Refusal::Revoked => (401, None),
            Refusal::Ended | Refusal::Busy(_) => (503, None),
            Refusal::Program(compiled) => (422, Some((renderers.diagnostics)(&compiled))),
        };
        Problem { status, detail, diagnostics, retry: None }
    }

    /// Adds the time after which to try again (RFC 9110, section 10.2.3).
    pub fn retry_after(self, seconds: u32) -> Problem {
        Problem { retry: Some(seconds), ..self }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": &self.detail,
        });
        if let (Some(diagnostics), Some(members)) = (self.diagnostics, body.as_object_mut()) {
            members.insert("diagnostics".to_owned(), diagnostics);
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, format!("{body}\n")).into_response();
        if let Some(seconds) = self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Detail(self.detail));
        response
    }
}
