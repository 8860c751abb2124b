//! What it costs to count a request and to write its line.

use std::sync::Arc;
use std::time::Duration;

use divan::AllocProfiler;
use divan::Bencher;
use http::Version;

use rhumb::model::AccessLogFormat;
use rhumb::model::AccessLogSettings;
use rhumb::model::ClientShown;
use rhumb::model::Moment;
use rhumb::proxy::access_line::LineWriter;
use rhumb::proxy::access_log::AccessLog;
use rhumb::proxy::access_log::Lines;
use rhumb::proxy::counts::ProxyCounts;
use rhumb::proxy::record::Ended;
use rhumb::proxy::record::Phases;
use rhumb::proxy::record::Record;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn record() -> Record<'static> {
    Record {
        at: Moment(1_795_380_538_000_042),
        listener: "edge-eu",
        region: "eu-west",
        route: Some("routes[2]"),
        pool: Some("eu-app"),
        sent_on_to: None,
        endpoint: Some("192.0.2.10:8080".parse().expect("an address")),
        client: "203.0.113.7".parse().expect("an address"),
        peer: "10.0.0.2:40312".parse().expect("an address"),
        flow: None,
        method: "GET",
        host: "www.example.com",
        path: "/v2/users/7/pictures",
        query: Some("size=large&page=2"),
        version: Version::HTTP_11,
        status: 200,
        request_id: "5f2b7c1e9d3a4f605f2b7c1e9d3a4f60",
        bytes_in: 412,
        bytes_out: 5120,
        phases: Phases {
            head: Duration::from_micros(21),
            queue: None,
            connect: Some(Duration::ZERO),
            response: Some(Duration::from_micros(12_345)),
            all: Duration::from_millis(13),
        },
        ended: Ended::WELL,
        attempts: 1,
        refusal: None,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        referer: Some(b"https://www.example.com/v2/users"),
        tls: Some("TLSv1.3"),
    }
}

fn write(bencher: Bencher<'_, '_>, format: AccessLogFormat) {
    let (mut writer, mut out, record) = (LineWriter::new(format, ClientShown::Full), Vec::new(), record());
    bencher.bench_local(|| {
        out.clear();
        writer.write(&record, &mut out);
        out.len()
    });
}

#[divan::bench(sample_size = 1000)]
fn line_as_text(bencher: Bencher<'_, '_>) {
    write(bencher, AccessLogFormat::Text);
}

#[divan::bench(sample_size = 1000)]
fn line_as_json(bencher: Bencher<'_, '_>) {
    write(bencher, AccessLogFormat::Json);
}

/// One buffer for some forty lines is all that it allocates.
#[divan::bench(sample_size = 1000)]
fn line_to_the_writer(bencher: Bencher<'_, '_>) {
    let log = Arc::<AccessLog>::default();
    let settings =
        AccessLogSettings { file: Some("/dev/null".into()), rate_max: u32::MAX, ..AccessLogSettings::default() };
    log.begin(log.prepare(Some(&settings)).expect("it opens"));
    let (mut lines, record) = (Lines::of(log), record());
    bencher.bench_local(|| lines.log(&record, 0, record.at));
}

#[divan::bench(sample_size = 1000)]
fn count(bencher: Bencher<'_, '_>) {
    let counts = ProxyCounts::default();
    let (listener, route) = (counts.listener(0, "edge"), counts.route(0, "edge", Some("app"), Some("eu")));
    let endpoint = counts.endpoint(0, "eu", "192.0.2.10");
    bencher.bench_local(|| {
        listener.request_begun();
        endpoint.request_begun();
        endpoint.request_ended();
        route.add(200);
        listener.bytes(412, 5120);
        listener.request_ended(Duration::from_millis(13));
    });
}
