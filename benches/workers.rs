//! What hand-over costs and gains: calls through one inbound TCP connection, with one worker and more.
//!
//! `cargo bench --bench workers` starts the whole element, a caller with a single connection and a callee
//! that answers everything, and prints calls a second and processor microseconds a call for each number
//! of workers. The played sides use processors too, as threads of this process: compare within one run.

use bytes::{Bytes, BytesMut};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tandem::process::Running;
use tandem::sip::{Draft, Frame, Framer, Message, Method, Name};

/// Calls of one measurement.
const CALLS: usize = 4000;

/// Calls at once.
const WINDOW: usize = 100;

const SDP: &[u8] = b"v=0\r\no=- 1000 1 IN IP4 198.51.100.131\r\ns=-\r\nc=IN IP4 198.51.100.131\r\nt=0 0\r\n\
    m=audio 52344 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n";

fn main() {
    // `cargo test --benches` and `cargo bench --no-run` only have to see that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for workers in [1, 2, 4] {
        let (wall, processor, handed_over) = runtime.block_on(measure(workers));
        let rate = f64::from(u32::try_from(CALLS).expect("small")) / wall.as_secs_f64();
        let each = processor.as_secs_f64() * 1e6 / f64::from(u32::try_from(CALLS).expect("small"));
        println!("{workers} workers: {rate:.0} calls/s, {each:.0} µs of processor a call, {handed_over} hand-overs");
    }
}

async fn measure(workers: u16) -> (Duration, Duration, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let callee = TcpListener::bind("127.0.0.33:0").expect("an address");
    let sbc = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let text = format!(
        r#"[edge]
fqdn = "sbc1.example.com"
workers = {workers}
listen = ["tcp:{sbc}"]
[trunk.in]
kind = "generic"
transport = "tcp"
hosts = ["127.0.0.32:5060"]
sources = ["127.0.0.32/32"]
[trunk.out]
kind = "generic"
transport = "tcp"
hosts = ["{}"]
sources = ["127.0.0.33/32"]
[[route]]
from = "in"
to = ["out"]
[admin]
socket = "{}"
"#,
        callee.local_addr().expect("bound"),
        folder.path().join("tandem.sock").display(),
    );
    let file = folder.path().join("tandem.toml");
    std::fs::write(&file, text).expect("written");
    let loaded = tandem::config::load(&file);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings[0].render(false)));
    let running = Running::start(loaded.settings).expect("starts");
    std::thread::spawn(move || {
        for stream in callee.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let before = processor();
    let wall = tokio::task::spawn_blocking(move || call(sbc)).await.expect("calls");
    let used = processor().saturating_sub(before);
    let handed_over = running.journal().metrics().handed_over.get();
    running.stop(true).await;
    (wall, used, handed_over)
}

/// Processor time of this process.
fn processor() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).expect("usage");
    let time = |value: nix::sys::time::TimeVal| {
        let micros = value.tv_sec() * 1_000_000 + value.tv_usec();
        Duration::from_micros(micros.try_into().unwrap_or(0))
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Reads messages for as long as `take` wants more.
fn messages(mut stream: &TcpStream, mut take: impl FnMut(Message) -> bool) {
    let (mut buffer, mut framer, mut piece) = (BytesMut::new(), Framer::default(), [0; 16 * 1024]);
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        buffer.extend_from_slice(&piece[..read]);
        while let Ok(Some(frame)) = framer.next(&mut buffer) {
            let Frame::Message(octets) = frame else { continue };
            if !take(Message::parse(octets).expect("a message")) {
                return;
            }
        }
    }
}

/// The callee: 200 to everything but ACK.
fn answer(stream: TcpStream) {
    messages(&stream, |request| {
        if request.is_request() && *request.method() != Method::Ack {
            let mut draft = Draft::response(&request, 200, "OK", "callee", None);
            draft.put(Name::Contact, "<sip:127.0.0.33;transport=tcp>");
            if *request.method() == Method::Invite {
                draft.body("application/sdp", Bytes::from_static(SDP));
            }
            return (&stream).write_all(&draft.finish()).is_ok();
        }
        true
    });
}

/// The caller: all calls over one connection, a window of them at once.
fn call(sbc: SocketAddr) -> Duration {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let own: SocketAddr = "127.0.0.32:0".parse().expect("an address");
    socket.bind(&own.into()).expect("bound");
    socket.connect(&sbc.into()).expect("connected");
    let stream: TcpStream = socket.into();
    stream.set_nodelay(true).expect("set");
    let begin = Instant::now();
    let send = |octets: Bytes| (&stream).write_all(&octets).expect("sent");
    (0..WINDOW).for_each(|n| send(request(&Method::Invite, n, None)));
    let (mut begun, mut ended) = (WINDOW, 0);
    messages(&stream, |message| {
        let Some(status @ 200..) = message.status() else { return true };
        assert_eq!(status, 200, "{}", message.reason());
        let n = message.call_id().split('@').next().and_then(|n| n.parse().ok()).expect("a call of ours");
        if *message.method() == Method::Invite {
            send(request(&Method::Ack, n, Some(&message)));
            send(request(&Method::Bye, n, Some(&message)));
            return true;
        }
        ended += 1;
        if begun < CALLS {
            send(request(&Method::Invite, begun, None));
            begun += 1;
        }
        ended < CALLS
    });
    begin.elapsed()
}

fn request(method: &Method, n: usize, answer: Option<&Message>) -> Bytes {
    let to = answer.and_then(|answer| answer.header(Name::To)).unwrap_or("<sip:+14255550123@sbc1.example.com>");
    let mut draft = Draft::request(method, "sip:+14255550123@sbc1.example.com;transport=tcp");
    let cseq = if *method == Method::Bye { 2 } else { 1 };
    let branch = if *method == Method::Ack { "a" } else { "t" };
    draft
        .put(Name::Via, &format!("SIP/2.0/TCP 127.0.0.32;branch=z9hG4bK{branch}{n}-{cseq}"))
        .put(Name::MaxForwards, "70")
        .put(Name::From, "<sip:+14255550124@127.0.0.32>;tag=caller")
        .put(Name::To, to)
        .put(Name::CallId, &format!("{n}@127.0.0.32"))
        .put(Name::CSeq, &format!("{cseq} {method}"))
        .put(Name::Contact, "<sip:127.0.0.32;transport=tcp>");
    if *method == Method::Invite {
        draft.body("application/sdp", Bytes::from_static(SDP));
    }
    draft.finish()
}
