//! The local socket of `tandem status`, `calls`, `drain` and `reload`: one JSON line in, one out.
//!
//! The socket's mode is 0600: who may open it may end calls. Lines, connections and waiting are bounded.

use super::control::Reloaded;
use super::{Shared, Status, status};
use crate::process::CallStatus;
use crate::worker::Phase;
use nix::sys::stat::{Mode, umask};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::control::Command;

/// The longest request, in octets.
const MAX_LINE: u64 = 4096;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 16;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request may take to come: its sender has it ready, and there are few places.
const REQUEST: Duration = Duration::from_secs(1);

/// What a command asks.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the element is.
    Status,
    /// Which calls there are.
    Calls,
    /// End a call.
    HangUp {
        /// The call.
        call: Uuid,
    },
    /// End the process in order.
    Drain {
        /// Whether calls that exist are ended too.
        #[serde(default)]
        now: bool,
    },
    /// Read the configuration again.
    Reload,
    /// Make a worker panic (debug builds): to see it come back.
    #[cfg(debug_assertions)]
    PanicWorker {
        /// The worker.
        worker: u16,
    },
}

/// What it hears.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Calls`].
    Calls {
        /// Oldest first.
        calls: Vec<CallStatus>,
    },
    /// To [`Request::Reload`].
    Reloaded(Reloaded),
    /// It is done, or begun.
    Done,
    /// It cannot be done.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Why a running element could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody serves the socket.
    #[error("no Tandem serves {path}: {error}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The conversation broke off.
    #[error("Tandem at {path} does not answer: {error}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system or the decoder says.
        error: io::Error,
    },
}

/// Asks the element that serves `path`, and waits for its answer.
///
/// # Errors
///
/// [`AdminError`] says whether nobody is there or somebody does not answer.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AdminError> {
    let stream = UnixStream::connect(path).map_err(|error| AdminError::Unreachable { path: path.to_owned(), error })?;
    converse(&stream, request).map_err(|error| AdminError::Broken { path: path.to_owned(), error })
}

fn converse(mut stream: &UnixStream, request: &Request) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// The socket of a running element; the file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Admin {
    path: PathBuf,
    listener: UnixListener,
}

impl Admin {
    /// Binds the socket. A file that a dead process left behind is replaced.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another Tandem serves it"));
        }
        match std::fs::symlink_metadata(path) {
            Ok(facts) if !std::os::unix::fs::FileTypeExt::is_socket(&facts.file_type()) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        // Before the file exists, so that nobody else can ever open it.
        let mask = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(mask);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(Self { path: path.to_owned(), listener })
    }

    /// Serves on the runtime that is entered.
    pub(super) fn serve(&self, shared: Arc<Shared>, commands: mpsc::Sender<Command>) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::spawn(async move {
            while let Ok(place) = places.clone().acquire_owned().await {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "local socket");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (shared, commands) = (shared.clone(), commands.clone());
                tokio::spawn(async move {
                    // Who asked and went away needs no answer.
                    let _ = tokio::time::timeout(PATIENCE, serve_one(stream, &shared, &commands)).await;
                    drop(place);
                });
            }
        });
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // A file that is gone already is gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve_one(
    mut stream: tokio::net::UnixStream,
    shared: &Shared,
    commands: &mpsc::Sender<Command>,
) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let (mut line, mut reader) = (Vec::new(), tokio::io::BufReader::new(read.take(MAX_LINE)));
    tokio::time::timeout(REQUEST, reader.read_until(b'\n', &mut line)).await??;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => answer(request, shared, commands).await,
        Err(error) => Answer::Refused { reason: format!("request not understood: {error}") },
    };
    let mut octets = serde_json::to_vec(&answer)?;
    octets.push(b'\n');
    write.write_all(&octets).await?;
    write.shutdown().await
}

async fn answer(request: Request, shared: &Shared, commands: &mpsc::Sender<Command>) -> Answer {
    match request {
        Request::Status => Answer::Status(Box::new(status::status(shared))),
        Request::Calls => Answer::Calls { calls: status::calls(shared).await },
        Request::HangUp { call } => {
            if !status::calls(shared).await.iter().any(|known| known.id == call) {
                return Answer::Refused { reason: format!("there is no call {call}") };
            }
            tracing::info!(%call, "hang-up ordered");
            status::hang_up(shared, call);
            Answer::Done
        }
        Request::Drain { now } => {
            shared.advance(if now { Phase::Ending } else { Phase::Draining });
            Answer::Done
        }
        Request::Reload => {
            let (answer, reloaded) = oneshot::channel();
            let sent = commands.try_send(Command::Reload(Some(answer))).is_ok();
            match reloaded.await {
                Ok(reloaded) if sent => Answer::Reloaded(reloaded),
                _ => Answer::Refused { reason: "the control plane is busy".into() },
            }
        }
        #[cfg(debug_assertions)]
        Request::PanicWorker { worker } => {
            let ordered = shared.exchange.desk(worker).is_some_and(|desk| desk.order(crate::worker::Order::Panic));
            if ordered { Answer::Done } else { Answer::Refused { reason: "no such worker".into() } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_socket_is_the_owners_alone_and_is_not_taken_from_a_living_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let admin = Admin::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Admin::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(admin);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Admin::bind(&path).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(Admin::bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn requests_are_what_a_script_would_write() {
        let read = |text: &str| serde_json::from_str::<Request>(text);
        assert!(matches!(read(r#"{"do":"status"}"#), Ok(Request::Status)));
        assert!(matches!(read(r#"{"do":"drain"}"#), Ok(Request::Drain { now: false })));
        assert!(matches!(
            read(r#"{"do":"hang-up","call":"00000000-0000-0000-0000-000000000000"}"#),
            Ok(Request::HangUp { .. })
        ));
        assert!(read(r#"{"do":"explode"}"#).is_err());
    }

    #[test]
    fn nobody_there_is_told_apart_from_nobody_answering() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        assert!(matches!(ask(&path, &Request::Status), Err(AdminError::Unreachable { .. })));
    }
}
