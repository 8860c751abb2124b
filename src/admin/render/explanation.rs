//! An [`Explanation`] as people read it.

use std::fmt::Write as _;

use crate::admin::dto::DecisionSaid;
use crate::admin::dto::Explanation;
use crate::admin::dto::LocateSaid;
use crate::admin::render::request;

/// The text that `rhumb explain` prints.
pub fn explanation(said: &Explanation) -> String {
    let mut out = String::new();
    let client = match &said.client.prefix {
        Some(prefix) => format!("client {prefix} (from {})", said.client.from),
        None => format!("client placed by {}", said.client.from),
    };
    let _ = writeln!(out, "{} {:<6} {client}", said.name, said.rtype);
    match &said.decision {
        Some(decision) => steps(&mut out, decision),
        None if said.answer.rcode == "none" => line(&mut out, "", "dns", "nobody asks: the URL has an address"),
        None if said.answer.rcode == "REFUSED" => line(&mut out, "", "zone", "none of ours holds this name"),
        None => line(&mut out, "", "zone", "answers as it is written; no VIP decides this name and type"),
    }
    if said.answer.rcode != "none" {
        answer(&mut out, said);
    }
    if let Some(next) = said.decision.as_ref().and_then(|d| d.next.as_ref()) {
        let then = match &next.pool {
            Some(pool) if *pool == next.if_fails => "it is answered all the same".to_owned(),
            Some(pool) => format!("{pool} -> {}", list(&next.endpoints)),
            None => "nothing is left".to_owned(),
        };
        line(&mut out, "", "next", &format!("if {} fails: {then}", next.if_fails));
    }
    said.request.iter().for_each(|request| request::request(&mut out, request));
    out
}

/// A line of a step.
pub(super) fn line(out: &mut String, number: &str, what: &str, text: &str) {
    let _ = writeln!(out, "{}", format!(" {number:<1} {what:<9} {text}").trim_end());
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "no address of this family".to_owned() } else { items.join(", ") }
}

fn steps(out: &mut String, decision: &DecisionSaid) {
    line(out, "1", "locate", &located(&decision.locate));
    ranked(out, decision);
    let mut number = "3";
    for pool in &decision.pools {
        let verdict = if pool.used { "use" } else { "drop" };
        let text = format!(
            "{:<12} {} of {} up (min {})   {verdict}: {}",
            pool.pool, pool.healthy, pool.endpoints, pool.min_healthy, pool.because
        );
        line(out, number, if number.is_empty() { "" } else { "pool" }, &text);
        number = "";
        for ejected in &pool.ejected {
            let answered = if ejected.answered { "; answered all the same: no other pool is up" } else { "" };
            line(out, "", "", &format!("{:<12} {} ejected: {}{answered}", "", ejected.endpoint, ejected.why));
        }
        for blocked in &pool.blocked {
            line(out, "", "", &format!("{:<12} {} blocked: {}", "", blocked.endpoint, blocked.why));
        }
    }
    if let Some(all_down) = &decision.all_down {
        line(out, number, "", &format!("no pool is left: when_all_down = \"{all_down}\""));
    }
    if decision.pools.iter().all(|pool| !pool.used) {
        return;
    }
    line(out, "4", "endpoint", &format!("{} -> {}", decision.chosen_by, list(&decision.endpoints)));
}

fn located(locate: &LocateSaid) -> String {
    let mut text = String::new();
    match (&locate.source, &locate.network) {
        (Some(source), Some(network)) => drop(write!(text, "{source} {network} -> ")),
        (Some(source), None) => drop(write!(text, "{source} -> ")),
        (None, _) => text.push_str("no database or network knows this client -> "),
    }
    text.push_str(locate.geo.as_deref().unwrap_or("nowhere"));
    if let Some([lat, lon]) = locate.location {
        let _ = write!(text, " at {lat:.2},{lon:.2}");
    }
    if let Some(asn) = locate.asn {
        let _ = write!(text, " AS{asn}");
    }
    if let Some(built) = &locate.built {
        let _ = write!(text, "   built {built}");
    }
    text
}

