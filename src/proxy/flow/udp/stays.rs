//! How long sessions may stay at an endpoint that was taken out, or was found down by a pool that wants flows closed then.
//!
//! All sessions of an endpoint share that time: one is looked at for tens of thousands.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Context;
use std::task::Waker;
use std::time::Duration;

use crate::proxy::core::Core;
use crate::proxy::drain;
use crate::proxy::flow::story::End;
use crate::proxy::upstream::endpoint::Endpoint;
use crate::proxy::upstream::tunnels::Tunnel;

/// Those of one listener and core.
#[derive(Debug, Default)]
pub struct Stays(HashMap<*const Endpoint, Rc<Stay>>);

/// Sessions at one endpoint, until they have to go.
#[derive(Debug)]
pub struct Stay {
    /// What is here keeps its address, which it is found by.
    _endpoint: Rc<Endpoint>,
    tunnel: Tunnel,
    over: Cell<Option<End>>,
}

impl Stay {
    /// Why it is over, if it is.
    pub fn over(&self) -> Option<End> {
        self.over.get()
    }
}

impl Stays {
    /// Where a new session at that endpoint belongs.
    pub fn at(&mut self, core: &Core, endpoint: &Rc<Endpoint>, drain: Duration) -> Rc<Stay> {
        let enter = || {
            let tunnel = endpoint.tunnels.enter(core.deadlines.another(), drain::time(drain, core.draw()));
            Rc::new(Stay { _endpoint: endpoint.clone(), tunnel, over: Cell::default() })
        };
        self.0.entry(Rc::as_ptr(endpoint)).or_insert_with(enter).clone()
    }

    /// There are no sessions.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Looks which of them are over by now; whether any is. Those that nobody has any more are let go of.
    pub fn look(&mut self) -> bool {
        let (mut is_any, mut cx) = (false, Context::from_waker(Waker::noop()));
        self.0.retain(|_, stay| {
            let is_over = stay.tunnel.poll_over(&mut cx).is_ready();
            if is_over {
                stay.over.set(Some(if stay.tunnel.is_cut() { End::EndpointDown } else { End::Drained }));
                is_any = true;
            }
            !is_over && Rc::strong_count(stay) > 1
        });
        is_any
    }
}
