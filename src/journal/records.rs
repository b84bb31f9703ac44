//! Call records: one JSON line a call, written by a thread of their own.
//!
//! Records are personal data: the file is made with mode 0600, and numbers stand in it as the
//! configuration says. The queue is bounded and writing never blocks a call: what does not fit, or
//! cannot be written because the disk is full, is lost, counted and alarmed. A line that was written
//! in part is taken back, so that the file stays JSON Lines.

use crate::event::{Alarm, CallRecord, Severity};
use crate::pii::Pii;
use crate::settings::{RecordNumbers, RecordSettings};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most records that wait to be written: half a minute at 500 calls a second.
const QUEUE: usize = 16 * 1024;

/// How long the writer stays away after a batch; a process that is killed loses no more than this.
const PAUSE: Duration = Duration::from_millis(50);

/// The most records of refused INVITEs in a second: an operator reads a few, and a flood must neither fill the
/// disk nor crowd out the records of calls. The metric `requests_refused` counts them all.
const REFUSED_A_SECOND: u64 = 100;

/// What became of the record of a refused INVITE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// It waits to be written, or the configuration wants none.
    Queued,
    /// There were too many in this second.
    LeftOut,
    /// The queue is full.
    Lost,
}

enum Job {
    Write(Arc<CallRecord>),
    Reopen,
    Close,
}

/// The writer's near end.
#[derive(Debug)]
pub struct Records {
    queue: SyncSender<Job>,
    /// Whether refused INVITEs have records.
    refused: bool,
    /// The second of the last such record, and in the low bits how many there were in it.
    second: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Records {
    /// Opens the file for appending and starts the writer. `report` hears when writing begins to fail
    /// (with the error) and when it works again (`None`); it must not block for long.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or the thread not be started.
    pub fn open(settings: &RecordSettings, report: impl Fn(Option<&io::Error>) + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let path = settings.path.clone();
        let output = Output { file: Some(open(&path)?), path, length: 0 };
        let pseudonyms = (settings.numbers == RecordNumbers::Pseudonym).then(Pseudonyms::default);
        let thread = std::thread::Builder::new()
            .name("tandem-records".into())
            .spawn(move || write_all(&jobs, output, pseudonyms.as_ref(), report))?;
        let (refused, second) = (settings.refused, AtomicU64::new(0));
        Ok(Self { queue, refused, second, thread: Mutex::new(Some(thread)) })
    }

    /// Queues one record; `false` when the queue is full.
    pub fn write(&self, record: Arc<CallRecord>) -> bool {
        self.queue.try_send(Job::Write(record)).is_ok()
    }

    /// Queues the record of a refused INVITE at `unix_ms`.
    pub fn write_refused(&self, record: &Arc<CallRecord>, unix_ms: u64) -> Taken {
        const COUNT: u64 = 1 << 16;
        if !self.refused {
            return Taken::Queued;
        }
        let second = unix_ms / 1000;
        let one_more = |last: u64| match last.checked_sub(second * COUNT) {
            Some(count) if count < COUNT => (count < REFUSED_A_SECOND).then_some(last + 1),
            _ => Some(second * COUNT + 1),
        };
        match self.second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Err(_) => Taken::LeftOut,
            Ok(_) if self.write(record.clone()) => Taken::Queued,
            Ok(_) => Taken::Lost,
        }
    }

    /// Has the file opened anew.
    pub fn reopen(&self) {
        // A full queue means that writing fails already, and then every record tries to open anew.
        let _ = self.queue.try_send(Job::Reopen);
    }

    /// Writes what is queued and ends the writer.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.queue.send(Job::Close).is_ok()
        {
            let _ = thread.join();
        }
    }
}

/// The alarm of the writer: raised with the trouble, cleared without.
pub(super) fn alarm(trouble: Option<&io::Error>) -> Alarm {
    let text =
        trouble.map_or("call records are written again".into(), |error| format!("call records are lost: {error}"));
    Alarm {
        key: "records".into(),
        severity: Severity::Critical,
        raised: trouble.is_some(),
        text,
        remedy: "make room or repair the path in [records]; calls go on meanwhile",
    }
}

