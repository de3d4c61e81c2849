//! The history on the disk: a separate database in the state directory, written by a separate
//! thread. The invariants: recording never blocks, and an event that does not fit into the queue is
//! counted; events are written in batches, at most a quarter of a second late if the disk keeps up;
//! a database that fails is reported and no longer written; a database that cannot be read is
//! reported. (Rejected: a file of lines; to bound it, it must be rewritten.)

mod schema;

use super::{Class, Entry, KEPT_ON_DISK, KEPT_UNAUTHENTICATED, Query};
use crate::event::Kind;
use mrule_dataplane::patience::LOCKED;
use mrule_dataplane::privilege::private;
use rusqlite::{Connection, Transaction, params, params_from_iter, types::Value};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// The largest number of events that wait for the disk.
const QUEUE: usize = 1 << 13;

/// The longest time that a batch waits for more events.
const BATCH: Duration = Duration::from_millis(250);

/// The largest number of events in a batch.
const BATCH_EVENTS: usize = 2048;

/// The time between two checks of the file when nothing is to be written.
const LOOK: Duration = Duration::from_millis(500);

/// The longest time that a reader waits for the writer.
const READ: Duration = Duration::from_secs(3);

/// The longest time for waiting events when the run ends.
const FINISH: Duration = Duration::from_secs(5);

/// The longest operation of the disk that is not reported.
const HUNG: Duration = Duration::from_secs(3);

/// The state that the writing thread shares.
#[derive(Debug)]
struct Shared {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// The device and inode of the file.
    file: (u64, u64),
    written: AtomicU64,
    unwritten: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Why the last query failed; none after a query that succeeds.
    read_failure: Mutex<Option<String>>,
    /// Which events of earlier runs have a kind that this mirrorc does not know.
    unknown_kinds: Option<String>,
    /// The begin of the current disk operation.
    at_work: Mutex<Option<Instant>>,
}

/// Why the database was not read.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error("the writer has waited for the disk for {} s", READ.as_secs())]
    Busy,
    #[error("an event has the kind `{0}`, which this mirrorc does not know")]
    Kind(String),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// The database and its writing thread.
#[derive(Debug)]
pub(super) struct Disk {
    shared: Arc<Shared>,
    newest: u64,
    /// None when the run has ended.
    queue: Mutex<Option<SyncSender<Entry>>>,
    /// Disconnects when all events are written.
    done: Mutex<Receiver<()>>,
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Opens the database in a directory, which is created if it does not exist.
    ///
    /// # Errors
    /// Why the database cannot be used.
    pub fn open(directory: &Path) -> Result<Disk, String> {
        let failed = |what: &dyn std::fmt::Display| {
            format!("the history in `{}` cannot be used: {what}; it is in memory only", directory.display())
        };
        let path = directory.join("history.sqlite");
        private::directory(directory).and_then(|()| private::database(&path)).map_err(|e| failed(&e))?;
        let mut connection = Connection::open(&path).map_err(|e| failed(&e))?;
        connection.busy_timeout(LOCKED).map_err(|e| failed(&e))?;
        schema::prepare(&mut connection).map_err(|error| failed(&error))?;
        let unknown_kinds = schema::unknown_kinds(&connection, &path).map_err(|error| failed(&error))?;
        let newest = "SELECT coalesce(max(id), 0) FROM events";
        let newest: i64 = connection.query_row(newest, [], |row| row.get(0)).map_err(|e| failed(&e))?;
        let file = identity(&path).map_err(|error| failed(&error))?;
        let shared = Arc::new(Shared {
            connection: Mutex::new(connection),
            path,
            file,
            written: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            trouble: Mutex::new(None),
            read_failure: Mutex::new(None),
            unknown_kinds,
            at_work: Mutex::new(None),
        });
        let (queue, entries) = sync_channel(QUEUE);
        let (done, is_done) = sync_channel(0);
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name("history".into());
        let thread = thread.spawn(move || {
            writer.write_all(&entries);
            drop::<SyncSender<()>>(done);
        });
        thread.map_err(|error| failed(&error))?;
        let newest = u64::try_from(newest).unwrap_or(0);
        Ok(Disk { shared, newest, queue: Mutex::new(Some(queue)), done: Mutex::new(is_done) })
    }

