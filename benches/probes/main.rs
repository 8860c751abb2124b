//! What do thirty thousand probes cost, and are they made on time?
//!
//!     cargo bench --bench probes -- --targets 30000 --seconds 60 --kind http
//!
//! Starts one responder for all targets (its own process, on the second CPU), generates a configuration with an endpoint
//! on 127/8 for each, runs the real `rhumb serve` on the first CPU, waits until it is ready and has settled, and
//! measures from outside: CPU time and memory by /proc, probes and the time between two of one target by the responder,
//! which hears of each. `--dead 50` makes half of the targets silent, each of whose probes takes all of its timeout.

#![allow(clippy::disallowed_methods, reason = "a measurement by the wall clock")]

mod responder;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use responder::Ports;

const RHUMB: &str = env!("CARGO_BIN_EXE_rhumb");
/// The kernel's unit of CPU time in /proc, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
const ENDPOINTS_IN_A_POOL: usize = 100;
/// The addresses of DNS targets, which differ by the name asked for: a UDP socket answers from one address only.
pub const DNS_ADDRESSES: usize = 200;

struct Options {
    targets: usize,
    seconds: u64,
    interval_s: u64,
    dead_percent: usize,
    kind: String,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut options =
        Options { targets: 30_000, seconds: 60, interval_s: 10, dead_percent: 0, kind: "http".to_owned() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} takes a value"));
        match argument.as_str() {
            "--respond" => return responder::run(Path::new(&value())),
            "--targets" => options.targets = value().parse().expect("a number"),
            "--seconds" => options.seconds = value().parse().expect("a number"),
            "--interval" => options.interval_s = value().parse().expect("seconds"),
            "--dead" => options.dead_percent = value().parse().expect("percent"),
            "--kind" => options.kind = value(),
            // What cargo adds.
            "--bench" => {}
            other => panic!("what is {other}?"),
        }
    }
    measure(&options);
}

fn measure(options: &Options) {
    let dir = tempfile::tempdir().expect("a place for a few files");
    let mut responder = Responder::start(dir.path());
    let config = dir.path().join("rhumb.toml");
    fs::write(&config, configuration(options, &responder.ports, dir.path())).unwrap();
    let mut rhumb = Rhumb::start(&config);
    let expected = options.targets as f64 / options.interval_s as f64;
    println!(
        "{} targets of type {}, {} s apart: {expected:.0} probes a second",
        options.targets, options.kind, options.interval_s
    );

    let ready = rhumb.wait_until_ready();
    // What was unknown is asked again at the fast pace; one interval later all is settled.
    sleep(Duration::from_secs(options.interval_s));
    let turns_before = rhumb.turns.load(Ordering::Relaxed);
    responder.ask("reset");
    let (cpu, began) = (rhumb.cpu(), Instant::now());
    sleep(Duration::from_secs(options.seconds));
    let (cpu, took) = ((rhumb.cpu().0 - cpu.0, rhumb.cpu().1 - cpu.1), began.elapsed().as_secs_f64());
    let heard = responder.ask("report");
    let (rss, peak) = rhumb.memory();

    println!("ready after        {:.1} s", ready.as_secs_f64());
    println!(
        "CPU                {:.1} % of a core ({:.1} % user, {:.1} % kernel)",
        share(cpu.0 + cpu.1, took),
        share(cpu.0, took),
        share(cpu.1, took)
    );
    println!("memory             {:.1} MiB resident, {:.1} MiB at its peak", rss / 1024.0, peak / 1024.0);
    let count = heard.probes as f64;
    println!("probes             {:.0} a second to targets that answer", count / took);
    println!("each               {:.0} µs of CPU", (cpu.0 + cpu.1) / count.max(1.0) * 1e6);
    println!(
        "between two of one {} ms in the middle, {} ms at 99.9 %, {} ms at most",
        heard.middle, heard.late, heard.most
    );
    println!("standings turned   {}", rhumb.turns.load(Ordering::Relaxed) - turns_before);
}

fn share(seconds: f64, of: f64) -> f64 {
    seconds / of * 100.0
}