struct Output {
    path: PathBuf,
    file: Option<File>,
    /// Octets of whole lines in the file, once known.
    length: u64,
}

impl Output {
    /// Appends the lines of a batch and empties it. When they do not all fit, each is tried by itself.
    fn write(&mut self, batch: &mut Vec<Vec<u8>>, failing: &mut bool, report: &impl Fn(Option<&io::Error>)) {
        let lines = std::mem::take(batch);
        if lines.is_empty() {
            return;
        }
        if self.append(&lines.concat()).is_ok() {
            if std::mem::take(failing) {
                report(None);
            }
            return;
        }
        for line in &lines {
            match self.append(line) {
                Err(error) => {
                    *failing = true;
                    report(Some(&error));
                }
                Ok(()) if std::mem::take(failing) => report(None),
                Ok(()) => {}
            }
        }
    }

    /// Appends whole lines, or nothing.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            // A file that was deleted takes lines still, and nobody ever reads them.
            Some(file) if file.metadata()?.nlink() > 0 => file,
            _ => open(&self.path)?,
        };
        self.length = file.metadata()?.len();
        let written = file.write_all(line);
        if written.is_err() {
            // Half a line would break the next one too. A pipe or a device cannot be cut: so be it.
            let _ = file.set_len(self.length);
        } else {
            self.file = Some(file);
        }
        written
    }
}

/// Never waits: opening a pipe that nobody reads would, and with it the start, a reload or the end of the process.
fn open(path: &PathBuf) -> io::Result<File> {
    let unread = |error: io::Error| match error.raw_os_error() {
        Some(code) if code == Errno::ENXIO as i32 => io::Error::new(error.kind(), "it is a pipe that nobody reads"),
        _ => error,
    };
    let flags = OFlag::O_NONBLOCK.bits();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path).map_err(unread)
}

fn write_all(
    jobs: &Receiver<Job>,
    mut output: Output,
    pseudonyms: Option<&Pseudonyms>,
    report: impl Fn(Option<&io::Error>),
) {
    let mut failing = false;
    let mut batch = Vec::new();
    while let Ok(first) = jobs.recv() {
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(record) => {
                    let line = match pseudonyms {
                        Some(pseudonyms) => serde_json::to_vec(&pseudonyms.hide(CallRecord::clone(&record))),
                        None => serde_json::to_vec(&*record),
                    };
                    if let Ok(mut line) = line {
                        line.push(b'\n');
                        batch.push(line);
                    }
                }
                Job::Reopen => {
                    output.write(&mut batch, &mut failing, &report);
                    output.file = None;
                }
                Job::Close => return output.write(&mut batch, &mut failing, &report),
            }
            next = jobs.try_recv().ok();
        }
        output.write(&mut batch, &mut failing, &report);
        // While this thread is away nobody has to wake it: under load that saves a system call or two a call.
        std::thread::sleep(PAUSE);
    }
}

/// Keyed hashes in place of numbers and names: equal for equal values within this process, and not
/// to be computed from outside, though the space of numbers is small.
#[derive(Default)]
struct Pseudonyms {
    keys: [RandomState; 2],
}

