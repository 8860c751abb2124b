//! From clients to endpoints.
//!
//! Of a flow that is known a datagram costs one look into the table and one call, less where several of a flow came together: no
//! lock, no allocation. All else happens once in the life of a session.

use std::io;
use std::rc::Rc;

use rustix::io::Errno;

use crate::model::Moment;
use crate::proxy::accept::Counted;
use crate::proxy::core::View;
use crate::proxy::flow::gate::Gate;
use crate::proxy::flow::story::End;
use crate::proxy::flow::udp::Serving;
use crate::proxy::flow::udp::session;
use crate::proxy::flow::udp::session::ATTEMPTS_MAX;
use crate::proxy::flow::udp::session::Link;
use crate::proxy::flow::udp::session::NoSocket;
use crate::proxy::flow::udp::session::Session;
use crate::proxy::flow::udp::table::Flow;
use crate::proxy::flow::udp::table::Place;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Chosen;
use crate::proxy::upstream::pool::Pool;
use crate::regional::choice::Wish;
use crate::regional::flow;
use crate::regional::which;
use crate::server::batch::parcels::Arrived;
use crate::server::batch::parcels::Inbox;

/// What a batch of datagrams goes by.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub view: &'a Rc<View>,
    pub gate: &'a Gate,
    pub now: Moment,
}

impl Serving {
    /// Sends on what came.
    pub(super) fn send_on(&mut self, inbox: &mut Inbox, count: usize, sight: Sight<'_>) {
        let (mut slot, mut next) = (0, inbox.arrived(0));
        while slot < count {
            let first = slot;
            let Some(arrived) = next else {
                sight.gate.cell.refused("truncated");
                slot += 1;
                next = (slot < count).then(|| inbox.arrived(slot)).flatten();
                continue;
            };
            let mut bytes = 0;
            while let Some(more) = next.filter(|more| is_of(more, &arrived)) {
                bytes += more.bytes;
                slot += 1;
                next = (slot < count).then(|| inbox.arrived(slot)).flatten();
            }
            let flow = Flow { client: arrived.client, local: arrived.local };
            if let Some(place) = self.place_of(&flow, inbox, first, sight)
                && self.send_run(place, inbox, (first, slot), sight)
            {
                self.has_sent(place, bytes, sight);
            }
        }
    }

    /// What is sent to an endpoint counts, whatever becomes of it.
    fn has_sent(&mut self, place: Place, bytes: usize, sight: Sight<'_>) {
        let Some(session) = self.table.session(place) else { return };
        session.story.bytes_in += bytes as u64;
        sight.gate.cell.bytes(bytes as u64, 0);
        let goes_on = !session.is_settled && session.link.as_ref().is_some_and(|link| link.has_answered);
        if goes_on {
            session.is_settled = true;
            self.table.settle(place, sight.now);
        } else {
            self.table.touch(place, sight.now);
        }
    }

    /// The flow's session, a new one if it has none.
    fn place_of(&mut self, flow: &Flow, inbox: &Inbox, slot: usize, sight: Sight<'_>) -> Option<Place> {
        if let Some(place) = self.table.find(flow) {
            match self.table.session(place).and_then(|session| session.over()) {
                None => return Some(place),
                Some(end) => self.end(place, end, sight.gate),
            }
        }
        self.open(flow, inbox, slot, sight)
    }

    #[cold]
    fn open(&mut self, flow: &Flow, inbox: &Inbox, slot: usize, sight: Sight<'_>) -> Option<Place> {
        let Sight { gate, now, .. } = sight;
        if self.leaving.is_some() {
            gate.cell.refused("leaving");
            return None;
        }
        if gate.bounds.asks_too_often(flow.client.ip(), now).is_some() {
            gate.cell.refused("client_rate");
            return None;
        }
        let most = gate.plan.listener.limits.connections_max;
        let held = gate.bounds.connection(most).or_else(|| {
            self.displace(gate);
            gate.bounds.connection(most)
        });
        let Some(held) = held else {
            gate.cell.refused("connections_max");
            return None;
        };
        let counted = Counted::new(gate.cell.clone());
        let session = Session::new(inbox.address(slot), flow.client, held, counted, now);
        let place = self.table.insert(*flow, session, now);
        if !self.link(place, sight) {
            // Nobody has heard of it, so neither does the log: there may be a million of these.
            self.table.remove(place);
            return None;
        }
        Some(place)
    }

