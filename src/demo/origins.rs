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
        origins.resume().await?;
        Ok(origins)
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

/// A port that is free on every endpoint of every region, so that one number fits all `curl` lines.
///
/// # Errors
/// When none of the candidates is free.
pub async fn common_port(regions: &[DemoRegion], candidates: impl Iterator<Item = u16>) -> Result<u16, String> {
    'port: for port in candidates {
        for address in regions.iter().flat_map(|r| r.endpoints()) {
            if TcpListener::bind((address, port)).await.is_err() {
                continue 'port;
            }
        }
        return Ok(port);
    }
    Err("no port is free on every address of the demo; stop what listens on 127.x.y.z, or use --origin-port".to_owned())
}
