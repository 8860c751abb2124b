//! An endpoint with room for a request; where all are full, the queue.

use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use crate::model::Moment;
use crate::proxy::exchange::Request;
use crate::proxy::front::Front;
use crate::proxy::reply::Reply;
use crate::proxy::story::Story;
use crate::proxy::upstream::endpoint::InFlight;
use crate::proxy::upstream::pool::Chosen;
use crate::proxy::upstream::pool::Pool;
use crate::regional::choice::Wish;

impl Request<'_> {
    /// An endpoint with room, waited for if need be.
    pub(super) async fn admit<F: Front>(
        &self,
        pool: &Rc<Pool>,
        tried: &[u32],
        wish: Wish,
        now: &mut Moment,
        front: &mut F,
        story: &mut Story,
    ) -> Result<(usize, InFlight), Option<Reply>> {
        let look = self.view.look();
        match pool.choose(look, tried, wish, *now) {
            Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
            Chosen::Nobody => {
                story.nobody();
                return Err(Some(Reply::unavailable(None)));
            }
            Chosen::AllFull => {}
        }
        Box::pin(self.queue(pool, tried, wish, now, front, story)).await
    }

    /// Waits for room. On the heap: hardly any request comes here.
    async fn queue<F: Front>(
        &self,
        pool: &Rc<Pool>,
        tried: &[u32],
        wish: Wish,
        now: &mut Moment,
        front: &mut F,
        story: &mut Story,
    ) -> Result<(usize, InFlight), Option<Reply>> {
        let look = self.view.look();
        let limits = &self.client.door.front.listener.limits;
        let full = || Reply::unavailable(Some(limits.queue_timeout.as_secs().max(1)));
        let Some(place) = pool.queue.enter(limits.queue_max) else {
            story.queue_full();
            return Err(Some(full()));
        };
        pool.cell.queued();
        let began = self.core.now();
        let until = began + limits.queue_timeout;
        loop {
            // Also at first: somebody may have left on another core before we had a place, and told nobody.
            match pool.choose(look, tried, wish, *now) {
                Chosen::Endpoint(at, in_flight) => {
                    pool.cell.left_queue();
                    return Ok((at, in_flight));
                }
                Chosen::AllFull => {}
                Chosen::Nobody => {
                    pool.cell.left_queue();
                    story.nobody();
                    return Err(Some(Reply::unavailable(None)));
                }
            }
            let waited = tokio::time::timeout_at(
                self.core.shared.clock.instant(until).into(),
                unless_gone(front, place.freed()),
            )
            .await;
            *now = self.core.now();
            story.queued(now.since(began));
            match waited {
                Err(_) => {
                    pool.cell.queue_timed_out();
                    story.queue_timed_out();
                    return Err(Some(full()));
                }
                Ok(None) => {
                    pool.cell.left_queue();
                    story.client_failed(false);
                    front.abort();
                    return Err(None);
                }
                Ok(Some(())) => {}
            }
        }
    }
}

/// Until somebody frees a place, or the client goes.
async fn unless_gone<F: Front>(front: &mut F, freed: impl Future<Output = ()>) -> Option<()> {
    let mut freed = std::pin::pin!(freed);
    std::future::poll_fn(|cx| {
        if freed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(()));
        }
        front.poll_gone(cx).map(|()| None)
    })
    .await
}
