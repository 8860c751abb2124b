//! One connection of an admin client, and the bounds it is held to.
//!
//! Whoever may connect may be broken, slow or hostile, and the server that answers queries must not notice. So there is
//! an end to everything: connections at once, time for headers and bodies, bytes of both, and time to take what we send.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Method;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::admin::door::Way;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::routes::Admin;

/// The bytes of a request's head; what a browser sends stays below 8 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long a head may take, from the opening of the connection or the end of the request before.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a client may take less than [`TAKEN_MIN`] of what waits for it. A stream has a heartbeat twice in this time.
const STALL_MAX: Duration = Duration::from_secs(30);
/// The bytes that keep us patient: some two kilobytes a second. Who takes a byte now and then would have us hold a long
/// list for days, on every connection.
const TAKEN_MIN: usize = 64 << 10;

/// Answers the requests of one connection, until it ends or its client breaks a bound.
pub(super) async fn serve<S>(stream: S, way: Way, admin: Arc<Admin>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_within(HEAD_TIME_MAX, stream, way, admin).await;
}

async fn serve_within<S>(head_time_max: Duration, stream: S, way: Way, admin: Arc<Admin>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let way = Arc::new(way);
    let service = service_fn(move |request: Request<Incoming>| {
        let (admin, way) = (admin.clone(), way.clone());
        async move { Ok::<_, Infallible>(answer(admin, way, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_time_max).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(Impatient::new(stream, STALL_MAX)), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

/// Ends a task when nobody waits for it any more.
struct Abandoned(AbortHandle);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request in a task of its own: if it panics, it takes nothing along. If its client leaves, a change that it began is
/// finished, and a look is given up: who asks and leaves again and again does not pile up work.
async fn answer(admin: Arc<Admin>, way: Arc<Way>, request: Request<Incoming>) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    let changes = ![Method::GET, Method::HEAD].contains(request.method());
    let task = tokio::spawn(async move {
        let (head, body) = request.into_parts();
        let reading = move |bytes_max| read(body, bytes_max);
        admin.answer(&way, head, reading).await
    });
    let _abandoned = (!changes).then(|| Abandoned(task.abort_handle()));
    let mut response = match task.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "the request `{asked}` failed by a bug in rhumb");
            let detail = "this request failed by a bug in rhumb; the server lives on, and its log says more";
            Failure::new(Kind::Ours, detail).response()
        }
    };
    let headers = response.headers_mut();
    // What is said holds for this moment, and is what its media type says.
    for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        headers.insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

/// The whole body, within its bounds.
async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Failure> {
    let whole = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(BODY_TIME_MAX, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Failure::new(Kind::TooLarge, format!("a body has at most {bytes_max} bytes here")))
        }
        Ok(Err(error)) => Err(Failure::new(Kind::Body, format!("the body breaks off: {error}"))),
        Err(_) => {
            Err(Failure::new(Kind::Timeout, format!("the body did not come within {} s", BODY_TIME_MAX.as_secs())))
        }
    }
}

/// A stream whose writes fail when its reader takes next to nothing for so long.
struct Impatient<S> {
    stream: S,
    stall_max: Duration,
    /// Set while something waits to be taken.
    patience: Option<Pin<Box<Sleep>>>,
    /// The bytes taken since then.
    taken: usize,
}

impl<S> Impatient<S> {
    fn new(stream: S, stall_max: Duration) -> Self {
        Impatient { stream, stall_max, patience: None, taken: 0 }
    }

    /// Passes on what a write came to. Only so many bytes, or a flush, which comes when nothing waits any more, end the
    /// wait.
    fn wrote(&mut self, outcome: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) if self.taken.saturating_add(bytes) < TAKEN_MIN => {
                self.taken += bytes;
                outcome
            }
            _ => self.judge(outcome, context),
        }
    }

    /// Passes on what it came to; an error when it has waited too long.
    fn judge<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            (self.patience, self.taken) = (None, 0);
            return outcome;
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall_max)));
        match patience.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.wrote(outcome, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.judge(outcome, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(context);
        this.judge(outcome, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.wrote(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::geo::atlas::Atlas;
    use crate::geo::latency::LatencyTable;
    use crate::runtime::clock::Clock;
    use crate::runtime::keeper::Keeper;
    use crate::snapshot::Snapshot;

    /// An API about a server that serves nothing.
    fn admin() -> Arc<Admin> {
        let model = crate::config::read(std::path::Path::new("a.toml"), "").unwrap().model;
        let snapshot =
            Snapshot::compile(Arc::new(model), vec![], Arc::new(Atlas::of_networks(&[])), &LatencyTable::default());
        let clock = Clock::start();
        let (keeper, handle, _jobs) = Keeper::new(Arc::new(snapshot.unwrap().0), clock);
        tokio::spawn(keeper.run());
        Arc::new(Admin::new(handle, clock, |_| Box::pin(async { Ok(1) })))
    }

    async fn request(stream: &mut tokio::io::DuplexStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        let mut reply = vec![0; 4096];
        let bytes = stream.read(&mut reply).await.unwrap();
        String::from_utf8_lossy(&reply[..bytes]).into_owned()
    }

    #[tokio::test]
    async fn a_panic_takes_one_request_along_and_nothing_else() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(ours, Way::Socket("ada".into()), admin()));
        let failed = request(&mut theirs, "/panic").await;
        assert!(failed.starts_with("HTTP/1.1 500"), "{failed}");
        assert!(failed.contains("urn:rhumb:problem:bug"), "{failed}");
        let lives = request(&mut theirs, "/livez").await;
        assert!(lives.starts_with("HTTP/1.1 200") && lives.ends_with("ok\n"), "the connection lives on: {lives}");
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let patience = Duration::from_millis(50);
        let serving = tokio::spawn(serve_within(patience, ours, Way::Socket("ada".into()), admin()));
        theirs.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").await.unwrap();
        serving.await.unwrap();
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(serve_within(patience, ours, Way::Socket("ada".into()), admin()));
        assert!(request(&mut theirs, "/livez").await.starts_with("HTTP/1.1 200"));
        serving.await.expect("an idle connection ends as well");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_millis(20));
        let outcome = ours.write_all(&[0; 64]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_reader_that_takes_a_byte_now_and_then_is_given_up_too() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_millis(50));
        let reading = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
        });
        let outcome = ours.write_all(&[0; TAKEN_MIN]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        reading.abort();
    }

    #[tokio::test]
    async fn a_reader_that_has_taken_everything_is_not_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_millis(20));
        for _ in 0..3 {
            let mut taken = [0; 24];
            let (wrote, read) = tokio::join!(ours.write_all(&[0; 24]), theirs.read_exact(&mut taken));
            wrote.unwrap();
            read.unwrap();
            ours.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    #[tokio::test]
    async fn a_reader_that_takes_a_little_at_a_time_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut ours = Impatient::new(ours, Duration::from_secs(60));
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 8];
            for _ in 0..8 {
                theirs.read_exact(&mut bytes).await.unwrap();
            }
        });
        ours.write_all(&[0; 64]).await.unwrap();
        reading.await.unwrap();
    }
}
