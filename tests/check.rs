//! Configurations as operators write them, and what they are told.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use rhumb::config;
use rhumb::config::codes;
use rhumb::config::problem;
use rhumb::config::problem::Count;
use rhumb::model::Model;
use rhumb::model::Policy;
use rhumb::runtime::config_files::ConfigFiles;

/// One of everything.
const WHOLE: &str = include_str!("golden/check/whole.toml");

fn model(text: &str) -> Model {
    match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => loaded.model,
        Err(refused) => panic!("{:#?}", refused.problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

fn problems(text: &str) -> Vec<String> {
    match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(refused) => refused.problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_whole_configuration_means_what_it_says() {
    let model = model(WHOLE);
    assert_eq!(model.server.listen.len(), 2);
    assert_eq!(model.server.tls, Some(0));
    assert_eq!(model.regions.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["eu-west", "us-east", "ap-south"]);
    assert_eq!(model.pools[0].fallback.map(|p| model.pool(p).name.as_str()), Some("us-web"));
    assert_eq!(model.endpoints.len(), 5);
    assert_eq!(model.members(1usize.into()).count(), 2);
    assert_eq!(model.vips[0].name, "www.example.com.");
    let Policy::Geolocation(rules) = &model.vips[0].policy else { panic!("{:?}", model.vips[0].policy) };
    assert_eq!(rules.len(), 4);
    assert!(rules[3].is_catch_all());
    assert_eq!(rules[1].members.iter().map(|m| m.weight).collect::<Vec<_>>(), [95, 5]);
    assert_eq!(rules[1].place.as_ref().unwrap().to_string(), "rhumb.toml:75:3");
    let Policy::Geoproximity(members) = &model.vips[1].policy else { panic!() };
    assert_eq!(members[1].bias, 20);
    assert_eq!(problems(WHOLE), Vec::<String>::new());
}

#[test]
fn an_empty_file_is_a_name_server_on_port_53() {
    let model = model("");
    assert_eq!(model.server.listen, ["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()]);
    assert!(model.vips.is_empty());
}

/// Where the goldens are, from the package's root, where tests run.
const GOLDENS: &str = "tests/golden/check";

fn drawn(outcome: Result<config::Loaded, Box<config::Refused>>) -> String {
    let (problems, sources) = match outcome {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(refused) => (refused.problems, refused.sources),
    };
    let mut lines = |path: &Path, line| sources.line(path, line).map(str::to_owned);
    let last = Count::of(&problems).to_string();
    problem::show(&problems, problem::Format::Text { colour: false }, &last, &mut lines)
}

/// Compares with a file; `UPDATE_GOLDEN=1 cargo test --test check` writes it anew.
fn golden(path: &Path, found: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, found).unwrap();
        return None;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    (expected != found).then(|| format!("--- {}: expected\n{expected}\n+++ found\n{found}", path.display()))
}

fn goldens() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(GOLDENS).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let toml = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml");
    let mut out = Vec::new();
    for path in paths.into_iter().filter(toml) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = Path::new(path.file_name().unwrap());
        out.push((path.with_extension("txt"), drawn(config::read(name, &text))));
    }
    let main = Path::new(GOLDENS).join("include/rhumb.toml");
    out.push((Path::new(GOLDENS).join("include.txt"), drawn(config::load(&main, &mut ConfigFiles))));
    out
}

#[test]
fn problems_are_told_as_the_goldens_say() {
    let wrong: Vec<String> = goldens().iter().filter_map(|(path, found)| golden(path, found)).collect();
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew\n{}", wrong.join("\n"));
}

#[test]
fn every_code_is_shown_by_a_golden() {
    let source = include_str!("../src/config/codes.rs");
    let codes = source.lines().filter_map(|line| line.split('"').nth(1)).collect::<Vec<_>>();
    assert!(codes.len() > 30);
    let shown: String = goldens().into_iter().map(|(_, text)| text).collect();
    // Those that need a broken file, gigabytes, or files to be looked for.
    let elsewhere = [codes::NOTHING_SERVED, codes::UTF8, codes::TOO_LARGE];
    let missing: Vec<_> =
        codes.iter().filter(|c| !elsewhere.contains(c) && !shown.contains(&format!("[{c}]"))).collect();
    assert!(missing.is_empty(), "no golden shows {missing:?}");
}

#[test]
fn a_code_means_one_thing() {
    let codes: Vec<_> = include_str!("../src/config/codes.rs").lines().filter_map(|l| l.split('"').nth(1)).collect();
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len(), "a code is used twice: {codes:?}");
}

#[test]
fn a_file_that_is_not_text_is_told_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rhumb.toml");
    std::fs::write(&path, b"[server]\nnsid = \"\xff\"\n").unwrap();
    let refused = config::load(&path, &mut ConfigFiles).unwrap_err();
    let told = refused.problems[0].to_string();
    assert!(
        told.ends_with("rhumb.toml:2:9: error[E0002]: this byte is not UTF-8 text; save the file as UTF-8"),
        "{told}"
    );
}