impl Pseudonyms {
    fn hide(&self, mut record: CallRecord) -> CallRecord {
        let by = record.forwarded.as_mut().map(|forwarded| &mut forwarded.by);
        for value in [&mut record.caller, &mut record.callee, &mut record.user].into_iter().chain(by) {
            if !value.reveal().is_empty() {
                let [high, low] = self.keys.each_ref().map(|key| key.hash_one(value.reveal()));
                *value = Pii::new(format!("~{high:016x}{low:016x}"));
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn record(callee: &str) -> Arc<CallRecord> {
        Arc::new(CallRecord { callee: Pii::new(callee.into()), status: 200, ..CallRecord::default() })
    }

    fn settings(path: PathBuf, numbers: RecordNumbers) -> RecordSettings {
        RecordSettings { path, numbers, refused: true }
    }

    fn lines(path: &PathBuf) -> Vec<CallRecord> {
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_record_is_one_line_in_a_file_of_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.jsonl");
        let records = Records::open(&settings(path.clone(), RecordNumbers::Full), |_| {}).unwrap();
        assert!(records.write(record("+14255550123")) && records.write(record("+14255550124")));
        records.close();
        let written = lines(&path);
        assert_eq!(written.len(), 2);
        assert_eq!(written[1].callee.reveal(), "+14255550124");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn refused_calls_have_so_many_records_a_second_and_none_where_none_are_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.jsonl");
        let records = Records::open(&settings(path.clone(), RecordNumbers::Full), |_| {}).unwrap();
        let results = |unix_ms: u64| (0..150).map(move |_| unix_ms);
        let write = |unix_ms| records.write_refused(&record("+14255550199"), unix_ms);
        let queued = |unix_ms| results(unix_ms).map(write).filter(|result| *result == Taken::Queued).count();
        assert_eq!((queued(7_000), queued(7_999), queued(8_000)), (100, 0, 100));
        assert!(records.write(record("+14255550123")), "calls are not held up");
        records.close();
        assert_eq!(lines(&path).len(), 201);
        let none = RecordSettings { refused: false, ..settings(path.clone(), RecordNumbers::Full) };
        let records = Records::open(&none, |_| {}).unwrap();
        assert_eq!(records.write_refused(&record("+14255550199"), 9_000), Taken::Queued);
        records.close();
        assert_eq!(lines(&path).len(), 201);
    }

    #[test]
    fn pseudonyms_are_equal_for_equal_numbers_and_show_no_digits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.jsonl");
        let records = Records::open(&settings(path.clone(), RecordNumbers::Pseudonym), |_| {}).unwrap();
        for callee in ["+14255550123", "+14255550123", "+14255550124"] {
            records.write(record(callee));
        }
        records.close();
        let written = lines(&path);
        assert_eq!(written[0].callee.reveal(), written[1].callee.reveal());
        assert_ne!(written[0].callee.reveal(), written[2].callee.reveal());
        assert!(written[0].callee.reveal().starts_with('~') && written[0].caller.reveal().is_empty());
    }

    #[test]
    fn after_a_rename_reopening_begins_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("calls.jsonl"), directory.path().join("calls.1"));
        let records = Records::open(&settings(path.clone(), RecordNumbers::Full), |_| {}).unwrap();
        records.write(record("+14255550123"));
        records.close();
        std::fs::rename(&path, &old).unwrap();
        let records = Records::open(&settings(old.clone(), RecordNumbers::Full), |_| {}).unwrap();
        std::fs::rename(&old, &path).unwrap();
        records.reopen();
        records.write(record("+14255550124"));
        records.close();
        assert_eq!((lines(&path).len(), lines(&old).len()), (1, 1));
    }

    #[test]
    fn a_file_that_was_deleted_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.jsonl");
        let mut output = Output { file: Some(open(&path).unwrap()), path: path.clone(), length: 0 };
        output.append(b"{}\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        output.append(b"[]\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.jsonl");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = Records::open(&settings(path, RecordNumbers::Full), |_| {}).unwrap_err();
        assert!(error.to_string().contains("nobody reads"), "{error}");
    }

    #[test]
    fn a_full_disk_raises_the_alarm_and_stops_nothing() {
        let trouble = Arc::new(Mutex::new(Vec::new()));
        let heard = trouble.clone();
        let records = Records::open(&settings("/dev/full".into(), RecordNumbers::Full), move |error| {
            heard.lock().unwrap().push(error.is_some());
        });
        let records = records.unwrap();
        assert!(records.write(record("+14255550123")) && records.write(record("+14255550124")));
        records.close();
        assert_eq!(*trouble.lock().unwrap(), [true, true]);
        assert!(alarm(Some(&io::Error::other("full"))).raised && !alarm(None).raised);
    }
}
