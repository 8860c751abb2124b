//! What is compiled, and what is said of zones that cannot be.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::dns::code::rtype;
use crate::dns::name_buf::NameBuf;
use crate::zone::find::Found;

const HEAD: &str = "$TTL 300\n@ SOA ns1 hostmaster 7 1h 15m 1w 60\n@ NS ns1\n";

fn file(text: &str) -> ZoneFile {
    let apex = "example.com".parse().unwrap();
    let path = Path::new("example.com.zone");
    let read = ZoneFile::parse(format!("{HEAD}{text}").as_bytes(), path, Some(&apex), &mut |_| {
        Err(std::io::ErrorKind::NotFound.into())
    });
    read.unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn vip(name: &str, vip: u32) -> VipName {
    VipName { name: name.parse().unwrap(), vip: VipId(vip), place: Some(Place::at("rhumb.toml", 9, 1)) }
}

/// Place and code of every problem.
fn problems(text: &str, vips: &[VipName]) -> Vec<String> {
    let all = match Zone::compile(&file(text), vips) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    all.iter().map(|p| format!("{} {}", p.place.as_ref().unwrap(), p.code)).collect()
}

#[test]
fn each_problem_is_told_with_its_place() {
    let at = |line: u32, code: &str| vec![format!("example.com.zone:{line} {code}")];
    assert_eq!(problems("a A 192.0.2.1\na CNAME b\n", &[]), at(4, "E0222"));
    assert_eq!(problems("a CNAME c\na CNAME b\n", &[]), at(5, "E0223"));
    assert_eq!(problems("a CNAME c\na CNAME c\n", &[]), [""; 0], "equal records are one");
    assert_eq!(problems("a DNAME b\nx.y.a A 192.0.2.1\n", &[]), at(5, "E0225"));
    assert_eq!(problems("a DNAME b\na DNAME c\n", &[]), at(5, "E0226"));
    assert_eq!(problems("*.a NS ns1\n", &[]), at(4, "E0227"));
    assert_eq!(problems("a NS ns1\nx.a TXT lost\ny.a A 192.0.2.1\n", &[]), at(5, "W0234"));
    assert_eq!(problems("a A 192.0.2.1\nb A 192.0.2.1\na 60 A 192.0.2.2\n", &[]), at(6, "W0235"));
    let many: String = (0..4_100).map(|i| format!("a A 10.0.{}.{}\n", i / 256, i % 256)).collect();
    assert!(problems(&many, &[])[0].ends_with("E0236"));
}

#[test]
fn vips_and_records_that_clash_are_told() {
    let at = |code: &str| vec![format!("rhumb.toml:9:1 {code}")];
    assert_eq!(problems("a A 192.0.2.1\n", &[vip("a.example.com", 0)]), at("E0230"));
    assert_eq!(problems("a AAAA ::1\n", &[vip("a.example.com", 0)]), at("E0230"));
    assert_eq!(problems("a CNAME b\n", &[vip("a.example.com", 0)]), at("E0231"));
    assert_eq!(problems("a NS ns1\n", &[vip("a.example.com", 0)]), at("E0232"));
    assert_eq!(problems("a NS ns1\n", &[vip("b.a.example.com", 0)]), at("E0232"));
    assert_eq!(problems("a DNAME b\n", &[vip("b.a.example.com", 0)]), at("E0232"));
    assert_eq!(problems("", &[vip("a.example.com", 0), vip("a.example.com", 1)]), at("E0233"));
    assert_eq!(problems("a TXT fine\n", &[vip("a.example.com", 0), vip("example.com", 1)]), [""; 0]);
}

#[test]
fn zones_share_the_vips_by_the_longest_apex() {
    use crate::zone::zones::Zones;
    let sub =
        ZoneFile::parse(HEAD.as_bytes(), Path::new("sub.zone"), Some(&"sub.example.com".parse().unwrap()), &mut |_| {
            Err(std::io::ErrorKind::NotFound.into())
        })
        .unwrap();
    let vips = [vip("a.example.com", 0), vip("a.sub.example.com", 1)];
    let (zones, _) = Zones::compile(vec![file(""), sub.clone()], &vips).unwrap();
    let mut name = NameBuf::default();
    name.set(vips[1].name.wire()).unwrap();
    let (place, zone) = zones.holding(&name).unwrap();
    assert_eq!((place, zone.node(name.wire()).unwrap().vip()), (1, Some(VipId(1))));
    let codes = |files, vips: &[VipName]| -> Vec<&'static str> {
        Zones::compile(files, vips).unwrap_err().iter().map(|p| p.code).collect()
    };
    assert_eq!(codes(vec![file("")], &[vip("a.example.org", 0)]), ["E0238"]);
    assert_eq!(codes(vec![sub.clone(), sub], &[]), ["E0239"]);
}