fn rhumb(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rhumb")).args(arguments).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_command_says_ok_or_what_is_wrong_and_exits_accordingly() {
    let (code, out) = rhumb(&["check", "-c", "tests/golden/check/include/rhumb.toml", "--format", "short"]);
    assert_eq!(code, 3);
    assert!(out.lines().next().unwrap().starts_with("tests/golden/check/include/rhumb.toml:1:"), "{out}");
    assert!(out.trim_end().ends_with("; the running configuration is unchanged"), "{out}");

    let (code, out) = rhumb(&["check", "-c", "tests/golden/check/nowhere.toml", "--format", "json"]);
    assert_eq!(code, 3);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["errors"], 1, "{out}");
    assert_eq!(json["problems"][0]["code"], "E0124");
    assert_eq!(json["problems"][0]["line"], 2);

    let (code, out) = rhumb(&["check", "-c", "no/such/rhumb.toml"]);
    assert_eq!(code, 3);
    assert!(out.starts_with("error[E0001]: cannot read no/such/rhumb.toml: no such file"), "{out}");
}

#[test]
fn includes_are_read_in_order_and_paths_begin_at_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("rhumb.toml", "include = [\"conf.d/*.toml\"]\n[server]\nzones_dir = \"zones\"\n[region.a]\n");
    write("zones/empty", "");
    write("conf.d/20.toml", "[region.c]\n[zone.\"example.org.\"]\nfile = \"org.zone\"\n");
    write("conf.d/10.toml", "[region.b]\n[server]\nnsid = \"x\"\n");
    write("conf.d/.hidden.toml", "nonsense");
    write("conf.d/org.zone", "");
    let loaded = config::load(&directory.path().join("rhumb.toml"), &mut ConfigFiles).unwrap();
    let names: Vec<&str> = loaded.model.regions.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(loaded.model.server.nsid.as_deref(), Some("x"));
    assert_eq!(loaded.model.zones[0].file.as_deref(), Some(&*directory.path().join("conf.d/org.zone")));
    assert_eq!(loaded.model.server.zones_dir.as_deref(), Some(&*directory.path().join("zones")));
}

/// A problem that points outside of its file could not be drawn, and would send people looking for nothing.
fn places_lie_in(text: &str) -> Result<(), TestCaseError> {
    let (problems, sources) = match config::read(Path::new("rhumb.toml"), text) {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(refused) => (refused.problems, refused.sources),
    };
    for problem in &problems {
        let place = problem.place.as_ref().expect("everything here has a place");
        let line = sources.line(&place.file, place.line);
        prop_assert!(line.is_some(), "{}", problem);
        let length = line.unwrap().chars().count() as u32;
        prop_assert!(place.column >= 1 && place.column - 1 + place.width <= length, "{} in {:?}", problem, line);
    }
    let mut lines = |path: &Path, line| sources.line(path, line).map(str::to_owned);
    problem::show(&problems, problem::Format::Text { colour: false }, "", &mut lines);
    problem::show(&problems, problem::Format::Json, "", &mut lines);
    Ok(())
}

/// Pieces that configurations are made of, so that mutations reach deep.
const PIECES: [&str; 24] = [
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\n",
    "\r\n",
    "0",
    "-1",
    "1e99",
    "true",
    "\"\"",
    "\"eu-web\"",
    "[[",
    "ü",
    "[pool.x]\n",
    "[vip.\"a.\"]\n",
    "1979-05-27",
    "# ",
    "99999999999999999999",
    "include = [\"*\"]\n",
];

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        places_lie_in(&text)?;
    }

    #[test]
    fn no_mutation_panics(changes in proptest::collection::vec((0..WHOLE.len(), 0..12usize, 0..PIECES.len()), 1..6)) {
        let mut text = WHOLE.as_bytes().to_vec();
        for (at, cut, piece) in changes {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].bytes());
        }
        places_lie_in(&String::from_utf8_lossy(&text))?;
    }
}

