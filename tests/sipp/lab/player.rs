//! One SIPp: a side of a platform that plays one flow, and what came of it.

use super::process::{Process, Table, command, tail};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What SIPp speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wire {
    /// One TCP connection for all calls.
    Tcp,
    /// One UDP socket for all calls.
    Udp,
}

impl Wire {
    fn option(self) -> &'static str {
        match self {
            Self::Tcp => "t1",
            Self::Udp => "u1",
        }
    }
}

/// How many calls, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// SIPps at work, each with a connection of its own.
    pub connections: u16,
    /// Calls of each.
    pub calls: u32,
    /// Calls that each begins in a second.
    pub rate: u32,
    /// The most that each has at once.
    pub at_once: u32,
    /// Whether the time to each answer is kept.
    pub timed: bool,
}

impl Load {
    /// Calls of all.
    pub fn total(&self) -> u32 {
        self.calls * u32::from(self.connections)
    }
}

/// A running SIPp.
pub struct Player {
    process: Process,
    name: String,
    directory: PathBuf,
}

/// What SIPp counted.
#[derive(Debug)]
pub struct Outcome {
    /// Calls that went as the flow says.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// From INVITE to 200, each call, where that was asked for.
    pub setups: Vec<Duration>,
    columns: BTreeMap<String, String>,
}

impl Outcome {
    /// A counter that the flow names.
    pub fn counter(&self, name: &str) -> u64 {
        let suffix = format!("{name}(C)");
        let found = self.columns.iter().find(|(column, _)| column.ends_with(&suffix));
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("no counter {name}: {self:#?}"))
    }
}

impl Player {
    /// Starts a side that calls `to`, an address and who is called there, from `from`.
    pub fn calls(
        name: &str,
        script: &str,
        wire: Wire,
        from: SocketAddr,
        to: (SocketAddr, &str),
        load: Load,
        directory: &Path,
    ) -> Self {
        let options = [("-m", load.calls), ("-r", load.rate), ("-l", load.at_once)];
        // Of a Digest's uri SIPp would make an address.
        let mut arguments: Vec<String> = vec![to.0.to_string(), "-auth_uri".to_owned(), to.1.to_owned()];
        arguments.extend(options.iter().flat_map(|(key, value)| [(*key).to_owned(), value.to_string()]));
        if load.timed {
            arguments.extend(["-trace_rtt", "-rtt_freq", "1000"].map(str::to_owned));
        }
        Self::start(name, script, wire, from, &arguments, directory)
    }

    /// Starts a side that waits for calls at `at`, as many as come.
    pub fn waits(name: &str, script: &str, wire: Wire, at: SocketAddr, directory: &Path) -> Self {
        let mut player = Self::start(name, script, wire, at, &[], directory);
        player.process.listens(if wire == Wire::Tcp { Table::Tcp } else { Table::Udp }, at);
        player
    }

    fn start(name: &str, script: &str, wire: Wire, local: SocketAddr, arguments: &[String], directory: &Path) -> Self {
        let file = |kind: &str| directory.join(format!("{name}.{kind}"));
        fs::write(file("xml"), script).expect("the lab's directory is writable");
        let mut command = command("sipp");
        command.args(arguments).arg("-sf").arg(file("xml"));
        command.args([
            "-t",
            wire.option(),
            "-i",
            &local.ip().to_string(),
            "-p",
            &local.port().to_string(),
            "-bind_local",
        ]);
        // A call that waits in vain fails, and so does a run that does not end: time never counts as success.
        command.args([
            "-recv_timeout",
            "25000",
            "-timeout",
            "120",
            "-timeout_error",
            "-nostdin",
            "-max_socket",
            "8000",
        ]);
        command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(file("csv"));
        command.args(["-trace_err", "-error_file"]).arg(file("errors"));
        command.current_dir(directory).env("TERM", "dumb");
        Self {
            process: Process::start(name, &mut command, directory),
            name: name.to_owned(),
            directory: directory.to_owned(),
        }
    }

    /// Waits for the end of its calls.
    ///
    /// # Panics
    ///
    /// Unless each of them, and at least one, went as the flow says.
    pub fn finish(mut self) -> Outcome {
        let status = self.process.ended(Duration::from_secs(180));
        assert!(status.success(), "{} ended with {status}\n{}", self.name, self.story());
        self.outcome()
    }

    /// Lets a waiting side end: it takes no more calls, and the last ones come to their end.
    pub fn dismiss(mut self, expected: bool) -> Outcome {
        self.process.signal("USR1");
        let status = self.process.ended(Duration::from_secs(60));
        // 99 is SIPp's word for a run without calls.
        let idle = !expected && status.code() == Some(99);
        assert!(status.success() || idle, "{} ended with {status}\n{}", self.name, self.story());
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let table = fs::read_to_string(self.directory.join(format!("{}.csv", self.name))).expect("SIPp wrote it");
        let mut lines = table.lines();
        let (names, values) = (lines.next().unwrap_or_default(), lines.next_back().unwrap_or_default());
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let columns: BTreeMap<_, _> = names.split(';').zip(values.split(';')).map(pair).collect();
        let number = |name: &str| columns.get(name).and_then(|value| value.parse().ok()).unwrap_or(u64::MAX);
        let outcome = Outcome {
            successful: number("SuccessfulCall(C)"),
            failed: number("FailedCall(C)"),
            setups: self.setups(),
            columns,
        };
        assert_eq!(outcome.failed, 0, "{}\n{}", self.name, self.story());
        outcome
    }

    /// SIPp's list of response times: `milliseconds since its start;response time in milliseconds;name`.
    fn setups(&self) -> Vec<Duration> {
        let list = self.directory.join(format!("{}_{}_rtt.csv", self.name, self.process.id()));
        let text = fs::read_to_string(list).unwrap_or_default();
        let time =
            |line: &str| line.split(';').nth(1)?.trim().parse::<f64>().ok().map(|ms| Duration::from_secs_f64(ms / 1e3));
        text.lines().skip(1).filter_map(time).collect()
    }

    fn story(&self) -> String {
        let errors = tail(&self.directory.join(format!("{}.errors", self.name)));
        format!("--- {}: errors\n{errors}\n--- {0}: screen\n{}", self.name, self.process.output())
    }
}

/// An address and a port.
pub fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((address, port))
}
