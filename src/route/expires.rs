//! How long may a response be kept? nginx's `expires`.
//!
//! Sets `Expires` and `Cache-Control` as ngx_http_headers_module does, on the responses it does it for, over what the backend
//! said. `30d` is a time from now, `-1h` and `epoch` mean "do not keep it", `max` is ten years.

use std::time::Duration;

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::header::EXPIRES;

use crate::model::Expires;
use crate::model::Moment;

/// The length of `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_LEN: usize = 29;

/// nginx's own: one second after the epoch, and the last minute but four of 2037.
const EPOCH: &str = "Thu, 01 Jan 1970 00:00:01 GMT";
const MAX: &str = "Thu, 31 Dec 2037 23:55:55 GMT";

/// Whether responses of that status get the headers: those a cache may keep, and the redirects.
pub fn is_for(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

/// Sets the headers of a response.
pub fn apply(expires: Expires, status: StatusCode, headers: &mut HeaderMap, now: Moment) {
    if is_for(status) {
        let (date, control) = values(expires, now);
        headers.insert(EXPIRES, date);
        headers.insert(CACHE_CONTROL, control);
    }
}

/// `Expires` and `Cache-Control`.
fn values(expires: Expires, now: Moment) -> (HeaderValue, HeaderValue) {
    let no_cache = HeaderValue::from_static("no-cache");
    match expires {
        Expires::Epoch => (HeaderValue::from_static(EPOCH), no_cache),
        Expires::Max => (HeaderValue::from_static(MAX), HeaderValue::from_static("max-age=315360000")),
        Expires::After(kept) => {
            let control = HeaderValue::try_from(format!("max-age={}", kept.as_secs()));
            (dated(now + kept), control.expect("digits may stand in a header"))
        }
        Expires::Before(past) => (dated(before(now, past)), no_cache),
    }
}

fn before(now: Moment, past: Duration) -> Moment {
    Moment(now.0.saturating_sub(u64::try_from(past.as_micros()).unwrap_or(u64::MAX)))
}

fn dated(moment: Moment) -> HeaderValue {
    HeaderValue::from_bytes(&date(moment)).expect("a date is letters, digits and spaces")
}

/// A moment as HTTP writes it (RFC 9110 section 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`; the last second of 9999 for any later.
pub fn date(moment: Moment) -> [u8; DATE_LEN] {
    /// 9999-12-31 23:59:59.
    const LAST: u64 = 253_402_300_799;
    let seconds = moment.secs().min(LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    out[..3].copy_from_slice(&b"ThuFriSatSunMonTueWed"[(days % 7) as usize * 3..][..3]);
    out[8..11].copy_from_slice(&b"JanFebMarAprMayJunJulAugSepOctNovDec"[(month as usize - 1) * 3..][..3]);
    for (at, number) in
        [(5, day), (12, year / 100), (14, year % 100), (17, second / 3600), (20, second / 60 % 60), (23, second % 60)]
    {
        out[at] = b'0' + (number / 10) as u8;
        out[at + 1] = b'0' + (number % 10) as u8;
    }
    out
}

/// Year, month and day of so many days after 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22 20:00:00 UTC, a Sunday.
    const NOW: Moment = Moment::from_secs(1_795_377_600);

    fn applied(expires: Expires, status: u16) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        apply(expires, StatusCode::from_u16(status).unwrap(), &mut headers, NOW);
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned());
        Some((text(EXPIRES)?, text(CACHE_CONTROL)?))
    }

    #[test]
    fn as_nginx_has_it() {
        let text = |date: &str, control: &str| Some((date.to_owned(), control.to_owned()));
        let day = Duration::from_secs(86_400);
        assert_eq!(applied(Expires::After(30 * day), 200), text("Tue, 22 Dec 2026 20:00:00 GMT", "max-age=2592000"));
        assert_eq!(applied(Expires::After(Duration::ZERO), 200), text("Sun, 22 Nov 2026 20:00:00 GMT", "max-age=0"));
        assert_eq!(applied(Expires::Before(day), 200), text("Sat, 21 Nov 2026 20:00:00 GMT", "no-cache"));
        assert_eq!(applied(Expires::Epoch, 200), text("Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"));
        assert_eq!(applied(Expires::Max, 200), text("Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000"));
    }

    #[test]
    fn only_on_what_may_be_kept() {
        let with: Vec<u16> = (100..600).filter(|status| applied(Expires::Max, *status).is_some()).collect();
        assert_eq!(with, [200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);
    }

    #[test]
    fn it_replaces_what_the_backend_said() {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        apply(Expires::Max, StatusCode::OK, &mut headers, NOW);
        assert_eq!(headers.get_all(CACHE_CONTROL).iter().count(), 1);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let text = |seconds| String::from_utf8(date(Moment::from_secs(seconds)).to_vec()).unwrap();
        assert_eq!(text(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(text(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(text(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(date(Moment(u64::MAX)).len(), DATE_LEN);
    }

    proptest! {
        /// As the `time` crate counts.
        #[test]
        fn dates_are_right(seconds in 0u64..=253_402_300_799) {
            let known = time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap();
            let (weekday, month) = (known.weekday().to_string(), known.month().to_string());
            let expected = format!(
                "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                &weekday[..3], known.day(), &month[..3], known.year(), known.hour(), known.minute(), known.second()
            );
            let written = date(Moment::from_secs(seconds));
            prop_assert_eq!(written.as_slice(), expected.as_bytes());
        }
    }
}
