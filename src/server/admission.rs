//! May one more connection come in?
//!
//! Counts connections over all listeners, and for each client; a slot is given back when it is dropped. Clients are
//! IPv4 addresses and IPv6 /64 networks: one host commands all addresses of its /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections open now. A std mutex: held for one map operation for each connection, never over a wait.
#[derive(Debug, Default)]
pub struct Admission {
    open: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
}

/// One connection's place among its client's; dropping it frees the place.
#[derive(Debug)]
pub struct ClientSlot {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    /// A place, unless `most` are taken.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let slot = Slot { admission: self.clone() };
        // counts first, then looks: two that race both see the other. The slot's end takes the count back.
        let before = self.open.fetch_add(1, Relaxed);
        (before < most).then_some(slot)
    }

    /// A place for a connection from that address, unless its client has `most`.
    pub fn enter_as(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<ClientSlot> {
        let client = client_of(address);
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let open = by_client.entry(client).or_insert(0);
        if *open >= most {
            if *open == 0 {
                by_client.remove(&client);
            }
            return None;
        }
        *open += 1;
        Some(ClientSlot { admission: self.clone(), client })
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Relaxed);
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut by_client = self.admission.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = by_client.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let admission = Arc::<Admission>::default();
        let first = admission.enter(2).unwrap();
        let _second = admission.enter(2).unwrap();
        assert!(admission.enter(2).is_none());
        drop(first);
        assert!(admission.enter(2).is_some());
        assert_eq!(admission.open(), 1);
    }

    #[test]
    fn a_slash_64_is_one_client_and_leaves_nothing_behind() {
        let admission = Arc::<Admission>::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = admission.enter_as(ip("2001:db8::1"), 1).unwrap();
        assert!(admission.enter_as(ip("2001:db8::ffff:2"), 1).is_none());
        let other = admission.enter_as(ip("2001:db8:0:1::1"), 1).unwrap();
        let v4 = admission.enter_as(ip("192.0.2.1"), 1).unwrap();
        assert!(admission.enter_as(ip("::ffff:192.0.2.1"), 1).is_none());
        drop((one, other, v4));
        assert!(admission.by_client.lock().unwrap().is_empty());
    }
}
