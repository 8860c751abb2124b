//! What is proxied.
//!
//! All that the configuration names is there from the beginning, and what is alerted on is there at zero. Status codes and
//! reasons that never came are left out, as everywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::metrics::page::Page;
use crate::metrics::page::Samples;
use crate::metrics::page::Value;
use crate::proxy::cells::DURATION_BUCKETS;
use crate::proxy::cells::EndpointSums;
use crate::proxy::cells::Failure;
use crate::proxy::cells::ListenerSums;
use crate::proxy::cells::PoolSums;
use crate::proxy::counts::ProxyTotals;
use crate::server::log::LogCounts;

/// Stands where a request came to no route, to no pool, or had no response.
const NONE: &str = "none";
/// Stands for all codes and reasons that are not counted apart.
const OTHER: &str = "other";

/// Writes all of it.
pub(super) fn write(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    requests(page, totals)?;
    flows(page, totals)?;
    listeners(page, totals)?;
    pools(page, totals)?;
    endpoints(page, totals)
}

fn requests(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    let help = "Requests that are over, by status; code none: no response was sent, route none: there was none for it";
    page.counters("proxy_requests", help, |samples| {
        for (name, sums) in &totals.routes {
            let (route, pool) = (name.route.as_deref().unwrap_or(NONE), name.pool.as_deref().unwrap_or(NONE));
            for (code, count) in &sums.codes {
                let code =
                    code.map_or(OTHER.to_owned(), |code| if code == 0 { NONE.to_owned() } else { code.to_string() });
                let labels = [("listener", &*name.listener), ("route", route), ("pool", pool), ("code", &*code)];
                samples.add(labels, *count)?;
            }
        }
        Ok(())
    })?;
    let mut sent_on: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (name, sums) in totals.routes.iter().filter(|(_, sums)| sums.sent_on > 0) {
        *sent_on.entry((&name.listener, name.pool.as_deref().unwrap_or(NONE))).or_default() += sums.sent_on;
    }
    let help = "Requests of clients with an old answer of DNS that another region's pool was asked to serve; left out \
                where there were none";
    page.counters("proxy_misdirected_requests", help, |samples| {
        sent_on
            .iter()
            .try_for_each(|((listener, pool), count)| samples.add([("listener", *listener), ("pool", *pool)], *count))
    })
}

fn flows(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    let help = "Flows of listeners at L4 that are over, by how they ended; pool none: there was none for it";
    page.counters("proxy_flows", help, |samples| {
        for ((listener, pool), ends) in &totals.flows {
            for (end, count) in ends {
                let pool = pool.as_deref().unwrap_or(NONE);
                samples.add([("listener", &**listener), ("pool", pool), ("end", end.unwrap_or(OTHER))], *count)?;
            }
        }
        Ok(())
    })
}

fn listeners(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    let help = "How long requests took, from their first byte to their response's last";
    page.histograms("proxy_request_duration_seconds", help, |samples| {
        for (name, sums) in &totals.listeners {
            let ends = DURATION_BUCKETS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = ends.zip(sums.durations).collect();
            samples.histogram([("listener", &**name)], sums.micros as f64 / 1e6, &buckets)?;
        }
        Ok(())
    })?;
    page.gauges("proxy_requests_in_flight", "Requests that are not over", |samples| {
        of_listeners(samples, totals, |sums| sums.requests.now.into())
    })?;
    page.gauges("proxy_connections", "Connections of clients that are open", |samples| {
        of_listeners(samples, totals, |sums| sums.connections.now.into())
    })?;
    page.counters("proxy_connections_accepted", "Connections of clients since the start", |samples| {
        of_listeners(samples, totals, |sums| sums.connections.begun.into())
    })?;
    page.counters("proxy_bytes", "Bytes from clients (in) and to them (out), heads among them", |samples| {
        for (name, sums) in &totals.listeners {
            samples.add([("listener", &**name), ("direction", "in")], sums.bytes_in)?;
            samples.add([("listener", &**name), ("direction", "out")], sums.bytes_out)?;
        }
        Ok(())
    })?;
    let help = "Requests of clients that came by an old answer of DNS: no answer leads to the listener since a drain";
    page.counters("proxy_late_requests", help, |samples| of_listeners(samples, totals, |sums| sums.late.into()))?;
    let help = "Requests and connections that were not served, by why; left out where there were none";
    page.counters("proxy_refused", help, |samples| {
        for (name, sums) in &totals.listeners {
            for (reason, count) in &sums.refused {
                samples.add([("listener", &**name), ("reason", reason.unwrap_or(OTHER))], *count)?;
            }
        }
        Ok(())
    })
}

