//! Messages on streams and datagrams: arrival, answer, garbage, end.

use super::*;
use crate::sip::Malformed;
use crate::trunk::IpVersion;
use tokio::net::UdpSocket;

#[test]
fn an_answer_goes_back_on_its_flow_and_closing_flushes_first() {
    run(async {
        let mut site = Site::tcp().start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        // In pieces, with a keep-alive between two messages.
        stream.write_all(&OPTIONS[..40]).await.unwrap();
        stream.write_all(&OPTIONS[40..]).await.unwrap();
        stream.write_all(b"\r\n\r\n").await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (_, flow, peer) = site.message().await;
        assert_eq!(peer.source, stream.local_addr().unwrap());
        assert_eq!(site.message().await.1, flow);
        let answer = Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n");
        site.endpoint.send(Token(1), &Destination::Flow(flow), answer.clone()).unwrap();
        site.endpoint.close(flow);
        assert_eq!(site.endpoint.send(Token(2), &Destination::Flow(flow), answer), Err(SendError::Gone));
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "\r\nSIP/2.0 200 OK\r\n\r\n");
        assert_eq!(site.lost(flow).await, "closed by us");
        assert_eq!(site.endpoint.gauges(), Gauges::default());
    });
}

#[test]
fn garbage_on_the_port_ends_the_connection() {
    run(async {
        let mut site = Site::tcp().start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        stream.write_all(b"\x16\x03\x01 neither SIP nor HTTP\r\n\r\n").await.unwrap();
        assert!(matches!(site.arrival().await, Arrival::Malformed { request: None, .. }));
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(site.counters.framing_errors.count(), 1);
    });
}

#[test]
fn a_request_whose_length_is_unknown_can_still_be_answered() {
    run(async {
        let mut site = Site::tcp().start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap().replace("Content-Length: 0", "Content-Length: many");
        stream.write_all(text.as_bytes()).await.unwrap();
        let Arrival::Malformed { request: Some(request), fault, flow, .. } = site.arrival().await else {
            panic!("a request can be read");
        };
        assert_eq!((request.call_id(), fault), ("1@example.com", Malformed::ContentLength));
        site.endpoint.send(Token(1), &Destination::Flow(flow), Bytes::from_static(b"400")).unwrap();
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "400");
    });
}

#[test]
fn a_malformed_message_with_an_end_leaves_the_connection_up() {
    run(async {
        let mut site = Site::tcp().start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        stream.write_all(b"NOT SIP\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        assert!(matches!(site.arrival().await, Arrival::Malformed { .. }));
        ping(&mut stream).await.unwrap();
        for _ in 0..16 {
            let _ = stream.write_all(b"NOT SIP\r\nContent-Length: 0\r\n\r\n").await;
        }
        while let Some(arrival) = site.arrivals.recv().await {
            if matches!(arrival, Arrival::FlowLost { .. }) {
                break;
            }
        }
        assert_eq!(site.counters.malformed.count(), 16, "then it is cut");
    });
}

#[test]
fn the_message_behind_a_malformed_one_is_taken() {
    run(async {
        let mut site = Site::tcp().start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap();
        // The framer finds its end; that a bare LF begins a line is for nobody to guess.
        let bare = text.replace("Content-Length: 0", "X-Field: 1\nContent-Length: 0");
        stream.write_all(format!("{bare}{text}").as_bytes()).await.unwrap();
        assert!(matches!(site.arrival().await, Arrival::Malformed { fault: Malformed::ControlCharacter, .. }));
        assert_eq!(site.message().await.0.octets(), text);
        assert_eq!((site.counters.malformed.count(), site.counters.framing_errors.count()), (1, 0));
    });
}

#[test]
fn a_silent_connection_is_closed() {
    run(async {
        let mut site = Site::tcp();
        site.connections.idle_timeout = Duration::from_millis(30);
        let mut site = site.start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(matches!(site.arrival().await, Arrival::FlowLost { reason, .. } if reason == "silent too long"));
        assert_eq!(site.counters.idle_closed.count(), 1);
    });
}

#[test]
fn connections_beyond_the_bound_are_refused() {
    run(async {
        let mut site = Site::tcp();
        site.connections.max_connections = 1;
        let site = site.start();
        let mut first = TcpStream::connect(site.tcp).await.unwrap();
        ping(&mut first).await.unwrap();
        let mut second = TcpStream::connect(site.tcp).await.unwrap();
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
        let hop = hop(Transport::Tcp, HUB, &[site.tcp]);
        assert_eq!(site.send(1, &hop), Err(SendError::TooManyConnections));
        ping(&mut first).await.unwrap();
    });
}

#[test]
fn what_the_control_runtime_runs_may_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    run(async {
        let site = Site::tcp().start();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = ListenerSettings { id: ListenerId(1), transport: Transport::Tcp, bind: any, advertise: None };
        send(&accept_loop(bind(&settings).unwrap(), site.state.clone(), site.counters.clone(), |_| {}));
        send(&site.resolver.clone().run(site.state.clone(), |_| {}));
        send(&site.resolver.resolve(Transport::Tcp, HUB, None));
    });
}

