//! The OpenAPI document (3.1), written from the table that requests are dispatched by and the shapes they are answered
//! with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::Method;
use utoipa::openapi::Components;
use utoipa::openapi::ContentBuilder;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::InfoBuilder;
use utoipa::openapi::OpenApi;
use utoipa::openapi::OpenApiBuilder;
use utoipa::openapi::PathItem;
use utoipa::openapi::PathsBuilder;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::Required;
use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::Schema;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::path::ParameterBuilder;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::Http;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::SecurityScheme;

use crate::admin::dto::ProblemSaid;
use crate::admin::failure::Kind;
use crate::admin::failure::PROBLEM;
use crate::admin::table::Answer;
use crate::admin::table::ROUTES;
use crate::admin::table::Route;
use crate::admin::table::Shape;

/// What any request may be refused for.
const ALWAYS: &[Kind] = &[Kind::Question, Kind::Token, Kind::Origin, Kind::Host, Kind::Stopping, Kind::Ours];
/// What any request with a body may be refused for.
const BODY: &[Kind] = &[Kind::Body, Kind::MediaType, Kind::TooLarge, Kind::Timeout];

/// The document.
pub fn document() -> &'static OpenApi {
    static DOCUMENT: OnceLock<OpenApi> = OnceLock::new();
    DOCUMENT.get_or_init(write)
}

fn write() -> OpenApi {
    let info = InfoBuilder::new()
        .title("rhumb")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "What operators ask a running server, and what it does for them. Times are RFC 3339 in UTC; failures are \
             problems (RFC 9457) whose `type` is a stable word behind `urn:rhumb:problem:`. On loopback anyone may look; \
             changes need a token, or the Unix socket. GET never changes anything.",
        ))
        .build();
    let mut shapes: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    keep(&mut shapes, problem());
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        paths = paths.path(written(route.path), item(route, &mut shapes));
    }
    let mut components = Components::new();
    components.schemas.extend(shapes);
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components)).build()
}

/// A path as OpenAPI has it.
pub fn written(path: &str) -> String {
    path.replace("*}", "}")
}

fn problem() -> Shape {
    use utoipa::PartialSchema;
    use utoipa::ToSchema;
    Shape { name: || ProblemSaid::name().into_owned(), schema: ProblemSaid::schema, parts: ProblemSaid::schemas }
}

fn keep(shapes: &mut BTreeMap<String, RefOr<Schema>>, shape: Shape) {
    let mut parts = vec![((shape.name)(), (shape.schema)())];
    (shape.parts)(&mut parts);
    shapes.extend(parts);
}

fn reference(shape: Shape) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name((shape.name)()))
}

fn item(route: &Route, shapes: &mut BTreeMap<String, RefOr<Schema>>) -> PathItem {
    let method = match route.method {
        Method::PUT => HttpMethod::Put,
        Method::POST => HttpMethod::Post,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    };
    let mut operation = OperationBuilder::new()
        .summary(Some(route.about))
        .operation_id(Some(format!("{} {}", route.method.as_str().to_lowercase(), written(route.path))))
        .security(SecurityRequirement::new("token", Vec::<String>::new()));
    for name in braced(route.path) {
        let rest = route.path.contains(&format!("{{{name}*}}"));
        let about = rest.then_some("for an endpoint, pool and address with a slash between: `eu-web/192.0.2.10`");
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(about)
                .schema(Some(text())),
        );
    }
    for key in route.keys {
        let required = if key.required { Required::True } else { Required::False };
        operation = operation.parameter(
            ParameterBuilder::new()
                .name(key.name)
                .parameter_in(ParameterIn::Query)
                .required(required)
                .description(Some(key.about))
                .schema(Some(if key.repeated { texts() } else { text() })),
        );
    }
    if let Some(shape) = route.body {
        keep(shapes, shape);
        let content = ContentBuilder::new().schema(Some(reference(shape))).build();
        let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation = operation.response("200", answer(&route.answer, shapes));
    for (status, kinds) in refusals(route) {
        let description = kinds.join("; ");
        let content = ContentBuilder::new().schema(Some(reference(problem()))).build();
        let response = ResponseBuilder::new().description(description).content(PROBLEM, content);
        operation = operation.response(status.to_string(), response);
    }
    PathItem::new(method, operation)
}

/// What a request may be refused for, by status.
fn refusals(route: &Route) -> BTreeMap<u16, Vec<&'static str>> {
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    let body = if route.body.is_some() { BODY } else { &[] };
    let role = if route.method == Method::GET { [].as_slice() } else { &[Kind::Role] };
    for kind in [ALWAYS, body, role, route.refusals].concat() {
        let title = kind.title();
        let titles = by_status.entry(kind.status()).or_default();
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    by_status
}

fn answer(answer: &Answer, shapes: &mut BTreeMap<String, RefOr<Schema>>) -> utoipa::openapi::Response {
    let response = ResponseBuilder::new();
    match answer {
        Answer::Json(shape) => {
            keep(shapes, *shape);
            let content = ContentBuilder::new().schema(Some(reference(*shape))).build();
            response.description("Done").content("application/json", content).build()
        }
        Answer::AnyJson => {
            let any = ObjectBuilder::new().schema_type(Type::Object).build();
            let content = ContentBuilder::new().schema(Some(Schema::Object(any))).build();
            response.description("Done").content("application/json", content).build()
        }
        Answer::Text => {
            let content = ContentBuilder::new().schema(Some(text())).build();
            response.description("Done").content("text/plain", content).build()
        }
        Answer::Events(events) => {
            events.iter().for_each(|(_, shape)| keep(shapes, *shape));
            let list = events.iter().map(|(name, shape)| format!("`{name}` ({})", (shape.name)()));
            let list = list.collect::<Vec<_>>().join(", ");
            let content = ContentBuilder::new().schema(Some(text())).build();
            let description = format!("Events until the reader leaves, each with data of a shape: {list}");
            response.description(description).content("text/event-stream", content).build()
        }
    }
}

fn text() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())
}

/// One after the other, each with the name of the key (`form`, exploded, which is what OpenAPI takes unless told).
fn texts() -> Schema {
    Schema::Array(ArrayBuilder::new().items(RefOr::T(text())).build())
}

/// The names between braces.
fn braced(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_end_matches('*'))
    })
}
