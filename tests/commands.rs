//! The binary as an operator has it: run, status, calls, drain, signals and exit codes.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use tandem::twin::lab::{ALICE, CUSTOMER};
use tandem::twin::{Call, Lab, Placed};

/// A running `tandem run` and its log.
struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Process {
    fn start(configuration: &Path) -> Self {
        let mut child = command(&["run", "--config", configuration.to_str().unwrap()]).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, log };
        process.until("serving");
        process
    }

    /// Reads the log up to a line with `text`; all lines read.
    fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        loop {
            let start = read.len();
            assert!(self.log.read_line(&mut read).unwrap() > 0, "the log ended without {text}:\n{read}");
            if read[start..].contains(text) {
                return read;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ran(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

async fn connect(lab: &Lab) -> (Call, Call) {
    let mut caller = lab.genesys.place(&Placed::new(CUSTOMER, ALICE)).await.unwrap();
    let mut callee = lab.hub.incoming().await.unwrap();
    let (answer, answered) = tokio::join!(callee.answer(""), caller.answered());
    answer.unwrap();
    answered.unwrap();
    (caller, callee)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_asked_reloaded_and_ended() {
    let lab = Lab::start("").await.unwrap();
    let configuration = lab.configuration.to_str().unwrap();
    let mut process = Process::start(&lab.configuration);
    let (mut genesys, mut teams) = connect(&lab).await;

    let status = ran(&["status", "--config", configuration]);
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success() && text.contains("trunk teams") && text.contains("1 calls"), "{text}");
    let calls = ran(&["calls", "--config", configuration, "--json"]);
    let calls: serde_json::Value = serde_json::from_slice(&calls.stdout).unwrap();
    assert_eq!((&calls[0]["from"], &calls[0]["to"]), (&"genesys".into(), &"teams".into()));

    process.signal(Signal::SIGHUP);
    process.until("configuration reloaded");

    process.signal(Signal::SIGTERM);
    process.until("draining");
    let refused = lab.genesys.place(&Placed::new(CUSTOMER, ALICE)).await.unwrap().refused(503).await;
    refused.unwrap();
    process.signal(Signal::SIGTERM);
    let (one, two) = tokio::join!(genesys.hung_up(), teams.hung_up());
    one.unwrap();
    two.unwrap();
    let log = process.until("ended");
    assert!(process.child.wait().unwrap().success());
    assert!(!log.contains("5550123"), "a number stands in the log:\n{log}");
    assert_eq!(ran(&["status", "--config", configuration]).status.code(), Some(69));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_configuration_that_is_refused_stands_in_the_log_and_not_without_end() {
    let lab = Lab::start("").await.unwrap();
    let good = std::fs::read_to_string(&lab.configuration).unwrap();
    let mut process = Process::start(&lab.configuration);
    // The file is read when it changes, too: a fault may be told more than once.
    for fault in ["first_fault = 1", "second_fault = 1"] {
        std::fs::write(&lab.configuration, format!("{fault}\n{good}")).unwrap();
        process.signal(Signal::SIGHUP);
        process.until(&format!("unknown key `{}`", &fault[..fault.len() - 4]));
    }
    let faults: String = (0..100).map(|number| format!("fault_{number} = 1\n")).collect();
    std::fs::write(&lab.configuration, format!("{faults}{good}")).unwrap();
    process.signal(Signal::SIGHUP);
    process.until(" more; tandem check shows them");
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_now_and_wait_returns_when_all_is_over() {
    let lab = Lab::start("").await.unwrap();
    let configuration = lab.configuration.to_str().unwrap();
    let mut process = Process::start(&lab.configuration);
    let (mut genesys, mut teams) = connect(&lab).await;
    let drained = ran(&["drain", "--config", configuration, "--now", "--wait"]);
    assert!(drained.status.success(), "{drained:?}");
    let (one, two) = tokio::join!(genesys.hung_up(), teams.hung_up());
    one.unwrap();
    two.unwrap();
    assert!(process.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_the_exit_code_and_with_a_remedy() {
    let lab = Lab::start("").await.unwrap();
    let configuration = lab.configuration.to_str().unwrap();
    let _first = Process::start(&lab.configuration);
    let second = ran(&["run", "--config", configuration]);
    assert_eq!(second.status.code(), Some(69), "the address is taken");
    assert!(String::from_utf8(second.stderr).unwrap().contains("help: another process has this port"));
    let socket = format!("{}\n", std::fs::read_to_string(configuration).unwrap()).replace("tandem.sock", "none/t.sock");
    let elsewhere = format!("127.0.0.99:{}", lab.sbc.port());
    let nowhere = lab.directory().join("nowhere.toml");
    std::fs::write(&nowhere, socket.replace(&lab.sbc.to_string(), &elsewhere)).unwrap();
    let check = ran(&["check", "--config", nowhere.to_str().unwrap()]);
    assert!(String::from_utf8(check.stdout).unwrap().contains("none/t.sock does not exist"));
    let refused = ran(&["run", "--config", nowhere.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("help: make its folder"));

    let bad = lab.directory().join("bad.toml");
    std::fs::write(&bad, "[edgy]\n").unwrap();
    let refused = ran(&["run", "--config", bad.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("bad.toml:1") && told.contains("edge"), "{told}");
    assert_eq!(ran(&["run", "--nonsense"]).status.code(), Some(64));
    let nobody = lab.directory().join("nobody.sock");
    assert_eq!(ran(&["status", "--socket", nobody.to_str().unwrap()]).status.code(), Some(69));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_element_is_asked_though_its_file_has_become_a_bad_one() {
    let lab = Lab::start("").await.unwrap();
    let configuration = lab.configuration.to_str().unwrap();
    let _process = Process::start(&lab.configuration);
    let good = std::fs::read_to_string(configuration).unwrap();
    for bad in [good.replace("[edge]", "[edge]\nfqbn = 1"), format!("{good}\nnot TOML\n")] {
        std::fs::write(configuration, bad).unwrap();
        let status = ran(&["status", "--config", configuration]);
        assert!(status.status.success(), "{status:?}");
    }
    std::fs::remove_file(configuration).unwrap();
    let status = ran(&["status", "--config", configuration]);
    assert_eq!(status.status.code(), Some(78));
    assert!(String::from_utf8(status.stderr).unwrap().contains("--socket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_further_ends_a_command_quietly_and_a_full_disk_does_not() {
    let lab = Lab::start("").await.unwrap();
    let configuration = lab.configuration.to_str().unwrap();
    let _process = Process::start(&lab.configuration);
    for arguments in [&["status"][..], &["status", "--json"], &["calls", "--json"]] {
        let mut command = command(arguments);
        command.args(["--config", configuration]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = command.stdout(writer).output().unwrap();
        assert!(closed.status.success() && closed.stderr.is_empty(), "{closed:?}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let full = command.stdout(full).output().unwrap();
        assert_eq!(full.status.code(), Some(74));
        assert!(String::from_utf8(full.stderr).unwrap().contains("help: make room"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_mean_nothing_here_and_a_reload_while_draining_cost_no_call() {
    let lab = Lab::start("").await.unwrap();
    let mut process = Process::start(&lab.configuration);
    let (mut genesys, mut teams) = connect(&lab).await;
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE, Signal::SIGTERM] {
        process.signal(signal);
    }
    process.until("draining");
    process.signal(Signal::SIGHUP);
    process.until("configuration reloaded");
    let (ended, seen) = tokio::join!(genesys.hang_up(), teams.hung_up());
    ended.unwrap();
    seen.unwrap();
    process.until("ended");
    assert!(process.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_finds_stands_in_the_log_with_its_place() {
    let lab = Lab::start("").await.unwrap();
    let mut process = Process::start(&lab.configuration);
    let users = lab.directory().join("users.csv");
    let text = std::fs::read_to_string(&users).unwrap();
    std::fs::write(&users, format!("{}\nnobody,x,true\n", text.trim_end())).unwrap();
    process.signal(Signal::SIGHUP);
    let log = process.until("configuration reloaded");
    assert!(log.contains("users.csv:") && log.contains("not a telephone number"), "{log}");
}