#[test]
fn flows_of_other_workers_are_not_ours() {
    run(async {
        let site = Site::tcp().start();
        let flow = FlowId { node: 1, worker: 9, n: 0 };
        let sent = site.endpoint.send(Token(1), &Destination::Flow(flow), Bytes::new());
        assert_eq!(sent, Err(SendError::Gone));
    });
}

fn udp() -> Site {
    Site::new().with(Transport::Udp, false, |_, _| {})
}

#[test]
fn a_datagram_is_answered_at_its_source_with_rport_and_else_at_the_port_of_its_via() {
    run(async {
        let mut site = udp().start();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let named = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let via = format!("127.0.0.1:{}", named.local_addr().unwrap().port());
        for (parameter, answered_at) in [(";rport", &sender), ("", &named)] {
            let text = String::from_utf8(OPTIONS.to_vec()).unwrap();
            let text = text.replace("TLS sip.pstnhub.example.com:5061", &format!("UDP {via}"));
            let text = text.replace(";alias", parameter);
            sender.send_to(text.as_bytes(), site.udp).await.unwrap();
            let (_, flow, peer) = site.message().await;
            assert_eq!(peer.source, sender.local_addr().unwrap());
            site.endpoint.send(Token(1), &Destination::Flow(flow), Bytes::from_static(b"answer")).unwrap();
            let mut answer = [0; 16];
            let (length, from) = answered_at.recv_from(&mut answer).await.unwrap();
            assert_eq!((&answer[..length], from), (&b"answer"[..], site.udp));
        }
    });
}

#[test]
fn requests_over_udp_leave_from_the_listeners_port() {
    run(async {
        let site = udp().start();
        let platform = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let hop = hop(Transport::Udp, HUB, &[platform.local_addr().unwrap()]);
        let flow = site.send(1, &hop).unwrap();
        assert_eq!(site.send(2, &hop).unwrap(), flow);
        let mut read = vec![0; 2048];
        for _ in 0..2 {
            let (length, from) = platform.recv_from(&mut read).await.unwrap();
            assert_eq!((&read[..length], from), (OPTIONS, site.udp));
        }
        let outside = SocketAddr::from(([127, 0, 0, 99], 5060));
        assert_eq!(site.send(3, &self::hop(Transport::Udp, HUB, &[outside])), Err(SendError::Forbidden));
        let huge = Bytes::from(vec![b'x'; 70_000]);
        let to = Destination::Hop(Arc::new(hop));
        assert_eq!(site.endpoint.send(Token(4), &to, huge), Err(SendError::TooLarge));
    });
}

#[test]
fn datagrams_of_strangers_and_keep_alives_go_no_further() {
    run(async {
        let mut site = udp().start();
        let stranger = UdpSocket::bind("127.0.0.9:0").await.unwrap();
        stranger.send_to(OPTIONS, site.udp).await.unwrap();
        let known = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        known.send_to(b"\r\n\r\n", site.udp).await.unwrap();
        let mut pong = [0; 8];
        assert_eq!(known.recv(&mut pong).await.unwrap(), 2);
        known.send_to(b"garbage", site.udp).await.unwrap();
        assert!(matches!(site.arrival().await, Arrival::Malformed { request: None, .. }));
        assert_eq!((site.counters.strangers.count(), site.counters.pings.count()), (1, 1));
    });
}

