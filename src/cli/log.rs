//! Where log lines go: a thread of their own writes them to standard error.
//!
//! Whoever reads the log may be slow, or stop: a worker must not wait for that. The queue is bounded;
//! lines that do not fit are dropped, and the next one that fits says how many.

use crate::settings::LogSettings;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait to be written.
const QUEUE: usize = 8192;

/// The most octets written at once.
const BATCH: usize = 64 * 1024;

/// How long the writer stays away after a batch; the queue holds what comes meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the end of the process waits for lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

enum Job {
    Line(Vec<u8>),
    /// Everything before this is written.
    Flush(SyncSender<()>),
}

/// The near end of the queue.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

/// Sees to it that the last lines are written before the process ends.
pub(super) struct Log(Queue);

/// Begins to log as the configuration says, and logs panics too.
///
/// # Errors
///
/// The filter cannot be read, or the thread not be started.
pub(super) fn begin(settings: &LogSettings) -> Result<Log, Box<dyn std::error::Error>> {
    let filter = EnvFilter::builder().parse(&settings.filter)?;
    let queue = start(io::stderr())?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue.clone());
    if settings.json {
        log.json().flatten_event(true).try_init()
    } else {
        log.with_ansi(io::stderr().is_terminal()).try_init()
    }
    .map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| {
        // With its place and without its text: that may quote a message.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tracing::error!(place, thread, "panic");
    }));
    Ok(Log(queue))
}

fn start(output: impl Write + Send + 'static) -> io::Result<Queue> {
    let (lines, jobs) = sync_channel(QUEUE);
    let queue = Queue { lines, dropped: Arc::default() };
    let dropped = queue.dropped.clone();
    std::thread::Builder::new().name("tandem-log".into()).spawn(move || write_all(&jobs, output, &dropped))?;
    Ok(queue)
}

fn write_all(jobs: &Receiver<Job>, mut output: impl Write, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    while let Ok(first) = jobs.recv() {
        let mut next = Some(first);
        let mut waiting = None;
        while let Some(job) = next {
            match job {
                Job::Line(line) => batch.extend_from_slice(&line),
                Job::Flush(done) => waiting = Some(done),
            }
            next = if batch.len() < BATCH { jobs.try_recv().ok() } else { None };
        }
        // There is nobody to tell that the log cannot be written.
        let _ = output.write_all(&batch);
        batch.clear();
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} log lines were dropped");
        }
        if let Some(done) = waiting {
            let _ = done.send(());
        }
        // While this thread is away nobody has to wake it: under load that saves a system call a line.
        std::thread::sleep(PAUSE);
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Job::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Queue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        if self.0.lines.try_send(Job::Flush(done)).is_ok() {
            // Whoever does not read the log in time loses its end.
            let _ = written.recv_timeout(PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Blocks until the test lets go.
    struct Slow(Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_never_the_writer() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let held = written.lock().unwrap();
        let mut queue = start(Slow(written.clone())).unwrap();
        for _ in 0..QUEUE + BATCH {
            queue.write_all(b"line\n").unwrap();
        }
        drop(held);
        // The queue may be full still: the flush takes its turn once a line was written.
        let (done, flushed) = sync_channel(1);
        queue.lines.send(Job::Flush(done)).unwrap();
        flushed.recv().unwrap();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.contains("log lines were dropped"), "{}", text.len());
        assert!(text.matches("line\n").count() <= QUEUE + BATCH / "line\n".len() + 2);
    }
}
