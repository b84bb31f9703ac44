//! Programs of the lab: started with their output in a file, awaited with a deadline, never left behind.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often something outside this process is looked at again: nothing out there can wake us.
const LOOK: Duration = Duration::from_millis(10);

/// A running program; dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to `NAME.log` in `directory`.
    pub fn start(name: &str, command: &mut Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).expect("the lab's directory is writable");
        let errors = output.try_clone().expect("a second handle");
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something listens on `address`. Nothing connects: a probe would be a peer, and be counted.
    pub fn listens(&mut self, table: Table, address: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !table.has(address) {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                panic!("{} ended with {status} before it listened on {address}:\n{}", self.name, self.output());
            }
            assert!(Instant::now() < deadline, "{} does not listen on {address}:\n{}", self.name, self.output());
            std::thread::sleep(LOOK);
        }
    }

    /// Processor time it has taken, from the kernel's own accounting, in steps of 10 ms.
    pub fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let command = format!("kill -{signal} {}", self.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("sh runs");
        assert!(status.success(), "{} is not there any more:\n{}", self.name, self.output());
    }

    /// Waits for its end.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end in {patience:?}:\n{}", self.name, self.output());
            std::thread::sleep(LOOK);
        }
    }

    /// The end of what it printed.
    pub fn output(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a file; empty if there is none.
pub fn tail(path: &Path) -> String {
    let text = fs::read(path).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// One of the kernel's tables of sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Table {
    /// Listening TCP sockets.
    Tcp,
    /// Bound UDP sockets.
    Udp,
}

impl Table {
    fn has(self, address: SocketAddr) -> bool {
        let SocketAddr::V4(address) = address else { return false };
        // Address and port in hexadecimal, the address in the machine's byte order; state 0A listens, 07 is bound.
        let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
        let (path, state) = match self {
            Self::Tcp => ("/proc/net/tcp", "0A"),
            Self::Udp => ("/proc/net/udp", "07"),
        };
        let table = fs::read_to_string(path).expect("procfs");
        table.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(local.as_str()) && fields.nth(1) == Some(state)
        })
    }
}

/// Whether a program is installed.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|directory| directory.join(program).is_file())
}

/// A command of an installed program; daemons lie outside a user's path.
pub fn command(program: &str) -> Command {
    let daemon = Path::new("/usr/sbin").join(program);
    if daemon.is_file() { Command::new(daemon) } else { Command::new(program) }
}
