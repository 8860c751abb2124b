//! An event as the log has it.

use std::fmt::Write as _;

use crate::admin::dto::EventSaid;
use crate::admin::render::table::Paint;
use crate::admin::render::table::Tone;
use crate::admin::render::table::plain;

/// `2026-11-18T09:30:00.250Z endpoint=eu-web/192.0.2.10 up -> down after=3 reason="…" effective=down`.
pub fn event(said: &EventSaid, paint: Paint) -> String {
    let (at, kind, name) = (&said.at, &said.kind, plain(&said.name));
    let (from, to) = (plain(&said.from), paint.word(tone(&said.to), &plain(&said.to)));
    let mut line = format!("{} {kind}={name} {from} -> {to}", paint.word(Tone::Faint, at));
    if said.after > 0 {
        let _ = write!(line, " after={}", said.after);
    }
    let effective = paint.word(tone(&said.effective), &plain(&said.effective));
    let _ = writeln!(line, " reason={:?} effective={effective}", said.reason);
    line
}

/// What a standing's word looks like.
pub fn tone(standing: &str) -> Tone {
    match standing {
        "up" => Tone::Good,
        "down" | "failed" | "refused" => Tone::Bad,
        "blocked" | "drain" | "maint" | "ejected" | "forced-up" | "forced-down" | "unknown" | "shedding" | "weight" => {
            Tone::Warning
        }
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_the_log_has_it() {
        let said = EventSaid {
            number: 7,
            at: "2026-11-18T09:30:00.250Z".into(),
            kind: "endpoint".into(),
            name: "eu-web/192.0.2.10".into(),
            from: "up".into(),
            to: "down".into(),
            after: 3,
            reason: "L4CON connection refused".into(),
            effective: "down".into(),
        };
        let line = "2026-11-18T09:30:00.250Z endpoint=eu-web/192.0.2.10 up -> down after=3 \
                    reason=\"L4CON connection refused\" effective=down\n";
        assert_eq!(event(&said, Paint(false)), line);
        assert!(event(&said, Paint(true)).contains("-> \x1b[1;31mdown\x1b[0m after=3"));
    }
}
