//! Names against a DNS server of the test's own.

use super::*;
use crate::snapshot::address_key;
use hickory_resolver::proto::op::{Message as Query, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::net::UdpSocket;

type Zone = Arc<Mutex<Option<HashMap<&'static str, Vec<RData>>>>>;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 10, port, name(target)))
}

fn a(last: u8) -> RData {
    RData::A(A::new(127, 0, 0, last))
}

/// Answers from the zone, with this TTL in seconds; without one, with SERVFAIL.
async fn dns(zone: Zone, ttl: u32) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut octets = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut octets).await.unwrap();
            let query = Query::from_vec(&octets[..length]).unwrap();
            let asked = query.queries[0].clone();
            let mut answer = Query::new(query.metadata.id, MessageType::Response, OpCode::Query);
            answer.add_query(asked.clone());
            match &*zone.lock().unwrap() {
                None => answer.metadata.response_code = ResponseCode::ServFail,
                Some(zone) => match zone.get(asked.name().to_ascii().to_ascii_lowercase().as_str()) {
                    None => answer.metadata.response_code = ResponseCode::NXDomain,
                    Some(records) => {
                        for data in records.iter().filter(|data| data.record_type() == asked.query_type()) {
                            answer.add_answer(Record::from_rdata(asked.name().clone(), ttl, data.clone()));
                        }
                    }
                },
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

fn zone(records: &[(&'static str, Vec<RData>)]) -> Zone {
    Arc::new(Mutex::new(Some(records.iter().cloned().collect())))
}

async fn resolver(zone: &Zone) -> (Arc<Resolver>, Arc<Counters>) {
    resolver_with(zone, 1).await
}

async fn resolver_with(zone: &Zone, ttl: u32) -> (Arc<Resolver>, Arc<Counters>) {
    let (server, counters) = (dns(zone.clone(), ttl).await, Arc::new(Counters::default()));
    let runtime = tokio::runtime::Handle::current();
    (Resolver::new(runtime, &[server], BTreeMap::new(), 1, counters.clone()).unwrap(), counters)
}

fn at(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port))
}

#[test]
fn naptr_leads_to_srv_and_srv_to_addresses_in_order() {
    run(async {
        let pointer = |services: &str, to: &str| {
            RData::NAPTR(NAPTR::new(10, 10, (*b"s").into(), services.as_bytes().into(), Box::default(), name(to)))
        };
        let zone = zone(&[
            (
                "byoc.example.com.",
                vec![
                    pointer("SIPS+D2T", "_sips._tcp.elsewhere.example.com."),
                    pointer("SIP+D2U", "_x.example.com."),
                    a(9),
                ],
            ),
            (
                "_sips._tcp.elsewhere.example.com.",
                vec![
                    srv(20, 5071, "second.example.com."),
                    srv(10, 5061, "first.example.com."),
                    srv(30, 1, "gone.example.com."),
                ],
            ),
            ("first.example.com.", vec![a(1), RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0, 0, 1))]),
            ("second.example.com.", vec![a(2)]),
        ]);
        let (resolver, _) = resolver(&zone).await;
        let found = resolver.resolve(Transport::Tls, "BYOC.example.com", None).await.unwrap();
        // Without addresses for its last target the answer is still good.
        assert_eq!(found[..], [at(1, 5061), "[::1]:5061".parse().unwrap(), at(2, 5071)]);
    });
}

#[test]
fn without_naptr_srv_is_asked_and_without_srv_the_default_port_is_used() {
    run(async {
        let zone = zone(&[
            ("hub.example.com.", vec![a(5)]),
            ("_sip._tcp.hub.example.com.", vec![srv(1, 5080, "one.example.com.")]),
            ("one.example.com.", vec![a(1)]),
        ]);
        let (resolver, _) = resolver(&zone).await;
        let resolve = |transport, port| resolver.resolve(transport, "hub.example.com", port);
        assert_eq!(resolve(Transport::Tcp, None).await.unwrap()[..], [at(1, 5080)]);
        assert_eq!(resolve(Transport::Tls, None).await.unwrap()[..], [at(5, 5061)]);
        assert_eq!(resolve(Transport::Tcp, Some(5062)).await.unwrap()[..], [at(5, 5062)], "a port stands for itself");
        let none = resolver.resolve(Transport::Tls, "none.example.com", None).await;
        assert_eq!(none, Err(ResolveError::NoAddresses("none.example.com".into())));
    });
}

