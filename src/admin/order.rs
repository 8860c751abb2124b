//! The body of an order: read field by field, so that everything that is wrong with it is told at once, each with the
//! JSON pointer (RFC 6901) of its place.
//!
//! Whether an order makes sense for its subject, and whether it is safe, the keeper says.

use std::time::Duration;

use serde_json::Map;
use serde_json::Value;

use crate::admin::dto::ErrorSaid;
use crate::admin::failure::Kind;
use crate::admin::when;
use crate::config::forms;
use crate::health::forced::Forced;
use crate::health::forced::Order;
use crate::model::Moment;

/// The keys of a body.
const KEYS: [&str; 8] = ["state", "weight", "reason", "begins", "in", "until", "for", "force"];
const STATES: [&str; 5] = ["drain", "maint", "up", "down", "weight"];
/// The longest reason, in bytes: it is shown in one line.
const REASON_BYTES_MAX: usize = 500;
/// No plan is older than this when its time comes.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// An order as it was sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ordered {
    pub(super) forced: Forced,
    /// Even if it leaves a VIP without a healthy pool.
    pub(super) anyway: bool,
}

/// Reads a body; `by` gives the order.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(body: &[u8], by: &str, now: Moment) -> Result<Ordered, (Kind, Vec<ErrorSaid>)> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let detail = match body.is_empty() {
            true => "the body is empty; send what is ordered, as in {\"state\": \"drain\"}".to_owned(),
            false => format!("the body is not JSON: {error}"),
        };
        (Kind::Body, vec![ErrorSaid { detail, pointer: None, parameter: None }])
    })?;
    let mut fields = Fields { errors: Vec::new(), map: Map::new() };
    match value {
        Value::Object(map) => fields.map = map,
        _ => fields.wrong("", "the body is an object, as in {\"state\": \"drain\"}"),
    }
    let ordered = if fields.errors.is_empty() { fields.ordered(by, now) } else { None };
    match ordered {
        Some(ordered) if fields.errors.is_empty() => Ok(ordered),
        _ => Err((Kind::Override, fields.errors)),
    }
}

/// The fields of a body, and what is wrong with them.
struct Fields {
    map: Map<String, Value>,
    errors: Vec<ErrorSaid>,
}

impl Fields {
    fn ordered(&mut self, by: &str, now: Moment) -> Option<Ordered> {
        self.unknown_keys();
        let order = self.order();
        let reason = self.reason();
        let begins = self.moment("begins", "in", now, now);
        let begins = if begins.given { begins.moment? } else { now };
        let until = self.moment("until", "for", begins, now);
        if let Some(until) = until.moment
            && until <= begins
        {
            self.wrong("/until", "the order would end before it begins");
        }
        let anyway = self.force();
        let (reason, by) = (reason?, by.to_owned());
        let until = if until.given { Some(until.moment?) } else { None };
        Some(Ordered { forced: Forced { order: order?, reason, by, since: now, begins, until }, anyway: anyway? })
    }

    fn wrong(&mut self, pointer: &str, detail: impl Into<String>) {
        let pointer = Some(pointer.to_owned());
        self.errors.push(ErrorSaid { detail: detail.into(), pointer, parameter: None });
    }

    fn unknown_keys(&mut self) {
        let unknown: Vec<String> = self.map.keys().filter(|key| !KEYS.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            let near = KEYS.iter().find(|known| strsim::jaro_winkler(known, &key) > 0.8);
            let help = near
                .map_or_else(|| format!("there are: {}", KEYS.join(", ")), |near| format!("did you mean `{near}`?"));
            // RFC 6901 section 3.
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            self.wrong(&pointer, format!("an order has no `{}`; {help}", key.escape_debug()));
        }
    }

