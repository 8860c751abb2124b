//! An endpoint with room for a request; where all are full, the queue.

use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use crate::model::Moment;
use crate::proxy::core::View;
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
        // Who waits was here before.
        if pool.queue.waiting() == 0 {
            let later = (!tried.is_empty()).then(|| self.view_now(pool));
            match pool.choose(later.as_ref().unwrap_or(self.view).look(), tried, wish, *now) {
                Chosen::Endpoint(at, in_flight) => return Ok((at, in_flight)),
                Chosen::Nobody => {
                    story.nobody();
                    return Err(Some(Reply::unavailable(None)));
                }
                Chosen::AllFull => {}
            }
        }
        Box::pin(self.queue(pool, tried, wish, now, front, story)).await
    }

    /// The world of this moment, where the pool is still the same there: time has passed since the request came.
    pub(super) fn view_now(&self, pool: &Rc<Pool>) -> Rc<View> {
        let view = self.core.view();
        let is_same = view.pool(pool.plan.id).is_some_and(|now| Rc::ptr_eq(now, pool));
        if is_same { view } else { self.view.clone() }
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
            let waited = tokio::time::timeout_at(
                self.core.shared.clock.instant(until).into(),
                unless_gone(front, place.called()),
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
            match pool.choose(self.view_now(pool).look(), tried, wish, *now) {
                Chosen::Endpoint(at, in_flight) => {
                    pool.cell.left_queue();
                    return Ok((at, in_flight));
                }
                // What has had the request already is no room for it, but for others.
                Chosen::AllFull if !tried.is_empty() => place.pass_on(),
                Chosen::AllFull => {}
                Chosen::Nobody => {
                    pool.cell.left_queue();
                    story.nobody();
                    return Err(Some(Reply::unavailable(None)));
                }
            }
        }
    }
}

/// Until its turn comes, or the client goes.
async fn unless_gone<F: Front>(front: &mut F, called: impl Future<Output = ()>) -> Option<()> {
    let mut called = std::pin::pin!(called);
    std::future::poll_fn(|cx| {
        if called.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(()));
        }
        front.poll_gone(cx).map(|()| None)
    })
    .await
}