#[test]
fn nodes_can_be_walked_and_count_right() {
    let (zone, _) = Zone::compile(&file("a.b A 192.0.2.1\na.b TXT x\n"), &[vip("v.example.com", 3)]).unwrap();
    let mut owners = Vec::new();
    let mut node = zone.first();
    while let Some(this) = node {
        owners.push(Name::from_wire(this.owner()).unwrap().to_string());
        node = this.after();
    }
    assert_eq!(owners, ["example.com.", "a.b.example.com.", "v.example.com.", "b.example.com."]);
    assert_eq!((zone.names(), zone.records(), zone.serial()), (4, 4, 7));
}

/// The oldest way to look a name up: from the record list alone.
fn naive(records: &[(String, &str)], name: &str) -> String {
    let exists = |n: &str| records.iter().any(|(owner, _)| owner == n || owner.ends_with(&format!(".{n}")));
    let cut = |n: &str| n != "example.com." && records.iter().any(|(owner, t)| owner == n && *t == "NS");
    let mut above: Vec<&str> = std::iter::successors(Some(name), |n| n.split_once('.').map(|(_, rest)| rest))
        .take_while(|n| n.ends_with("example.com."))
        .collect();
    if let Some(found) = above.iter().rev().find(|n| cut(n)) {
        return format!("cut {found}");
    }
    if exists(name) {
        return format!("exact {name}");
    }
    above.retain(|n| exists(n));
    let encloser = above.first().copied().unwrap_or("example.com.");
    match exists(&format!("*.{encloser}")) {
        true => format!("wildcard *.{encloser}"),
        false => "missing".into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn finding_agrees_with_a_list_of_records(
        owners in proptest::collection::vec((proptest::collection::vec("[ab*]", 1..5), 0..6), 0..12),
        asked in proptest::collection::vec(proptest::collection::vec("[abc*]", 0..7), 1..20),
    ) {
        let mut records = vec![("example.com.".to_owned(), "SOA")];
        let mut text = String::new();
        for (labels, kind) in &owners {
            let cut = *kind == 0 && labels[0] != "*";
            let owner = labels.join(".");
            text.push_str(&format!("{owner} {}\n", if cut { "NS ns.example.org." } else { "A 192.0.2.1" }));
            records.push((format!("{owner}.example.com."), if cut { "NS" } else { "A" }));
        }
        let (zone, _) = Zone::compile(&file(&text), &[]).unwrap();
        let mut name = NameBuf::default();
        for labels in asked {
            let asked = labels.iter().map(|l| format!("{l}.")).collect::<String>() + "example.com.";
            name.set(asked.parse::<Name>().unwrap().wire()).unwrap();
            let shown = |node: crate::zone::tree::Node<'_>| Name::from_wire(node.owner()).unwrap();
            let found = match zone.find(&name) {
                Found::Exact(node) => format!("exact {}", shown(node)),
                Found::Wildcard(node) => format!("wildcard {}", shown(node)),
                Found::Cut(node) => format!("cut {}", shown(node)),
                Found::Renamed(node) => format!("renamed {}", shown(node)),
                Found::Missing => "missing".into(),
            };
            prop_assert_eq!(found, naive(&records, &asked), "{} in\n{}", asked, text);
        }
    }
}

#[test]
fn negative_answers_live_as_long_as_the_lesser_of_two_times() {
    let (zone, _) = Zone::compile(&file(""), &[]).unwrap();
    assert_eq!(zone.negative().data[6..10], 60u32.to_be_bytes());
    assert_eq!(zone.apex_node().set(rtype::SOA).unwrap().prepared.data[6..10], 300u32.to_be_bytes());
}
