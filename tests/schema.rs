//! The JSON schema of the configuration says what the parser does: the parser is asked for its keys, words, ranges and
//! defaults, and the schema is held to them.

use std::collections::BTreeSet;
use std::path::Path;

use regex_lite::Regex;
use serde_json::Value;
use serde_json::json;

use rhumb::cmd::schema::CONFIG;
use rhumb::config;
use rhumb::config::codes;
use rhumb::model::Model;
use rhumb::model::Problem;

/// A key that nobody has, and that resembles none.
const NOBODYS: &str = "zzqqxx";

/// Where an object of the schema is written.
struct Object {
    /// Its name under `$defs`.
    name: &'static str,
    /// Its heading, with those above it.
    heading: &'static str,
    /// What makes it whole.
    filler: &'static str,
    /// Keys that those above it lack, whose absence is no concern of this object.
    above: &'static [&'static str],
}

const fn object(
    name: &'static str,
    heading: &'static str,
    filler: &'static str,
    above: &'static [&'static str],
) -> Object {
    Object { name, heading, filler, above }
}

/// What a listener lacks where only something in it is written.
const LISTENERS: [&str; 5] = ["name", "region", "bind", "protocol", "routes"];
/// And what a route in it lacks.
const ROUTES: [&str; 5] = ["name", "region", "bind", "protocol", "pool"];

/// A pool to which only its load is lacking.
const LOADED: &str = "[pool.p]\nregion = \"r\"\nendpoints = [{ address = \"192.0.2.1\" }]\n[pool.p.load]";

const OBJECTS: [Object; 33] = [
    object("server", "[server]", "", &[]),
    object("geo", "[geo]", "", &[]),
    object("network", "[[geo.network]]", "name = \"n\"\ncidr = [\"10.0.0.0/8\"]", &[]),
    object("region", "[region.s]", "", &[]),
    object("health_check", "[health_check.h]", "", &[]),
    object("expect", "[health_check.h.expect]", "", &["type"]),
    object("pool", "[pool.p]", "region = \"r\"\nendpoints = [{ address = \"192.0.2.1\" }]", &[]),
    object("endpoint", "[[pool.p.endpoints]]", "address = \"192.0.2.1\"", &["region"]),
    object("vip", "[vip.\"v.example.com.\"]", "policy = \"failover\"\npools = [{ pool = \"q\" }]", &[]),
    object("granularity", "[vip.\"v.example.com.\".hash]", "", &["policy"]),
    object("rule", "[[vip.\"v.example.com.\".rules]]", "pool = \"q\"", &["policy"]),
    object("member", "[[vip.\"v.example.com.\".pools]]", "pool = \"q\"", &["policy"]),
    object("zone", "[zone.\"example.com.\"]", "", &[]),
    object("tls", "[tls.t]", "certificate = \"a.pem\"\nkey_file = \"a.key\"", &[]),
    object("admin", "[admin]", "", &[]),
    object("query_log", "[query_log]", "", &[]),
    object("proxy", "[proxy]", "", &[]),
    object("access_log", "[access_log]", "", &[]),
    object("client_bits", "[pool.p.hash_on]", "", &["region", "endpoints"]),
    object("load", LOADED, "urls = [\"https://192.0.2.1/v1/headroom\"]", &[]),
    object("upstream_tls", "[pool.p.tls]", "", &["region", "endpoints"]),
    object("listener", "[[listener]]", "routes = [{ pool = \"q\" }]", &[]),
    object("proxy_protocol", "[[listener]]\n[listener.proxy_protocol]", "", &LISTENERS),
    object("timeouts", "[[listener]]\n[listener.timeouts]", "", &LISTENERS),
    object("paths", "[[listener]]\n[listener.paths]", "", &LISTENERS),
    object("route", "[[listener]]\n[[listener.routes]]", "pool = \"q\"", &["name", "region", "bind", "protocol"]),
    object("text_match", "[[listener]]\n[[listener.routes]]\n[listener.routes.headers.x]", "", &ROUTES),
    object("arm", "[[listener]]\n[[listener.routes]]\n[[listener.routes.pools]]", "pool = \"q\"", &LISTENERS),
    object("redirect", "[[listener]]\n[[listener.routes]]\n[listener.routes.redirect]", "to = \"/\"", &LISTENERS),
    object("respond", "[[listener]]\n[[listener.routes]]\n[listener.routes.respond]", "status = 200", &LISTENERS),
    object("rewrite", "[[listener]]\n[[listener.routes]]\n[listener.routes.rewrite]", "", &ROUTES),
    object("header_edits", "[[listener]]\n[[listener.routes]]\n[listener.routes.request_headers]", "", &ROUTES),
    object("sticky", "[[listener]]\n[[listener.routes]]\n[listener.routes.sticky]", "", &ROUTES),
];