/// An endpoint for each target; pools of a hundred, in three regions, each with a VIP.
fn configuration(options: &Options, ports: &Ports, dir: &Path) -> String {
    let zones = concat!(env!("CARGO_MANIFEST_DIR"), "/zones");
    let dns = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut out = format!("[server]\nlisten = [\"{dns}\"]\nzones_dir = \"{zones}\"\nstart_timeout = \"5m\"\n");
    out.push_str("[region.a]\n[region.b]\n[region.c]\n");
    let common = format!("interval = \"{}s\"\ntimeout = \"2s\"\n", options.interval_s);
    let roots = format!("host = \"www.example.com\"\nca_file = \"{}\"\n", dir.join("roots.pem").display());
    let (more, port) = match options.kind.as_str() {
        "tcp" => (String::new(), ports.http),
        "http" => ("path = \"/healthz\"\n".to_owned(), ports.http),
        "https" => (format!("path = \"/healthz\"\n{roots}"), ports.tls),
        "tls" => (roots, ports.tls),
        "grpc" => (String::new(), ports.grpc),
        // Its checks differ by name; see below.
        "dns" => (String::new(), ports.dns),
        other => panic!("no such type: {other}"),
    };
    let is_dns = options.kind == "dns";
    if !is_dns {
        write!(out, "[health_check.c]\ntype = \"{}\"\n{more}{common}", options.kind).unwrap();
    }
    let pool_size = if is_dns { DNS_ADDRESSES } else { ENDPOINTS_IN_A_POOL };
    for (pool, first) in (0..options.targets).step_by(pool_size).enumerate() {
        let mut check = "c".to_owned();
        if is_dns {
            check = format!("c{pool}");
            write!(out, "[health_check.{check}]\ntype = \"dns\"\nname = \"n{pool}.example.\"\nqtype = \"A\"\n{common}")
                .unwrap();
        }
        let region = ["a", "b", "c"][pool % 3];
        write!(out, "[pool.p{pool}]\nregion = \"{region}\"\nhealth_check = \"{check}\"\nendpoints = [\n").unwrap();
        for i in first..(first + pool_size).min(options.targets) {
            let address = if is_dns { dns_address(i - first) } else { Ipv4Addr::from(0x7f01_0000 + i as u32) };
            // Spread over all pools.
            let port = if i * 7919 % 100 < options.dead_percent { ports.mute } else { port };
            writeln!(out, "  {{ address = \"{address}\", port = {port} }},").unwrap();
        }
        write!(out, "]\n[vip.\"p{pool}.example.com.\"]\npolicy = \"failover\"\npools = [{{ pool = \"p{pool}\" }}]\n")
            .unwrap();
    }
    out
}

/// The address of the `i`th UDP socket.
pub fn dns_address(i: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x7f01_0001 + i as u32)
}

/// `taskset -c CPU program`, or the program alone where there is no taskset or no such CPU.
fn on_cpu(cpu: usize, program: &str) -> Command {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let taskset = Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if taskset && cpu < cpus {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string(), program]);
        return command;
    }
    println!("{program} is not pinned to CPU {cpu}");
    Command::new(program)
}

struct Rhumb {
    child: Child,
    ready: std::sync::mpsc::Receiver<String>,
    turns: Arc<AtomicUsize>,
}

impl Rhumb {
    fn start(config: &Path) -> Rhumb {
        let mut command = on_cpu(0, RHUMB);
        command.args(["serve", "-c"]).arg(config).env("NO_COLOR", "1").env("RHUMB_LOG", "info").stderr(Stdio::piped());
        let mut child = command.spawn().expect("rhumb runs");
        let log = BufReader::new(child.stderr.take().unwrap());
        let (tell, ready) = std::sync::mpsc::channel();
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("first round of") || line.contains("ready without") {
                    let _ = tell.send(line);
                } else if line.contains(" -> ") {
                    counted.fetch_add(1, Ordering::Relaxed);
                } else if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("{line}");
                }
            }
        });
        Rhumb { child, ready, turns }
    }

    fn wait_until_ready(&mut self) -> Duration {
        let began = Instant::now();
        let line = self.ready.recv_timeout(Duration::from_secs(320)).expect("rhumb is ready within its start_timeout");
        println!("rhumb: {}", line.trim());
        began.elapsed()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("rhumb runs")
    }

    /// Seconds of CPU time in user space and in the kernel.
    fn cpu(&self) -> (f64, f64) {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let seconds = |field: usize| fields[field].parse::<f64>().unwrap() / TICKS_PER_SECOND;
        (seconds(11), seconds(12))
    }

    /// Resident now and at most, in KiB.
    fn memory(&self) -> (f64, f64) {
        let status = self.proc("status");
        let kib = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (kib("VmRSS:"), kib("VmHWM:"))
    }
}

impl Drop for Rhumb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Responder {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    ports: Ports,
}

#[derive(Default)]
struct Heard {
    probes: u64,
    middle: u64,
    late: u64,
    most: u64,
}

impl Responder {
    fn start(dir: &Path) -> Responder {
        let own = std::env::current_exe().unwrap();
        let mut command = on_cpu(1, own.to_str().unwrap());
        command.arg("--respond").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the responder runs");
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let ports = numbers(&mut answers);
        let ports = Ports { http: ports[0], tls: ports[1], grpc: ports[2], dns: ports[3], mute: ports[4] };
        Responder { child, answers, ports }
    }

    fn ask(&mut self, what: &str) -> Heard {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").expect("the responder runs");
        let numbers: Vec<u64> = numbers(&mut self.answers);
        Heard { probes: numbers[0], middle: numbers[1], late: numbers[2], most: numbers[3] }
    }
}

fn numbers<T: std::str::FromStr>(answers: &mut impl BufRead) -> Vec<T> {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the responder answers");
    line.split_whitespace().map(|number| number.parse().ok().expect("a number")).collect()
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
