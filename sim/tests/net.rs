//! The simulated network keeps the promises of the seam, and breaks links on command.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use m3rs_core::net::{Listener, Net, Stream};
use m3rs_sim::net::SimNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn connected(net: &SimNet, listener: &dyn Listener) -> (Box<dyn Stream>, Box<dyn Stream>) {
    let address = listener.local_addr().expect("it listens");
    let near = net.connect(address).await.expect("somebody listens");
    (near, listener.accept().await.expect("somebody connected"))
}

#[tokio::test]
async fn both_ends_talk_until_one_leaves() {
    let net = SimNet::new();
    let listener = net.listen(ANY).await.expect("a free port");
    let (mut near, mut far) = connected(&net, &*listener).await;
    near.write_all(b"ping").await.expect("written");
    far.write_all(b"pong").await.expect("written");
    let mut four = [0; 4];
    near.read_exact(&mut four).await.expect("four bytes");
    assert_eq!(&four, b"pong");
    drop(near);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.expect("the end");
    assert_eq!(rest, b"ping");
}

#[tokio::test]
async fn ports_are_taken_and_given_back() {
    let net = SimNet::new();
    let listener = net.listen(ANY).await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let other = net.listen(ANY).await.expect("another free port");
    assert_ne!(other.local_addr().expect("it listens"), address);
    assert_eq!(net.listen(address).await.expect_err("taken").kind(), ErrorKind::AddrInUse);
    drop(listener);
    let refused = net.connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    net.listen(address).await.expect("free again");
}

#[tokio::test]
async fn a_cut_resets_who_waits_and_who_comes_until_it_is_mended() {
    let net = SimNet::new();
    let listener = net.listen(ANY).await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let (mut near, mut far) = connected(&net, &*listener).await;
    let (mut byte, mut other) = ([0], [0]);
    let cut = async {
        tokio::task::yield_now().await;
        net.cut(address);
    };
    let (waited, ()) = tokio::join!(far.read(&mut byte), cut);
    assert_eq!(waited.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.read(&mut other).await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.write(b"x").await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    let refused = net.connect(address).await.expect_err("cut off");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    net.mend(address);
    let (mut near, mut far) = connected(&net, &*listener).await;
    near.write_all(b"again").await.expect("written");
    drop(near);
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.expect("text");
    assert_eq!(heard, "again");
}
