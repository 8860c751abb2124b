//! `[access_log]`: what was left out filled in.

use crate::config::spec::Spec;
use crate::model::AccessLogSettings;

/// `[access_log]`; nothing is logged without it.
pub fn access_log(spec: &Spec) -> Option<AccessLogSettings> {
    let log = spec.access_log.as_ref()?;
    let default = AccessLogSettings::default();
    Some(AccessLogSettings {
        file: log.file.as_ref().map(|file| file.value.clone()),
        sample: log.sample.unwrap_or(default.sample),
        format: log.format.as_ref().map_or(default.format, |format| format.value),
        client: log.client.as_ref().map_or(default.client, |client| client.value),
        rate_max: log.rate_max.as_ref().map_or(default.rate_max, |rate| rate.value as u32),
    })
}
