//! How far did this request get?
//!
//! "Timed out" is not enough: a host that is gone, a TLS terminator that hangs and an application that is slow are three
//! different nights for an operator. The HTTP client does not say, so the hooks it has are used to note it: the name
//! resolver (which also sends the request to the endpoint under test, whatever name it carries), the TLS session store
//! (asked when a handshake begins, that is, when TCP is connected) and a layer around its connector (done when the
//! connection is). They find the probe they belong to in a task-local, because one client serves thousands of targets.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use tower_layer::Layer;
use tower_service::Service;

/// The step a request is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// TCP is being connected.
    Connecting,
    /// TLS is being agreed on.
    Securing,
    /// The connection stands; the response is awaited or read.
    Asking,
}

tokio::task_local! {
    static PROBE: Arc<Progress>;
}

/// One probe under way.
#[derive(Debug)]
pub(super) struct Progress {
    address: SocketAddr,
    phase: AtomicU8,
}

impl Progress {
    /// A probe of this address that has not begun.
    pub(super) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Progress { address, phase: AtomicU8::new(Phase::Connecting as u8) })
    }

    /// Runs a request as this probe.
    pub(super) async fn track<F: Future>(self: &Arc<Self>, request: F) -> F::Output {
        PROBE.scope(self.clone(), request).await
    }

    /// How far it got.
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Connecting,
            1 => Phase::Securing,
            _ => Phase::Asking,
        }
    }
}

fn reached(phase: Phase) {
    // An error means that no probe runs in this task: there is nobody to tell.
    let _ = PROBE.try_with(|probe| probe.phase.store(phase as u8, Ordering::Relaxed));
}

/// "Resolves" any name to the address of the endpoint under test.
#[derive(Debug)]
pub(super) struct EndpointResolver;

impl Resolve for EndpointResolver {
    fn resolve(&self, _name: Name) -> Resolving {
        let address = PROBE.try_with(|probe| probe.address);
        Box::pin(std::future::ready(match address {
            Ok(address) => Ok(Box::new(std::iter::once(address)) as Addrs),
            Err(_) => Err("a request outside of a probe".into()),
        }))
    }
}

/// Remembers no session, so that each probe makes a full handshake, and hears when one begins.
#[derive(Debug)]
pub(super) struct NoSessions;

impl ClientSessionStore for NoSessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        reached(Phase::Securing);
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Wraps the client's connector.
#[derive(Debug, Clone)]
pub(super) struct ConnectedLayer;

impl<S> Layer<S> for ConnectedLayer {
    type Service = Connected<S>;
    fn layer(&self, connector: S) -> Connected<S> {
        Connected(connector)
    }
}

/// A connector that says when its connection stands.
#[derive(Debug, Clone)]
pub(super) struct Connected<S>(S);

impl<S, R> Service<R> for Connected<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let connecting = self.0.call(destination);
        Box::pin(async move { connecting.await.inspect(|_| reached(Phase::Asking)) })
    }
}