#[test]
fn literals_and_the_static_table_are_not_asked_for() {
    run(async {
        let (resolver, counters) = resolver(&Arc::new(Mutex::new(None))).await;
        resolver.set_hosts(BTreeMap::from([(HUB.to_owned(), SmallVec::from_iter([IpAddr::from([127, 0, 0, 3])]))]));
        let upper = HUB.to_ascii_uppercase();
        for (host, port, expected) in [
            ("127.0.0.1", None, "127.0.0.1:5061"),
            ("[::1]", Some(5070), "[::1]:5070"),
            ("::1", None, "[::1]:5061"),
            (upper.as_str(), None, "127.0.0.3:5061"),
        ] {
            let found = resolver.resolve(Transport::Tls, host, port).await.unwrap();
            assert_eq!(found[..], [expected.parse().unwrap()], "{host}");
        }
        assert_eq!(counters.resolve_failures.count(), 0);
    });
}

#[test]
fn tdr_20_a_name_is_asked_again_within_a_quarter_of_an_hour_whatever_its_ttl() {
    run(async {
        let zone = zone(&[("hub.example.com.", vec![a(1)])]);
        let (resolver, _) = resolver_with(&zone, 86_400).await;
        let mut trunk = trunk(0, Transport::Tls);
        trunk.hosts = vec![Host { name: "hub.example.com".into(), port: Some(5061) }];
        let (_, fresh_for) = resolver.survey(&[Arc::new(trunk)]).await;
        let quarter = Duration::from_secs(15 * 60);
        assert!(fresh_for <= quarter && fresh_for > quarter / 2, "{fresh_for:?}");
    });
}

#[test]
fn the_last_good_answer_outlives_the_dns() {
    run(async {
        let records = [("hub.example.com.", vec![a(1)])];
        let zone = zone(&records);
        let (resolver, counters) = resolver(&zone).await;
        let mut trunk = trunk(0, Transport::Tls);
        trunk.hosts = vec![Host { name: "hub.example.com".into(), port: Some(5061) }];
        let trunks = [Arc::new(trunk)];
        let (first, fresh_for) = resolver.survey(&trunks).await;
        assert_eq!(first[&address_key(Transport::Tls, "hub.example.com", Some(5061))][..], [at(1, 5061)]);
        assert_eq!(fresh_for, Duration::from_secs(5), "a TTL of one second does not become a loop");
        *zone.lock().unwrap() = None;
        resolver.forget_dns();
        let (second, fresh_for) = resolver.survey(&trunks).await;
        assert_eq!(second, first);
        assert!(fresh_for <= Duration::from_secs(30));
        assert_eq!((counters.resolve_failures.count(), counters.stale_answers.count()), (1, 1));
        assert!(matches!(
            resolver.resolve(Transport::Tls, "new.example.com", Some(5061)).await,
            Err(ResolveError::Failed { .. })
        ));
    });
}

#[test]
fn a_survey_leaves_out_and_counts_addresses_outside_the_ranges() {
    run(async {
        let (resolver, counters) = resolver(&zone(&[("hub.example.com.", vec![a(1), a(99)])])).await;
        let mut trunk = trunk(0, Transport::Tls);
        trunk.hosts = vec![Host { name: "hub.example.com".into(), port: Some(5061) }];
        let (found, _) = resolver.survey(&[Arc::new(trunk)]).await;
        assert_eq!(found[&address_key(Transport::Tls, "hub.example.com", Some(5061))][..], [at(1, 5061)]);
        assert_eq!(counters.forbidden_addresses.count(), 1);
    });
}

#[test]
fn the_background_task_reports_changes_and_only_those() {
    run(async {
        let mut site = Site::tcp();
        let zone = zone(&[("sip.pstnhub.example.com.", vec![a(1)])]);
        site.name_servers = vec![dns(zone.clone(), 1).await];
        let site = site.start();
        let (sender, mut changes) = mpsc::unbounded_channel();
        let task = site.resolver.clone().run(site.state.clone(), move |addresses| drop(sender.send(addresses)));
        tokio::task::spawn_local(task);
        let key = address_key(Transport::Tcp, HUB, None);
        assert_eq!(changes.recv().await.unwrap()[&key][..], [at(1, 5060)]);
        site.resolver.refresh();
        *zone.lock().unwrap() = Some(HashMap::from([("sip.pstnhub.example.com.", vec![a(2)])]));
        site.resolver.forget_dns();
        site.resolver.refresh();
        assert_eq!(changes.recv().await.unwrap()[&key][..], [at(2, 5060)]);
    });
}
