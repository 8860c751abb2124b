//! A large stream whose every part is another, made as it is written and hashed at both ends.

use std::io;
use std::io::Read;
use std::io::Write;

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::hash::Context;

const BLOCK: usize = 256 * 1024;

/// SHA-256 in the making; what TLS has for it, since nothing else here needs one.
fn sha256() -> Box<dyn Context> {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { panic!("it is of TLS 1.3") };
    suite.common.hash_provider.start()
}

fn hex(sum: Box<dyn Context>) -> String {
    sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes so many bytes; their hash.
///
/// # Errors
/// Those of writing.
pub fn write(to: &mut impl Write, bytes: u64, seed: u64) -> io::Result<String> {
    let mut draw = seed;
    let mut block: Vec<u8> = (0..BLOCK)
        .map(|_| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (draw >> 33) as u8
        })
        .collect();
    let (mut sum, mut left, mut number) = (sha256(), bytes, 0u64);
    while left > 0 {
        block[..8].copy_from_slice(&number.to_be_bytes());
        // Not in the rhythm of anybody's buffers.
        let length = (left as usize).min(BLOCK - (number % 1_000) as usize);
        sum.update(&block[..length]);
        to.write_all(&block[..length])?;
        (left, number) = (left - length as u64, number + 1);
    }
    Ok(hex(sum))
}

/// Reads to the end; how many bytes, and their hash.
///
/// # Errors
/// Those of reading.
pub fn read(from: &mut impl Read) -> io::Result<(u64, String)> {
    let (mut sum, mut room, mut bytes) = (sha256(), vec![0; BLOCK], 0);
    loop {
        match from.read(&mut room)? {
            0 => return Ok((bytes, hex(sum))),
            read => {
                sum.update(&room[..read]);
                bytes += read as u64;
            }
        }
    }
}