/// Step 2: what the policy made of the place.
fn ranked(out: &mut String, decision: &DecisionSaid) {
    let mut number = "2";
    let mut say = |out: &mut String, what: &str, text: &str| {
        line(out, number, if number.is_empty() { "" } else { what }, text);
        number = "";
    };
    let width = decision.rules.iter().map(|r| r.conditions.chars().count()).max().unwrap_or(0);
    for rule in &decision.rules {
        let verdict = match (rule.matched, rule.by.as_str()) {
            (false, _) => "no".to_owned(),
            (true, "") => "yes".to_owned(),
            (true, by) => format!("yes, {by}"),
        };
        let place = rule.place.as_deref().unwrap_or_default();
        say(out, "rule", &format!("#{} {:<width$}  {verdict:<12} {place}", rule.number, rule.conditions));
    }
    for step in &decision.order {
        let mut text = format!("{:<12}", step.pool);
        if let Some(ms) = step.milliseconds {
            let _ = write!(text, " {ms} ms");
        }
        if let Some(km) = step.km {
            let _ = write!(text, " {km:.0} km");
        }
        if let (Some(km), Some(biased)) = (step.km, step.biased_km)
            && (km - biased).abs() >= 1.0
        {
            let _ = write!(text, ", {biased:.0} km with its bias");
        }
        say(out, "order", &text);
    }
    if let Some(drawn) = &decision.drawn {
        let members: Vec<String> = drawn.members.iter().map(|(pool, weight)| format!("{pool} {weight}")).collect();
        let kept = match drawn.seconds {
            Some(seconds) => format!("drawn again every {seconds} s"),
            None => "for as long as it is up".to_owned(),
        };
        say(out, "draw", &format!("{} by {} -> {}, {kept}", members.join(", "), drawn.key, drawn.chosen));
    }
    if decision.rules.is_empty() && decision.order.is_empty() && decision.drawn.is_none() {
        say(out, "order", &format!("{}: as declared", decision.policy));
    }
}

fn answer(out: &mut String, said: &Explanation) {
    let scope = match (&said.answer.scope, &said.client.prefix) {
        (Some(scope), _) => format!("   ECS scope /{scope}"),
        (None, _) => String::new(),
    };
    let authority = if said.answer.authoritative { "" } else { "   not authoritative" };
    let records = &said.answer.records;
    match said.answer.records.first() {
        None => line(out, "", "answer", &format!("{} with no records{scope}{authority}", said.answer.rcode)),
        Some(first) => {
            line(out, "", "answer", first);
            records[1..].iter().for_each(|record| line(out, "", "", record));
            let ttl = said.decision.as_ref().map_or(String::new(), |d| format!("   ttl {}: {}", d.ttl, d.ttl_because));
            line(out, "", "", &format!("{}{ttl}{scope}{authority}", said.answer.rcode));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::admin::dto::AnswerSaid;
    use crate::admin::dto::ClientSaid;
    use crate::admin::dto::EjectedSaid;
    use crate::admin::dto::PoolSaid;
    use crate::admin::explain::tell_why_ejected;

    fn ejected(endpoint: &str, answered: bool) -> EjectedSaid {
        EjectedSaid { endpoint: endpoint.into(), answered, why: "its requests fail".into() }
    }

    fn said() -> Explanation {
        let pool = PoolSaid {
            pool: "eu-web".into(),
            region: "eu-west".into(),
            healthy: 1,
            endpoints: 2,
            min_healthy: 1,
            used: true,
            because: "first choice".into(),
            ejected: vec![ejected("eu-web/192.0.2.10", false), ejected("eu-web/192.0.2.11", true)],
            blocked: Vec::new(),
        };
        let decision = DecisionSaid {
            vip: "www.example.com.".into(),
            policy: "failover".into(),
            locate: LocateSaid { source: None, built: None, network: None, geo: None, location: None, asn: None },
            rules: Vec::new(),
            order: Vec::new(),
            drawn: None,
            pools: vec![pool],
            all_down: None,
            chosen_by: "the only one".into(),
            endpoints: vec!["192.0.2.11".into()],
            ttl: 8,
            ttl_because: "what is believed of an endpoint could turn then".into(),
            next: None,
        };
        let record = "www.example.com. 8 IN A 192.0.2.11".into();
        Explanation {
            name: "www.example.com.".into(),
            rtype: "A".into(),
            client: ClientSaid { prefix: Some("192.0.2.0/24".into()), from: "--client, as ECS".into() },
            decision: Some(decision),
            answer: AnswerSaid { rcode: "NOERROR".into(), authoritative: true, records: vec![record], scope: None },
            request: None,
        }
    }

    #[test]
    fn who_was_ejected_stands_below_its_pool_with_the_reason() {
        let mut said = said();
        let words = "5 failures in a row (connect refused), back in 8 s";
        tell_why_ejected(&mut said, &HashMap::from([("eu-web/192.0.2.10".to_owned(), words.to_owned())]));
        let shown = explanation(&said);
        let lines = "\
 3 pool      eu-web       1 of 2 up (min 1)   use: first choice
                          eu-web/192.0.2.10 ejected: 5 failures in a row (connect refused), back in 8 s
                          eu-web/192.0.2.11 ejected: its requests fail; answered all the same: no other pool is up
 4 endpoint  the only one -> 192.0.2.11
";
        assert!(shown.contains(lines), "{shown}");
    }
}
