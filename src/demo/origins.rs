//! The applications of the demo: one small HTTP server for each endpoint, which a whole region can lose at once.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::demo::layout::DemoRegion;

/// The origins of one region.
pub struct Origins {
    region: DemoRegion,
    port: u16,
    serving: Vec<JoinHandle<()>>,
}

impl Origins {
    /// Starts every origin of a region on `port`.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub async fn start(region: DemoRegion, port: u16) -> Result<Self, String> {
        let mut origins = Origins { region, port, serving: Vec::new() };
        match origins.resume().await {
            Ok(()) => Ok(origins),
            Err(error) => {
                origins.fail().await;
                Err(error)
            }
        }
    }

    /// Stops every origin of the region: connections are refused from now on, those in hand are cut.
    pub async fn fail(&mut self) {
        for task in self.serving.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts them again.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub async fn resume(&mut self) -> Result<(), String> {
        for address in self.region.endpoints() {
            let socket = SocketAddr::new(IpAddr::V4(address), self.port);
            let listener = TcpListener::bind(socket).await.map_err(|e| format!("cannot bind {socket}: {e}"))?;
            let says = format!("{} ({}) served by {address}\n", self.region.name, self.region.label);
            let pages = Router::new().route("/healthz", get(|| async { "ok\n" })).fallback(page).with_state(says);
            self.serving.push(tokio::spawn(async move {
                // Accept errors are retried inside; it ends when the task is aborted.
                let _ = axum::serve(listener, pages).await;
            }));
        }
        Ok(())
    }
}

async fn page(State(says): State<String>) -> String {
    says
}

/// Starts the origins of all regions on one port, so that one number fits all `curl` lines: the first of the candidates
/// that is free on all their addresses.
///
/// # Errors
/// Why the last candidate could not be had.
pub async fn start_all(
    regions: &[DemoRegion],
    candidates: impl Iterator<Item = u16>,
) -> Result<(u16, Vec<Origins>), String> {
    let mut reason = "no port to try".to_owned();
    for port in candidates {
        match start_on(regions, port).await {
            Ok(origins) => return Ok((port, origins)),
            Err(error) => reason = error,
        }
    }
    Err(format!("{reason}; stop what listens there, or choose another with --origin-port"))
}

async fn start_on(regions: &[DemoRegion], port: u16) -> Result<Vec<Origins>, String> {
    let mut started = Vec::new();
    for region in regions {
        match Origins::start(*region, port).await {
            Ok(origins) => started.push(origins),
            Err(error) => {
                for mut origins in started {
                    origins.fail().await;
                }
                return Err(error);
            }
        }
    }
    Ok(started)
}
