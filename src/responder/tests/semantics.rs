//! What a zone says, by RFC.

use super::*;

const SOA: &str = "^ example.com. 60 SOA ns1.example.com. hostmaster.example.com. 7 3600 900 604800 60";

fn nodata() -> String {
    format!("NoError aa\n{SOA}")
}

fn nxdomain() -> String {
    format!("NXDomain aa\n{SOA}")
}

#[test]
fn a_name_that_exists_answers() {
    let world = world(&[("example.com", "www A 192.0.2.1\nwww A 192.0.2.2\nwww 60 TXT \"hi\"\n")]);
    expect(
        &world,
        "www.example.com",
        "A",
        "NoError aa
         = www.example.com. 300 A 192.0.2.1
         = www.example.com. 300 A 192.0.2.2",
    );
    expect(&world, "www.example.com", "TXT", "NoError aa\n= www.example.com. 60 TXT hi");
    expect(&world, "www.example.com", "AAAA", &nodata());
    expect(&world, "nope.example.com", "A", &nxdomain());
    expect(&world, "a.b.c.nope.example.com", "A", &nxdomain());
    expect(&world, "example.org", "A", "Refused");
    expect(&world, "com", "A", "Refused");
    expect(&world, ".", "NS", "Refused");
}

#[test]
fn the_apex_answers_with_its_own_ttl_and_addresses_of_its_servers() {
    let world = world(&[("example.com", "@ NS ns.elsewhere.net.\n")]);
    expect(
        &world,
        "example.com",
        "NS",
        "NoError aa
         = example.com. 300 NS ns1.example.com.
         = example.com. 300 NS ns.elsewhere.net.
         + ns1.example.com. 300 A 192.0.2.53",
    );
    expect(
        &world,
        "example.com",
        "SOA",
        "NoError aa\n= example.com. 600 SOA ns1.example.com. hostmaster.example.com. 7 3600 900 604800 60",
    );
}

#[test]
fn an_empty_non_terminal_exists() {
    let world = world(&[("example.com", "a.b.c A 192.0.2.1\n* TXT w\n")]);
    expect(&world, "b.c.example.com", "A", &nodata());
    expect(&world, "c.example.com", "TXT", &nodata());
    expect(&world, "x.c.example.com", "TXT", &nxdomain());
}

/// The zone of RFC 4592 section 2.2.1 and its examples.
#[test]
fn wildcards_answer_as_rfc_4592_says() {
    let world = world(&[(
        "example",
        "* 3600 TXT \"this is a wildcard\"
         * 3600 MX 10 host1
         sub.* 3600 TXT \"this is not a wildcard\"
         host1 3600 A 192.0.2.1
         _ssh._tcp.host1 3600 SRV 0 0 22 host1
         _ssh._tcp.host2 3600 SRV 0 0 22 host1
         subdel 3600 NS ns.example.com.
         subdel 3600 NS ns.example.net.
        "
        .replace("\n         ", "\n")
        .trim_end()
        .to_owned()
        .leak(),
    )]);
    let soa = "^ example. 60 SOA ns1.example. hostmaster.example. 7 3600 900 604800 60";
    let nodata = format!("NoError aa\n{soa}");
    let nxdomain = format!("NXDomain aa\n{soa}");
    let mx = |name: &str| format!("NoError aa\n= {name} 3600 MX 10 host1.example.\n+ host1.example. 3600 A 192.0.2.1");
    expect(&world, "host3.example", "MX", &mx("host3.example."));
    expect(&world, "host3.example", "A", &nodata);
    expect(&world, "foo.bar.example", "TXT", "NoError aa\n= foo.bar.example. 3600 TXT this is a wildcard");
    expect(&world, "host1.example", "MX", &nodata);
    expect(&world, "sub.*.example", "MX", &nodata);
    expect(&world, "_telnet._tcp.host1.example", "SRV", &nxdomain);
    expect(&world, "ghost.*.example", "MX", &nxdomain);
    expect(&world, "*.example", "MX", &mx("*.example."));
    expect(
        &world,
        "host.subdel.example",
        "A",
        "NoError
         ^ subdel.example. 3600 NS ns.example.com.
         ^ subdel.example. 3600 NS ns.example.net.",
    );
}

