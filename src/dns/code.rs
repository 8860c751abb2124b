//! The numbers of DNS that we give a meaning to (IANA "Domain Name System Parameters").

/// Types of records and questions.
pub mod rtype {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name server of a zone or of a delegation.
    pub const NS: u16 = 2;
    /// Another name for this one.
    pub const CNAME: u16 = 5;
    /// The start of a zone.
    pub const SOA: u16 = 6;
    /// A pointer, as in reverse zones.
    pub const PTR: u16 = 12;
    /// What machine it is; the whole of a minimal answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// A mail exchanger.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// A service with port and target (RFC 2782).
    pub const SRV: u16 = 33;
    /// Another name for everything below this one (RFC 6672).
    pub const DNAME: u16 = 39;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// The digest of a delegated zone's key.
    pub const DS: u16 = 43;
    /// A signature (RFC 4034).
    pub const RRSIG: u16 = 46;
    /// The next name (RFC 4034).
    pub const NSEC: u16 = 47;
    /// A service binding (RFC 9460).
    pub const SVCB: u16 = 64;
    /// The service binding of the web (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// First of the types that only questions and transactions have: TKEY.
    pub const TKEY: u16 = 249;
    /// A transaction signature (RFC 8945).
    pub const TSIG: u16 = 250;
    /// A transfer of what changed.
    pub const IXFR: u16 = 251;
    /// A transfer of a whole zone (RFC 5936).
    pub const AXFR: u16 = 252;
    /// Mailboxes, obsolete.
    pub const MAILB: u16 = 253;
    /// Mail agents, obsolete.
    pub const MAILA: u16 = 254;
    /// Any type, answered minimally (RFC 8482).
    pub const ANY: u16 = 255;
}

/// Classes.
pub mod class {
    /// The internet.
    pub const IN: u16 = 1;
    /// Chaos: questions about the server itself (RFC 4892).
    pub const CH: u16 = 3;
}

/// Response codes, extended ones included.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query is malformed.
    pub const FORMERR: u16 = 1;
    /// We failed.
    pub const SERVFAIL: u16 = 2;
    /// There is no such name.
    pub const NXDOMAIN: u16 = 3;
    /// We do not do that.
    pub const NOTIMP: u16 = 4;
    /// We will not do that.
    pub const REFUSED: u16 = 5;
    /// A DNAME makes too long a name (RFC 6672 section 2.2).
    pub const YXDOMAIN: u16 = 6;
    /// Not our zone, or a key we do not know.
    pub const NOTAUTH: u16 = 9;
    /// The codes of a header's four bits in words, by number (RFC 1035 section 4.1.1, RFC 2136 section 2.2, RFC 8490).
    pub const NAMES: [&str; 12] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
    ];
    /// An EDNS version other than 0.
    pub const BADVERS: u16 = 16;
    /// A server cookie that is not ours (RFC 7873).
    pub const BADCOOKIE: u16 = 23;
}

/// Extended DNS errors (RFC 8914).
pub mod extended {
    /// None of the others.
    pub const OTHER: u16 = 0;
    /// We cannot answer yet.
    pub const NOT_READY: u16 = 14;
    /// Policy forbids it.
    pub const PROHIBITED: u16 = 18;
    /// No zone of ours holds the name.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The type or class is one we do not serve.
    pub const NOT_SUPPORTED: u16 = 21;
}

/// Bits of the second word of a message's header.
pub mod flag {
    /// A response.
    pub const QR: u16 = 0x8000;
    /// The four bits of the opcode.
    pub const OPCODE: u16 = 0x7800;
    /// The answer comes from a zone's own data.
    pub const AA: u16 = 0x0400;
    /// Something needed did not fit.
    pub const TC: u16 = 0x0200;
    /// Recursion is wanted; copied into the response.
    pub const RD: u16 = 0x0100;
    /// Checking is disabled; copied into the response (RFC 4035 section 3.1.6).
    pub const CD: u16 = 0x0010;
}
