//! Why a request is not served: a stable code for logs and metrics, words for people, a status for the client.
//!
//! The client learns the status alone. Codes never change; they are counted under `reason`.

use http::StatusCode;

use crate::route::path::PathFault;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is told in words by `words`")]
pub enum Refusal {
    HostMissing,
    HostRepeated,
    HostMalformed,
    HostDiffers,
    HostMisdirected,
    SchemeUnknown,
    VersionUnknown,
    LengthRepeated,
    LengthMalformed,
    LengthAndEncoding,
    EncodingUnknown,
    EncodingInOld,
    NameUnderscore,
    NameMalformed,
    ConnectionNames,
    ConnectionInH2,
    ValueSpaces,
    ValueControl,
    UpgradeMethod,
    UpgradeVersion,
    UpgradeConnection,
    UpgradeProtocol,
    UpgradeBody,
    Connect,
    AsteriskMethod,
    ExpectUnknown,
    TargetTooLong,
    TrailerUndeclared,
    TrailerForbidden,
    Path(PathFault),
}

impl Refusal {
    /// What the client gets.
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::HostMisdirected => StatusCode::MISDIRECTED_REQUEST,
            Refusal::VersionUnknown => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Refusal::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::ExpectUnknown => StatusCode::EXPECTATION_FAILED,
            Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The stable code of logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::Path(fault) => fault.code(),
            other => other.told().0,
        }
    }

    /// In words, for logs and `explain`.
    pub fn words(self) -> &'static str {
        match self {
            Refusal::Path(fault) => fault.words(),
            other => other.told().1,
        }
    }

    fn told(self) -> (&'static str, &'static str) {
        match self {
            Refusal::HostMissing => ("host_missing", "no Host, or no :authority"),
            Refusal::HostRepeated => ("host_repeated", "more than one Host"),
            Refusal::HostMalformed => ("host_malformed", "a Host that is neither a name nor an address"),
            Refusal::HostDiffers => ("host_differs", "Host is not whom the target names"),
            Refusal::HostMisdirected => ("host_misdirected", "a Host that the connection's certificate does not carry"),
            Refusal::SchemeUnknown => ("scheme_unknown", "a target that is neither http nor https"),
            Refusal::VersionUnknown => ("version_unknown", "a version other than HTTP/1.0, 1.1 and 2"),
            Refusal::LengthRepeated => ("length_repeated", "more than one Content-Length"),
            Refusal::LengthMalformed => ("length_malformed", "a Content-Length that is no plain number"),
            Refusal::LengthAndEncoding => ("length_and_encoding", "Content-Length beside Transfer-Encoding"),
            Refusal::EncodingUnknown => ("encoding_unknown", "a Transfer-Encoding other than one `chunked`"),
            Refusal::EncodingInOld => ("encoding_in_old", "Transfer-Encoding in a version that has none"),
            Refusal::NameUnderscore => ("name_underscore", "a header name with `_`"),
            Refusal::NameMalformed => ("name_malformed", "a header name with what is neither letter, digit nor `-`"),
            Refusal::ConnectionNames => ("connection_names", "Connection names a header that is not for one hop"),
            Refusal::ConnectionInH2 => ("connection_in_h2", "a header of HTTP/1.1 connections in HTTP/2"),
            Refusal::ValueSpaces => ("value_spaces", "a header value with spaces around it in HTTP/2"),
            Refusal::ValueControl => ("value_control", "a control character or a folded line in a header value"),
            Refusal::UpgradeMethod => ("upgrade_method", "Upgrade with a method other than GET"),
            Refusal::UpgradeVersion => ("upgrade_version", "Upgrade in a version other than HTTP/1.1"),
            Refusal::UpgradeConnection => ("upgrade_connection", "Upgrade without `Connection: upgrade`"),
            Refusal::UpgradeProtocol => ("upgrade_protocol", "Upgrade to a protocol that is not allowed"),
            Refusal::UpgradeBody => ("upgrade_body", "Upgrade with a body"),
            Refusal::Connect => ("connect", "CONNECT"),
            Refusal::AsteriskMethod => ("asterisk_method", "target `*` with a method other than OPTIONS"),
            Refusal::ExpectUnknown => ("expect_unknown", "an Expect other than 100-continue"),
            Refusal::TargetTooLong => {
                ("target_too_long", "a target that is too long, or grows to be when it is normalised")
            }
            Refusal::TrailerUndeclared => ("trailer_undeclared", "a trailer that was not declared"),
            Refusal::TrailerForbidden => ("trailer_forbidden", "a trailer that may not be one"),
            Refusal::Path(_) => ("path", "a path with no honest meaning"),
        }
    }
}