#[test]
fn a_delegation_is_a_referral_with_glue() {
    let world = world(&[(
        "example.com",
        "sub NS ns.sub\nsub NS ns.other\nsub NS ns1\nsub DS 1 8 2 00\nns.sub A 192.0.2.7\nns.sub AAAA 2001:db8::7\n\
         other NS ns.other\nns.other A 192.0.2.8\n",
    )]);
    let referral = "NoError
         ^ sub.example.com. 300 NS ns.sub.example.com.
         ^ sub.example.com. 300 NS ns.other.example.com.
         ^ sub.example.com. 300 NS ns1.example.com.
         + ns.sub.example.com. 300 A 192.0.2.7
         + ns.sub.example.com. 300 AAAA 2001:db8::7
         + ns.other.example.com. 300 A 192.0.2.8
         + ns1.example.com. 300 A 192.0.2.53";
    for (name, qtype) in [
        ("sub.example.com", "A"),
        ("sub.example.com", "NS"),
        ("sub.example.com", "ANY"),
        ("ns.sub.example.com", "A"),
        ("x.y.sub.example.com", "A"),
        ("x.sub.example.com", "DS"),
    ] {
        expect(&world, name, qtype, referral);
    }
    let signed = present(&bytes(&world, &query("x.sub.example.com", "A", Some((4096, 0x8000, &[]))), Transport::Tcp));
    assert!(signed.contains("^ sub.example.com. 300 DS 1 "), "{signed}");
}

#[test]
fn the_parent_answers_for_ds() {
    let parent = "sub NS ns.sub\nns.sub A 192.0.2.7\nsub DS 1 8 2 00\nplain NS ns1\n";
    let apart = world(&[("example.com", parent)]);
    expect(&apart, "plain.example.com", "DS", &nodata());
    assert!(ask(&apart, "sub.example.com", "DS").starts_with("NoError aa\n= sub.example.com. 300 DS 1 "));
    let both = world(&[("example.com", parent), ("sub.example.com", "www A 192.0.2.9\n")]);
    assert!(ask(&both, "sub.example.com", "DS").starts_with("NoError aa\n= sub.example.com. 300 DS 1 "));
    expect(&both, "www.sub.example.com", "A", "NoError aa\n= www.sub.example.com. 300 A 192.0.2.9");
    let child = world(&[("sub.example.com", "")]);
    assert!(ask(&child, "sub.example.com", "DS").starts_with("NoError aa\n^ sub.example.com. 60 SOA"));
}

#[test]
fn cname_chains_are_followed_in_our_zones() {
    let world = world(&[
        (
            "example.com",
            "a CNAME b\nb CNAME www.example.net.\nout CNAME x.org.\nnx CNAME nope\nempty CNAME c.d\ne.c.d A 192.0.2.1\ndeep CNAME x.sub\nsub NS ns1\n* CNAME b\n",
        ),
        ("example.net", "www A 192.0.2.9\n"),
    ]);
    let b = "= b.example.com. 300 CNAME www.example.net.\n= www.example.net. 300 A 192.0.2.9";
    expect(&world, "a.example.com", "A", &format!("NoError aa\n= a.example.com. 300 CNAME b.example.com.\n{b}"));
    expect(&world, "q.example.com", "A", &format!("NoError aa\n= q.example.com. 300 CNAME b.example.com.\n{b}"));
    expect(&world, "a.example.com", "CNAME", "NoError aa\n= a.example.com. 300 CNAME b.example.com.");
    expect(&world, "a.example.com", "ANY", "NoError aa\n= a.example.com. 300 CNAME b.example.com.");
    expect(&world, "out.example.com", "A", "NoError aa\n= out.example.com. 300 CNAME x.org.");
    expect(
        &world,
        "b.example.com",
        "TXT",
        "NoError aa
         = b.example.com. 300 CNAME www.example.net.
         ^ example.net. 60 SOA ns1.example.net. hostmaster.example.net. 7 3600 900 604800 60",
    );
    expect(
        &world,
        "empty.example.com",
        "A",
        &format!("NoError aa\n= empty.example.com. 300 CNAME c.d.example.com.\n{SOA}"),
    );
    expect(
        &world,
        "deep.example.com",
        "A",
        "NoError aa
         = deep.example.com. 300 CNAME x.sub.example.com.
         ^ sub.example.com. 300 NS ns1.example.com.
         + ns1.example.com. 300 A 192.0.2.53",
    );
}

