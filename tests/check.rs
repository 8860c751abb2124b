//! Configurations as operators write them, and what they are told.

use std::path::Path;

use rhumb::config;
use rhumb::model::Model;
use rhumb::model::Policy;

/// OPERATING's example, as far as this version goes.
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