    /// The number of the newest event of earlier runs.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Records an event, if the queue has space.
    pub fn keep(&self, entry: Entry) {
        let taken = lock(&self.queue).as_ref().is_some_and(|queue| queue.try_send(entry).is_ok());
        if !taken {
            self.shared.unwritten.fetch_add(1, Relaxed);
        }
    }

    /// Finds events. If the query fails, there are none, and [`Disk::counts`] says why.
    pub fn find(&self, query: &Query) -> Vec<Entry> {
        let (found, why) = match self.shared.find(query) {
            Ok(found) => (found, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        *lock(&self.shared.read_failure) = why.map(|why| {
            let path = self.shared.path.display();
            format!(
                "the history in `{path}` cannot be read: {why}; answers have only the events in memory; \
                 move the file away and restart mirrorc if it stays so"
            )
        });
        found
    }

    /// The number of written events and of events not written, and what is wrong with the database.
    pub fn counts(&self) -> (u64, u64, Option<String>) {
        let (written, unwritten) = (self.shared.written.load(Relaxed), self.shared.unwritten.load(Relaxed));
        let trouble = lock(&self.shared.trouble).clone();
        let trouble =
            trouble.or_else(|| self.shared.hangs()).or_else(|| lock(&self.shared.read_failure).clone());
        (written, unwritten, trouble.or_else(|| self.shared.unknown_kinds.clone()))
    }

    /// Waits until waiting events are written, at most some seconds.
    pub fn finish(&self) {
        *lock(&self.queue) = None;
        // Disconnected: all events are written. Timed out: the disk hangs, and the run must not
        // wait for it.
        let _done_or_in_vain = lock(&self.done).recv_timeout(FINISH);
    }
}

impl Shared {
    /// Runs an operation that may hang.
    fn work<T>(&self, what: impl FnOnce() -> T) -> T {
        *lock(&self.at_work) = Some(Instant::now());
        let done = what();
        *lock(&self.at_work) = None;
        done
    }

    /// A message if the disk does not answer.
    fn hangs(&self) -> Option<String> {
        let since = (*lock(&self.at_work))?.elapsed();
        let (path, seconds) = (self.path.display(), since.as_secs());
        (since > HUNG).then(|| {
            format!("the history in `{path}` does not answer (for {seconds} s); it is in memory only until it does")
        })
    }

    /// Checks that the file is still in its place: writes to a removed file are lost.
    fn look(&self) {
        if identity(&self.path).ok() != Some(self.file) {
            let path = self.path.display();
            let why = format!("the history in `{path}` was removed or replaced; it is in memory only");
            lock(&self.trouble).get_or_insert(why);
        }
    }

    fn write_all(&self, entries: &Receiver<Entry>) {
        let mut since_retention = usize::MAX / 2;
        loop {
            let first = match entries.recv_timeout(LOOK) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.work(|| self.look());
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let until = Instant::now() + BATCH;
            let mut batch = vec![first];
            while batch.len() < BATCH_EVENTS {
                match entries.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(entry) => batch.push(entry),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            since_retention += batch.len();
            // At most a twentieth over the bound.
            let forget = since_retention > KEPT_ON_DISK / 20;
            if forget {
                since_retention = 0;
            }
            let events = batch.len() as u64;
            self.work(|| self.look());
            if lock(&self.trouble).is_some() {
                self.unwritten.fetch_add(events, Relaxed);
                break;
            }
            match self.work(|| self.write(&batch, forget)) {
                Ok(()) => self.written.fetch_add(events, Relaxed),
                Err(error) => {
                    let why = format!("the history cannot be written: {error}; it is in memory only");
                    *lock(&self.trouble) = Some(why);
                    self.unwritten.fetch_add(events, Relaxed);
                    break;
                }
            };
        }
        // No longer written, but counted.
        for _ in entries {
            self.unwritten.fetch_add(1, Relaxed);
        }
    }

    fn write(&self, batch: &[Entry], forget: bool) -> rusqlite::Result<()> {
        let mut connection = lock(&self.connection);
        let change = connection.transaction()?;
        {
            let mut put = change.prepare(
                "INSERT OR REPLACE INTO events (id, time, kind, class, client, policy, line)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for entry in batch {
                let Entry { id, time, kind, policy, client, line } = entry;
                let class = entry.class() as i64;
                put.execute(params![
                    *id as i64,
                    time,
                    kind.name(),
                    class,
                    client.as_deref(),
                    policy.as_deref(),
                    &**line
                ])?;
            }
        }
        if forget {
            for (class, limit) in
                [(Class::OfPackets, KEPT_ON_DISK), (Class::Unauthenticated, KEPT_UNAUTHENTICATED)]
            {
                change.execute(
                    "DELETE FROM events WHERE class = ?1 AND id <= (SELECT id FROM events
                     WHERE class = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    params![class as i64, limit as i64],
                )?;
            }
            forget_shares(&change)?;
        }
        change.commit()
    }

    /// The connection, if the writer releases it in time.
    fn free_connection(&self) -> Option<MutexGuard<'_, Connection>> {
        let until = Instant::now() + READ;
        loop {
            match self.connection.try_lock() {
                Ok(connection) => return Some(connection),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn find(&self, query: &Query) -> Result<Vec<Entry>, QueryError> {
        let mut text =
            "SELECT id, time, kind, line, client, policy FROM events WHERE id > ? AND time >= ?".to_owned();
        let after = query.after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let mut values = vec![Value::from(after), Value::from(query.since.unwrap_or(i64::MIN))];
        // Never a kind that this mirrorc does not know: a page is full before it ends.
        let kinds = if query.kinds.is_empty() { &Kind::ALL[..] } else { &query.kinds };
        text.push_str(&format!(" AND kind IN ({})", vec!["?"; kinds.len()].join(", ")));
        values.extend(kinds.iter().map(|kind| Value::from(kind.name().to_owned())));
        if let Some(policy) = &query.policy {
            text.push_str(" AND policy = ?");
            values.push(Value::from(policy.to_string()));
        }
        let order = if query.is_forward() { "ASC" } else { "DESC" };
        text.push_str(&format!(" ORDER BY id {order} LIMIT {}", query.limit));
        let connection = self.free_connection().ok_or(QueryError::Busy)?;
        let mut found = connection.prepare(&text)?;
        let entries = found.query_map(params_from_iter(values), |row| {
            let kind = row.get::<_, String>(2)?;
            let Some(kind) = Kind::named(&kind) else { return Ok(Err(QueryError::Kind(kind))) };
            let word = |at| row.get::<_, Option<String>>(at).map(|word| word.map(Arc::from));
            let line: String = row.get(3)?;
            let (client, policy) = (word(4)?, word(5)?);
            let id = row.get::<_, i64>(0)? as u64;
            Ok(Ok(Entry { id, time: row.get(1)?, kind, policy, client, line: line.into() }))
        })?;
        entries.map(|entry| entry?).collect()
    }
}

/// Deletes the oldest events of clients over their fair share, until the total is within the bound.
fn forget_shares(change: &Transaction<'_>) -> rusqlite::Result<()> {
    let class = Class::Others as i64;
    let counts: Vec<(Option<String>, i64)> = change
        .prepare("SELECT client, count(*) FROM events WHERE class = ?1 GROUP BY client")?
        .query_map([class], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let share = fair(counts.iter().map(|(_, count)| *count).collect(), KEPT_ON_DISK as i64);
    for (client, count) in counts.iter().filter(|(_, count)| *count > share) {
        change.execute(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE class = ?1 AND client IS ?2
             ORDER BY id LIMIT ?3)",
            params![class, client, count - share],
        )?;
    }
    Ok(())
}

/// The largest share for which all counts together, each limited to the share, are within `room`.
fn fair(mut counts: Vec<i64>, mut room: i64) -> i64 {
    counts.sort_unstable();
    let mut left = counts.len() as i64;
    for count in counts {
        if count * left > room {
            return room / left.max(1);
        }
        room -= count;
        left -= 1;
    }
    i64::MAX
}

#[cfg(test)]
impl Disk {
    /// Removes the table that is written.
    pub fn break_it(&self) {
        let _broken = lock(&self.shared.connection).execute_batch("DROP TABLE events");
    }
}