fn of_listeners(
    samples: &mut Samples<'_>,
    totals: &ProxyTotals,
    value: impl Fn(&ListenerSums) -> Value,
) -> fmt::Result {
    totals.listeners.iter().try_for_each(|(name, sums)| samples.add([("listener", &**name)], value(sums)))
}

fn pools(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    page.counters("proxy_upstream_failures", "Attempts that endpoints of the pool failed, by how", |samples| {
        for (name, sums) in &totals.pools {
            for (how, count) in Failure::ALL.iter().zip(sums.failures) {
                samples.add([("pool", &**name), ("reason", how.code())], count)?;
            }
        }
        Ok(())
    })?;
    page.counters("proxy_retries", "Requests that were tried again at another endpoint", |samples| {
        of_pools(samples, totals, |sums| sums.retries.into())
    })?;
    let help = "Requests that were not tried again because too many were";
    page.counters("proxy_retries_refused", help, |samples| {
        of_pools(samples, totals, |sums| sums.retries_refused.into())
    })?;
    let help = "1 while so few endpoints of the pool are up that requests go to all of them";
    page.gauges("proxy_pool_panic", help, |samples| of_pools(samples, totals, |sums| (sums.panicking > 0).into()))?;
    page.gauges("proxy_queue", "Requests that wait for an endpoint of the pool", |samples| {
        of_pools(samples, totals, |sums| sums.queue.now.into())
    })?;
    page.counters("proxy_queue_timeouts", "Requests that waited for an endpoint for too long", |samples| {
        of_pools(samples, totals, |sums| sums.queue_timeouts.into())
    })?;
    let help = "Requests with a sticky cookie: hit: they came to its endpoint; miss: it is gone, another was chosen";
    page.counters("proxy_sticky", help, |samples| {
        for (name, sums) in &totals.pools {
            samples.add([("pool", &**name), ("result", "hit")], sums.sticky_hits)?;
            samples.add([("pool", &**name), ("result", "miss")], sums.sticky_misses)?;
        }
        Ok(())
    })
}

fn of_pools(samples: &mut Samples<'_>, totals: &ProxyTotals, value: impl Fn(&PoolSums) -> Value) -> fmt::Result {
    totals.pools.iter().try_for_each(|(name, sums)| samples.add([("pool", &**name)], value(sums)))
}

fn endpoints(page: &mut Page<'_>, totals: &ProxyTotals) -> fmt::Result {
    page.counters("proxy_endpoint_requests", "Attempts at the endpoint, each retry among them", |samples| {
        of_endpoints(samples, totals, |sums| sums.requests.begun.into())
    })?;
    page.gauges("proxy_endpoint_requests_in_flight", "Attempts at the endpoint that are not over", |samples| {
        of_endpoints(samples, totals, |sums| sums.requests.now.into())
    })?;
    let help = "How often the endpoint was left out for what it did to requests";
    page.counters("proxy_ejections", help, |samples| of_endpoints(samples, totals, |sums| sums.ejections.into()))
}

fn of_endpoints(
    samples: &mut Samples<'_>,
    totals: &ProxyTotals,
    value: impl Fn(&EndpointSums) -> Value,
) -> fmt::Result {
    totals.endpoints.iter().try_for_each(|((pool, endpoint), sums)| {
        samples.add([("pool", &**pool), ("endpoint", &**endpoint)], value(sums))
    })
}

