//! Whole files: what is read, and what is said about mistakes.

use std::io;
use std::path::Path;

use super::*;

const HEAD: &str = "$TTL 3600\n@ SOA ns1 hostmaster 7 1h 15m 1w 5m\n@ NS ns1\n";

fn parse(text: &[u8]) -> Result<ZoneFile, Vec<Problem>> {
    ZoneFile::parse(text, Path::new("example.com.zone"), None, &mut |_| Err(io::ErrorKind::NotFound.into()))
}

/// The problems of `text` behind a good head of three lines, as `line:column code`.
fn problems(text: &str) -> Vec<String> {
    let all = match parse(format!("{HEAD}{text}").as_bytes()) {
        Ok(zone) => zone.warnings,
        Err(all) => all,
    };
    all.iter()
        .map(|p| p.place.as_ref().map_or_else(String::new, |at| format!("{}:{} {}", at.line, at.column, p.code)))
        .collect()
}

/// Owner, TTL, type and data in hexadecimal, one record a line.
fn records(zone: &ZoneFile) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let line = |r: Record<'_>| {
        format!("{} {} {} {}", Name::from_wire(r.owner).unwrap(), r.ttl, type_mnemonic(r.rtype), hex(r.rdata))
    };
    zone.records().map(line).collect()
}

#[test]
fn owners_origins_and_ttls() {
    let text = format!(
        "{HEAD}www A 192.0.2.1\n  60 IN AAAA 2001:db8::1\n$ORIGIN Sub\nwww IN 1h30m A 192.0.2.2\n\tA 192.0.2.3\n"
    );
    let zone = parse(text.as_bytes()).unwrap();
    assert_eq!(zone.apex.to_string(), "example.com.");
    assert_eq!(zone.serial(), 7);
    assert_eq!(
        records(&zone)[2..],
        [
            "www.example.com. 3600 A c0000201",
            "www.example.com. 60 AAAA 20010db8000000000000000000000001",
            "www.sub.example.com. 5400 A c0000202",
            "www.sub.example.com. 3600 A c0000203",
        ]
    );
    assert_eq!(zone.records().map(|r| r.line).collect::<Vec<_>>(), [2, 3, 4, 5, 7, 8]);
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let wrong = "www CNMAE a\nwww A 192.0.2\nmail MX ten mail\n\" A 1\na..b A 192.0.2.1\nx CH A 192.0.2.1\n\
                 y 3000000000 A 192.0.2.1\nother.org. A 192.0.2.1\n$ORGIN x\nz A 192.0.2.1 192.0.2.2\nz TXT ( a\nok A 192.0.2.1\n";
    assert_eq!(
        problems(wrong),
        [
            "4:5 E0202",
            "5:7 E0203",
            "6:9 E0203",
            "7:1 E0201",
            "8:1 E0211",
            "9:3 E0205",
            "10:3 E0204",
            "11:1 E0210",
            "12:1 E0212",
            "13:15 E0203",
            "14:7 E0201",
        ]
    );
}

#[test]
fn a_zone_needs_its_soa_and_servers() {
    let codes = |text: &str| parse(text.as_bytes()).unwrap_err().iter().map(|p| p.code).collect::<Vec<_>>();
    assert_eq!(codes(""), ["E0206"]);
    assert_eq!(codes("@ 60 NS ns1\n"), ["E0206"]);
    assert_eq!(codes("@ 60 SOA ns1 h 1 2 3 4 5\n"), ["E0209"]);
    assert_eq!(codes(&format!("{HEAD}@ SOA ns1 h 1 2 3 4 5")), ["E0208"]);
    assert_eq!(codes(&format!("{HEAD}sub SOA ns1 h 1 2 3 4 5")), ["E0207"]);
    assert_eq!(codes("www.example.org. 5 A 192.0.2.1\n@ 60 SOA ns1 h 1 2 3 4 5\n@ NS ns1\n"), ["E0210"]);
    assert_eq!(codes("@ 60 SOA ns1 h 1 2 3 4\n"), ["E0203"]);
}

#[test]
fn a_relative_name_needs_an_origin() {
    let read = |text: &[u8]| ZoneFile::parse(text, Path::new("zone.txt"), None, &mut |_| unreachable!());
    assert_eq!(read(b"www 5 A 192.0.2.1\n").unwrap_err()[0].code, "E0214");
    let zone = read(b"$ORIGIN example.net.\n@ SOA a b 1 2 3 4 5\n@ NS ns\n").unwrap();
    assert_eq!(zone.apex.to_string(), "example.net.");
    assert_eq!(zone.warnings[0].code, "W0201", "the SOA's minimum became the TTL");
}

#[test]
fn line_ends_and_blanks_of_all_kinds() {
    let zone = parse(format!("\u{feff}{HEAD}www\tA\t192.0.2.1").replace('\n', "\r\n").as_bytes()).unwrap();
    assert_eq!(records(&zone).last().unwrap(), "www.example.com. 3600 A c0000201");
}

#[test]
fn includes_keep_owner_and_origin() {
    let text = format!("{HEAD}a A 192.0.2.1\n$INCLUDE more/x.inc sub\n  A 192.0.2.3\nb A 192.0.2.4\n");
    let mut load = |path: &Path| match path.to_str().unwrap() {
        "zones/more/x.inc" => Ok(b"c A 192.0.2.2\n$INCLUDE x.inc\n$INCLUDE y.inc\nd B 1\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let read = |text: &str, load: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>| {
        ZoneFile::parse(text.as_bytes(), Path::new("zones/example.com.zone"), None, load)
    };
    let wrong: Vec<String> = read(&text, &mut load).unwrap_err().iter().map(Problem::to_string).collect();
    assert!(wrong[0].starts_with("zones/more/x.inc:2:10: error[E0213]: zones/more/x.inc includes itself"), "{wrong:?}");
    assert!(wrong[1].starts_with("zones/more/x.inc:3:10: error[E0213]: cannot read zones/more/y.inc"), "{wrong:?}");
    assert!(wrong[2].starts_with("zones/more/x.inc:4:3: error[E0202]"), "{wrong:?}");
    let zone = read(&text, &mut |_| Ok(b"c A 192.0.2.2\n".to_vec())).unwrap();
    let owners: Vec<String> = zone.records().skip(2).map(|r| Name::from_wire(r.owner).unwrap().to_string()).collect();
    assert_eq!(owners, ["a.example.com.", "c.sub.example.com.", "a.example.com.", "b.example.com."]);
    assert_eq!(zone.records().nth(3).unwrap().file, Path::new("zones/more/x.inc"));
}

#[test]
fn generated_records() {
    let zone = parse(format!("{HEAD}$GENERATE 1-3 host-$ A 192.0.2.$\n").as_bytes()).unwrap();
    assert_eq!(records(&zone)[3], "host-2.example.com. 3600 A c0000202");
    assert_eq!(problems("$GENERATE 250-260 host-$ A 192.0.2.$\n"), vec!["4:11 E0203"; 5]);
}
