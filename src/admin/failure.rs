//! How a request is refused: as a problem (RFC 9457), whatever refuses it.

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;

use crate::admin::dto::ConfigProblem;
use crate::admin::dto::ErrorSaid;
use crate::admin::dto::ProblemSaid;
use crate::health::forced::Refusal;
use crate::model::Problem;

/// The media type of problems.
pub const PROBLEM: &str = "application/problem+json";

/// A request that comes to nothing, with what is said of it.
#[derive(Debug, Clone)]
pub struct Failure {
    said: Box<ProblemSaid>,
    header: Option<(HeaderName, String)>,
}

/// What is worth refusing for, each with its HTTP status, its stable word and its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The query string, or a cursor.
    Question,
    /// A body that is no JSON, or not of the shape.
    Body,
    /// A body of another media type.
    MediaType,
    /// A body beyond the bound.
    TooLarge,
    /// A body that does not come.
    Timeout,
    /// A path that is none.
    Path,
    /// A method that the path does not take.
    Method,
    /// A thing that is not in the configuration.
    Unknown,
    /// No token, or none that is known.
    Token,
    /// A token that may not.
    Role,
    /// A page of another site.
    Origin,
    /// A name that is not ours.
    Host,
    /// An order that makes no sense.
    Override,
    /// An order that would hurt.
    Unsafe,
    /// An order that could not be kept.
    NotSaved,
    /// A list that is not what it was.
    Changed,
    /// Files that cannot be served.
    Reload,
    /// More streams than we hold.
    Busy,
    /// The process ends.
    Stopping,
    /// Our fault.
    Ours,
}

impl Kind {
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::Question => (StatusCode::BAD_REQUEST, "question", "The question is not understood"),
            Kind::Body => (StatusCode::BAD_REQUEST, "body", "The body is not understood"),
            Kind::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is not JSON"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Kind::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The body did not come"),
            Kind::Path => (StatusCode::NOT_FOUND, "path", "There is nothing here"),
            Kind::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "That cannot be done here"),
            Kind::Unknown => (StatusCode::NOT_FOUND, "unknown", "There is no such thing"),
            Kind::Token => (StatusCode::UNAUTHORIZED, "token", "A token is needed"),
            Kind::Role => (StatusCode::FORBIDDEN, "role", "The token may not do this"),
            Kind::Origin => (StatusCode::FORBIDDEN, "origin", "A page of another site asks"),
            Kind::Host => (StatusCode::MISDIRECTED_REQUEST, "host", "This server is not known by that name"),
            Kind::Override => (StatusCode::UNPROCESSABLE_ENTITY, "override", "The order makes no sense"),
            Kind::Unsafe => (StatusCode::CONFLICT, "unsafe", "The order would leave a VIP without a healthy pool"),
            Kind::NotSaved => (StatusCode::INSUFFICIENT_STORAGE, "not-saved", "The order could not be kept"),
            Kind::Changed => (StatusCode::GONE, "changed", "The list is not what it was"),
            Kind::Reload => (StatusCode::UNPROCESSABLE_ENTITY, "reload", "The reload was refused"),
            Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many ask at once"),
            Kind::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping"),
            Kind::Ours => (StatusCode::INTERNAL_SERVER_ERROR, "bug", "rhumb has a bug"),
        }
    }

    /// In words.
    pub const fn title(self) -> &'static str {
        self.facts().2
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.facts().0.as_u16()
    }
}

impl Failure {
    /// A failure of this kind; `detail` is a sentence with the way out.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, word, title) = kind.facts();
        let said = ProblemSaid {
            kind: format!("urn:rhumb:problem:{word}"),
            status: status.as_u16(),
            title: title.to_owned(),
            detail: detail.into(),
            ..ProblemSaid::default()
        };
        Failure { said: Box::new(said), header: None }
    }

    /// Everything that is wrong with a request; the detail is the first of it.
    pub fn of_errors(kind: Kind, errors: Vec<ErrorSaid>) -> Self {
        let detail = match errors.as_slice() {
            [] => String::new(),
            [one] => one.detail.clone(),
            [first, rest @ ..] => format!("{}; and {} more", first.detail, rest.len()),
        };
        let mut failure = Failure::new(kind, detail);
        failure.said.errors = errors;
        failure
    }

    /// Files that cannot be served.
    pub fn of_files(problems: &[Problem]) -> Self {
        let mut failure = Failure::new(Kind::Reload, "the running configuration is unchanged");
        failure.said.problems = problems.iter().map(ConfigProblem::from).collect();
        failure
    }

    /// The keeper has ended.
    pub fn stopping() -> Self {
        Failure::new(Kind::Stopping, "the server is stopping; ask the one that takes its place")
    }

    /// The same with the place in the body of what is wrong, where none is told yet.
    pub fn at(mut self, pointer: &str) -> Self {
        for error in self.said.errors.iter_mut().filter(|error| error.pointer.is_none()) {
            error.pointer = Some(pointer.to_owned());
        }
        self
    }

    /// The same with a header of the response.
    pub fn with_header(self, name: HeaderName, value: impl Into<String>) -> Self {
        Failure { header: Some((name, value.into())), ..self }
    }

    /// What is said.
    pub fn said(&self) -> &ProblemSaid {
        &self.said
    }

    /// The response.
    pub fn response(self) -> Response {
        let body = serde_json::to_vec(&self.said).expect("texts and numbers have a JSON form");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.said.status).expect("statuses come from Kind::facts");
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::try_from(value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let sentence = refusal.to_string();
        match refusal {
            Refusal::Unknown(_) => Failure::new(Kind::Unknown, sentence),
            Refusal::Invalid(_) => {
                Failure::of_errors(Kind::Override, vec![ErrorSaid { detail: sentence, pointer: None, parameter: None }])
            }
            Refusal::Unsafe { vips, more } => {
                let mut failure = Failure::new(Kind::Unsafe, format!("{sentence}; order it with `force` all the same"));
                (failure.said.vips, failure.said.more) = (vips, more);
                failure
            }
            Refusal::NotSaved(_) => Failure::new(Kind::NotSaved, format!("{sentence}; nothing has changed")),
            Refusal::Stopping => Failure::stopping(),
        }
    }
}
