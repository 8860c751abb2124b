//! Questions about the server itself: class CH (RFC 4892, and BIND's older names).
//!
//! Answered only as far as configuration says; what it leaves unsaid is refused, so that nobody learns more than meant.

use crate::dns::code::class;
use crate::dns::code::extended;
use crate::dns::code::rcode;
use crate::dns::code::rtype;
use crate::dns::name_buf::NameBuf;
use crate::dns::query::HEADER_BYTES;
use crate::dns::writer::Section;
use crate::model::ServerSettings;
use crate::responder::walk::Walk;

/// The longest string of a TXT record.
const STRING_BYTES_MAX: usize = 255;

/// Answers a question of class CH.
pub(super) fn answer(server: &ServerSettings, name: &NameBuf, walk: &mut Walk<'_, '_>) {
    let text = match name.wire() {
        b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => server.version.as_deref(),
        b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => server.nsid.as_deref(),
        _ => None,
    };
    let Some(text) = text.map(str::as_bytes) else {
        return walk.refuse(rcode::REFUSED, extended::NOT_SUPPORTED, "");
    };
    walk.authoritative = true;
    if matches!(walk.qtype, rtype::TXT | rtype::ANY) {
        let text = &text[..text.len().min(STRING_BYTES_MAX)];
        let data: [&[u8]; 2] = [&[text.len() as u8], text];
        let written = walk.writer.record(Section::Answer, HEADER_BYTES, rtype::TXT, class::CH, 0, &data);
        walk.truncated = written.is_err();
    }
}
