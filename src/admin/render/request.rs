//! What becomes of a request, as people read it: the steps that follow those of DNS.

use std::fmt::Write as _;

use crate::admin::dto::EndpointStep;
use crate::admin::dto::FlowStep;
use crate::admin::dto::MemberStep;
use crate::admin::dto::OutcomeSaid;
use crate::admin::dto::RequestSaid;
use crate::admin::dto::RoutedPool;
use crate::admin::dto::SentSaid;
use crate::admin::render::explanation::line;

/// Steps 5 to 9, and what comes of it.
pub(super) fn request(out: &mut String, said: &RequestSaid) {
    let _ = writeln!(out, "\n{} {} client {}", said.method, said.url, said.client);
    let region = said.region.as_deref().unwrap_or("none");
    line(out, "5", "region", &format!("{region}   {}", said.region_because));
    listeners(out, said);
    routes(out, said);
    said.pool.iter().for_each(|pool| routed(out, pool));
    said.endpoint.iter().for_each(|step| endpoint(out, step));
    flows(out, &said.flows);
    said.sent.iter().for_each(|step| sent(out, step));
    outcome(out, &said.outcome);
}

/// Says a step's lines under one number.
struct Lines<'a> {
    out: &'a mut String,
    number: &'static str,
    what: &'static str,
}

impl Lines<'_> {
    fn say(&mut self, text: &str) {
        line(self.out, std::mem::take(&mut self.number), std::mem::take(&mut self.what), text);
    }
}

/// The longest of these.
fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

fn listeners(out: &mut String, said: &RequestSaid) {
    let mut lines = Lines { out, number: "6", what: "listener" };
    let name = width(said.listeners.iter().map(|step| step.listener.as_str()));
    let address = width(said.listeners.iter().map(|step| step.address.as_str()));
    for step in &said.listeners {
        let used = yes_or_no(step.used);
        lines.say(&format!("{:<name$}  {:<address$}  {used}: {}", step.listener, step.address, step.because));
    }
}

fn routes(out: &mut String, said: &RequestSaid) {
    let mut lines = Lines { out, number: "7", what: "route" };
    let name = width(said.routes.iter().map(|step| step.route.as_str()));
    for step in &said.routes {
        lines.say(&format!("#{} {:<name$}  {}", step.number, step.route, step.because));
    }
}

/// What listeners at L4 do, each on lines of its own.
fn flows(out: &mut String, steps: &[FlowStep]) {
    let mut lines = Lines { out, number: "10", what: "L4" };
    for flow in steps {
        lines.say(&format!("{} is listener {}", flow.endpoint, flow.listener));
        for pool in &flow.looked_at {
            let verdict = if pool.used { "use" } else { "drop" };
            lines.say(&format!("  {}  {verdict}: {}", pool.pool, pool.because));
        }
        chosen(&mut lines, &flow.step, "  ");
    }
}

fn routed(out: &mut String, pool: &RoutedPool) {
    let mut lines = Lines { out, number: "8", what: "pool" };
    if let Some(by) = &pool.shared_by {
        let shared: Vec<String> = pool.shared.iter().map(|(pool, weight)| format!("{pool} {weight}")).collect();
        lines.say(&format!("{} by {by} -> {}", shared.join(", "), pool.own));
    }
    let name = width(pool.looked_at.iter().map(|step| step.pool.as_str()));
    for step in &pool.looked_at {
        let verdict = if step.used { "use" } else { "drop" };
        lines.say(&format!("{:<name$}  {verdict}: {}", step.pool, step.because));
    }
}

fn endpoint(out: &mut String, step: &EndpointStep) {
    chosen(&mut Lines { out, number: "9", what: "endpoint" }, step, "");
}

fn chosen(lines: &mut Lines<'_>, step: &EndpointStep, inset: &str) {
    let key = step.key.as_ref().map(|key| format!(" by {key}")).unwrap_or_default();
    let chosen = step.chosen.as_ref().map(|chosen| format!(" -> {chosen}")).unwrap_or_default();
    lines.say(&format!("{inset}{}{key}{chosen}: {}", step.method, step.because));
    if let Some(sticky) = &step.sticky {
        lines.say(&format!("{inset}{sticky}"));
    }
    if step.panics {
        let panics = "too few are up to carry the load: the pool panics, and requests go to all that are not taken out";
        lines.say(&format!("{inset}{panics}"));
    }
    let address = width(step.members.iter().map(|member| member.address.as_str()));
    for member in &step.members {
        let mark = if step.chosen.as_ref() == Some(&member.address) { "*" } else { " " };
        lines.say(&format!("{inset}{mark} {:<address$}  {}", member.address, standing(member)));
    }
}

fn standing(member: &MemberStep) -> String {
    let mut text = format!("weight {}", member.weight);
    if let Some(percent) = member.percent {
        let _ = write!(text, ", {percent} %");
    }
    if let Some(in_flight) = member.in_flight {
        let _ = write!(text, ", {in_flight} in hand");
    }
    if member.backup {
        text.push_str(", backup");
    }
    let candidate = if member.candidate { "" } else { "; not now" };
    let _ = write!(text, "   {}{candidate}", member.standing);
    text
}

fn sent(out: &mut String, sent: &SentSaid) {
    let mut lines = Lines { out, number: "", what: "sent" };
    lines.say(&format!("{} {} for {} in {}", sent.method, sent.target, sent.authority, sent.protocol));
    let ours = sent.headers.iter().filter(|header| !header.is_the_clients);
    ours.for_each(|header| lines.say(&format!("+ {}: {}", header.name, header.value)));
    sent.removed.iter().for_each(|name| lines.say(&format!("- {name}")));
    let again = match sent.retries {
        0 => "never tried again".to_owned(),
        1 => format!("tried again once, {}", sent.retried),
        times => format!("tried again {times} times, {}", sent.retried),
    };
    lines.say(&format!("{} s for the response's head; {again}", sent.timeout_ms as f64 / 1_000.0));
    let mut lines = Lines { out, number: "", what: "response" };
    sent.response.iter().for_each(|change| lines.say(change));
}

fn outcome(out: &mut String, said: &OutcomeSaid) {
    let mut text = said.what.replace('-', " ");
    if let Some(status) = said.status {
        let _ = write!(text, " {status}");
    }
    if let Some(code) = &said.code {
        let _ = write!(text, " ({code})");
    }
    if let Some(location) = &said.location {
        let _ = write!(text, " to {location}");
    }
    if !said.because.is_empty() {
        let _ = write!(text, ": {}", said.because);
    }
    let mut lines = Lines { out, number: "", what: "outcome" };
    lines.say(&text);
    said.body.iter().flat_map(|body| body.lines()).for_each(|text| lines.say(text));
}
