//! The whole element as a process, between both played platforms: restart of a worker, reload, drain,
//! the local socket, metrics and records.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tandem::event::{Alarm, CallRecord, EventKind, Severity};
use tandem::journal::{Observation, Raised};
use tandem::process::{AdminAnswer, AdminRequest, Reloaded, Running, ask};
use tandem::twin::lab::{ALICE, CUSTOMER, NOBODY, QUEUE};
use tandem::twin::{Call, Flow, Lab, Placed, Platform};
use tokio::sync::broadcast::Receiver;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

struct Element {
    lab: Lab,
    running: Running,
    observer: Receiver<Arc<Observation>>,
}

/// Starts both platforms and Tandem between them; `further` tables go to the end of the configuration.
async fn element(further: &str) -> Element {
    of_lab(Lab::start(further).await.unwrap())
}

/// Starts Tandem with what stands in the lab's file.
fn of_lab(lab: Lab) -> Element {
    let loaded = tandem::config::load(&lab.configuration);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings[0].render(false)));
    let running = Running::start(loaded.settings).unwrap();
    let observer = running.observe();
    Element { lab, running, observer }
}

impl Element {
    /// Waits for an event.
    async fn until(&mut self, what: &str, wanted: impl Fn(&EventKind) -> bool) -> Arc<Observation> {
        let found = async {
            loop {
                let observation = self.observer.recv().await.unwrap();
                if wanted(&observation.event.kind) {
                    return observation;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no event: {what}"))
    }

    /// Waits for the ACK of whoever sent an INVITE: then both dialogs are confirmed.
    async fn confirmed(&mut self) {
        let is_ack = |kind: &EventKind| matches!(kind, EventKind::Message(message) if message.received && message.octets.starts_with(b"ACK "));
        self.until("the ACK", is_ack).await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lab.directory().join(name)
    }

    async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.running.stop(true)).await.expect("ends in time");
    }
}

/// A call that rings and is answered.
async fn connect(from: &Platform, to: &Platform, caller: &str, number: &str) -> (Call, Call) {
    let mut caller = from.place(&Placed::new(caller, number)).await.unwrap();
    let mut callee = to.incoming().await.unwrap();
    callee.ring("", 180, false);
    caller.ringing(180).await.unwrap();
    let (answer, answered) = tokio::join!(callee.answer(""), caller.answered());
    answer.unwrap();
    answered.unwrap();
    (caller, callee)
}

async fn hang_up(one: &mut Call, other: &mut Call) {
    let (ended, seen) = tokio::join!(one.hang_up(), other.hung_up());
    ended.unwrap();
    seen.unwrap();
}

/// A re-INVITE of `one` crosses to `other` and is answered.
async fn re_invite(one: &mut Call, other: &mut Call, flow: Flow) {
    let (response, request) = tokio::join!(one.re_invite(Some(flow)), other.re_invited());
    response.unwrap();
    request.unwrap();
}

fn raised(key: &str) -> impl Fn(&EventKind) -> bool {
    move |kind| matches!(kind, EventKind::Alarm(alarm) if alarm.raised && alarm.key == key)
}

async fn asked(socket: &Path, request: AdminRequest) -> AdminAnswer {
    let socket = socket.to_owned();
    tokio::task::spawn_blocking(move || ask(&socket, &request).unwrap()).await.unwrap()
}

fn fetch(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[tokio::test]
async fn after_a_panic_in_mid_call_both_sides_can_change_and_end_the_call() {
    let mut element = element("").await;
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    element.confirmed().await;
    let worker = element.running.calls().await[0].worker;
    element.running.panic_worker(worker);
    element.until("the alarm of the restart", raised(&format!("worker_restart:{worker}"))).await;

    re_invite(&mut teams, &mut genesys, Flow::Inactive).await;
    // Until its ACK has passed, an offer of the other side would meet 491 (RFC 3261 §14.2).
    element.confirmed().await;
    re_invite(&mut genesys, &mut teams, Flow::Inactive).await;
    hang_up(&mut teams, &mut genesys).await;
    assert_eq!(element.running.status().workers[usize::from(worker)].restarts, 1);

    // And the worker is as good as new.
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    hang_up(&mut genesys, &mut teams).await;
    element.ended().await;
}

#[tokio::test]
async fn a_call_whose_worker_panics_twice_still_ends_from_either_side() {
    let mut element = element("").await;
    let (mut teams, mut genesys) = connect(&element.lab.hub, &element.lab.genesys, ALICE, QUEUE).await;
    element.confirmed().await;
    let worker = element.running.calls().await[0].worker;
    for _ in 0..2 {
        element.running.panic_worker(worker);
        element.until("the alarm of the restart", raised(&format!("worker_restart:{worker}"))).await;
    }
    hang_up(&mut genesys, &mut teams).await;
    let ended = element.until("the record", |kind| matches!(kind, EventKind::CallEnded(_))).await;
    let EventKind::CallEnded(record) = &ended.event.kind else { unreachable!() };
    assert!(record.answered_ms.is_some(), "the record survives the restarts");
    element.ended().await;
}

#[tokio::test]
async fn a_restored_call_counts_toward_its_trunk_until_it_ends() {
    let mut element = element("").await;
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    element.confirmed().await;
    let worker = element.running.calls().await[0].worker;
    element.running.panic_worker(worker);
    element.until("the alarm of the restart", raised(&format!("worker_restart:{worker}"))).await;
    re_invite(&mut teams, &mut genesys, Flow::Inactive).await;
    assert_eq!(element.running.status().trunks[1].calls, 1);
    hang_up(&mut genesys, &mut teams).await;
    element.until("the record", |kind| matches!(kind, EventKind::CallEnded(_))).await;
    assert_eq!(element.running.status().trunks[1].calls, 0);
    element.ended().await;
}

#[tokio::test]
async fn calls_spread_over_workers_and_leave_nothing_behind() {
    let element = element("").await;
    let mut calls = Vec::new();
    for _ in 0..24 {
        calls.push(connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await);
    }
    let status = element.running.status();
    assert_eq!(status.trunks[1].calls, 24);
    assert!(status.workers.iter().all(|worker| worker.calls >= 4), "{:?}", status.workers);
    for (genesys, teams) in &mut calls {
        hang_up(teams, genesys).await;
    }
    let journal = element.running.journal();
    assert!(journal.metrics().handed_over.get() > 0 && journal.metrics().handover_refused.get() == 0);
    element.running.drain(false);
    element.running.stopped().await;
    let status = element.running.status();
    assert_eq!((status.calls, status.trunks[1].calls), (0, 0));
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_old_one_in_force_and_says_so() {
    let element = element("").await;
    let file = element.lab.configuration.clone();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("[edge]", "[edge]\nfqbn = \"x\"")).unwrap();
    let reloaded = element.running.reload().await;
    assert!(!reloaded.accepted && reloaded.error.contains("fqbn"), "{reloaded:?}");
    assert!(element.running.journal().alarms().is_raised("configuration"));
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;

    std::fs::write(&file, good.replace("workers = 2", "workers = 3")).unwrap();
    let reloaded = element.running.reload().await;
    assert!(reloaded.accepted, "{reloaded:?}");
    assert_eq!(reloaded.restart_keys, ["edge.workers"]);
    assert!(!element.running.journal().alarms().is_raised("configuration"));
    assert_eq!(element.running.status().workers.len(), 2);
    hang_up(&mut genesys, &mut teams).await;
    element.ended().await;
}

#[tokio::test]
async fn a_trunk_that_a_reload_removes_lives_until_its_last_call_ends() {
    let element = element("").await;
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    let journal = element.running.journal();
    for key in ["tls:genesys", "host:genesys:down.example.com"] {
        let (key, severity, text) = (key.into(), Severity::Critical, "raised before".into());
        journal.alarm(Alarm { key, severity, raised: true, text, remedy: "none" });
    }
    let file = element.lab.configuration.clone();
    let good = std::fs::read_to_string(&file).unwrap();
    let start = good.find("[trunk.genesys]").unwrap();
    let end = good.find("[numbers]").unwrap();
    let other = "[[route]]\nfrom = \"teams\"\nnumber = \"directory\"\nto = [\"teams\"]\n\n";
    std::fs::write(&file, format!("{}{other}{}", &good[..start], &good[end..])).unwrap();
    let reloaded = element.running.reload().await;
    assert!(reloaded.accepted, "{reloaded:?}");
    let status = element.running.status();
    assert!(status.trunks.iter().any(|trunk| trunk.name == "genesys" && trunk.retired), "{:?}", status.trunks);
    let orphan = |alarm: &Raised| alarm.key.ends_with(":genesys") || alarm.key.starts_with("host:genesys:");
    assert!(!element.running.journal().alarms().raised().iter().any(orphan), "what is gone needs no action");
    re_invite(&mut genesys, &mut teams, Flow::Inactive).await;
    hang_up(&mut teams, &mut genesys).await;
    let mut refused = element.lab.genesys.place(&Placed::new(CUSTOMER, ALICE)).await.unwrap();
    refused.refused(404).await.unwrap();
    element.ended().await;
}

/// `text` without the tables from `first` up to `next`.
fn without(text: &str, first: &str, next: &str) -> String {
    let (front, rest) = text.split_once(first).unwrap();
    format!("{front}{next}{}", rest.split_once(next).unwrap().1)
}

#[tokio::test]
async fn a_removed_trunk_is_forgotten_after_its_last_call_and_its_place_is_free() {
    let lab = Lab::start("[connections]\nhandshake_timeout = \"1 s\"\n").await.unwrap();
    let text = std::fs::read_to_string(&lab.configuration).unwrap();
    let trust = text.lines().find(|line| line.starts_with("trust")).unwrap();
    let generic = |name: &str, source: &str| {
        format!("[trunk.{name}]\nkind = \"generic\"\ntls = \"public\"\n{trust}\nsources = [\"{source}\"]\n\n")
    };
    // A second is long enough for what an old snapshot began.
    let text = text.replace("[edge]", "[edge]\nt1 = \"10ms\"");
    let text = text.replace("[trunk.genesys]", &format!("{}[trunk.genesys]", generic("idle", "127.0.0.40/32")));
    std::fs::write(&lab.configuration, &text).unwrap();
    let mut element = of_lab(lab);
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    element.confirmed().await;
    let mut snapshots = element.running.snapshots();

    let route = "[[route]]\nfrom = \"teams\"\nto = [\"teams\"]\n\n[numbers]";
    let fewer = without(&text, "[trunk.idle]", "[numbers]").replace("[numbers]", route);
    std::fs::write(&element.lab.configuration, &fewer).unwrap();
    let reloaded = element.running.reload().await;
    assert!(reloaded.accepted, "{reloaded:?}");
    let idle_gone = snapshots.wait_for(|snapshot| snapshot.trunks[1].is_vacant());
    tokio::time::timeout(PATIENCE, idle_gone).await.expect("a trunk without calls goes").unwrap();
    let trunk = element.running.snapshot().trunks[2].clone();
    assert!(&*trunk.name == "genesys" && trunk.retired && !trunk.is_closed(), "its call keeps it: {trunk:?}");
    let names: Vec<String> = element.running.status().trunks.into_iter().map(|trunk| trunk.name).collect();
    assert_eq!(names, ["teams", "genesys"]);

    // A worker that is started anew takes the call up on the trunk that is being removed.
    let worker = element.running.calls().await[0].worker;
    element.running.panic_worker(worker);
    element.until("the alarm of the restart", raised(&format!("worker_restart:{worker}"))).await;
    re_invite(&mut teams, &mut genesys, Flow::Inactive).await;
    element.confirmed().await;
    re_invite(&mut genesys, &mut teams, Flow::Inactive).await;
    assert_eq!(element.running.status().trunks[1].calls, 1);
    hang_up(&mut teams, &mut genesys).await;
    let all_gone = snapshots.wait_for(|snapshot| snapshot.trunks.len() == 1);
    tokio::time::timeout(PATIENCE, all_gone).await.expect("the trunk goes with its last call").unwrap();

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.21:0".parse().unwrap()).unwrap();
    let mut stranger = socket.connect(element.lab.sbc).await.unwrap();
    let mut octets = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut stranger, &mut octets);
    assert_eq!(tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap_or(0), 0, "its sources are strangers");

    // The places are taken again, and what comes now means the new ones.
    let other = text.replace("[trunk.idle]", "[trunk.other]");
    std::fs::write(&element.lab.configuration, &other).unwrap();
    let reloaded = element.running.reload().await;
    assert!(reloaded.accepted, "{reloaded:?}");
    let names: Vec<String> = element.running.status().trunks.into_iter().map(|trunk| trunk.name).collect();
    assert_eq!(names, ["teams", "other", "genesys"]);
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    let calls = element.running.calls().await;
    assert_eq!((calls[0].from.as_str(), calls[0].to.as_str()), ("genesys", "teams"));
    hang_up(&mut genesys, &mut teams).await;
    element.ended().await;
}

#[tokio::test]
async fn a_name_of_ours_that_leads_elsewhere_is_an_alarm_until_it_is_mended_tdr_24() {
    let mut element = element("").await;
    let file = element.lab.configuration.clone();
    let good = std::fs::read_to_string(&file).unwrap();
    let leading_to = |addresses: &str| good.replace("[hosts]", &format!("[hosts]\n\"sbc1.example.com\" = {addresses}"));
    std::fs::write(&file, leading_to("[\"127.0.0.2\", \"127.0.0.3\"]")).unwrap();
    assert!(element.running.reload().await.accepted);
    let key = "own_name:sbc1.example.com";
    let alarm = element.until("the alarm", raised(key)).await;
    let EventKind::Alarm(alarm) = &alarm.event.kind else { unreachable!() };
    assert!(alarm.text.contains("127.0.0.2 and 127.0.0.3") && alarm.remedy.contains("one A record"), "{alarm:?}");

    std::fs::write(&file, leading_to("\"127.0.0.2\"")).unwrap();
    assert!(element.running.reload().await.accepted);
    element
        .until(
            "the end of the alarm",
            |kind| matches!(kind, EventKind::Alarm(alarm) if !alarm.raised && alarm.key == key),
        )
        .await;
    assert!(!element.running.journal().alarms().is_raised(key));
    element.ended().await;
}

#[tokio::test]
async fn a_changed_file_is_taken_without_being_asked_and_a_broken_directory_is_not() {
    let element = element("").await;
    let mut snapshots = element.running.snapshots();
    let users = element.path("users.csv");
    let good = std::fs::read_to_string(&users).unwrap();
    let entries = element.running.snapshot().directory.len();
    std::fs::write(&users, format!("{good}+14255550125,carol@example.com,true\n")).unwrap();
    let more = snapshots.wait_for(|snapshot| snapshot.directory.len() == entries + 1);
    tokio::time::timeout(PATIENCE, more).await.expect("the new directory is taken").unwrap();

    std::fs::remove_file(&users).unwrap();
    let reloaded = element.running.reload().await;
    assert_eq!(element.running.snapshot().directory.len(), entries + 1, "the last good directory stays");
    let told = !reloaded.accepted || element.running.journal().alarms().is_raised("directory");
    assert!(told, "{reloaded:?}");
    element.ended().await;
}

#[tokio::test]
async fn draining_refuses_new_calls_and_ends_with_the_last_old_one() {
    let element = element("").await;
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    element.running.drain(false);
    let mut refused = element.lab.genesys.place(&Placed::new(CUSTOMER, ALICE)).await.unwrap();
    refused.refused(503).await.unwrap();
    assert_eq!(element.lab.genesys.ping().await.unwrap().status(), 503);
    assert_eq!(element.lab.hub.ping().await.unwrap().status(), 200);
    assert_eq!(element.running.status().phase, "draining");
    re_invite(&mut teams, &mut genesys, Flow::Inactive).await;
    hang_up(&mut teams, &mut genesys).await;
    tokio::time::timeout(PATIENCE, element.running.stopped()).await.expect("ends with the last call");
}

#[tokio::test]
async fn the_second_order_to_end_hangs_up_on_both_legs() {
    let element = element("").await;
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    element.running.drain(false);
    element.running.drain(true);
    let (one, two) = tokio::join!(genesys.hung_up(), teams.hung_up());
    one.unwrap();
    two.unwrap();
    tokio::time::timeout(PATIENCE, element.running.stopped()).await.expect("ends at once");
}

#[tokio::test]
async fn the_local_socket_shows_and_ends_calls() {
    let element = element("").await;
    let socket = element.path("tandem.sock");
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    let AdminAnswer::Status(status) = asked(&socket, AdminRequest::Status).await else { panic!("no status") };
    assert_eq!((status.phase.as_str(), status.trunks.len(), status.workers.len()), ("serving", 2, 2));
    let AdminAnswer::Calls { calls } = asked(&socket, AdminRequest::Calls).await else { panic!("no calls") };
    assert_eq!((calls.len(), calls[0].from.as_str(), calls[0].to.as_str()), (1, "genesys", "teams"));
    let nobody = AdminRequest::HangUp { call: uuid::Uuid::nil() };
    assert!(matches!(asked(&socket, nobody).await, AdminAnswer::Refused { .. }));
    let hang_up = AdminRequest::HangUp { call: calls[0].id };
    assert!(matches!(asked(&socket, hang_up).await, AdminAnswer::Done));
    let (one, two) = tokio::join!(genesys.hung_up(), teams.hung_up());
    one.unwrap();
    two.unwrap();
    assert!(matches!(asked(&socket, AdminRequest::Drain { now: true }).await, AdminAnswer::Done));
    tokio::time::timeout(PATIENCE, element.running.stopped()).await.expect("ends");
    assert!(!socket.exists());
}

#[tokio::test]
async fn records_metrics_and_readiness_tell_of_a_call() {
    let mut element = element("[http]\nlisten = \"127.0.0.1:0\"\n[records]\npath = \"calls.jsonl\"\n").await;
    let http = element.running.http_address().unwrap();
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    hang_up(&mut teams, &mut genesys).await;
    element.until("the record", |kind| matches!(kind, EventKind::CallEnded(_))).await;
    let metrics = fetch(http, "/metrics");
    for line in [
        "tandem_calls_started_total{from=\"genesys\"} 1",
        "tandem_calls_answered_total{to=\"teams\"} 1",
        "tandem_transport_messages_in_total",
        "tandem_certificate_expiry_timestamp_seconds{identity=\"public\"}",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    for number in [CUSTOMER, ALICE] {
        assert!(!metrics.contains(&number[number.len() - 7..]), "no number stands in a metric");
    }
    assert!(fetch(http, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(fetch(http, "/readyz").starts_with("HTTP/1.1 200"));
    let records = element.path("calls.jsonl");
    element.running.drain(false);
    element.running.stopped().await;
    let text = std::fs::read_to_string(records).unwrap();
    let record: CallRecord = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((record.from_trunk.as_str(), record.to_trunk.as_str(), record.status), ("genesys", "teams", 200));
    assert_eq!(record.caller.reveal(), CUSTOMER);
}

#[tokio::test]
async fn a_refused_call_has_a_record_with_both_numbers_and_why() {
    let mut element = element("[records]\npath = \"calls.jsonl\"\n").await;
    let mut refused = element.lab.genesys.place(&Placed::new(CUSTOMER, NOBODY)).await.unwrap();
    refused.refused(404).await.unwrap();
    element.until("the record", |kind| matches!(kind, EventKind::CallRefused(_))).await;
    let records = element.path("calls.jsonl");
    element.running.drain(false);
    element.running.stopped().await;
    let text = std::fs::read_to_string(records).unwrap();
    let record: CallRecord = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((record.from_trunk.as_str(), record.to_trunk.as_str(), record.status), ("genesys", "", 404));
    assert_eq!((record.caller.reveal().as_str(), record.callee.reveal().as_str()), (CUSTOMER, NOBODY));
    assert_eq!(record.reason, "number not in the directory");
    assert!(record.started_ms == record.ended_ms && record.answered_ms.is_none() && !record.from_call_id.is_empty());
}

#[tokio::test]
async fn a_new_path_of_the_records_that_cannot_be_used_is_an_alarm_and_is_tried_again() {
    let mut element = element("[records]\npath = \"calls.jsonl\"\n").await;
    let file = element.lab.configuration.clone();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("calls.jsonl", "new/calls.jsonl")).unwrap();
    let reloaded = element.running.reload().await;
    let unmoved = |reloaded: &Reloaded| reloaded.warnings.iter().any(|warning| warning.contains("where they were"));
    assert!(reloaded.accepted && unmoved(&reloaded), "{reloaded:?}");
    assert!(element.running.journal().alarms().is_raised("records_path"));
    let (mut genesys, mut teams) = connect(&element.lab.genesys, &element.lab.hub, CUSTOMER, ALICE).await;
    hang_up(&mut genesys, &mut teams).await;
    element.until("the record", |kind| matches!(kind, EventKind::CallEnded(_))).await;

    std::fs::create_dir(element.path("new")).unwrap();
    let reloaded = element.running.reload().await;
    assert!(reloaded.accepted && !unmoved(&reloaded), "{reloaded:?}");
    assert!(!element.running.journal().alarms().is_raised("records_path"));
    let (old, new) = (element.path("calls.jsonl"), element.path("new/calls.jsonl"));
    assert_eq!(std::fs::read_to_string(old).unwrap().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(new).unwrap(), "");
    element.ended().await;
}

#[tokio::test]
async fn nothing_is_left_open_when_a_start_fails() {
    let element = element("").await;
    let settings = tandem::config::load(&element.lab.configuration).unwrap().settings;
    let error = Running::start(settings).expect_err("the address is taken");
    assert_eq!(error.exit_code(), 69);
    assert!(matches!(asked(&element.path("tandem.sock"), AdminRequest::Status).await, AdminAnswer::Status(_)));
    element.ended().await;
}
