//! `load` of a `[pool.*]` as it was written: where the load is read, and from which load on clients are sent elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::codes;
use crate::config::fields::Fields;
use crate::config::fields::List;
use crate::config::forms::Form;
use crate::config::forms::Wrong;
use crate::config::forms::wrong;
use crate::config::reports::Reports;
use crate::config::source::Span;
use crate::config::source::Written;
use crate::config::spec::quantities::percent;
use crate::model::LoadOf;

/// More places than this that serve one pool read like a mistake.
pub const URLS_MAX: usize = 32;
/// The longest address of a document.
const URL_BYTES_MAX: usize = 2_048;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// `load`.
#[derive(Debug)]
pub struct Load {
    /// Where it begins.
    pub span: Span,
    /// Where documents are.
    pub urls: Option<List<String>>,
    /// Whose load is looked for in them.
    pub of: Option<Written<LoadOf>>,
    /// Per cent: nobody is sent elsewhere.
    pub low: Option<Written<u32>>,
    /// Per cent: everybody is.
    pub high: Option<Written<u32>>,
    /// Between readings.
    pub interval: Option<Written<Duration>>,
    /// A file with a token.
    pub token_file: Option<Written<PathBuf>>,
    /// Whether certificates are verified.
    pub verify: Option<Written<bool>>,
    /// The roots to trust.
    pub ca_file: Option<Written<PathBuf>>,
}

/// `"https://10.0.0.1:8853/v1/headroom"`.
const URL: Form<String> =
    Form { what: "an address", code: codes::FORM, example: "\"https://10.0.0.1:8853/v1/headroom\"", read: url };

/// `"region/eu-west"`, `"pool/eu-app"`.
const OF: Form<LoadOf> = Form { what: "a region or pool", code: codes::FORM, example: "\"region/eu-west\"", read: of };

impl Load {
    /// Takes it out of the keys of a pool.
    pub fn read(reports: &mut Reports<'_>, fields: &mut Fields) -> Option<Load> {
        let takes = "a table, as in `{ urls = [\"https://10.0.0.1:8853/v1/headroom\"], low = 0.7, high = 0.9 }`";
        let mut table = fields.table(reports, "load", takes)?;
        let load = Load {
            span: table.span,
            urls: table.forms(reports, "urls", &URL),
            of: table.form(reports, "of", &OF),
            low: percent(reports, &mut table, "low", 0..=99),
            high: percent(reports, &mut table, "high", 1..=100),
            interval: table.duration(reports, "interval", SECOND..=HOUR),
            token_file: table.path(reports, "token_file"),
            verify: table.flag(reports, "verify"),
            ca_file: table.path(reports, "ca_file"),
        };
        table.finish(reports);
        Some(load)
    }
}

fn url(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write `https://ADDRESS:PORT/v1/headroom`, where the admin API of the region's load balancer is";
    if text.len() > URL_BYTES_MAX {
        return wrong("it is too long", HELP);
    }
    let Ok(uri) = text.parse::<http::Uri>() else { return wrong("it cannot be read", HELP) };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("it begins with neither `https://` nor `http://`", HELP);
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return wrong("what it is opened with does not belong there", "use `token_file`");
    }
    if uri.host().unwrap_or_default().is_empty() {
        return wrong("the host is missing", HELP);
    }
    if uri.path() == "/" {
        return wrong("the path is missing", format!("write `{}/v1/headroom`", text.trim_end_matches('/')));
    }
    Ok(text.to_owned())
}

fn of(text: &str) -> Result<LoadOf, Wrong> {
    match text.split_once('/') {
        Some(("region", name)) if !name.is_empty() => Ok(LoadOf::Region(name.to_owned())),
        Some(("pool", name)) if !name.is_empty() => Ok(LoadOf::Pool(name.to_owned())),
        _ => wrong("it is neither", "write `region/NAME` or `pool/NAME`, as the publisher calls it"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is written: it is read or refused, and what is read is what was written.
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", host in "[a-z0-9.-]{1,20}", path in "/[a-z/]{1,20}") {
            if let Ok(read) = url(&text) {
                prop_assert_eq!(&read, &text);
            }
            if let Ok(read) = of(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
            let written = format!("https://{host}{path}");
            prop_assert!(url(&written).is_ok() || host.starts_with(['-', '.']) || host.contains(".."), "{}", written);
        }
    }
}
