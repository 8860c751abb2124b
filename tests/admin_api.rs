//! The admin API over real sockets: what it answers is what its document says, who may do what, orders, the stream, and
//! what it does with those who mean it no good.

mod admin_site;

use admin_site::api::Http;
use admin_site::api::Site;
use admin_site::api::http;
use admin_site::schema::Schemas;
use proptest::prelude::*;
use rhumb::admin::client::Client;
use rhumb::admin::client::Remote;
use serde_json::Value;
use serde_json::json;

/// What the braces of paths and the keys of query strings stand for in [`Site`].
fn filled(path: &str) -> String {
    let path = match path {
        "/v1/regions/{name}" => "/v1/regions/eu",
        "/v1/pools/{name}" => "/v1/pools/eu-web",
        "/v1/endpoints/{pool}/{address}" => "/v1/endpoints/eu-web/127.0.0.1",
        "/v1/vips/{name}" => "/v1/vips/www.example.com",
        "/v1/zones/{name}" => "/v1/zones/example.com.",
        "/v1/overrides/{kind}/{name}" => "/v1/overrides/pool/eu-web",
        "/v1/explain" => "/v1/explain?name=www.example.com&client=192.0.2.1",
        "/v1/map" => "/v1/map?vip=www.example.com.",
        path => path,
    };
    assert!(!path.contains('{'), "{path} needs a line above");
    path.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_get_answers_as_the_document_says_and_changes_nothing() {
    let site = Site::start().await;
    let put =
        site.socket().put("/v1/overrides/endpoint/eu-web/127.0.0.1", &json!({"state": "weight", "weight": 7})).await;
    assert_eq!(put.status, 200, "{put:?}");
    let document = site.socket().get("/v1/openapi.json").await.json();
    assert_eq!(document["openapi"].as_str().map(|v| &v[..3]), Some("3.1"));
    let schemas = Schemas::of(&document);
    schemas.all_resolve();
    let before = site.state().await;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|_| path != "/v1/stream") else { continue };
        let answer = site.socket().get(&filled(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let (media, content) = operation["responses"]["200"]["content"].as_object().unwrap().iter().next().unwrap();
        if media == "application/json" {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
            schemas.check(path, &content["schema"], &answer.json());
        }
        let wrong = site
            .socket()
            .get(&format!("{}{}nonsense=1", filled(path), if filled(path).contains('?') { "&" } else { "?" }))
            .await;
        assert_eq!(wrong.status, 400, "{path} takes keys that it does not know");
        schemas.check_problem(&wrong);
        let head = site.socket().send("HEAD", &filled(path), &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    assert_eq!(site.state().await, before, "GET changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_takes_a_name_or_a_url_with_headers() {
    let site = Site::start().await;
    let asked = async |query: &str| site.socket().get(&format!("/v1/explain?{query}")).await;
    let said = asked("url=http://www.example.com/x&client=192.0.2.1&header=a:%20b&header=c:%20d&cookie=e=f").await;
    assert_eq!(said.status, 200, "{said:?}");
    let schemas = Schemas::of(&site.socket().get("/v1/openapi.json").await.json());
    schemas.check("explain", &json!({ "$ref": "#/components/schemas/Explanation" }), &said.json());
    assert_eq!(said.json()["request"]["outcome"]["what"], "no-listener");
    for (query, why) in [
        ("", "`name` is missing"),
        ("name=www.example.com&url=http://www.example.com/", "give one of"),
        ("name=www.example.com&header=a:%20b", "are of a request"),
        ("url=www.example.com", "begins with http"),
        ("url=http://www.example.com/&method=GET&method=PUT", "given twice"),
        ("url=http://www.example.com/&header=a:%20b%0d%0ac:%20d", "a name and a value"),
        ("url=http://www.example.com/&listener=edge", "listener `edge` is not there"),
    ] {
        let refused = asked(query).await;
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
        schemas.check_problem(&refused);
        assert!(refused.json().to_string().contains(why), "{query}: {}", refused.json());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_the_table_have_the_same_requests() {
    let site = Site::start().await;
    let document = site.socket().get("/v1/openapi.json").await.json();
    let mut documented: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods =
            item.as_object().unwrap().keys().filter(|k| ["get", "put", "post", "delete"].contains(&k.as_str()));
        documented.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let written =
        |route: &rhumb::admin::table::Route| format!("{} {}", route.method, rhumb::admin::openapi::written(route.path));
    let mut table: Vec<String> = rhumb::admin::table::ROUTES.iter().map(written).collect();
    documented.sort();
    table.sort();
    assert_eq!(documented, table);
    for route in rhumb::admin::table::ROUTES {
        let path = filled(&rhumb::admin::openapi::written(route.path));
        let options = site.socket().send("OPTIONS", &path, &[], b"").await;
        assert_eq!(options.status, 204, "{path}");
        assert!(options.header("allow").unwrap().contains(route.method.as_str()), "{path}: {options:?}");
        let patch = site.socket().send("PATCH", &path, &[], b"").await;
        assert_eq!((patch.status, patch.header("allow")), (405, options.header("allow")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_over_http() {
    let site = Site::start().await;
    let (http, host) = (site.http(), site.http().host());
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| http.send(method, path, headers, b"").await;
    let json = ("content-type", "application/json");
    let order = br#"{"state": "drain", "reason": "test"}"#;
    let bearer = |secret: &str| format!("Bearer {secret}");

    assert_eq!(ask("GET", "/v1/status", &[]).await.status, 200, "anyone on this machine may look");
    for (secret, expected) in
        [("", 401), ("wrong", 401), (admin_site::api::READER, 403), (admin_site::api::OPERATOR, 200)]
    {
        let authorization = bearer(secret);
        let mut headers = vec![json];
        headers.extend((!secret.is_empty()).then_some(("authorization", authorization.as_str())));
        let put = http.send("PUT", "/v1/overrides/endpoint/eu-web/127.0.0.1", &headers, order).await;
        assert_eq!(put.status, expected, "{secret:?}: {put:?}");
        let reload = http.send("POST", "/v1/config/check", &headers, b"").await;
        assert_eq!(reload.status, expected, "{secret:?}");
        if expected == 401 {
            assert!(put.header("www-authenticate").is_some_and(|v| v.starts_with("Bearer")), "{put:?}");
        }
    }
    let by = site.socket().get("/v1/overrides").await.json()["items"][0]["by"].clone();
    assert_eq!(by, "deploy", "orders are given in the token's name");
    let wrong = bearer("wrong");
    assert_eq!(
        ask("GET", "/v1/status", &[("authorization", &wrong)]).await.status,
        401,
        "a token that is none is told"
    );

    for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1:8853"] {
        let answer = http.raw(&format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answer.status, 421, "{host}");
    }
    assert_eq!(ask("GET", "/v1/status", &[("origin", "http://evil.example")]).await.status, 403);
    assert_eq!(ask("GET", "/v1/status", &[("origin", "null")]).await.status, 403);
    assert_eq!(ask("GET", "/v1/status", &[("origin", &format!("http://{host}"))]).await.status, 200);
    assert_eq!(site.socket().send("GET", "/v1/status", &[("origin", "http://evil.example")], b"").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_given_shown_and_ended() {
    let site = Site::start().await;
    let socket = site.socket();
    let path = "/v1/overrides/endpoint/eu-web/127.0.0.1";
    let put = socket.put(path, &json!({"state": "drain", "reason": "kernel", "for": "30m"})).await;
    assert_eq!(put.status, 200, "{put:?}");
    let (taken, me) = (put.json()["override"].clone(), rhumb_user());
    assert_eq!((taken["name"].as_str(), taken["state"].as_str()), (Some("eu-web/127.0.0.1"), Some("drain")));
    assert_eq!((taken["by"].as_str(), taken["phase"].as_str()), (Some(me.as_str()), Some("in_force")));
    assert!(put.json()["warnings"][0].as_str().unwrap().contains("state_dir"), "{put:?}");

    let endpoint = socket.get("/v1/endpoints/eu-web/127.0.0.1").await.json();
    assert_eq!((endpoint["observed"].as_str(), endpoint["effective"].as_str()), (Some("up"), Some("drain")));
    assert_eq!(
        (endpoint["order_of"].as_str(), endpoint["up"].as_bool()),
        (Some("endpoint/eu-web/127.0.0.1"), Some(false))
    );
    let event = socket.get("/v1/events").await.json()["items"].as_array().unwrap().last().cloned();
    assert!(event.unwrap()["reason"].as_str().unwrap().contains("kernel"));
    assert_eq!(socket.get("/v1/status").await.json()["overrides"].as_array().unwrap().len(), 1);

    let planned = socket.put("/v1/overrides/region/us", &json!({"state": "maint", "in": "10m"})).await;
    assert_eq!(planned.json()["override"]["phase"], "planned", "{planned:?}");
    let ended = socket.send("DELETE", path, &[], b"").await.json();
    assert_eq!(ended["ended"][0]["reason"], "kernel");
    assert_eq!(socket.send("DELETE", path, &[], b"").await.json()["ended"], json!([]), "ending nothing is no failure");
    assert_eq!(socket.get("/v1/endpoints/eu-web/127.0.0.1").await.json()["effective"], "up");
}

/// The name under which this process' user gives orders.
fn rhumb_user() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_make_no_sense_or_hurt_are_refused() {
    let site = Site::start().await;
    let socket = site.socket();
    let schemas = Schemas::of(&socket.get("/v1/openapi.json").await.json());
    let put = async |of: &str, body: Value| {
        let answer = socket.put(&format!("/v1/overrides/{of}"), &body).await;
        schemas.check_problem(&answer);
        answer
    };
    let unknown = put("pool/eu-wbe", json!({"state": "drain"})).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json()["detail"].as_str().unwrap().contains("eu-web"), "{unknown:?}");
    assert_eq!(put("vip/www.example.com.", json!({"state": "drain"})).await.status, 404);

    let wrong = put("pool/eu-web", json!({"state": "dran", "until": "soon", "why": 1})).await;
    assert_eq!(wrong.status, 422);
    let pointers: Vec<Value> =
        wrong.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/why", "/state", "/until"]);
    assert_eq!(put("pool/eu-web", json!({"state": "weight", "weight": 3})).await.status, 422, "pools have no weight");

    let both = socket.put("/v1/overrides/pool/us-web", &json!({"state": "drain"})).await;
    assert_eq!(both.status, 200, "{both:?}");
    let hurts = put("pool/eu-web", json!({"state": "drain"})).await;
    assert_eq!(hurts.status, 409, "{hurts:?}");
    assert_eq!(
        (hurts.json()["type"].as_str(), hurts.json()["vips"].as_array().unwrap().len()),
        (Some("urn:rhumb:problem:unsafe"), 2)
    );
    assert!(hurts.json()["detail"].as_str().unwrap().contains("force"));
    let forced = socket.put("/v1/overrides/pool/eu-web", &json!({"state": "drain", "force": true})).await;
    assert_eq!(forced.status, 200, "{forced:?}");

    let json_header = [("content-type", "application/json")];
    assert_eq!(socket.send("PUT", "/v1/overrides/pool/eu-web", &json_header, b"{").await.status, 400);
    assert_eq!(socket.send("PUT", "/v1/overrides/pool/eu-web", &[], b"{}").await.status, 415);
    assert_eq!(socket.send("PUT", "/v1/overrides/pool/eu-web", &json_header, &vec![b' '; 65 << 10]).await.status, 413);
    // A simulation brings the demand along.
    assert_eq!(socket.send("POST", "/v1/simulate", &json_header, &vec![b' '; 65 << 10]).await.status, 400);
    assert_eq!(socket.send("POST", "/v1/simulate", &json_header, &vec![b' '; 5 << 20]).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_what_changes_and_can_be_resumed() {
    let mut site = Site::start().await;
    let mut stream = site.socket().events(&[]).await;
    let hello = stream.next("hello").await;
    assert_eq!(hello.data["generation"], 1);
    stream.next("overrides").await;

    site.break_endpoint();
    let turned = loop {
        let event = stream.next("standing").await;
        if event.data["kind"] == "endpoint" {
            break event;
        }
    };
    assert_eq!((turned.data["name"].as_str(), turned.data["to"].as_str()), (Some("eu-web/127.0.0.1"), Some("down")));
    assert!(turned.data["reason"].as_str().unwrap().starts_with("L4CON"), "{turned:?}");
    assert_eq!(turned.id, turned.data["number"].as_u64());

    site.socket().put("/v1/overrides/pool/us-web", &json!({"state": "drain", "force": true})).await;
    let overrides = stream.next("overrides").await;
    assert_eq!(overrides.data["items"][0]["name"], "us-web");
    assert_eq!(site.socket().send("POST", "/v1/reload", &[], b"").await.status, 200);
    let config = stream.next("config").await;
    assert_eq!((config.data["ok"].as_bool(), config.data["generation"].as_u64()), (Some(true), Some(2)));
    drop(stream);

    // Who comes back is told what it missed, from the event after the one it saw.
    let seen = turned.id.unwrap().to_string();
    let mut resumed = site.socket().events(&[("last-event-id", &seen)]).await;
    assert_eq!(resumed.next("standing").await.id, Some(turned.id.unwrap() + 1));
    // And who saw more than was ever written, saw another process.
    let mut elsewhere = site.socket().events(&[("last-event-id", "100000")]).await;
    let lost = elsewhere.next("lost").await;
    assert_eq!(lost.data["from"], 100_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_cannot_keep_out_an_operator_s_stream() {
    let site = Site::start().await;
    let mut readers = Vec::new();
    for _ in 0..48 {
        let mut reader = site.http().events(&[]).await;
        reader.next("hello").await;
        readers.push(reader);
    }
    let one_more = site.http().get("/v1/stream").await;
    assert_eq!(one_more.status, 503, "{one_more:?}");
    site.socket().events(&[]).await.next("hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_maps_and_leaves_holds_up_nobody() {
    let site = Site::start().await;
    for _ in 0..200 {
        site.http().left("/v1/map?vip=www.example.com.").await;
        site.http().left("/v1/endpoints").await;
    }
    assert_eq!(site.http().get("/v1/map?vip=www.example.com.").await.status, 200);
    assert_eq!(site.http().get("/v1/endpoints").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_names_another_host_is_not_ours() {
    let site = Site::start().await;
    let host = site.http().host();
    let ask = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        site.http().raw(&request).await.status
    };
    assert_eq!(ask("http://evil.example/v1/status").await, 421);
    assert_eq!(ask(&format!("http://{host}/v1/status")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_reload_is_loud_and_a_check_changes_nothing() {
    let site = Site::start().await;
    let socket = site.socket();
    assert_eq!(socket.send("POST", "/v1/config/check", &[], b"").await.json()["ok"], true);
    let good = site.config();
    site.write(&good.replace("policy = \"failover\"", "policy = \"failovr\""));
    let checked = socket.send("POST", "/v1/config/check", &[], b"").await.json();
    assert_eq!((checked["ok"].as_bool(), checked["errors"].as_u64()), (Some(false), Some(1)), "{checked}");
    assert!(checked["problems"][0]["line"].as_u64().is_some(), "{checked}");
    let refused = socket.send("POST", "/v1/reload", &[], b"").await;
    assert_eq!((refused.status, &refused.json()["problems"]), (422, &checked["problems"]));
    let last = socket.get("/v1/status").await.json()["config"]["last_reload"].clone();
    assert_eq!((last["ok"].as_bool(), last["generation"].as_u64()), (Some(false), Some(1)), "{last}");
    site.write(&good);
    assert_eq!(socket.send("POST", "/v1/reload", &[], b"").await.json()["generation"], 2);
    assert_eq!(socket.get("/v1/status").await.json()["config"]["last_reload"]["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_tokens_and_moves_the_listener() {
    let site = Site::start().await;
    let (old, operator) = (site.http(), format!("Bearer {}", admin_site::api::OPERATOR));
    let operates =
        async |http: &Http| http.send("POST", "/v1/config/check", &[("authorization", &operator)], b"").await;
    assert_eq!(operates(&old).await.status, 200);
    site.write_tokens("");
    assert_eq!(site.socket().send("POST", "/v1/reload", &[], b"").await.status, 200);
    assert_eq!(operates(&old).await.status, 401, "a token that is gone opens nothing");

    let (free, was) = (admin_site::api::free_address(), old.host());
    site.write(&site.config().replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{free}\"")));
    assert_eq!(site.socket().send("POST", "/v1/reload", &[], b"").await.status, 200);
    assert_eq!(http(free).get("/livez").await.status, 200);
    let closed = async {
        while tokio::net::TcpStream::connect(&was).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), closed).await.expect("the former one is closed");

    site.write(&site.config().replace(&format!("listen = \"{free}\""), "listen = \"192.0.2.1:1\"\ntls = \"none\""));
    let refused = site.socket().send("POST", "/v1/reload", &[], b"").await;
    assert_eq!(refused.status, 422);
    assert_eq!(http(free).get("/livez").await.status, 200, "a reload that is refused moves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_with_a_certificate_speaks_tls_and_a_renewed_one_is_presented() {
    let site = Site::start().await;
    let address = admin_site::api::free_address();
    let first = site.certificate();
    let listen = format!("listen = \"{address}\"\ntls = \"admin\"");
    let with_tls = site.config().replace("listen = \"127.0.0.1:0\"", &listen)
        + "[tls.admin]\ncertificate = \"admin.crt\"\nkey_file = \"admin.key\"\n";
    site.write(&with_tls);
    let reloaded = site.socket().send("POST", "/v1/reload", &[], b"").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    let ask = async |roots: &str| {
        let remote = Remote {
            url: format!("https://localhost:{}", address.port()),
            token: Some(admin_site::api::OPERATOR.to_owned()),
            roots: Some(roots.as_bytes().to_vec()),
        };
        Client::of_url(remote).unwrap().get::<Value>("/v1/status", &[]).await
    };
    assert_eq!(ask(&first).await.unwrap()["generation"], 2);
    let second = site.certificate();
    assert_eq!(site.socket().send("POST", "/v1/reload", &[], b"").await.status, 200);
    assert!(ask(&second).await.is_ok(), "the renewed certificate");
    assert!(ask(&first).await.is_err(), "and not the former one");
    http(address).garbage(b"GET /livez HTTP/1.1\r\n\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_tls_and_tokens_are_required() {
    let site = Site::start().await;
    let good = site.config();
    site.write(&good.replace("listen = \"127.0.0.1:0\"\ntokens_file", "listen = \"0.0.0.0:8853\"\n#"));
    let checked = site.socket().send("POST", "/v1/config/check", &[], b"").await.json();
    let codes: Vec<&str> =
        checked["problems"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["E0130", "E0133"], "{checked}");
    site.write(&good);
    site.open_tokens_to_everybody();
    let checked = site.socket().send("POST", "/v1/config/check", &[], b"").await.json();
    assert!(checked["problems"][0]["help"].as_str().unwrap().starts_with("run: chmod 640"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_given_in_stretches() {
    let site = Site::start().await;
    let mut names = Vec::new();
    let mut path = "/v1/endpoints?limit=2".to_owned();
    loop {
        let list = site.socket().get(&path).await.json();
        names.extend(list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match list["next"].as_str() {
            Some(next) => path = format!("/v1/endpoints?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["eu-web/127.0.0.1", "eu-web/127.0.0.2", "us-web/192.0.2.3"]);
    let stale = site.socket().get("/v1/endpoints?after=9-1").await;
    assert_eq!(
        (stale.status, stale.json()["type"].as_str().unwrap().to_owned()),
        (410, "urn:rhumb:problem:changed".into())
    );
    let only = site.socket().get("/v1/endpoints?region=us&up=true&observed=up").await.json();
    assert_eq!(only["items"].as_array().unwrap().len(), 1);
    assert_eq!(site.socket().get("/v1/endpoints?pool=nope").await.status, 404);
    assert_eq!(site.socket().get("/v1/endpoints?up=perhaps").await.json()["errors"][0]["parameter"], "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_says_where_countries_go() {
    let site = Site::start().await;
    let germany = async || {
        let map = site.socket().get("/v1/map?vip=geo.example.com").await.json();
        let countries = map["countries"].as_array().unwrap().clone();
        let of = |code: &str| countries.iter().find(|c| c["country"] == code).unwrap()["to"][0]["pool"].clone();
        (of("DE"), of("US"), countries.len())
    };
    assert_eq!(germany().await, (json!("eu-web"), json!("us-web"), 2));
    site.socket().put("/v1/overrides/region/eu", &json!({"state": "drain"})).await;
    assert_eq!(germany().await, (json!("us-web"), json!("us-web"), 2));
    assert_eq!(site.socket().get("/v1/map?vip=www.example.org").await.status, 404);
    assert_eq!(site.socket().get("/v1/map").await.json()["errors"][0]["parameter"], "vip");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_kind_change_nothing() {
    let site = Site::start().await;
    let before = site.state().await;
    let runtime = tokio::runtime::Handle::current();
    let socket = site.socket();
    tokio::task::block_in_place(|| {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            r#"\{"state": "(drain|up|weight)", "(weight|until|x)": (-?[0-9]{1,20}|"[0-9a-z:-]{0,20}"|null|\[\])"#
                .prop_map(String::into_bytes),
            r#"\{"state": "drian", "(for|in)": "[0-9]{0,30}[smhd]{0,2}"\}"#.prop_map(String::into_bytes),
        ];
        let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(body in body)| {
            let sent = socket.send("PUT", "/v1/overrides/pool/eu-web", &[("content-type", "application/json")], &body);
            let status = runtime.block_on(sent).status;
            prop_assert!((400..500).contains(&status), "{}", status);
        });
    });
    assert_eq!(site.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let site = Site::start().await;
    for garbage in [
        "\r\n\r\n\r\n",
        "GET",
        "GET / HTTP/9.9\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
        &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
    ] {
        site.http().garbage(garbage.as_bytes()).await;
    }
    assert_eq!(site.http().get("/livez").await.status, 200);
}
