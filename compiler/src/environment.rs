//! The data that engines read besides the packet: params, compiled search patterns, tables, active
//! triggers. Workers read it through `&Environment`. A change is made on a clone, which is cheap
//! because tables are shared until they are written. The invariant: all environments of a program
//! have the same ids of params, tables, triggers and searches, so native code compiled with one
//! runs with another. (Rejected: locks around each table, which every packet would take.)

use crate::hir::{ParamId, Program, RegexId, TableId, TriggerId, Value, ValueTy};
use crate::table::text::TextError;
use crate::table::{Form, KeyValue, Row, Table, TableError};
use std::net::IpAddr;
use std::sync::Arc;

mod search;
pub use search::{Scratch, SearchId, Searches};

/// The greatest number of keys for which one trigger is active at a time.
pub const TRIGGER_KEYS: usize = 1 << 16;

/// Why an environment cannot be made of a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A regular expression cannot be compiled.
    #[error("regular expression {}: {message}", regex.0)]
    Regex {
        /// Its id.
        regex: RegexId,
        /// The reason.
        message: String,
    },
    /// The needles of `contains` are too large to compile.
    #[error("search patterns: {0}")]
    Needles(String),
    /// The trigger's keys are impossible.
    #[error("trigger `{name}`: {error}")]
    Trigger {
        /// Its name.
        name: String,
        /// The reason.
        error: TableError,
    },
    /// A param's value is not of its type, or params cannot have its type.
    #[error("param `{0}` has a value that does not fit its type")]
    Param(String),
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such param, table or trigger.
    #[error("no such name in this program")]
    Unknown,
    /// The value is of another type.
    #[error("a value of another type")]
    Type,
    /// The value is outside the param's bounds.
    #[error("the value is outside {low}..{high}")]
    Bounds {
        /// The least value.
        low: u64,
        /// The greatest value.
        high: u64,
    },
    /// The memory budget has no room for more rows.
    #[error(
        "the tables of this policy would take {bytes} bytes; the memory budget leaves them {room}: \
             raise `--memory` or `--policy-memory`, or remove rows"
    )]
    Memory {
        /// The bytes that the policy's tables would take.
        bytes: u64,
        /// The bytes that they may take.
        room: u64,
    },
    /// There is no room for the row or key.
    #[error("there is no room: the trigger has as many suppressions as it can hold keys")]
    Full,
    /// The table or trigger refused it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A text is not of the required type.
    #[error(transparent)]
    Text(#[from] TextError),
}

/// The active triggers of a running program. All workers call its methods.
pub trait States: std::fmt::Debug + Send + Sync {
    /// Whether a trigger is active for a key at a time, in nanoseconds since the Unix epoch.
    fn active(&self, trigger: TriggerId, key: &[KeyValue], now: i64) -> bool;
}

/// Params, patterns, tables and triggers of one program.
#[derive(Debug, Clone)]
pub struct Environment {
    params: Vec<u64>,
    shapes: Arc<[(ValueTy, (u64, u64))]>,
    searches: Arc<Searches>,
    tables: Vec<Arc<Table>>,
    triggers: Vec<Arc<Table>>,
    states: Option<Arc<dyn States>>,
}

impl Environment {
    /// The environment at the start of a program: params and tables as written, no trigger is
    /// active.
    pub fn new(program: &Program) -> Result<Environment, EnvironmentError> {
        let mut params = Vec::with_capacity(program.params.len() * 2);
        for param in &program.params {
            let words =
                words(param.ty, &param.value).ok_or_else(|| EnvironmentError::Param(param.name.clone()))?;
            params.extend(words);
        }
        let named = |name: &str| {
            let name = name.to_owned();
            move |error| EnvironmentError::Trigger { name, error }
        };
        Ok(Environment {
            params,
            shapes: program.params.iter().map(|p| (p.ty, p.bounds)).collect(),
            searches: Arc::new(Searches::new(program)?),
            tables: program.tables.iter().map(|t| Arc::new(t.start.clone())).collect(),
            triggers: program
                .triggers
                .iter()
                .map(|t| Table::new(t.key(), None, TRIGGER_KEYS).map(Arc::new).map_err(named(&t.name)))
                .collect::<Result<_, _>>()?,
            states: None,
        })
    }