/// What became of the requests that the access log was to tell of.
pub(super) fn write_log(page: &mut Page<'_>, counts: &LogCounts) -> fmt::Result {
    page.counter("proxy_access_log_lines", "Lines written to the access log", counts.written.load(Relaxed))?;
    let help = "Lines for the access log that were not written, by why";
    page.counters("proxy_access_log_dropped", help, |samples| {
        let dropped = [("rate", &counts.over_rate), ("full", &counts.full), ("write_failed", &counts.failed)];
        dropped.into_iter().try_for_each(|(reason, count)| samples.add([("reason", reason)], count.load(Relaxed)))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::DescriptorEncoder;
    use prometheus_client::encoding::text::encode_registry;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::page::Format;
    use crate::proxy::counts::ProxyCounts;
    use crate::proxy::counts::samples::model;

    #[derive(Debug)]
    struct Alone(ProxyTotals, Format);

    impl Collector for Alone {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            write(&mut Page::new(encoder, self.1), &self.0)
        }
    }

    fn page(counts: &ProxyCounts, format: Format) -> String {
        let (mut text, mut registry) = (String::new(), Registry::with_prefix("rhumb"));
        registry.register_collector(Box::new(Alone(counts.totals(&model(&["edge"])), format)));
        encode_registry(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn what_is_alerted_on_is_there_before_it_happens() {
        let page = page(&ProxyCounts::default(), Format::Classic);
        for series in [
            r#"rhumb_proxy_requests_total{listener="edge",route="app",pool="eu",code="503"} 0"#,
            r#"rhumb_proxy_requests_total{listener="edge",route="none",pool="none",code="404"} 0"#,
            r#"rhumb_proxy_request_duration_seconds_bucket{le="+Inf",listener="edge"} 0"#,
            r#"rhumb_proxy_connections{listener="edge"} 0"#,
            r#"rhumb_proxy_bytes_total{listener="edge",direction="in"} 0"#,
            r#"rhumb_proxy_upstream_failures_total{pool="us",reason="5xx"} 0"#,
            r#"rhumb_proxy_retries_refused_total{pool="eu"} 0"#,
            r#"rhumb_proxy_pool_panic{pool="eu"} 0"#,
            r#"rhumb_proxy_queue_timeouts_total{pool="eu"} 0"#,
            r#"rhumb_proxy_ejections_total{pool="eu",endpoint="192.0.2.10"} 0"#,
        ] {
            assert!(page.lines().any(|line| line == series), "{series}\n{page}");
        }
    }

    #[test]
    fn what_was_counted_is_what_the_page_says() {
        let counts = ProxyCounts::default();
        let listener = counts.listener(0, "edge");
        listener.connection_opened();
        listener.request_begun();
        listener.request_ended(Duration::from_micros(1_500));
        listener.refused("host_missing");
        counts.route(0, "edge", Some("app"), Some("eu")).add(0);
        counts.pool(0, "eu").panics(true);
        counts.pool(1, "eu").panics(true);
        for (format, mark) in
            [(Format::Classic, "proxy_requests_total counter"), (Format::OpenMetrics, "proxy_requests counter")]
        {
            let page = page(&counts, format);
            for text in [
                mark,
                r#"rhumb_proxy_requests_total{listener="edge",route="app",pool="eu",code="none"} 1"#,
                r#"rhumb_proxy_request_duration_seconds_bucket{le="0.001",listener="edge"} 0"#,
                r#"rhumb_proxy_request_duration_seconds_bucket{le="0.0025",listener="edge"} 1"#,
                r#"rhumb_proxy_request_duration_seconds_sum{listener="edge"} 0.0015"#,
                r#"rhumb_proxy_connections{listener="edge"} 1"#,
                r#"rhumb_proxy_refused_total{listener="edge",reason="host_missing"} 1"#,
                r#"rhumb_proxy_pool_panic{pool="eu"} 1"#,
            ] {
                assert!(page.contains(text), "{text}\n{page}");
            }
        }
    }
}