#[test]
fn datagrams_are_marked_gen_53() {
    run(async {
        let site = Site::new().with(Transport::Udp, false, |_, _| {}).start();
        assert_eq!(site.endpoint.marks(), [24 << 2]);
    });
}

#[test]
fn a_trunk_of_ipv6_is_dialled_and_calls_over_ipv6_alone_tdr_28() {
    run(async {
        let mut site = Site::new();
        site.hosts.insert(HUB.into(), SmallVec::from_iter(["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]));
        let site = site.with(Transport::Tcp, false, |trunk, _| {
            trunk.ip = Some(IpVersion::V6);
            trunk.sources.push("::1/128".parse().unwrap());
        });
        let mut site = site.start();
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        // Both addresses of the name are known: only the one of the version is dialled.
        let to = Hop { port: listener.local_addr().unwrap().port(), ..hop(Transport::Tcp, HUB, &[]) };
        site.send(1, &to).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
        assert_eq!(site.counters.forbidden_addresses.count(), 0, "the other version is no fault");
        // Who calls over the other version is a stranger.
        let mut stranger = TcpStream::connect(site.tcp).await.unwrap();
        assert_eq!(stranger.read(&mut [0; 16]).await.unwrap_or(0), 0);
        assert_eq!(site.counters.strangers.count(), 1);
        let bind_to = "[::1]:0".parse().unwrap();
        let settings =
            ListenerSettings { id: ListenerId(1), transport: Transport::Tcp, bind: bind_to, advertise: None };
        let bound = bind(&settings).unwrap();
        let address = bound.local_address().unwrap();
        let (state, counters, endpoint) = (site.state.clone(), site.counters.clone(), site.endpoint.clone());
        tokio::task::spawn_local(async move {
            accept_loop(bound, state, counters, |accepted| endpoint.adopt(accepted)).await.unwrap();
        });
        let mut caller = TcpStream::connect(address).await.unwrap();
        caller.write_all(OPTIONS).await.unwrap();
        let (message, _, peer) = site.message().await;
        assert!(message.is_request() && peer.source.is_ipv6(), "{peer:?}");
    });
}

#[test]
fn a_trunk_of_datagrams_takes_long_requests_over_tcp_both_ways_tdr_72_gen_64() {
    run(async {
        let mut site = Site::new().with(Transport::Udp, false, |trunk, _| trunk.large_over_tcp = true).start();
        let (listener, address) = platform().await;
        let flow = site.send(1, &hop(Transport::Tcp, HUB, &[address])).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (_, on, peer) = site.message().await;
        assert_eq!((on, peer.trunks.as_slice()), (flow, [TrunkId(0)].as_slice()), "it is served as the trunk's");
        let mut caller = TcpStream::connect(site.tcp).await.unwrap();
        caller.write_all(OPTIONS).await.unwrap();
        assert_eq!(site.message().await.2.trunks.as_slice(), [TrunkId(0)]);
    });
}

#[test]
fn a_header_line_of_8_kib_is_taken_tdr_72() {
    run(async {
        let mut site = Site::tcp().start();
        let mut caller = TcpStream::connect(site.tcp).await.unwrap();
        let line = format!("History-Info: <sip:{}@example.com>\r\n", "1".repeat(8 * 1024 - 34));
        assert_eq!(line.len(), 8 * 1024);
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap().replace("Max-Forwards", &format!("{line}Max-Forwards"));
        caller.write_all(text.as_bytes()).await.unwrap();
        let (message, ..) = site.message().await;
        assert_eq!(
            message.extension("history-info").next().or(message.header(crate::sip::Name::HistoryInfo)).map(str::len),
            Some(8 * 1024 - 16)
        );
    });
}
