//! The table of the regions: what the server believes of each, and what the clients meet there.

use std::time::Duration;

use crate::demo::layout::DemoRegion;
use crate::demo::tally::Figures;
use crate::demo::tiers::Count;
use crate::demo::tiers::State;
use crate::demo::tiers::Tiers;

/// A row's bar is so many columns wide.
const BAR: usize = 10;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// A head and a line for each region; none is wider than 80 columns.
pub fn lines(regions: &[DemoRegion], tiers: &[Tiers], figures: &[Figures], colour: bool) -> Vec<String> {
    let head = format!(
        "{:<9} {:<7} {:>3} {:>3} {:>4} {:>6} {:<15} {:>5} {:>6} {:>6} {:>6}",
        "region", "state", "L7", "L4", "apps", "req/s", "share", "fwd/s", "p50", "p99", "failed"
    );
    let rows = regions.iter().zip(tiers).zip(figures);
    std::iter::once(head).chain(rows.map(|((region, tiers), figures)| row(region, tiers, figures, colour))).collect()
}

fn row(region: &DemoRegion, tiers: &Tiers, figures: &Figures, colour: bool) -> String {
    let ink = match tiers.state {
        State::Up => GREEN,
        State::Down => RED,
        State::Drained => YELLOW,
    };
    let mut state = format!("{:<7}", tiers.state.words());
    if colour {
        state = format!("{ink}{state}{PLAIN}");
    }
    format!(
        "{:<9} {state} {:>3} {:>3} {:>4} {:>6.1} {:<10} {:>3.0}% {:>5.1} {:>6} {:>6} {:>6}",
        region.name,
        said(tiers.edges),
        said(tiers.zones),
        said(tiers.apps),
        figures.rate,
        bar(figures.share),
        figures.share * 100.0,
        figures.forwarded,
        millis(figures.p50),
        millis(figures.p99),
        figures.failed,
    )
}

fn said((up, all): Count) -> String {
    format!("{up}/{all}")
}

fn bar(share: f64) -> String {
    let filled = ((share * BAR as f64).round() as usize).min(BAR);
    "█".repeat(filled) + &"░".repeat(BAR - filled)
}

/// In milliseconds, with as many places as are worth reading.
fn millis(took: Option<Duration>) -> String {
    match took.map(|took| took.as_secs_f64() * 1e3) {
        None => "-".to_owned(),
        Some(millis) if millis < 10.0 => format!("{millis:.1}ms"),
        Some(millis) => format!("{millis:.0}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::layout::REGIONS;

    #[test]
    fn it_fits_a_screen() {
        let tiers = [State::Up, State::Down, State::Drained].map(|state| Tiers {
            state,
            edges: (1, 1),
            zones: (2, 2),
            apps: (3, 4),
        });
        let took = |millis| Some(Duration::from_micros(millis));
        let well = Figures { rate: 71.2, forwarded: 0.0, share: 0.356, p50: took(640), p99: took(2_480), failed: 0 };
        let ill = Figures { rate: 0.0, forwarded: 71.24, share: 0.0, p50: None, p99: None, failed: 123_456 };
        let last = Figures { rate: 1999.9, share: 1.0, p50: took(14_200), p99: took(4_999_000), ..well };
        let said = lines(&REGIONS[..3], &tiers, &[well, ill, last], false);
        let expected = [
            "region    state    L7  L4 apps  req/s share           fwd/s    p50    p99 failed",
            "eu-west   up      1/1 2/2  3/4   71.2 ████░░░░░░  36%   0.0  0.6ms  2.5ms      0",
            "us-east   down    1/1 2/2  3/4    0.0 ░░░░░░░░░░   0%  71.2      -      - 123456",
            "ap-south  drained 1/1 2/2  3/4 1999.9 ██████████ 100%   0.0   14ms 4999ms      0",
        ];
        assert_eq!(said, expected);
        assert!(said.iter().all(|line| line.chars().count() <= 80));
        let coloured = lines(&REGIONS[..1], &tiers, &[well], true);
        assert!(coloured[1].starts_with("eu-west   \x1b[32mup     \x1b[0m 1/1"), "{coloured:?}");
    }
}