#[test]
fn a_chain_that_ends_at_no_name_says_so() {
    let world = world(&[("example.com", "nx CNAME no.pe\n")]);
    expect(
        &world,
        "nx.example.com",
        "A",
        &format!("NXDomain aa\n= nx.example.com. 300 CNAME no.pe.example.com.\n{SOA}"),
    );
}

#[test]
fn loops_and_long_chains_end() {
    let chain: String = (0..20).map(|i| format!("c{i} CNAME c{}\n", i + 1)).collect();
    let world = world(&[("example.com", &format!("x CNAME y\ny CNAME x\nself CNAME self\n{chain}*.w CNAME a.b.w\n"))]);
    expect(
        &world,
        "x.example.com",
        "A",
        "NoError aa\n= x.example.com. 300 CNAME y.example.com.\n= y.example.com. 300 CNAME x.example.com.",
    );
    expect(&world, "self.example.com", "A", "NoError aa\n= self.example.com. 300 CNAME self.example.com.");
    assert_eq!(ask(&world, "c0.example.com", "A").lines().count(), 1 + 8);
    assert!(ask(&world, "q.w.example.com", "A").lines().count() <= 1 + 8);
}

#[test]
fn chains_cross_from_a_zone_into_its_child_and_parent() {
    let world = world(&[
        ("example.com", "down CNAME www.sub\nsub NS ns1\nwww A 192.0.2.1\n"),
        ("sub.example.com", "www CNAME up\nup CNAME www.example.com.\nmail MX 5 www.sub.example.com.\n"),
    ]);
    expect(
        &world,
        "down.example.com",
        "A",
        "NoError aa
         = down.example.com. 300 CNAME www.sub.example.com.
         = www.sub.example.com. 300 CNAME up.sub.example.com.
         = up.sub.example.com. 300 CNAME www.example.com.
         = www.example.com. 300 A 192.0.2.1",
    );
    expect(
        &world,
        "down.example.com",
        "TXT",
        "NoError aa
         = down.example.com. 300 CNAME www.sub.example.com.
         = www.sub.example.com. 300 CNAME up.sub.example.com.
         = up.sub.example.com. 300 CNAME www.example.com.
         ^ example.com. 60 SOA ns1.example.com. hostmaster.example.com. 7 3600 900 604800 60",
    );
}