    /// A field that is there; `null` is as good as absent.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.map.get(key).filter(|value| !value.is_null()).cloned()
    }

    /// A text, if there is one; what is none has been told.
    fn text(&mut self, key: &str, takes: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.wrong(&format!("/{key}"), format!("`{key}` takes {takes}, not {}", kind(&other)));
                None
            }
        }
    }

    fn order(&mut self) -> Option<Order> {
        let states = format!("one of {}", STATES.join(", "));
        if self.take("state").is_none() {
            self.wrong("/state", format!("`state` is missing: {states}"));
            return None;
        }
        let state = self.text("state", &states)?;
        let weight = self.weight(state == "weight");
        match state.as_str() {
            "drain" => Some(Order::Drain),
            "maint" => Some(Order::Maint),
            "up" => Some(Order::Up),
            "down" => Some(Order::Down),
            "weight" => weight.map(Order::Weight),
            other => {
                let near = STATES.iter().find(|known| strsim::jaro_winkler(known, other) > 0.8);
                let help = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                self.wrong("/state", format!("`{}` is not {states}{help}", other.escape_debug()));
                None
            }
        }
    }

    fn weight(&mut self, wanted: bool) -> Option<u32> {
        let takes = format!("`weight` takes a whole number from 0 to {}", crate::config::spec::pools::WEIGHT_MAX);
        match (self.take("weight"), wanted) {
            (None, false) => None,
            (None, true) => {
                self.wrong("/weight", format!("{takes}, and is missing"));
                None
            }
            (Some(_), false) => {
                self.wrong("/weight", "`weight` has a meaning with `\"state\": \"weight\"` only");
                None
            }
            (Some(value), true) => {
                let weight = value.as_u64().filter(|weight| *weight <= crate::config::spec::pools::WEIGHT_MAX);
                if weight.is_none() {
                    self.wrong("/weight", takes);
                }
                weight.map(|weight| weight as u32)
            }
        }
    }

    fn reason(&mut self) -> Option<String> {
        if self.take("reason").is_none() {
            return Some(String::new());
        }
        let text = self.text("reason", "a text")?;
        if text.len() > REASON_BYTES_MAX || text.chars().any(char::is_control) {
            self.wrong("/reason", format!("`reason` is one line of at most {REASON_BYTES_MAX} bytes"));
            return None;
        }
        Some(text)
    }

    fn force(&mut self) -> Option<bool> {
        match self.take("force") {
            None => Some(false),
            Some(Value::Bool(force)) => Some(force),
            Some(other) => {
                self.wrong("/force", format!("`force` takes true or false, not {}", kind(&other)));
                None
            }
        }
    }

    /// A moment to come, told as a time or as a duration after `from`.
    fn moment(&mut self, time: &'static str, span: &'static str, from: Moment, now: Moment) -> Told {
        let given = |key: &str, this: &mut Self| this.take(key).is_some();
        let (by_time, by_span) = (given(time, self), given(span, self));
        if by_time && by_span {
            self.wrong(&format!("/{span}"), format!("give `{time}` or `{span}`, not both"));
        }
        let (key, moment) = if by_time {
            let text = self.text(time, "a time such as \"2026-11-18T09:30:00Z\"");
            (time, text.map(|text| when::read(&text)))
        } else if by_span {
            (span, self.text(span, "a duration such as \"30m\"").map(|text| after(&text, from)))
        } else {
            return Told { given: false, moment: None };
        };
        let moment = match moment {
            Some(Ok(moment)) if moment < now => Err(format!("`{key}` has passed already")),
            Some(Ok(moment)) if moment - now > AHEAD_MAX => Err(format!("`{key}` is more than ten years ahead")),
            Some(other) => other,
            None => return Told { given: true, moment: None },
        };
        let moment = moment.map_err(|detail| self.wrong(&format!("/{key}"), detail)).ok();
        Told { given: true, moment }
    }
}

/// A moment that may have been told.
struct Told {
    given: bool,
    /// None as well when what was told is wrong.
    moment: Option<Moment>,
}

