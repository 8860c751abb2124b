//! The requests of the admin socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use tokio::net::UnixListener;

use crate::admin::counted::Counted;
use crate::admin::dto::ConfigProblem;
use crate::admin::dto::ConfigStatus;
use crate::admin::dto::Counts;
use crate::admin::dto::ProblemSaid;
use crate::admin::dto::Reloaded;
use crate::admin::dto::Status;
use crate::admin::dto::Trouble;
use crate::admin::explain;
use crate::admin::explain::Question;
use crate::admin::explain::Who;
use crate::admin::when;
use crate::model::Problem;
use crate::runtime::clock::Clock;
use crate::runtime::keeper::Handle;
use crate::server::dice::Dice;
use crate::steering::Draw;

type ReloadOutcome = Pin<Box<dyn Future<Output = Result<u64, Vec<Problem>>> + Send>>;

/// What the requests need of the server.
#[derive(Clone)]
pub struct Admin {
    keeper: Handle,
    clock: Clock,
    reload: Arc<dyn Fn() -> ReloadOutcome + Send + Sync>,
    counted: Option<Arc<dyn Counted>>,
}

impl Admin {
    /// Requests about the worlds of this keeper; `reload` reads all files again.
    pub fn new(keeper: Handle, clock: Clock, reload: impl Fn() -> ReloadOutcome + Send + Sync + 'static) -> Self {
        Admin { keeper, clock, reload: Arc::new(reload), counted: None }
    }

    /// The same with `/metrics`, and what else is counted.
    pub fn counting(self, counted: Arc<dyn Counted>) -> Self {
        Admin { counted: Some(counted), ..self }
    }

    /// Answers requests until the listener's task is dropped.
    pub async fn serve(self, listener: UnixListener) {
        let routes = Router::new()
            .route("/v1/explain", get(explained))
            .route("/v1/status", get(status))
            .route("/v1/reload", post(reload))
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .fallback(nothing_here)
            .with_state(self);
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the admin socket is closed");
        }
    }
}

/// A failure as RFC 9457 has it.
struct Failure {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    problems: Vec<ConfigProblem>,
}

impl Failure {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Failure { status, kind, title, detail: detail.into(), problems: Vec::new() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let said = ProblemSaid {
            kind: format!("urn:rhumb:problem:{}", self.kind),
            status: self.status.as_u16(),
            title: self.title.to_owned(),
            detail: self.detail,
            problems: self.problems,
            ..ProblemSaid::default()
        };
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], Json(said)).into_response()
    }
}

/// The query string of `/v1/explain`. `down` is a list with commas.
#[derive(Debug, serde::Deserialize)]
struct Asked {
    name: String,
    #[serde(rename = "type")]
    rtype: Option<String>,
    client: Option<String>,
    geo: Option<String>,
    at: Option<String>,
    down: Option<String>,
}

async fn explained(
    State(admin): State<Admin>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let wrong =
        |detail: String| Failure::new(StatusCode::BAD_REQUEST, "question", "The question is not understood", detail);
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return wrong(rejection.body_text()).into_response(),
    };
    let who = match Who::read(asked.client.as_deref(), asked.geo.as_deref(), asked.at.as_deref()) {
        Ok(who) => who,
        Err(sentence) => return wrong(sentence).into_response(),
    };
    let down =
        asked.down.iter().flat_map(|list| list.split(',')).filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let question = Question { name: asked.name, rtype: asked.rtype.unwrap_or_else(|| "A".to_owned()), who, down };
    let draw = Draw { random: Dice::new().roll(), seconds: admin.clock.now().secs() };
    match explain::explain(&admin.keeper.published.load(), &question, draw) {
        Ok(explanation) => Json(explanation).into_response(),
        Err(sentence) => wrong(sentence).into_response(),
    }
}

async fn status(State(admin): State<Admin>) -> Response {
    let world = admin.keeper.published.load();
    let (model, zones) = (&world.snapshot.model, world.snapshot.zones.iter().len());
    let counts = Counts { vips: model.vips.len(), zones, ..Counts::default() };
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generation: world.generation,
        ready: admin.keeper.is_ready(),
        started: when::said(admin.clock.started_at()),
        now: when::said(admin.clock.now()),
        config: ConfigStatus { file: String::new(), last_reload: None },
        suspicion: None,
        counts,
        regions: Vec::new(),
        trouble: Trouble::default(),
        overrides: Vec::new(),
        overrides_more: 0,
        queries: None,
    })
    .into_response()
}

async fn reload(State(admin): State<Admin>) -> Response {
    match (admin.reload)().await {
        Ok(generation) => Json(Reloaded { generation }).into_response(),
        Err(problems) => {
            let detail = "the running configuration is unchanged";
            let mut failure =
                Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "reload", "The reload was refused", detail);
            failure.problems = problems.iter().map(ConfigProblem::from).collect();
            failure.into_response()
        }
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.keeper.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the first round of probes is not over\n").into_response(),
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let Some(counted) = &admin.counted else { return nothing_here().await };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match counted.exposition(accept).await {
        Some(page) => ([(header::CONTENT_TYPE, page.content_type)], page.text).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n").into_response(),
    }
}

async fn nothing_here() -> Response {
    Failure::new(StatusCode::NOT_FOUND, "path", "There is nothing here", "see /v1/status and /v1/explain")
        .into_response()
}
