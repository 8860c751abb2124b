//! What the system says of this process, under the names that all Prometheus clients use.
//!
//! Read from `/proc` (proc(5)); what cannot be read is left out, as on systems that have none.

use std::fmt;
use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;

use crate::metrics::config::seconds;
use crate::metrics::page::Page;
use crate::model::Moment;

/// What was found.
#[derive(Debug)]
pub(super) struct Process {
    started_at: Moment,
    stat: Option<Stat>,
    open_descriptors: Option<usize>,
    descriptors_max: Option<u64>,
}

/// A line of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Process {
    /// Looks now; `started_at` is when it began.
    pub(super) fn look(started_at: Moment) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let limits = fs::read_to_string("/proc/self/limits").ok();
        Process {
            started_at,
            stat: stat.and_then(|line| Stat::read(&line, clock_ticks_per_second(), page_size() as u64)),
            // the folder is open while it is counted
            open_descriptors: fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1)),
            descriptors_max: limits.and_then(|text| descriptors_max(&text)),
        }
    }

    /// Writes all of it.
    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        if let Some(stat) = &self.stat {
            page.counter("process_cpu_seconds", "CPU time of the process, user and system", stat.cpu_seconds)?;
            page.gauge("process_resident_memory_bytes", "Memory that is resident", stat.resident_bytes)?;
            page.gauge("process_virtual_memory_bytes", "Memory that is mapped", stat.virtual_bytes)?;
            page.gauge("process_threads", "Threads of the process", stat.threads)?;
        }
        if let Some(count) = self.open_descriptors {
            page.gauge("process_open_fds", "File descriptors that are open", count)?;
        }
        if let Some(max) = self.descriptors_max {
            page.gauge("process_max_fds", "File descriptors that may be open", max)?;
        }
        let help = "When the process started, in seconds since the epoch";
        page.gauge("process_start_time_seconds", help, seconds(self.started_at))
    }
}

impl Stat {
    /// Fields are counted from behind the program's name, which may hold anything, brackets and spaces too.
    fn read(line: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // proc(5) counts from 1, and the first field here is its third
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_seconds: field(14)?.checked_add(field(15)?)? as f64 / ticks_per_second as f64,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)?.saturating_mul(page_bytes),
        })
    }
}

/// The soft limit in `/proc/self/limits`; none when there is no limit.
fn descriptors_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let line = "42 (rh) umb (x) S 1 42 42 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 12345 104857600 2560 184467";
        let read = Stat::read(line, 100, 4096);
        let stat = Stat { cpu_seconds: 2.0, threads: 7, virtual_bytes: 104_857_600, resident_bytes: 10_485_760 };
        assert_eq!(read, Some(stat));
        for junk in ["", ")", "1 (x", "1 (x) S 1", "1 (x) S a b c d e f g h i j k l m n o p q r s t u v w"] {
            assert_eq!(Stat::read(junk, 100, 4096), None, "{junk}");
        }
    }

    #[test]
    fn limits_are_read_where_there_are_any() {
        let text =
            "Limit                     Soft Limit   Hard Limit   Units\nMax open files            1024  4096  files\n";
        assert_eq!(descriptors_max(text), Some(1024));
        assert_eq!(descriptors_max("Max open files   unlimited  unlimited  files"), None);
        assert_eq!(descriptors_max(""), None);
    }
}