fn after(text: &str, from: Moment) -> Result<Moment, String> {
    match (forms::DURATION.read)(text) {
        Ok(Duration::ZERO) => Err("it is no time at all".to_owned()),
        Ok(span) => Ok(from + span),
        Err(wrong) => {
            let help = wrong.help.map_or_else(String::new, |help| format!("; {help}"));
            Err(format!("`{}` is not a duration: {}{help}", text.escape_debug(), wrong.why))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::admin::dto;

    const NOW: Moment = Moment::from_secs(1_800_000_000);

    fn pointers(body: &str) -> Vec<String> {
        let (_, errors) = read(body.as_bytes(), "ada", NOW).unwrap_err();
        errors.iter().map(|e| e.pointer.clone().unwrap_or_else(|| "-".into())).collect()
    }

    #[test]
    fn an_order_is_what_was_sent() {
        let body = r#"{"state": "drain", "reason": "kernel", "in": "10m", "for": "1h30m", "force": true}"#;
        let Ordered { forced, anyway } = read(body.as_bytes(), "ada", NOW).unwrap();
        assert_eq!(
            (forced.order, forced.reason.as_str(), forced.by.as_str(), anyway),
            (Order::Drain, "kernel", "ada", true)
        );
        assert_eq!(forced.begins - NOW, Duration::from_secs(600));
        assert_eq!(forced.until.unwrap() - forced.begins, Duration::from_secs(5400));
        let plain = read(br#"{"state": "weight", "weight": 0, "until": "2027-01-15T08:00:01Z", "in": null}"#, "a", NOW)
            .unwrap();
        assert_eq!((plain.forced.order, plain.forced.begins), (Order::Weight(0), NOW));
        assert_eq!(plain.forced.until, Some(NOW + Duration::from_secs(1)));
    }

    #[test]
    fn everything_wrong_is_told_with_its_place() {
        for (body, expected) in [
            ("", vec!["-"]),
            ("{", vec!["-"]),
            ("[]", vec![""]),
            ("{}", vec!["/state"]),
            (r#"{"state": "dran"}"#, vec!["/state"]),
            (r#"{"state": 1, "reason": 2, "force": "yes"}"#, vec!["/state", "/reason", "/force"]),
            (r#"{"state": "drain", "weight": 3}"#, vec!["/weight"]),
            (r#"{"state": "weight", "weight": -1}"#, vec!["/weight"]),
            (r#"{"state": "weight"}"#, vec!["/weight"]),
            (r#"{"state": "drain", "untill": 1, "a/b~": 1}"#, vec!["/a~1b~0", "/untill"]),
            (r#"{"state": "drain", "until": "soon"}"#, vec!["/until"]),
            (r#"{"state": "drain", "until": "2001-01-01T00:00:00Z"}"#, vec!["/until"]),
            (r#"{"state": "drain", "until": "9001-01-01T00:00:00Z"}"#, vec!["/until"]),
            (r#"{"state": "drain", "for": "30"}"#, vec!["/for"]),
            (r#"{"state": "drain", "for": "0s"}"#, vec!["/for"]),
            (r#"{"state": "drain", "for": "1m", "until": "2027-02-01T00:00:00Z"}"#, vec!["/for"]),
            (r#"{"state": "drain", "in": "2h", "until": "2027-01-15T08:30:00Z"}"#, vec!["/until"]),
            (r#"{"state": "drain", "reason": "a\nb"}"#, vec!["/reason"]),
        ] {
            assert_eq!(pointers(body), expected, "{body}");
        }
        let (_, errors) = read(br#"{"state": "dran"}"#, "ada", NOW).unwrap_err();
        assert!(errors[0].detail.contains("did you mean `drain`"), "{errors:?}");
    }

    #[test]
    fn what_our_own_client_sends_is_understood() {
        let ordered = dto::OverrideOrdered {
            state: dto::OrderState::Weight,
            weight: Some(7),
            reason: Some("canary".into()),
            begins: None,
            begins_in: Some("5m".into()),
            until: None,
            lasts: Some("1h".into()),
            force: false,
        };
        let read = read(&serde_json::to_vec(&ordered).unwrap(), "ada", NOW).unwrap();
        assert_eq!(read.forced.order, Order::Weight(7));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, "ada", NOW);
        }

        #[test]
        fn no_json_panics(
            state in "(drain|maint|up|down|weight|\\PC{0,5})", weight in any::<i64>(), until in "\\PC{0,30}",
            lasts in "[0-9]{0,20}[a-z]{0,2}", begins in "[0-9TZ:.-]{0,25}",
        ) {
            let body = serde_json::json!({"state": state, "weight": weight, "until": until, "for": lasts, "begins": begins});
            let _ = read(body.to_string().as_bytes(), "ada", NOW);
            let body = serde_json::json!({"state": state, "for": lasts});
            let _ = read(body.to_string().as_bytes(), "ada", NOW);
        }
    }
}
