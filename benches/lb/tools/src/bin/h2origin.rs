//! An HTTP/2 origin as a gRPC server is one: reads the whole request, answers 128 bytes and a `grpc-status`.
//!
//!     h2origin IP:PORT[,IP:PORT...]

use std::future::pending;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

fn main() {
    let addresses = std::env::args().nth(1).expect("h2origin IP:PORT[,IP:PORT...]");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for address in addresses.split(',') {
            let listener = TcpListener::bind(address).await.expect("a free port");
            spawn_local(accept(listener));
        }
        pending::<()>().await
    })
}

async fn accept(listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        spawn_local(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1000).initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let Ok(mut connection) = settings.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, reply))) = connection.accept().await {
        spawn_local(answer(request.into_body(), reply));
    }
}

async fn answer(mut body: RecvStream, mut reply: SendResponse<Bytes>) {
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return };
        let _ = body.flow_control().release_capacity(data.len());
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let Ok(mut stream) = reply.send_response(head, false) else { return };
    let _ = stream.send_data(Bytes::from_static(&[b'x'; 128]), false);
    let _ = stream.send_trailers(HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]));
}