/// A listener to which only its routes are lacking.
const LISTENER: &str = "name = \"l\"\nregion = \"r\"\nbind = \"127.0.0.1:1\"\nprotocol = \"http\"";

/// What the objects of a whole configuration refer to.
const PRELUDE: &str =
    "[region.r]\nlocation = [1, 2]\n[pool.q]\nregion = \"r\"\nendpoints = [{ address = \"192.0.2.9\" }]\n";

/// Codes that say that a value is not one that its key takes.
const WRONG_VALUE: [&str; 8] = [
    codes::TYPE,
    codes::WORD,
    codes::DURATION,
    codes::ADDRESS,
    codes::GEO_CODE,
    codes::NAME,
    codes::FORM,
    codes::RANGE,
];

fn schema() -> Value {
    serde_json::from_str(CONFIG).expect("the schema is JSON")
}

fn problems(text: &str) -> Vec<Problem> {
    match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    }
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn keys_of(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

fn words(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schema_has_the_sections_of_the_parser() {
    let told = problems(&format!("{NOBODYS} = 1\n"));
    let help = told[0].help.as_deref().unwrap().strip_prefix("sections: ").unwrap();
    let sections: BTreeSet<String> = help.split(", ").map(str::to_owned).collect();
    assert_eq!(keys_of(&schema()), sections);
}

#[test]
fn every_object_has_the_keys_of_the_parser_and_needs_the_same() {
    let schema = schema();
    let mut wrong = Vec::new();
    for object in &OBJECTS {
        let told = problems(&format!("{}\n{NOBODYS} = 1\n", object.heading));
        let unknown = told.iter().find(|p| p.code == codes::UNKNOWN_KEY).unwrap_or_else(|| panic!("{}", object.name));
        let help = unknown.help.as_deref().unwrap();
        let keys: BTreeSet<String> = help.strip_prefix("keys: ").unwrap().split(", ").map(str::to_owned).collect();
        let said = &schema["$defs"][object.name];
        if keys_of(said) != keys {
            wrong.push(format!("{}: the parser has {keys:?}, the schema {:?}", object.name, keys_of(said)));
        }
        let missing = told.iter().filter(|p| p.code == codes::MISSING);
        let missing =
            missing.filter_map(|p| Some(p.help.as_deref()?.strip_prefix("add `")?.split(' ').next()?.to_owned()));
        let missing: BTreeSet<String> = missing.filter(|key| !object.above.contains(&key.as_str())).collect();
        let mut required = words(&said["required"]);
        required.extend(words(&said["oneOf"][0]["required"]));
        if required != missing {
            wrong.push(format!("{}: the parser needs {missing:?}, the schema {required:?}", object.name));
        }
    }
    assert!(wrong.is_empty(), "src/cmd/schema/config.json differs from the parser:\n{}", wrong.join("\n"));
}

#[test]
fn every_object_of_the_schema_is_compared() {
    let schema = schema();
    let objects = schema["$defs"].as_object().unwrap().iter().filter(|(_, said)| said["type"] == "object");
    let objects: BTreeSet<&str> = objects.map(|(name, _)| name.as_str()).collect();
    assert_eq!(objects, OBJECTS.iter().map(|object| object.name).collect());
}

/// What the parser says of one key with a value, in a configuration that holds nothing else.
fn said_of(object: &Object, key: &str, value: &str) -> Vec<Problem> {
    // Without `listen` its companions have no meaning, and are not looked at.
    let before = if object.name == "admin" && key != "listen" { "listen = \"127.0.0.1:1\"\n" } else { "" };
    let text = format!("{}\n{before}{key} = {value}\n", object.heading);
    let line = text.lines().count() as u32;
    let here = |p: &Problem| p.place.as_ref().is_some_and(|place| place.line == line);
    problems(&text).into_iter().filter(here).collect()
}

/// A property with what it refers to.
fn resolved(root: &Value, property: &Value) -> Value {
    let Some(reference) = property["$ref"].as_str() else { return property.clone() };
    let mut whole = resolved(root, root.pointer(reference.trim_start_matches('#')).expect("it is there"));
    for (key, value) in property.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole.as_object_mut().unwrap().remove("$ref");
    whole
}

fn each_property(mut look: impl FnMut(&Object, &str, &Value, &mut Vec<String>)) {
    let root = schema();
    let mut wrong = Vec::new();
    for object in &OBJECTS {
        for (key, property) in root["$defs"][object.name]["properties"].as_object().unwrap() {
            look(object, key, &resolved(&root, property), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "src/cmd/schema/config.json differs from the parser:\n{}", wrong.join("\n"));
}

#[test]
fn words_and_ranges_are_those_of_the_parser() {
    let takes = Regex::new("takes an integer from (-?[0-9]+) to ([0-9]+)").unwrap();
    each_property(|object, key, property, wrong| {
        if property["enum"].is_array() {
            let told = said_of(object, key, &format!("\"{NOBODYS}\""));
            let help = told.iter().find(|p| p.code == codes::WORD).and_then(|p| p.help.clone()).unwrap_or_default();
            if quoted(&help) != words(&property["enum"]) {
                wrong.push(format!("{}.{key}: the parser has {help}", object.name));
            }
        }
        if property["type"] == "integer" {
            let told = said_of(object, key, "9000000000000000000");
            let fact = told.iter().find(|p| p.code == codes::RANGE).map(|p| p.fact.clone()).unwrap_or_default();
            let found = takes.captures(&fact).map(|c| (c[1].to_owned(), c[2].to_owned()));
            if found != Some((property["minimum"].to_string(), property["maximum"].to_string())) {
                wrong.push(format!("{}.{key}: the parser says {fact}", object.name));
            }
        }
        if property["pattern"] == schema()["$defs"]["duration"]["pattern"] {
            let end = |value: &str, words: &str, otherwise: &str| {
                let told = said_of(object, key, value);
                let fact = told.into_iter().find(|p| p.code == codes::RANGE).map(|p| p.fact);
                fact.and_then(|f| f.split(words).nth(1).map(str::to_owned)).unwrap_or_else(|| otherwise.to_owned())
            };
            let range =
                format!("from {} to {}", end("\"0ms\"", "at least ", "0s"), end("\"99999999d\"", "at most ", "?"));
            if !property["description"].as_str().unwrap().contains(&range) {
                wrong.push(format!("{}.{key}: the parser takes durations {range}", object.name));
            }
        }
    });
}

/// One of every kind of value, in TOML.
const SAMPLES: [&str; 30] = [
    "true",
    "0",
    "1",
    "7",
    "-5",
    "100",
    "200",
    "443",
    "1232",
    "65535",
    "1.5",
    "\"\"",
    "\"x\"",
    "\"5s\"",
    "\"1h30m\"",
    "\"192.0.2.1:53\"",
    "\"[2001:db8::1]:853\"",
    "\"192.0.2.1\"",
    "\"2001:db8::1\"",
    "\"10.0.0.0/8\"",
    "\"EU-DE\"",
    "\"www.example.com.\"",
    "\"/healthz?a=1\"",
    "\"200-399\"",
    "\"200, 204\"",
    "\"pool:q\"",
    "[]",
    "[\"10.0.0.0/8\"]",
    "[52.52, 13.4]",
    "{}",
];

#[test]
fn what_the_parser_takes_the_schema_takes_and_no_other_types() {
    let root = schema();
    each_property(|object, key, property, wrong| {
        for sample in SAMPLES {
            let value: Value = toml::from_str::<Value>(&format!("v = {sample}")).unwrap()["v"].clone();
            let told = said_of(object, key, sample);
            let mut found = Vec::new();
            validate(&root, property, &value, "", &mut found);
            let refused = told.iter().any(|p| WRONG_VALUE.contains(&p.code));
            // An empty table or list lacks something, and what has no meaning is not looked at; that is told, but not of its type.
            let lacks = told.iter().any(|p| [codes::MISSING, codes::EMPTY, codes::MISPLACED].contains(&p.code));
            if !refused && !lacks && !found.is_empty() {
                wrong.push(format!("{}.{key}: the parser takes {sample}, the schema says {found:?}", object.name));
            }
            if told.iter().any(|p| p.code == codes::TYPE) && found.is_empty() {
                wrong.push(format!("{}.{key}: the schema takes {sample}, the parser does not", object.name));
            }
        }
    });
}

/// The heading and filler with which a key has a meaning: checks have keys for some types only.
fn whole(object: &Object, property: &Value) -> String {
    let check = |kind: &str| match kind {
        "dns" => "type = \"dns\"\nname = \"example.com.\"".to_owned(),
        kind => format!("type = \"{kind}\""),
    };
    let description = property["description"].as_str().unwrap_or_default();
    let kind = description.split_once(':').map_or("https", |(kinds, _)| kinds.split(',').next().unwrap_or_default());
    let kind = if ["http", "https", "dns", "grpc", "tls"].contains(&kind) { kind } else { "https" };
    match object.name {
        "health_check" => format!("{}\n{}", object.heading, check(kind)),
        "expect" => format!("[health_check.h]\n{}\n{}", check(kind), object.heading),
        "granularity" => {
            format!("[vip.\"v.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"q\" }}]\n{}", object.heading)
        }
        "rule" => format!("[vip.\"v.example.com.\"]\npolicy = \"geolocation\"\n{}\n{}", object.heading, object.filler),
        "member" => {
            let policy = if description.contains("geoproximity") { "geoproximity" } else { "weighted" };
            format!("[vip.\"v.example.com.\"]\npolicy = \"{policy}\"\n{}\n{}", object.heading, object.filler)
        }
        // Where the headings are several, the first is the listener's.
        "timeouts" if description.starts_with("tls-passthrough") => {
            let listener = LISTENER.replace("\"http\"", "\"tls-passthrough\"");
            format!(
                "[[listener]]\n{listener}\nroutes = [{{ host = \"*\", pool = \"q\" }}]\n[listener.timeouts]\n{}",
                object.filler
            )
        }
        "timeouts" | "paths" | "proxy_protocol" => {
            let own = object.heading.trim_start_matches("[[listener]]\n");
            format!("[[listener]]\n{LISTENER}\nroutes = [{{ pool = \"q\" }}]\n{own}\n{}", object.filler)
        }
        _ if object.heading.starts_with("[[listener]]") => {
            format!("{}\n{}", object.heading.replacen("]]", &format!("]]\n{LISTENER}"), 1), object.filler)
        }
        "client_bits" | "upstream_tls" => {
            let pool = "[pool.p]\nregion = \"r\"\nendpoints = [{ address = \"192.0.2.1\" }]";
            format!("{pool}\n{}\n{}", object.heading, object.filler)
        }
        "endpoint" => format!("[pool.p]\nregion = \"r\"\n{}\n{}", object.heading, object.filler),
        _ => format!("{}\n{}", object.heading, object.filler),
    }
}

fn model(text: &str) -> Result<Model, Vec<String>> {
    config::read(Path::new("rhumb.toml"), text)
        .map(|loaded| loaded.model)
        .map_err(|refused| refused.problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_default_that_is_written_changes_nothing() {
    let mut compared = 0;
    each_property(|object, key, property, wrong| {
        let Some(default) = property.get("default") else { return };
        let without = format!("{PRELUDE}{}\n", whole(object, property));
        let with = format!("{without}{key} = {default}\n");
        match (model(&without), model(&with)) {
            (Ok(without), Ok(with)) if without == with => compared += 1,
            (Ok(_), Ok(_)) => wrong.push(format!("{}.{key}: {default} is not the default", object.name)),
            (without, with) => wrong.push(format!("{}.{key} = {default}: {without:?} {with:?}", object.name)),
        }
    });
    assert!(compared > 25, "only {compared}");
}

#[test]
fn examples_and_the_demo_fit_the_schema() {
    const FILES: [&str; 7] = [
        "examples/minimal.toml",
        "examples/three-region.toml",
        "examples/edge.toml",
        "examples/three-machines/dns.toml",
        "examples/three-machines/l7.toml",
        "examples/three-machines/l4.toml",
        "tests/golden/check/whole.toml",
    ];
    let root = schema();
    let mut texts: Vec<(String, String)> =
        FILES.map(|path| (path.to_owned(), std::fs::read_to_string(path).unwrap())).into();
    let (regions, listen) = (&rhumb::demo::layout::REGIONS, "127.0.0.1:5300".parse().unwrap());
    let demo = rhumb::demo::configuration::configuration(regions, listen, 8080);
    texts.push(("the demo's".to_owned(), demo));
    for (name, text) in texts {
        let value: Value = toml::from_str(&text).unwrap();
        let mut wrong = Vec::new();
        validate(&root, &root, &value, "", &mut wrong);
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

#[test]
fn mistakes_do_not_fit_the_schema() {
    let root = schema();
    for text in [
        "[sever]\n",
        "[server]\nlisten = \"127.0.0.1:53\"\n",
        "[server]\nlisten = [\"127.0.0.1\"]\n",
        "[server]\ntcp_idle = \"5\"\n",
        "[server]\ntcp_idle = \"\"\n",
        "[pool.\"a b\"]\nregion = \"r\"\nendpoints = [{ address = \"192.0.2.1\" }]\n",
        "[pool.p]\nregion = \"r\"\n",
        "[pool.p]\nregion = \"r\"\nendpoints = []\n",
        "[vip.\"v.\"]\npolicy = \"nearest\"\n",
        "[vip.\"v.\"]\npolicy = \"geolocation\"\nrules = [{ pool = \"a\", pools = [] }]\n",
        "[health_check.h]\ntype = \"http\"\nexpect = { status = 99 }\n",
        "[region.r]\nlocation = [1]\n",
        "[listener]\nname = \"edge\"\n",
        "[[listener]]\nname = \"l\"\nregion = \"r\"\nbind = \"127.0.0.1:1\"\nprotocol = \"http\"\nroutes = []\n",
        "[proxy]\nworkers = -1\n",
    ] {
        let value: Value = toml::from_str(text).unwrap();
        let mut wrong = Vec::new();
        validate(&root, &root, &value, "", &mut wrong);
        assert!(!wrong.is_empty(), "{text}");
    }
}

/// As much of JSON schema 2020-12 as the schema uses; another keyword fails the test rather than being passed over.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let Value::Object(keywords) = schema else {
        if *schema == json!(false) {
            wrong.push(format!("{at} is not allowed"));
        }
        return;
    };
    let text = value.as_str();
    let number = value.as_f64();
    let items = value.as_array();
    let entries = value.as_object();
    for (keyword, takes) in keywords {
        let fits = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "examples" => true,
            "$ref" => {
                let pointer = takes.as_str().unwrap().trim_start_matches('#');
                validate(root, root.pointer(pointer).expect("it is there"), value, at, wrong);
                true
            }
            "type" => match takes {
                Value::String(one) => is(value, one),
                many => many.as_array().unwrap().iter().any(|one| is(value, one.as_str().unwrap())),
            },
            "enum" => takes.as_array().unwrap().contains(value),
            "pattern" => text.is_none_or(|text| Regex::new(takes.as_str().unwrap()).unwrap().is_match(text)),
            "minLength" => text.is_none_or(|text| text.chars().count() as u64 >= takes.as_u64().unwrap()),
            "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= takes.as_u64().unwrap()),
            "minimum" => number.is_none_or(|number| number >= takes.as_f64().unwrap()),
            "exclusiveMinimum" => number.is_none_or(|number| number > takes.as_f64().unwrap()),
            "maximum" => number.is_none_or(|number| number <= takes.as_f64().unwrap()),
            "minItems" => items.is_none_or(|items| items.len() as u64 >= takes.as_u64().unwrap()),
            "maxItems" => items.is_none_or(|items| items.len() as u64 <= takes.as_u64().unwrap()),
            "items" => {
                for (index, item) in items.into_iter().flatten().enumerate() {
                    validate(root, takes, item, &format!("{at}/{index}"), wrong);
                }
                true
            }
            "properties" => {
                for (key, property) in takes.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        validate(root, property, value, &format!("{at}/{key}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (key, value) in entries.into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(key)) {
                        validate(root, takes, value, &format!("{at}/{key}"), wrong);
                    }
                }
                true
            }
            "propertyNames" => {
                for key in entries.into_iter().flatten().map(|(key, _)| key) {
                    validate(root, takes, &json!(key), &format!("{at}/{key}"), wrong);
                }
                true
            }
            "required" => entries.is_none_or(|entries| words(takes).iter().all(|key| entries.contains_key(key))),
            "oneOf" => {
                let fitting = takes.as_array().unwrap().iter().filter(|one| {
                    let mut found = Vec::new();
                    validate(root, one, value, at, &mut found);
                    found.is_empty()
                });
                fitting.count() == 1
            }
            other => panic!("this validator does not know `{other}`"),
        };
        if !fits {
            wrong.push(format!("{at}: {keyword} {takes}"));
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no type {other}"),
    }
}