/// A configuration of a size that nobody writes by hand.
fn large(pools: usize, vips: usize, pool_named: impl Fn(usize) -> String) -> String {
    use std::fmt::Write;
    let mut text = String::from("[region.eu]\nlocation = [50.11, 8.68]\n[health_check.web]\ntype = \"http\"\n");
    for n in 0..pools {
        write!(text, "[pool.pool-{n}]\nregion = \"eu\"\nhealth_check = \"web\"\nendpoints = [").unwrap();
        for host in 1..=4 {
            write!(text, "{{ address = \"10.{}.{}.{host}\" }}, ", n / 250, n % 250).unwrap();
        }
        text.push_str("]\n");
    }
    for n in 0..vips {
        let (a, b) = (pool_named(n), pool_named(n + 1));
        write!(text, "[vip.\"name-{n}.example.com.\"]\npolicy = \"geolocation\"\nrules = [").unwrap();
        writeln!(text, "{{ geos = [\"EU\", \"AF\"], pool = \"{a}\" }}, {{ pool = \"{b}\" }}]").unwrap();
    }
    text
}

#[test]
fn a_hundred_thousand_vips_are_checked_while_you_wait() {
    let text = large(10_000, 100_000, |n| format!("pool-{}", n % 10_000));
    let model = model(&text);
    assert_eq!(model.vips.len(), 100_000);
    assert_eq!(model.endpoints.len(), 40_000);
}

#[test]
fn twenty_thousand_mistakes_are_told_while_you_wait() {
    let text = large(10_000, 10_000, |n| format!("poll-{}", n % 10_000));
    assert_eq!(problems(&text).len(), 20_000);
}

/// What ships beside the examples may be left out of a checkout; the rest of each example is checked all the same.
#[test]
fn the_examples_are_right() {
    for name in ["examples/minimal.toml", "examples/three-region.toml", "examples/health-checks.toml"] {
        let text = std::fs::read_to_string(name).unwrap();
        match config::read(Path::new(name), &text) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{name}"),
            Err(_) => panic!("{}", drawn(config::read(Path::new(name), &text))),
        }
        if !Path::new("geo/country.mmdb").exists() {
            eprintln!("SKIPPED: {name} with its files: geo/country.mmdb is absent");
            continue;
        }
        let (code, out) = rhumb(&["check", "-c", name]);
        assert_eq!((code, out.lines().count()), (0, 1), "{out}");
        assert!(out.starts_with(&format!("{name}: ok: ")), "{out}");
    }
}

#[test]
fn problems_of_configuration_zones_and_databases_come_in_one_run() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    std::fs::create_dir(directory.path().join("zones")).unwrap();
    write("zones/example.com.zone", "$TTL 1h\n@ SOA ns hostmaster 1 2h 15m 2w 5m\n@ NS ns\nns A 192.0.2.300\n");
    write("country.mmdb", "this is no database");
    write(
        "rhumb.toml",
        "[server]\nzones_dir = \"zones\"\nlisten = [\"127.0.0.1\"]\n[geo]\n\
         databases = [\"country.mmdb\", \"city.mmdb\"]\n[region.eu]\n[pool.web]\nregion = \"eu\"\n\
         endpoints = [{ address = \"192.0.2.1\" }]\n[vip.\"www.example.com.\"]\npolicy = \"failover\"\n\
         pools = [{ pool = \"web\" }]\n",
    );
    let (code, out) =
        rhumb(&["check", "-c", directory.path().join("rhumb.toml").to_str().unwrap(), "--format", "short"]);
    let codes: Vec<&str> = out.lines().filter_map(|line| line.split("error[").nth(1)?.split(']').next()).collect();
    assert_eq!(code, 3);
    assert_eq!(codes.len(), 4, "{out}");
    assert!(out.contains("rhumb.toml:3:11: error[E0108]"), "{out}");
    assert!(out.contains("rhumb.toml:5:30: error[E0132]"), "{out}");
    assert!(out.contains("example.com.zone:4:"), "{out}");
    assert!(out.contains("country.mmdb: error[E03"), "{out}");
    assert_eq!(out.lines().last(), Some("4 errors; the running configuration is unchanged"));
}
