//! Orders as people read them: what was taken, what has ended, what is in force.

use crate::admin::dto::OrderState;
use crate::admin::dto::Override;
use crate::admin::dto::Phase;
use crate::admin::render::table::Cell;
use crate::admin::render::table::Tone;
use crate::admin::render::table::plain;
use crate::admin::render::times;
use crate::admin::when;
use crate::model::Moment;

/// `region/ap-south`.
pub fn subject(order: &Override) -> String {
    format!("{}/{}", order.kind, order.name)
}

/// The standing that an order makes, in operators' words: `drain`, `forced-down`, `weight 50`.
pub fn state(order: &Override) -> String {
    match (order.state, order.weight) {
        (OrderState::Drain, _) => "drain".to_owned(),
        (OrderState::Maint, _) => "maint".to_owned(),
        (OrderState::Up, _) => "forced-up".to_owned(),
        (OrderState::Down, _) => "forced-down".to_owned(),
        (OrderState::Weight, Some(weight)) => format!("weight {weight}"),
        (OrderState::Weight, None) => "weight".to_owned(),
    }
}

/// When an order holds: `29m00s left`, `in 10m00s, for 30m00s`, `until ended`.
pub fn span(order: &Override, now: Option<Moment>) -> String {
    match (order.phase, &order.until) {
        (Phase::Planned, Some(until)) => {
            let lasts = times::since(when::read(until).ok(), &order.begins);
            format!("in {}, for {lasts}", times::until(now, &order.begins))
        }
        (Phase::Planned, None) => format!("in {}, until ended", times::until(now, &order.begins)),
        (_, Some(until)) => format!("{} left", times::until(now, until)),
        (_, None) => "until ended".to_owned(),
    }
}

/// Its state as a cell.
pub fn state_cell(order: &Override) -> Cell {
    let tone = if order.phase == Phase::InForce { Tone::Warning } else { Tone::Plain };
    Cell::toned(state(order), tone)
}

/// `kernel update (ada)`, `(ada)`.
pub fn papers(order: &Override) -> String {
    let dormant = if order.phase == Phase::Dormant { ", not in the configuration now" } else { "" };
    let by = format!("({}{dormant})", plain(&order.by));
    if order.reason.is_empty() { by } else { format!("{} {by}", plain(&order.reason)) }
}

/// What is said when an order was taken.
pub fn taken(order: &Override, now: Option<Moment>) -> String {
    let (subject, state) = (subject(order), state(order));
    let begins = match order.phase {
        Phase::Planned => {
            format!("{state} from {}, in {}", times::second(&order.begins), times::until(now, &order.begins))
        }
        Phase::InForce => format!("{state} from now"),
        Phase::Dormant => format!("{state}, once it is in the configuration"),
    };
    let until = match &order.until {
        Some(until) => format!("until {} ({} left)", times::second(until), times::until(now, until)),
        None => "until it is ended".to_owned(),
    };
    let reason = if order.reason.is_empty() { String::new() } else { format!(": {}", plain(&order.reason)) };
    format!("{subject}: {begins}, {until}, by {}{reason}\n", plain(&order.by))
}

/// What is said when orders were ended.
pub fn ended(subject: &str, aspect: &str, ended: &[Override]) -> String {
    if ended.is_empty() {
        return format!("{subject} has no {aspect}; nothing to end\n");
    }
    ended.iter().map(|order| format!("{subject}: {} ended, ordered by {}\n", state(order), papers_of(order))).collect()
}

fn papers_of(order: &Override) -> String {
    let reason = if order.reason.is_empty() { String::new() } else { format!(": {}", plain(&order.reason)) };
    format!("{} at {}{reason}", plain(&order.by), times::second(&order.since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain() -> Override {
        Override {
            kind: "region".into(),
            name: "eu-west".into(),
            state: OrderState::Drain,
            weight: None,
            reason: "kernel".into(),
            by: "ada".into(),
            since: "2026-11-18T09:30:00.250Z".into(),
            begins: "2026-11-18T09:30:00.250Z".into(),
            until: Some("2026-11-18T10:00:00.250Z".into()),
            phase: Phase::InForce,
            persistent: true,
        }
    }

    #[test]
    fn an_order_says_what_is_in_force_and_until_when() {
        let now = when::read("2026-11-18T09:30:00.250Z").ok();
        let says = "region/eu-west: drain from now, until 2026-11-18T10:00:00Z (30m00s left), by ada: kernel\n";
        assert_eq!(taken(&drain(), now), says);
        let planned = Override {
            begins: "2026-11-18T09:40:00.250Z".into(),
            until: None,
            reason: String::new(),
            phase: Phase::Planned,
            ..drain()
        };
        let says = "region/eu-west: drain from 2026-11-18T09:40:00Z, in 10m00s, until it is ended, by ada\n";
        assert_eq!(taken(&planned, now), says);
        assert_eq!(span(&planned, now), "in 10m00s, until ended");
        assert_eq!(span(&drain(), now), "30m00s left");
    }

    #[test]
    fn an_end_says_what_was() {
        let says = "region/eu-west: drain ended, ordered by ada at 2026-11-18T09:30:00Z: kernel\n";
        assert_eq!(ended("region/eu-west", "order", &[drain()]), says);
        assert_eq!(ended("pool/p", "order", &[]), "pool/p has no order; nothing to end\n");
    }
}