    /// The params' values, two words each: high, then low. A number's high word is 0; an address is
    /// 128 bits, an IPv4 address as `::ffff:a.b.c.d`.
    pub fn params(&self) -> &[u64] {
        &self.params
    }

    /// A param's low word; 0 if there is no such param.
    pub fn param(&self, id: ParamId) -> u64 {
        self.params.get(id.index() * 2 + 1).copied().unwrap_or(0)
    }

    /// A param's high word; 0 if there is no such param.
    pub fn param_high(&self, id: ParamId) -> u64 {
        self.params.get(id.index() * 2).copied().unwrap_or(0)
    }

    /// Sets a param to a value of its type and within its bounds.
    pub fn set_param(&mut self, id: ParamId, value: &Value) -> Result<(), ChangeError> {
        let &(ty, (low, high)) = self.shapes.get(id.index()).ok_or(ChangeError::Unknown)?;
        let words = words(ty, value).ok_or(ChangeError::Type)?;
        if let Value::Num(n) = value
            && !(low..=high).contains(n)
        {
            return Err(ChangeError::Bounds { low, high });
        }
        if let Some(place) = self.params.get_mut(id.index() * 2..id.index() * 2 + 2) {
            place.copy_from_slice(&words);
        }
        Ok(())
    }

    /// The compiled search patterns.
    pub fn searches(&self) -> &Searches {
        &self.searches
    }

