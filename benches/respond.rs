//! From query bytes to response bytes, without sockets: time and allocations for each answer.
//!
//! `cargo bench --bench respond`. Questions are drawn beforehand, at random over all names, so that a zone of a million
//! names is met with cold caches as it is in service.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;

use divan::AllocProfiler;
use divan::Bencher;

use rhumb::geo::atlas::Atlas;
use rhumb::geo::latency::LatencyTable;
use rhumb::health::table::HealthTable;
use rhumb::responder::Transport;
use rhumb::responder::UDP_BYTES_MAX;
use rhumb::responder::ahead::AHEAD_MIN;
use rhumb::responder::ahead::read_ahead;
use rhumb::responder::respond;
use rhumb::server::counts::Counts;
use rhumb::snapshot::Snapshot;
use rhumb::steering::Draw;
use rhumb::world::World;
use rhumb::zone::read::ZoneFile;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// More questions than caches hold names.
const QUESTIONS: usize = 1 << 18;
/// Queries of one receive under load; a worker reads ahead for all of them.
const BATCH: usize = 32;
const SIZES: [usize; 2] = [1_000, 1_000_000];
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));

const CONFIG: &str = r#"
[server]
listen = ["127.0.0.1:0"]
zones_dir = "zones"
[geo]
[[geo.network]]
name = "office"
cidr = ["192.0.2.0/25", "10.0.0.0/9"]
geo  = "EU-DE"
[region.eu]
[region.us]
[pool.eu]
region = "eu"
endpoints = [{ address = "203.0.113.1" }, { address = "203.0.113.3" }]
[pool.us]
region = "us"
endpoints = [{ address = "203.0.113.2" }, { address = "203.0.113.4" }]
[vip."vip.example.com."]
policy  = "geolocation"
answers = 2
rules   = [{ networks = ["office"], pool = "eu" }, { pool = "us" }]
"#;

fn main() {
    divan::main();
}

/// Names of a zone of `names`: host, then its number in hexadecimal.
fn host(number: usize) -> String {
    format!("host-{number:06x}")
}

fn zone_text(names: usize) -> String {
    let mut text = String::from("$TTL 300\n@ SOA ns1 hostmaster 1 1h 15m 1w 60\n@ NS ns1\nns1 A 192.0.2.53\n");
    for number in 0..names {
        text.push_str(&format!("{} A 10.{}.{}.{}\n", host(number), number >> 16, number >> 8 & 255, number & 255));
    }
    text
}

fn build(names: usize) -> World {
    let loaded =
        rhumb::config::read(Path::new("rhumb.toml"), CONFIG).unwrap_or_else(|_| panic!("a good configuration"));
    let apex = "example.com".parse().expect("a name");
    let file = ZoneFile::parse(zone_text(names).as_bytes(), Path::new("example.com.zone"), Some(&apex), &mut |_| {
        Err(ErrorKind::NotFound.into())
    })
    .expect("a good zone");
    let model = Arc::new(loaded.model);
    let atlas = Arc::new(Atlas::of_networks(&model.geo.networks));
    let health = HealthTable::all_up(&model);
    let compiled = Snapshot::compile(model, vec![file], atlas, &LatencyTable::default());
    let (snapshot, _) = compiled.expect("a good configuration");
    World { snapshot: Arc::new(snapshot), health, generation: 1 }
}

/// The world of this many names, built once.
fn world(names: usize) -> &'static World {
    static WORLDS: [OnceLock<World>; SIZES.len()] = [const { OnceLock::new() }; SIZES.len()];
    let place = SIZES.iter().position(|size| *size == names).expect("a size of ours");
    WORLDS[place].get_or_init(|| build(names))
}

/// A query for an A record with an OPT record of these options.
fn query(name: &str, options: &[u8]) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
    wire.extend_from_slice(options);
    wire
}

/// A small generator (xorshift), so that every run asks the same.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Questions in bytes one after the other, as they come out of a receive ring, and where each ends.
struct Questions {
    ring: Vec<u8>,
    ends: Vec<usize>,
}

impl Questions {
    fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.ring[start..self.ends[number]]
    }
}

fn ask(bencher: Bencher<'_, '_>, names: usize, batch: usize, question: impl Fn(u64) -> Vec<u8>) {
    ask_and_count(bencher, names, batch, question, None);
}

/// The numbers that a UDP worker would count in.
fn counts(names: usize) -> Option<Counts> {
    Some(Counts::new(world(names).snapshot.clone(), true))
}

fn ask_and_count(
    bencher: Bencher<'_, '_>,
    names: usize,
    batch: usize,
    question: impl Fn(u64) -> Vec<u8>,
    counts: Option<Counts>,
) {
    let world = world(names);
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let questions: Vec<Vec<u8>> = (0..QUESTIONS).map(|_| question(random(&mut seed))).collect();
    let mut ends = Vec::with_capacity(QUESTIONS);
    for question in &questions {
        ends.push(question.len() + ends.last().unwrap_or(&0));
    }
    let questions = Questions { ring: questions.concat(), ends };
    let state = RefCell::new((0, vec![0; UDP_BYTES_MAX]));
    bencher.bench_local(|| {
        let (next, out) = &mut *state.borrow_mut();
        if batch >= AHEAD_MIN && *next % batch == 0 {
            read_ahead(world, (*next..*next + batch).map(|number| questions.get(number)));
        }
        let question = questions.get(*next);
        *next = (*next + 1) % QUESTIONS;
        let draw = Draw { random: *next as u64, seconds: 1 };
        let outcome = respond(black_box(question), SOURCE, Transport::Udp, world, draw, out);
        if let Some(counts) = &counts {
            counts.count(Transport::Udp, &outcome);
        }
        black_box(outcome)
    });
}

fn existing(random: u64, names: usize) -> Vec<u8> {
    query(&format!("{}.example.com", host(random as usize % names)), &[])
}

fn missing(random: u64) -> Vec<u8> {
    query(&format!("nope-{random:016x}.example.com"), &[])
}

fn steered(random: u64) -> Vec<u8> {
    let [a, b, c, ..] = random.to_be_bytes();
    query("vip.example.com", &[0, 8, 0, 7, 0, 1, 24, 0, a, b, c])
}

/// One query in each receive, as on a quiet server: every lookup waits for its own memory.
mod one_at_a_time {
    use super::*;

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_static_answer(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, 1, |random| existing(random, names));
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn no_such_name(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, 1, missing);
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_vip_for_a_subnet(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, 1, steered);
    }
}

/// Batches, as under load, the reading ahead included.
mod in_batches {
    use super::*;

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_static_answer(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, BATCH, |random| existing(random, names));
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn no_such_name(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, BATCH, missing);
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_vip_for_a_subnet(bencher: Bencher<'_, '_>, names: usize) {
        ask(bencher, names, BATCH, steered);
    }
}

/// Batches, and every query and answer counted, as a UDP worker does.
mod in_batches_counted {
    use super::*;

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_static_answer(bencher: Bencher<'_, '_>, names: usize) {
        ask_and_count(bencher, names, BATCH, |random| existing(random, names), counts(names));
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn no_such_name(bencher: Bencher<'_, '_>, names: usize) {
        ask_and_count(bencher, names, BATCH, missing, counts(names));
    }

    #[divan::bench(args = SIZES, sample_count = 1000, sample_size = 1000)]
    fn a_vip_for_a_subnet(bencher: Bencher<'_, '_>, names: usize) {
        ask_and_count(bencher, names, BATCH, steered, counts(names));
    }
}
