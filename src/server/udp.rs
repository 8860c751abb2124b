//! Who answers UDP, and how fast?
//!
//! A worker is a thread with its own SO_REUSEPORT socket: receive a batch, answer it from one world, send the replies.
//! It shares nothing that is written while it answers, and waits for nothing but its socket. There is one thread for
//! each worker and listen address: a thread that watches several sockets pays a poll for every batch, while one that
//! waits for a quiet socket costs its stack.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::Socket;

use crate::responder::Transport;
use crate::responder::ahead::AHEAD_MIN;
use crate::server::answer::Answer;
use crate::server::batch::Batch;
use crate::server::bind;
use crate::server::counters::Counters;
use crate::server::counters::Tally;
use crate::server::dice::Dice;
use crate::server::pulse::Pulse;
use crate::server::pulse::Pulses;

/// How often an idle worker looks whether it shall stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Batches a stopping worker still answers: what was queued when it was told, and not what keeps coming.
const DRAIN_BATCHES_MAX: usize = 64;

/// Rest after a failed receive that waiting does not explain, so that a broken socket cannot spin a core.
const RECEIVE_FAILED_REST: Duration = Duration::from_millis(10);

/// What a worker is told, as a number that it reads between two batches.
mod told {
    /// Receive and answer.
    pub const GO_ON: u8 = 0;
    /// Answer what is queued, then end.
    pub const STOP: u8 = 1;
    /// Answer what was received and end: another process reads the same sockets.
    pub const LEAVE: u8 = 2;
}

/// The workers of one listen address.
#[derive(Debug)]
pub struct UdpWorkers {
    address: SocketAddr,
    sockets: Vec<Arc<Socket>>,
    threads: Vec<JoinHandle<()>>,
    told: Arc<AtomicU8>,
    counters: Vec<Arc<Counters>>,
    pulses: Vec<Arc<Pulse>>,
}

impl UdpWorkers {
    /// Starts one worker for each socket; all are bound to `address`.
    ///
    /// # Errors
    /// The system's, when it refuses a thread; those already started are stopped.
    pub fn start<A: Answer>(
        sockets: Vec<Socket>,
        address: SocketAddr,
        answer: &Arc<A>,
        pulses: &Pulses,
    ) -> io::Result<Self> {
        let mut workers = UdpWorkers {
            address,
            sockets: Vec::new(),
            threads: Vec::new(),
            told: Arc::default(),
            counters: Vec::new(),
            pulses: Vec::new(),
        };
        for socket in sockets {
            workers.add(Arc::new(socket), answer, pulses)?;
        }
        Ok(workers)
    }

    /// Starts more workers until there are `count`, each with a socket of its own in the group; where another can not
    /// be had, as beside one socket that the service manager opened, they share those that there are.
    ///
    /// # Errors
    /// The system's, when it refuses a thread.
    pub fn grow_to<A: Answer>(&mut self, count: usize, answer: &Arc<A>, pulses: &Pulses) -> io::Result<()> {
        while self.threads.len() < count {
            let socket = match bind::another(&self.sockets[0], self.address) {
                Ok(socket) => Arc::new(socket),
                Err(error) => {
                    tracing::debug!(address = %self.address, "UDP workers share a socket: {error}");
                    self.sockets[self.threads.len() % self.sockets.len()].clone()
                }
            };
            self.add(socket, answer, pulses)?;
        }
        Ok(())
    }

