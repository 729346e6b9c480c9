//! The server on real sockets, and on a network that breaks.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use m3rs_coordinator::http::serve;
use m3rs_coordinator::limits::{Limits, ServeLimits};
use m3rs_core::net::{Net, Stream, TcpNet};
use m3rs_sim::net::SimNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::client::get;
use crate::fakes::World;
use crate::messages::{body, request, series};

/// Runs `story` against a server; returns what the server returned.
async fn with_server<F: Future<Output = ()>>(
    world: &World,
    limits: ServeLimits,
    story: impl FnOnce(SocketAddr, oneshot::Sender<()>) -> F,
) -> usize {
    with_server_on(&TcpNet, world, limits, story).await
}

async fn with_server_on<F: Future<Output = ()>>(
    net: &dyn Net,
    world: &World,
    limits: ServeLimits,
    story: impl FnOnce(SocketAddr, oneshot::Sender<()>) -> F,
) -> usize {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = net.listen(any).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let server = serve(listener, world.router.clone(), limits, shutdown);
    let both = async { tokio::join!(server, story(address, stop)).0 };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time")
}

async fn connect(address: SocketAddr) -> Box<dyn Stream> {
    TcpNet.connect(address).await.expect("connects")
}

/// Reads one answer with a `Content-Length`, or none.
async fn read_answer(stream: &mut dyn Stream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("text").to_lowercase();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok())
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return (head, bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        if stream.read_buf(&mut bytes).await.expect("reads") == 0 {
            panic!("closed early: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

async fn write_request(stream: &mut dyn Stream, body: &[u8]) -> String {
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
         Content-Encoding: snappy\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    stream.write_all(body).await.expect("writes");
    read_answer(stream).await.0
}

#[tokio::test]
async fn one_connection_carries_many_writes_of_any_size() {
    let world = World::new();
    let large: Vec<_> = (0..900)
        .map(|i| {
            let filler = format!("{i:0>600}{:x}", i * 7_919_777_u64 % 1_000_003);
            series(&[("__name__", "m"), ("filler", &filler)], &[(i as i64, i as f64)])
        })
        .collect();
    let large = body(&request(large));
    let small = body(&request(vec![series(&[("__name__", "up")], &[(1, 1.0)])]));
    assert!(large.len() > 16 << 10, "{}", large.len());
    let left = with_server(&world, ServeLimits::default(), async |address, stop| {
        let mut stream = connect(address).await;
        for bytes in [&small, &large, &small, &large] {
            let head = write_request(&mut stream, bytes).await;
            assert!(head.starts_with("http/1.1 204"), "{head}");
        }
        let _ = stop.send(());
    })
    .await;
    assert_eq!(left, 0);
    assert_eq!(world.store.written.lock().len(), 901);
}

#[tokio::test]
async fn a_query_stops_when_its_connection_closes() {
    let world = World::new();
    with_server(&world, ServeLimits::default(), async |address, stop| {
        let mut stream = connect(address).await;
        let head = b"GET /api/v1/query?query=block HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(head).await.expect("writes");
        while world.engine.started.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let list = get(&world.router, "/api/v1/status/active_queries").await.json();
        let client = list["data"][0]["remoteAddr"].as_str().expect("it is known").to_owned();
        assert!(client.starts_with("127.0.0.1:"), "{client}");
        drop(stream);
        while world.engine.cancelled.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let _ = stop.send(());
    })
    .await;
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_closes_idle_connections() {
    let world = World::new();
    world.store.durable.forget_permits(usize::MAX);
    let bytes = body(&request(vec![series(&[("__name__", "up")], &[(1, 1.0)])]));
    let left = with_server(&world, ServeLimits::default(), async |address, stop| {
        let mut idle = connect(address).await;
        let mut busy = connect(address).await;
        let write = async {
            let head = write_request(&mut busy, &bytes).await;
            assert!(head.starts_with("http/1.1 204"), "{head}");
        };
        let end = async {
            while world.store.written.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            let _ = stop.send(());
            let mut rest = Vec::new();
            assert_eq!(idle.read_to_end(&mut rest).await.expect("closed"), 0);
            assert!(TcpNet.connect(address).await.is_err(), "no longer listening");
            world.store.durable.add_permits(1);
        };
        tokio::join!(write, end);
    })
    .await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn requests_that_outlast_the_drain_are_cut_off() {
    let world = World::new();
    world.store.durable.forget_permits(usize::MAX);
    let bytes = body(&request(vec![series(&[("__name__", "up")], &[(1, 1.0)])]));
    let limits = ServeLimits { drain_timeout: Duration::from_millis(20), ..Default::default() };
    let left = with_server(&world, limits, async |address, stop| {
        let mut stream = connect(address).await;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream.write_all(&bytes).await.expect("writes");
        while world.store.written.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let _ = stop.send(());
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    })
    .await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn limits_of_heads_and_bodies_hold() {
    let mut limits = Limits::default();
    limits.write.body_timeout = Duration::from_millis(20);
    let world = World::with_limits(limits);
    let serve_limits = ServeLimits {
        header_timeout: Duration::from_millis(50),
        headers_max: 5,
        read_buffer_bytes_max: 8 << 10,
        ..Default::default()
    };
    with_server(&world, serve_limits, async |address, stop| {
        let mut slow_body = connect(address).await;
        let head = b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab";
        slow_body.write_all(head).await.expect("writes");
        let (head, _) = read_answer(&mut slow_body).await;
        assert!(head.starts_with("http/1.1 408"), "{head}");

        let mut long_head = connect(address).await;
        let head = format!("GET /-/ready HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(9000));
        let _ = long_head.write_all(head.as_bytes()).await;
        let (head, _) = read_answer(&mut long_head).await;
        assert!(head.starts_with("http/1.1 431"), "{head}");

        let mut many_fields = connect(address).await;
        let head = format!("GET /-/ready HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(9));
        many_fields.write_all(head.as_bytes()).await.expect("writes");
        let (head, _) = read_answer(&mut many_fields).await;
        assert!(head.starts_with("http/1.1 431"), "{head}");

        let mut silent = connect(address).await;
        let mut rest = Vec::new();
        assert_eq!(silent.read_to_end(&mut rest).await.expect("closed"), 0);
        let _ = stop.send(());
    })
    .await;
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let world = World::new();
    let limits = ServeLimits { connections_max: 1, ..Default::default() };
    with_server(&world, limits, async |address, stop| {
        let ask = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut first = connect(address).await;
        first.write_all(ask).await.expect("writes");
        read_answer(&mut first).await;
        let mut second = connect(address).await;
        second.write_all(ask).await.expect("writes");
        let mut byte = [0];
        let early = tokio::time::timeout(Duration::from_millis(50), second.read(&mut byte)).await;
        assert!(early.is_err(), "answered beside the first connection");
        drop(first);
        let (head, text) = read_answer(&mut second).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(text, b"m3rs is Ready.\n");
        let _ = stop.send(());
    })
    .await;
}

#[tokio::test]
async fn a_write_that_is_cut_off_is_not_written_and_may_come_again() {
    let world = World::new();
    let net = SimNet::new();
    let bytes = body(&request(vec![series(&[("__name__", "up")], &[(1, 1.0)])]));
    let left = with_server_on(&net, &world, ServeLimits::default(), async |address, stop| {
        let mut stream = net.connect(address).await.expect("connects");
        let head = format!("POST /api/v1/write HTTP/1.1\r\nContent-Length: {}\r\n", bytes.len());
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream.write_all(b"Host: x\r\n\r\n").await.expect("writes");
        stream.write_all(&bytes[..bytes.len() / 2]).await.expect("writes");
        tokio::task::yield_now().await;
        net.cut(address);
        stream.write_all(&bytes[bytes.len() / 2..]).await.expect_err("the link is cut");
        assert!(net.connect(address).await.is_err(), "nor is there a new one");
        net.mend(address);
        assert!(world.store.written.lock().is_empty());
        let mut stream = net.connect(address).await.expect("connects again");
        let head = write_request(&mut stream, &bytes).await;
        assert!(head.starts_with("http/1.1 204"), "{head}");
        let _ = stop.send(());
    })
    .await;
    assert_eq!(left, 0);
    assert_eq!(world.store.written.lock().len(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_half_way_does_not_look_whole() {
    let world = World::new();
    with_server(&world, ServeLimits::default(), async |address, stop| {
        for (query, ends) in [("batches", true), ("broken", false)] {
            let mut stream = connect(address).await;
            let head = format!(
                "GET /api/v1/query?query={query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("writes");
            let mut bytes = Vec::new();
            // Closed or reset: both tell that there is no more.
            let _ = stream.read_to_end(&mut bytes).await;
            let text = String::from_utf8_lossy(&bytes);
            // A reset may take with it what was sent before.
            assert!(!ends || text.contains(",2"), "{query}: {text}");
            assert_eq!(text.ends_with("0\r\n\r\n"), ends, "{query}: {text}");
        }
        let _ = stop.send(());
    })
    .await;
}

/// Whoever sends slowly holds no place that others wait for.
#[tokio::test]
async fn slow_senders_do_not_keep_others_from_writing() {
    let mut limits = Limits::default();
    limits.write.in_flight_max = 1;
    limits.write.piece_bytes_max = 10;
    let world = World::with_limits(limits);
    let bytes = body(&request(vec![series(&[("__name__", "fast")], &[(1, 1.0)])]));
    with_server(&world, ServeLimits::default(), async |address, stop| {
        let mut slow = Vec::new();
        for path in ["/api/v1/write", "/api/v1/import/prometheus", "/api/v1/read"] {
            let mut stream = connect(address).await;
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("writes");
            stream.write_all(b"slow 1 5\nslow 2 6\n").await.expect("writes");
            slow.push(stream);
        }
        // The first lines are durable before the sender goes on.
        let lines = [("__name__", "slow")];
        while world.samples(&lines).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            let mut stream = connect(address).await;
            let head = write_request(&mut *stream, &bytes).await;
            assert!(head.starts_with("http/1.1 204"), "{head}");
        }
        drop(slow);
        stop.send(()).expect("the server runs");
    })
    .await;
}

/// What bodies that have not come yet take of memory is bounded for all of them together.
#[tokio::test]
async fn bodies_share_a_bound_of_memory() {
    let limits = Limits { bodies_bytes_max: 100_000, ..Limits::default() };
    let world = World::with_limits(limits);
    with_server(&world, ServeLimits::default(), async |address, stop| {
        let mut slow = connect(address).await;
        let head = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 95000\r\n\r\n";
        slow.write_all(head.as_bytes()).await.expect("writes");
        slow.write_all(&[0; 90_000]).await.expect("writes");
        // 22 pages of memory.
        while !get(&world.router, "/metrics").await.text().contains("_bodies_bytes 90112\n") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for path in ["/api/v1/write", "/api/v1/import/prometheus", "/api/v1/read"] {
            let mut other = connect(address).await;
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n");
            other.write_all(head.as_bytes()).await.expect("writes");
            // Not all of it, so that it is still on its way. The answer may come before its end.
            let _ = other.write_all(&[b'x'; 39_600]).await;
            let (head, text) = read_answer(&mut *other).await;
            let text = String::from_utf8_lossy(&text);
            assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{head}");
            assert!(text.contains("http.bodies_bytes_max"), "{path}: {text}");
        }
        drop(slow);
        stop.send(()).expect("the server runs");
    })
    .await;
}

/// Whoever asks and does not read is left, and makes room for others.
#[tokio::test]
async fn connections_that_take_no_answer_end() {
    let world = World::new();
    let limits = ServeLimits {
        connections_max: 1,
        write_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    };
    with_server(&world, limits, async |address, stop| {
        let mut deaf = connect(address).await;
        let asks = async {
            // Ends when the server has gone.
            while deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {}
        };
        tokio::time::timeout(Duration::from_secs(30), asks).await.expect("the server goes");
        let mut other = connect(address).await;
        other.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
        assert!(read_answer(&mut *other).await.0.starts_with("http/1.1 200"));
        drop(other);
        stop.send(()).expect("the server runs");
    })
    .await;
}
