//! The transports without DNS: what a query costs before anybody looks at it.
//!
//! Answers each query with itself, QR and AA set and one address appended, the least a name server could do.
//! `cargo run --release --example echo -- 127.0.0.1:5300`, then any load generator; one UDP worker.

use std::net::IpAddr;
use std::sync::Arc;

use rhumb::model::ServerSettings;
use rhumb::responder::{Outcome, Transport};
use rhumb::server::answer::Answer;

/// `A 192.0.2.1`, TTL 60, of the name in the question.
const ANSWER: [u8; 16] = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

struct Echo;

impl Answer for Echo {
    type View = ();
    fn view(&self) {}
    fn refresh(&self, (): &mut ()) {}
    fn answer(&self, (): &(), query: &[u8], _: IpAddr, _: Transport, _: u64, out: &mut [u8]) -> Outcome {
        let outcome = Outcome { qtype: 1, ..Outcome::default() };
        let bytes = query.len() + ANSWER.len();
        if query.len() < 12 || query[2] & 0x80 != 0 || bytes > out.len() {
            return outcome;
        }
        out[..query.len()].copy_from_slice(query);
        out[query.len()..bytes].copy_from_slice(&ANSWER);
        out[2] |= 0x84;
        out[7] = 1;
        Outcome { bytes, ..outcome }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5300".to_owned());
    let settings = ServerSettings { listen: vec![address.parse()?], udp_workers: 1, ..ServerSettings::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let bound = rhumb::server::bind(&settings, None).map_err(|problems| problems[0].to_string())?;
    let server = bound.serve(Arc::new(Echo), runtime.handle())?;
    println!("{:?}", server.listening());
    runtime.block_on(tokio::signal::ctrl_c())?;
    runtime.block_on(server.stop());
    Ok(())
}