    /// Sends the datagrams of one flow; whether an endpoint was found for them. One that refuses before it has answered is not
    /// the only one that is asked.
    fn send_run(&mut self, place: Place, inbox: &mut Inbox, (mut slot, end): (usize, usize), sight: Sight<'_>) -> bool {
        let mut refusals = 0;
        while slot < end {
            let Some(session) = self.table.session(place) else { return false };
            let Some(link) = &session.link else {
                if !self.link(place, sight) {
                    return false;
                }
                continue;
            };
            let error = match inbox.send_on(slot, end - slot, &link.socket) {
                Ok(sent) => {
                    slot += sent;
                    continue;
                }
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN | Errno::NOBUFS) => {
                    sight.gate.cell.refused("send_buffer");
                    return true;
                }
                Some(Errno::MSGSIZE) => {
                    sight.gate.cell.refused("too_long");
                    slot += 1;
                }
                // It is about the datagram before; this one has not been sent.
                _ if refusals < ATTEMPTS_MAX => {
                    refusals += 1;
                    session.refused(&self.core, &error, sight.now);
                }
                _ => return true,
            }
        }
        true
    }

    /// Gives it to an endpoint; whether there was one.
    #[cold]
    fn link(&mut self, place: Place, sight: Sight<'_>) -> bool {
        let Sight { view, gate, now } = sight;
        let (model, health) = (&view.world.snapshot.model, &view.world.health);
        let Some(own) = gate.plan.pool(None) else { return false };
        let Some(pool) = view.pool(which::pool(model, health, own)) else { return false };
        pool.request(now);
        for _ in 0..ATTEMPTS_MAX {
            let Some((at, in_flight)) = self.choose(place, pool, sight) else { return false };
            let address = in_flight.endpoint.address;
            let opened = session::connect(address).or_else(|error| match error {
                NoSocket::Shortage(_) if self.displace(gate) => session::connect(address),
                error => Err(error),
            });
            let opened = match opened {
                Ok(socket) => self.ready.add(&socket, place).map(|()| socket).map_err(NoSocket::Shortage),
                Err(error) => Err(error),
            };
            // Whose room was needed might have been its own.
            let Some(session) = self.table.session(place) else { return false };
            match opened {
                Ok(socket) => {
                    session.story.goes_to(pool);
                    session.story.tries(address);
                    let stay = self.stays.at(&self.core, &in_flight.endpoint, gate.plan.listener.drain_timeout);
                    if !in_flight.endpoint.live.is_admitting() {
                        self.trials.push((place, now));
                    }
                    let (pool, began) = (pool.clone(), now);
                    let (has_answered, is_refused) = (false, false);
                    let link = Link { socket, pool, at, in_flight, stay, began, has_answered, is_refused };
                    session.link = Some(link);
                    return true;
                }
                Err(NoSocket::NoWay(error)) => {
                    session::not_reached(&self.core, (pool, at), &error, now, now);
                    session.was_tried(pool.clone(), at);
                }
                Err(NoSocket::Shortage(error)) => {
                    gate.cell.refused("no_socket");
                    self.tell_of_shortage(&error, now);
                    return false;
                }
            }
        }
        gate.count(&self.core, Some(&pool.plan), End::NotConnected { too_late: false }.code());
        false
    }

    /// An endpoint that has not refused it, or any when all have.
    fn choose(&mut self, place: Place, pool: &Rc<Pool>, sight: Sight<'_>) -> Option<(usize, InFlight)> {
        let Sight { view, gate, now } = sight;
        let session = self.table.session(place)?;
        let key = flow::key(&pool.plan, session.client.ip());
        loop {
            let wish = Wish { key, draw: self.core.draw(), sticky: None };
            let tried = session.tried(pool);
            let end = match pool.choose_for_flow(view.look(), tried, wish, now) {
                Chosen::Endpoint(at, in_flight) => return Some((at, in_flight)),
                _ if !tried.is_empty() => {
                    session.forgets_tried();
                    continue;
                }
                Chosen::AllFull => End::QueueFull,
                Chosen::Nobody => End::NoEndpoint,
            };
            gate.count(&self.core, Some(&pool.plan), end.code());
            return None;
        }
    }

    /// Makes room; whether there was any to make.
    fn displace(&mut self, gate: &Gate) -> bool {
        let displaced = self.table.displace();
        let is_any = displaced.is_some();
        displaced.into_iter().for_each(|session| self.account(session, End::Displaced, gate));
        is_any
    }

    fn tell_of_shortage(&mut self, error: &io::Error, now: Moment) {
        // What is wrong with one is wrong with many.
        const AGAIN: std::time::Duration = std::time::Duration::from_secs(60);
        if self.told_of_shortage.is_none_or(|at| now.since(at) >= AGAIN) {
            self.told_of_shortage = Some(now);
            let (name, count) = (&self.listening.name, self.table.len());
            tracing::warn!(
                "listener {name}: no socket for a new flow beside {count} others: {error} (see net.ipv4.ip_local_port_range \
                 and the limit of open files)"
            );
        }
    }
}

/// Whether both are of one flow.
fn is_of(one: &Arrived, other: &Arrived) -> bool {
    (one.client, one.local) == (other.client, other.local)
}
