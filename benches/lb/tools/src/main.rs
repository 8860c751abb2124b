//! Tools of the benchmark, nothing else.
//!
//!     lbtools origin   IP:PORT[,IP:PORT...]           a cheap HTTP/1.1 origin: /s 128 B, /l 16 KiB, /x 4 MiB
//!     lbtools gen      IP:PORT RATE SECS CONNS PATH   keep-alive requests at a rate
//!     lbtools connrate IP:PORT SECS CONNS PATH        connect, one request, close; closed loop
//!     lbtools bulk     IP:PORT SECS CONNS PATH        keep-alive downloads; closed loop

mod load;
mod origin;
mod sys;

use load::Plan;

fn plan(how: &str, words: &[String]) -> Option<Plan> {
    let (rate, words) = match how {
        "gen" => (Some(words.get(1)?.parse().ok()?), [&words[..1], &words[2..]].concat()),
        _ => (None, words.to_vec()),
    };
    let [address, seconds, connections, path] = &words[..] else { return None };
    Some(Plan {
        address: address.parse().ok()?,
        rate,
        seconds: seconds.parse().ok()?,
        connections: connections.parse().ok()?,
        path: path.clone(),
        close: how == "connrate",
        buffer_bytes: if how == "bulk" { 1 << 20 } else { 32 << 10 },
    })
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((how, [addresses])) if how == "origin" => origin::run(addresses),
        Some((how, rest)) if matches!(how.as_str(), "gen" | "connrate" | "bulk") => {
            load::run(
                &plan(how, rest).expect("lbtools gen IP:PORT RATE SECS CONNS PATH, or connrate or bulk without RATE"),
            );
        }
        _ => panic!("lbtools origin | gen | connrate | bulk"),
    }
}