#[test]
fn a_dname_renames_what_is_below_it() {
    let long = format!("{0}.{0}.{0}", "l".repeat(63));
    let text = format!("d DNAME t\nd TXT own\nwww.t A 192.0.2.1\nlong DNAME {long}.net.\nout DNAME x.org.\n");
    let world = world(&[("example.com", &text)]);
    let cname = "= d.example.com. 300 DNAME t.example.com.\n= www.d.example.com. 300 CNAME www.t.example.com.";
    expect(&world, "www.d.example.com", "A", &format!("NoError aa\n{cname}\n= www.t.example.com. 300 A 192.0.2.1"));
    expect(&world, "www.d.example.com", "CNAME", &format!("NoError aa\n{cname}"));
    expect(&world, "d.example.com", "TXT", "NoError aa\n= d.example.com. 300 TXT own");
    expect(&world, "d.example.com", "A", &nodata());
    expect(&world, "d.example.com", "DNAME", "NoError aa\n= d.example.com. 300 DNAME t.example.com.");
    expect(
        &world,
        "a.b.out.example.com",
        "A",
        "NoError aa\n= out.example.com. 300 DNAME x.org.\n= a.b.out.example.com. 300 CNAME a.b.x.org.",
    );
    let too_long = ask(&world, &format!("{}.long.example.com", "q".repeat(63)), "A");
    assert!(too_long.starts_with("YXDomain aa\n= long.example.com. 300 DNAME"), "{too_long}");
    assert_eq!(too_long.lines().count(), 2);
}

#[test]
fn a_dname_at_the_apex_leads_into_another_zone() {
    let files = [("example.com", "www A 192.0.2.1\n")];
    let com = zone_file(files[0].0, files[0].1);
    let net = ZoneFile::parse(
        b"@ 300 SOA a. b. 1 1 1 1 60\n@ 300 NS a.\n@ 300 DNAME example.com.\n",
        Path::new("net"),
        Some(&"example.net".parse().unwrap()),
        &mut |_| Err(std::io::ErrorKind::NotFound.into()),
    )
    .unwrap();
    let (zones, _) = Zones::compile(vec![com, net], &[]).unwrap();
    let mut world = world(&[]);
    let snapshot = Arc::get_mut(&mut world.snapshot).unwrap();
    snapshot.zones = zones;
    expect(
        &world,
        "www.example.net",
        "A",
        "NoError aa
         = example.net. 300 DNAME example.com.
         = www.example.net. 300 CNAME www.example.com.
         = www.example.com. 300 A 192.0.2.1",
    );
}

#[test]
fn targets_come_with_their_addresses() {
    let world = world(&[(
        "example.com",
        "m A 192.0.2.1\nm AAAA 2001:db8::1\n@ MX 10 m\n@ MX 20 M\n@ MX 30 elsewhere.net.\n_s._tcp SRV 1 2 3 m\n\
         web HTTPS 1 . alpn=h2\nweb A 192.0.2.2\nalias HTTPS 0 m\nalias A 192.0.2.4\n*.w A 192.0.2.3\nw2 MX 1 x.w\n",
    )]);
    let m = "+ m.example.com. 300 A 192.0.2.1\n+ m.example.com. 300 AAAA 2001:db8::1";
    let mx = ask(&world, "example.com", "MX");
    assert!(mx.ends_with(&format!("30 elsewhere.net.\n{m}")), "each once: {mx}");
    assert!(ask(&world, "_s._tcp.example.com", "SRV").ends_with(m));
    assert!(ask(&world, "web.example.com", "HTTPS").ends_with("\n+ web.example.com. 300 A 192.0.2.2"));
    assert!(ask(&world, "alias.example.com", "HTTPS").ends_with(m));
    assert!(ask(&world, "w2.example.com", "MX").ends_with("\n+ x.w.example.com. 300 A 192.0.2.3"));
}

#[test]
fn any_gets_one_set() {
    let world = world(&[("example.com", "www TXT t\nwww A 192.0.2.1\nwww MX 1 m\na.b A 192.0.2.1\n")]);
    expect(&world, "www.example.com", "ANY", "NoError aa\n= www.example.com. 300 A 192.0.2.1");
    expect(&world, "b.example.com", "ANY", &nodata());
    expect(&world, "nope.example.com", "ANY", &nxdomain());
}

