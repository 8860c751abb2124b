//! The stable codes of configuration problems, for people who search for them and programs that sort by them.
//!
//! A code keeps its meaning for good; one that is no longer used is not given away again.

/// A file cannot be read.
pub const FILE: &str = "E0001";
/// A file is not UTF-8 text.
pub const UTF8: &str = "E0002";
/// A file is not TOML.
pub const SYNTAX: &str = "E0003";
/// An `include` that cannot be followed.
pub const INCLUDE: &str = "E0004";
/// Two files hold the same key.
pub const TWICE: &str = "E0005";
/// More text than we are willing to hold.
pub const TOO_LARGE: &str = "E0006";

/// A name that is not defined.
pub const UNDEFINED: &str = "E0101";
/// A key that nothing reads.
pub const UNKNOWN_KEY: &str = "E0102";
/// A section that nothing reads.
pub const UNKNOWN_SECTION: &str = "E0103";
/// A value of another type than the key takes.
pub const TYPE: &str = "E0104";
/// A word that is none of those a key takes.
pub const WORD: &str = "E0105";
/// A key that must be there and is not.
pub const MISSING: &str = "E0106";
/// A text that is no duration.
pub const DURATION: &str = "E0107";
/// A text that is no address, socket or network.
pub const ADDRESS: &str = "E0108";
/// A text that is no geographic code.
pub const GEO_CODE: &str = "E0109";
/// A text that cannot be a name.
pub const NAME: &str = "E0110";
/// Another text that does not have its form.
pub const FORM: &str = "E0111";
/// A number or duration outside its range.
pub const RANGE: &str = "E0112";

/// Keys that do not go together, or have no meaning here.
pub const MISPLACED: &str = "E0120";
/// A geolocation policy whose last rule does not match everyone.
pub const NO_CATCH_ALL: &str = "E0121";
/// A rule that no client can reach.
pub const UNREACHABLE: &str = "E0122";
/// `fallback` goes round in a circle.
pub const FALLBACK_LOOP: &str = "E0123";
/// A list that must not be empty.
pub const EMPTY: &str = "E0124";
/// The same thing listed twice.
pub const REPEATED: &str = "E0125";
/// A pool that can never have enough endpoints.
pub const MIN_HEALTHY: &str = "E0126";
/// A way of balancing that DNS cannot do.
pub const BALANCE: &str = "E0127";
/// A policy that needs something which is not configured.
pub const POLICY_NEEDS: &str = "E0128";
/// Two keys that claim one socket.
pub const SOCKET: &str = "E0129";
/// An encrypted transport without a certificate.
pub const NO_CERTIFICATE: &str = "E0130";
/// A probe that does not know which port to try.
pub const NO_PORT: &str = "E0131";
/// A file or directory that is named and does not exist.
pub const NO_FILE: &str = "E0132";
/// An admin listener that would let anyone in.
pub const OPEN_DOOR: &str = "E0133";
/// A route that cannot be served as it is written.
pub const ROUTE: &str = "E0134";
/// A path that no request can have, because requests are brought into one form.
pub const PATH_FORM: &str = "E0135";
/// A proxy that would balance over everything while DNS still sends clients.
pub const PANIC: &str = "E0136";
/// Listeners that send to each other in a circle.
pub const CIRCLE: &str = "E0137";

/// Something is defined and never used.
pub const UNUSED: &str = "W0101";
/// A part of a rule that an earlier rule already has.
pub const SHADOWED: &str = "W0102";
/// A TTL that outlives what we believe.
pub const LONG_TTL: &str = "W0103";
/// A socket that a wildcard socket covers.
pub const COVERED: &str = "W0104";
/// A certificate that is checked against an address.
pub const NO_HOST: &str = "W0105";
/// Every weight is 0.
pub const NO_WEIGHT: &str = "W0106";
/// A file that is read already is included again.
pub const INCLUDED_TWICE: &str = "W0107";
/// There is no zone.
pub const NOTHING_SERVED: &str = "W0108";
/// A route that an earlier route leaves nothing for.
pub const ROUTE_SHADOWED: &str = "W0109";
/// A key that has no effect beside the others.
pub const NO_EFFECT: &str = "W0110";
/// Every endpoint is a backup.
pub const ALL_BACKUPS: &str = "W0111";