    fn add<A: Answer>(&mut self, socket: Arc<Socket>, answer: &Arc<A>, pulses: &Pulses) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(STOP_CHECK))?;
        let number = self.threads.len();
        let counters = Arc::<Counters>::default();
        let pulse = pulses.begin(format!("UDP worker {number} of {}", self.address));
        let worker = Worker {
            socket: socket.clone(),
            address: self.address,
            view: answer.worker_view(),
            answer: answer.clone(),
            counters: counters.clone(),
            told: self.told.clone(),
            pulse: pulse.clone(),
            dice: Dice::new(),
            complained: false,
        };
        let name = format!("udp-{number}"); // the kernel shows 15 characters
        self.threads.push(thread::Builder::new().name(name).spawn(move || worker.run())?);
        self.counters.push(counters);
        self.pulses.push(pulse);
        if !self.sockets.iter().any(|known| Arc::ptr_eq(known, &socket)) {
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Every socket that is read, for a successor: a datagram goes to whoever reads first.
    pub fn sockets(&self) -> &[Arc<Socket>] {
        &self.sockets
    }

    /// What each worker counts in.
    pub fn counters(&self) -> impl Iterator<Item = &Arc<Counters>> {
        self.counters.iter()
    }

    /// Has the workers answer what is queued and end; within about 100 ms.
    pub fn stop(&mut self) {
        self.tell(told::STOP);
    }

    /// Has the workers answer what they have received and end; what is queued is for whoever reads the sockets now.
    pub fn leave(&mut self) {
        self.tell(told::LEAVE);
    }

    /// The first word counts: who leaves does not stop afterwards. From now on only a worker that goes on all the same is
    /// watched: that the others are still is as it should be.
    fn tell(&mut self, what: u8) {
        self.pulses.clear();
        let _ = self.told.compare_exchange(told::GO_ON, what, Relaxed, Relaxed);
    }

    /// Stops the workers, if nobody did, and waits for their end.
    pub fn join(mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // a worker that panicked outside of answering has been reported by the panic hook
            let _ = thread.join();
        }
    }
}

impl Drop for UdpWorkers {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker<A: Answer> {
    socket: Arc<Socket>,
    address: SocketAddr,
    answer: Arc<A>,
    view: A::View,
    counters: Arc<Counters>,
    told: Arc<AtomicU8>,
    pulse: Arc<Pulse>,
    dice: Dice,
    complained: bool,
}

impl<A: Answer> Worker<A> {
    fn run(mut self) {
        let mut batch = Batch::new(self.address.is_ipv6(), self.address.ip().is_unspecified());
        while self.told.load(Relaxed) == told::GO_ON {
            self.pulse.beat();
            self.receive_and_answer(&mut batch, true);
        }
        if self.told.load(Relaxed) == told::LEAVE {
            return;
        }
        for _ in 0..DRAIN_BATCHES_MAX {
            if !self.receive_and_answer(&mut batch, false) {
                break;
            }
        }
    }

    /// One batch; whether there was one.
    fn receive_and_answer(&mut self, batch: &mut Batch, wait: bool) -> bool {
        match batch.receive(&self.socket, wait) {
            Ok(count) => self.answer_batch(batch, count),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                // an idle worker lets go of the world it answered from
                self.answer.refresh(&mut self.view);
                return false;
            }
            Err(error) => {
                self.complain(&format!("receiving failed: {error}"));
                thread::sleep(RECEIVE_FAILED_REST);
                return false;
            }
        }
        true
    }

    fn answer_batch(&mut self, batch: &mut Batch, count: usize) {
        let mut tally = Tally { queries: count as u64, ..Tally::default() };
        self.answer.refresh(&mut self.view);
        if count >= AHEAD_MIN {
            // It changes no answer, so whatever became of it, the batch is answered.
            let _ = catch_unwind(AssertUnwindSafe(|| self.answer.read_ahead(&self.view, batch.unanswered())));
        }
        // A panic is a defect of ours; it may cost one answer, not the worker.
        while catch_unwind(AssertUnwindSafe(|| self.answer_rest(batch, &mut tally))).is_err() {
            batch.fail_one();
            tally.panics += 1;
            tally.responses[2] += 1;
            self.complain("answering a query panicked; SERVFAIL was sent. Please report this");
        }
        // first counted, then sent: who has an answer finds it counted
        self.counters.add(&tally);
        let unsent = batch.send(&self.socket) as u64;
        if unsent > 0 {
            self.counters.add(&Tally { unsent, ..Tally::default() });
        }
    }

    /// Answers what is left of the batch.
    fn answer_rest(&mut self, batch: &mut Batch, tally: &mut Tally) {
        let passed_over = batch.answer(|query, out| {
            let random = self.dice.roll();
            let outcome = self.answer.answer(&self.view, query.bytes, query.source, Transport::Udp, random, out);
            tally.count(&outcome);
            outcome.bytes
        });
        tally.unreadable += passed_over as u64;
    }

    /// Once for each worker: what is wrong with one datagram is wrong with many.
    #[cold]
    fn complain(&mut self, what: &str) {
        if !self.complained {
            self.complained = true;
            tracing::error!(address = %self.address, "UDP worker: {what} (said once; see the counters)");
        }
    }
}