#[test]
fn types_that_are_no_records_are_refused() {
    let world = world(&[("example.com", "")]);
    for (qtype, wanted) in [
        ("TYPE253", "NotImp"),
        ("TYPE254", "NotImp"),
        ("TYPE249", "NotImp"),
        ("TYPE250", "FormErr"),
        ("TYPE41", "FormErr"),
        ("TYPE252", "Refused"),
        ("TYPE251", "Refused"),
    ] {
        expect(&world, "example.com", qtype, wanted);
    }
    expect(&world, "example.org", "TYPE252", "NotAuth");
    expect(&world, "example.com", "TYPE65280", &nodata());
    expect(&world, "example.com", "TYPE0", &nodata());
}

#[test]
fn the_case_of_the_question_comes_back() {
    let world = world(&[("example.com", "www A 192.0.2.1\nc CNAME wWw\n")]);
    expect(&world, "wWw.eXample.COM", "A", "NoError aa\n= wWw.eXample.COM. 300 A 192.0.2.1");
    let wire = bytes(&world, &query("wWw.eXample.COM", "A", None), Transport::Udp);
    assert_eq!(wire[12..29], *b"\x03wWw\x07eXample\x03COM\x00");
    expect(
        &world,
        "C.Example.com",
        "A",
        "NoError aa\n= C.Example.com. 300 CNAME wWw.Example.com.\n= wWw.Example.com. 300 A 192.0.2.1",
    );
}

#[test]
fn the_longest_apex_wins_and_the_root_can_be_served() {
    let world = world(&[
        (".", "com NS a.gtld.\na.gtld A 192.0.2.1\n"),
        ("example.com", "www A 192.0.2.2\n"),
        ("a.b.example.com", "www A 192.0.2.3\n"),
    ]);
    expect(&world, "x.org", "A", "NXDomain aa\n^ . 60 SOA ns1. hostmaster. 7 3600 900 604800 60");
    expect(&world, "x.com", "A", "NoError\n^ com. 300 NS a.gtld.\n+ a.gtld. 300 A 192.0.2.1");
    expect(&world, "www.example.com", "A", "NoError aa\n= www.example.com. 300 A 192.0.2.2");
    expect(&world, "www.a.b.example.com", "A", "NoError aa\n= www.a.b.example.com. 300 A 192.0.2.3");
    expect(&world, "b.example.com", "A", &nxdomain());
    assert!(ask(&world, ".", "NS").starts_with("NoError aa\n= . 300 NS ns1."));
}

#[test]
fn names_of_127_labels_are_looked_up() {
    let deep = "a.".repeat(120);
    let world = world(&[("example.com", &format!("{}x A 192.0.2.1\n", "a.".repeat(60)))]);
    expect(&world, &format!("{deep}com"), "A", "Refused");
    expect(&world, &format!("{}example.com", "a.".repeat(115)), "A", &nxdomain());
    expect(&world, &format!("{}x.example.com", "a.".repeat(59)), "A", &nodata());
    expect(&world, &format!("b.{}x.example.com", "a.".repeat(60)), "A", &nxdomain());
}

#[test]
fn chaos_says_what_it_is_told_to() {
    let mut model = Model::default();
    model.server.version = Some("rhumb".into());
    let world = world_of(model, &[]);
    let chaos = |name: &str, qtype: &str| {
        let mut query = query(name, qtype, None);
        let end = query.len();
        query[end - 1] = 3;
        present(&bytes(&world, &query, Transport::Udp))
    };
    assert_eq!(chaos("version.bind", "TXT"), "NoError aa\n= version.bind. 0 TXT rhumb");
    assert_eq!(chaos("VERSION.server", "TXT"), "NoError aa\n= VERSION.server. 0 TXT rhumb");
    assert_eq!(chaos("version.bind", "A"), "NoError aa");
    assert_eq!(chaos("id.server", "TXT"), "Refused");
    assert_eq!(chaos("example.com", "TXT"), "Refused");
    let mut class_any = query("version.bind", "TXT", None);
    let end = class_any.len();
    class_any[end - 1] = 255;
    assert_eq!(present(&bytes(&world, &class_any, Transport::Udp)), "Refused");
}