    /// A table.
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(id.index()).map(Arc::as_ref)
    }

    /// A table to change. Memory that another environment shares is copied as far as the change
    /// needs, in pieces of some kilobytes: the other environment's table stays unchanged.
    pub fn table_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.tables.get_mut(id.index()).map(Arc::make_mut)
    }

    /// Inserts a row into a table at a time `now`, until `until` (both in nanoseconds since the
    /// Unix epoch, as in packets) or for ever. Returns the value that it replaces. Some expired
    /// rows are removed first.
    pub fn insert(
        &mut self,
        id: TableId,
        key: &[Value],
        value: Option<Value>,
        until: Option<i64>,
        now: i64,
    ) -> Result<Option<Value>, ChangeError> {
        let table = self.table_mut(id).ok_or(ChangeError::Unknown)?;
        Ok(table.insert_until(key, value, until, now)?)
    }

    /// Removes a row from a table. Returns whether there was a row with exactly this key.
    pub fn remove(&mut self, id: TableId, key: &[Value]) -> Result<bool, ChangeError> {
        Ok(self.table_mut(id).ok_or(ChangeError::Unknown)?.remove(key)?)
    }

    /// Replaces the rows of a table. Of two rows with one key, the later one counts. If a row is
    /// refused, the table stays unchanged.
    pub fn replace(&mut self, id: TableId, rows: impl IntoIterator<Item = Row>) -> Result<(), ChangeError> {
        let place = self.tables.get_mut(id.index()).ok_or(ChangeError::Unknown)?;
        let mut table = Table::of(Form::clone(place.form()), place.capacity())?;
        for (key, value, until) in rows {
            table.insert_until(&key, value, until, i64::MIN)?;
        }
        *place = Arc::new(table);
        Ok(())
    }

    /// Gives a table the rows of another environment's table, if both have one form and there is
    /// room. Returns whether it did. The rows are shared until one of the two tables is changed.
    pub fn keep_table(&mut self, id: TableId, other: &Environment, was: TableId) -> bool {
        let (Some(mine), Some(its)) = (self.tables.get_mut(id.index()), other.tables.get(was.index())) else {
            return false;
        };
        let same = mine.form() == its.form() && mine.capacity() == its.capacity();
        if same {
            *mine = its.clone();
        }
        same
    }

    /// Gives a param the value of another environment's param, if the value is of its type and
    /// within its bounds. Returns whether it did.
    pub fn keep_param(&mut self, id: ParamId, other: &Environment, was: ParamId) -> bool {
        let shapes = (self.shapes.get(id.index()), other.shapes.get(was.index()));
        let (Some((mine, (low, high))), Some((its, _))) = shapes else { return false };
        let number = !matches!(mine, ValueTy::Ip);
        let fits = mine == its && (!number || (*low..=*high).contains(&other.param(was)));
        let of = |id: ParamId| id.index() * 2..id.index() * 2 + 2;
        match (self.params.get_mut(of(id)), other.params.get(of(was))) {
            (Some(place), Some(words)) if fits => {
                place.copy_from_slice(words);
                true
            }
            _ => false,
        }
    }

    /// Removes at most `most` rows of each table that have expired by `now`. Returns their number.
    /// Look-ups ignore expired rows anyway: this frees their memory if no row is inserted.
    pub fn expire(&mut self, now: i64, most: usize) -> usize {
        let due = |table: &Arc<Table>| table.due().is_some_and(|next| next <= now);
        self.tables.iter_mut().filter(|table| due(table)).map(|t| Arc::make_mut(t).expire(now, most)).sum()
    }

    /// Whether a table has rows that have expired by `now`.
    pub fn is_due(&self, now: i64) -> bool {
        self.tables.iter().any(|table| table.due().is_some_and(|next| next <= now))
    }

    /// The key of a table with these texts as parts.
    pub fn parse_key(&self, id: TableId, parts: &[&str]) -> Result<Vec<Value>, ChangeError> {
        Ok(self.table(id).ok_or(ChangeError::Unknown)?.parse_key(parts)?)
    }

    /// The value of a map with this text.
    pub fn parse_value(&self, id: TableId, text: &str) -> Result<Value, ChangeError> {
        Ok(self.table(id).ok_or(ChangeError::Unknown)?.parse_value(text)?)
    }

    /// Whether a trigger is active for a key at a time: raised here without an end, or active in
    /// the [`States`].
    pub fn active(&self, id: TriggerId, key: &[KeyValue], now: i64) -> bool {
        self.triggers.get(id.index()).is_some_and(|keys| keys.contains(key, now))
            || self.states.as_ref().is_some_and(|states| states.active(id, key, now))
    }

    /// Sets the source of the triggers' states.
    pub fn keep_states(&mut self, states: Arc<dyn States>) {
        self.states = Some(states);
    }

    /// Raises a trigger for a key.
    pub fn raise(&mut self, id: TriggerId, key: &[Value]) -> Result<(), ChangeError> {
        Arc::make_mut(self.trigger_mut(id)?).insert(key, None)?;
        Ok(())
    }

    /// Ends a trigger for a key. Returns whether it was active.
    pub fn clear(&mut self, id: TriggerId, key: &[Value]) -> Result<bool, ChangeError> {
        Ok(Arc::make_mut(self.trigger_mut(id)?).remove(key)?)
    }

    /// Ends a trigger for all keys.
    pub fn clear_all(&mut self, id: TriggerId) -> Result<(), ChangeError> {
        Arc::make_mut(self.trigger_mut(id)?).clear();
        Ok(())
    }

    fn trigger_mut(&mut self, id: TriggerId) -> Result<&mut Arc<Table>, ChangeError> {
        self.triggers.get_mut(id.index()).ok_or(ChangeError::Unknown)
    }
}

/// A param's value as two words; `None` if the value is not of the type, or the type has no fixed
/// size.
fn words(ty: ValueTy, value: &Value) -> Option<[u64; 2]> {
    match (ty, value) {
        (ValueTy::Bool, Value::Num(n)) if *n <= 1 => Some([0, *n]),
        (ValueTy::Uint | ValueTy::Size | ValueTy::Duration | ValueTy::Mac, Value::Num(n)) => Some([0, *n]),
        (ValueTy::Ip, Value::Ip(ip, _)) => {
            let bits = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            Some([(bits >> 64) as u64, bits as u64])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
