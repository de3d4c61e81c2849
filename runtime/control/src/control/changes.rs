//! Tables, params and triggers of a loaded policy, by name and as text: an operator reads and
//! changes them. The invariants: tables and params change on a copy that workers take between two
//! batches, so a packet sees all of a bulk change or none of it; changed names are recorded for the
//! next version of the program. (Rejected: locks in each lookup.)

use super::mutation::{Mutation, mutation};
use super::persistence::{self, Persistence};
use super::saved::Kind;
use super::values::{key_json, value_json};
use super::{Control, Refusal, memory, now};
use crate::event::verb::{Verb, param_named, table_named, trigger_named};
use crate::event::{part_json, time_text};
use mrule_compiler::environment::ChangeError;
use mrule_compiler::hir::{self, ParamId, Program, Scope, TableId, Value, ValueTy};
use mrule_compiler::table::{Row, text};
use mrule_engine::change::{Change, Effect};
use mrule_engine::decider::{Observer, bit_of};
use mrule_engine::policy::Policy;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// The current state of a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableState {
    /// Its name.
    pub name: String,
    /// The types of its key's parts.
    pub key: Vec<&'static str>,
    /// The type of its values; none for a set.
    pub value: Option<&'static str>,
    /// The number of its rows.
    pub rows: usize,
    /// The largest number of its rows.
    pub capacity: usize,
    /// Its memory in bytes.
    pub memory: usize,
    /// Whether a command or client changed it: a new version of the program keeps these rows.
    pub changed: bool,
}

/// A row of a table as text.
#[derive(Debug, Clone, Serialize)]
pub struct RowText {
    /// Its key.
    pub key: Vec<Json>,
    /// Its value, if the table is a map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// Its end time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The offset of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
    /// The number of items of the list.
    pub total: usize,
}

/// The current state of a trigger.
#[derive(Debug, Clone, Serialize)]
pub struct TriggerState {
    /// Its name.
    pub name: String,
    /// The types of its key's parts; none for a trigger by flow, whose state is in flows.
    pub key: Option<Vec<&'static str>>,
    /// Whether a command or client may raise it.
    pub external: bool,
    /// The number of active keys; none for a trigger by flow.
    pub active: Option<u64>,
    /// The number in its clause `keys`; none for a trigger by flow.
    pub keys: Option<u64>,
    /// The number of keys that fit, at least `keys`; none for a trigger by flow.
    pub capacity: Option<u64>,
    /// The number of raises, by packets and by commands; none for a trigger by flow.
    pub raised: Option<u64>,
}

fn bad(what: impl ToString) -> Refusal {
    Refusal::Bad(what.to_string())
}

pub(super) fn table_of(policy: &Policy, name: &str) -> Result<TableId, Refusal> {
    Ok(table_named(policy.program(), name)?.0)
}

fn trigger_of(policy: &Policy, name: &str) -> Result<usize, Refusal> {
    Ok(trigger_named(policy.program(), name)?.0)
}

impl Control {
    /// Makes a change. If another version replaces the policy meanwhile, the change is made in that
    /// version.
    ///
    /// # Errors
    /// There is no such policy, table, param or trigger, or the change is invalid. Nothing has
    /// changed then.
    pub fn change(&self, policy: &str, verb: &Verb) -> Result<Effect, Refusal> {
        retry(|| {
            let seen = self.policy(policy)?;
            let change = verb.change(seen.program())?;
            if is_of_flows(seen.program(), &change) {
                return self.change_flows(policy, &seen, &change);
            }
            self.change_by(policy, |now_there, persistence| {
                // A version that was loaded meanwhile has other numbers.
                let change = match Arc::ptr_eq(now_there.program(), seen.program()) {
                    true => change,
                    false => verb.change(now_there.program())?,
                };
                if is_of_flows(now_there.program(), &change) {
                    return Err(Refusal::Moved);
                }
                self.change_here(policy, now_there, persistence, &change, verb)
            })
        })
    }

    fn change_here(
        &self,
        name: &str,
        policy: &mut Policy,
        persistence: &mut Persistence,
        change: &Change,
        verb: &Verb,
    ) -> Result<(Effect, Touched), Refusal> {
        let now = now();
        let effect = policy.change(now, change).map_err(|error| refused(&error))?;
        if let Some(lines) = self.lines.as_ref().filter(|lines| lines.is_wanted()) {
            lines.change(policy, now, change, effect);
        }
        let touched = match change {
            Change::Add { table, .. } | Change::Remove { table, .. } => Touched::Table(*table),
            Change::Set { param, .. } => Touched::Param(*param, true),
            _ => Touched::Nothing,
        };
        let lessens = !matches!(change, Change::Raise { .. }) || policy.program().raises_may_lessen();
        if let Some(mutation) =
            mutation(policy, change, effect, verb, now).filter(|_| persistence.has_store())
        {
            persistence.changed(name, mutation, lessens);
        }
        Ok((effect, touched))
    }

    /// Changes a copy of a policy, passes it to the workers, and records what was changed.
    pub(super) fn change_by<T>(
        &self,
        name: &str,
        body: impl FnOnce(&mut Policy, &mut Persistence) -> Result<(T, Touched), Refusal>,
    ) -> Result<T, Refusal> {
        let mut state = self.lock();
        let super::State { plane, policies, persistence, .. } = &mut *state;
        let plane = plane.as_mut().ok_or(Refusal::Ended)?;
        let (Some(policy), Some(entry)) = (plane.policy(name), policies.get_mut(name)) else {
            return Err(super::no_policy(name, &state));
        };
        let mut policy = Policy::clone(&policy);
        policy.set_table_room(memory::room_of(&self.memory, &**plane, name, entry.now.bundle.origin()));
        let (result, touched) = body(&mut policy, persistence)?;
        let program = policy.program().clone();
        match touched {
            Touched::Nothing => return Ok(result),
            Touched::Expired => {}
            Touched::Table(id) => {
                entry.changed.tables.extend(program.tables.get(id.index()).map(|t| t.name.clone()));
            }
            Touched::Param(id, outside) => match program.params.get(id.index()) {
                Some(param) if outside => {
                    entry.changed.params.insert(param.name.clone());
                }
                Some(param) => {
                    entry.changed.params.remove(&param.name);
                }
                None => {}
            },
        }
        plane.change(name, Arc::new(policy));
        Ok(result)
    }

    /// Whether changes are saved, and if not, why.
    pub fn persistence(&self) -> Json {
        persistence::about(&self.lock().persistence)
    }

    /// Whether there is a store for changes.
    pub(super) fn has_store(&self) -> bool {
        self.lock().persistence.has_store()
    }

    /// Whether changes are on the disk when they are answered; none without a state directory.
    pub fn is_kept(&self) -> Option<bool> {
        self.lock().persistence.is_keeping()
    }

    /// Why nothing is saved although there is a state directory.
    pub fn trouble(&self) -> Option<String> {
        self.lock().persistence.trouble()
    }

    /// Deletes ended entries from the store; to be called about once a minute.
    pub fn expire_kept(&self) {
        self.lock().persistence.expire();
    }

    /// Removes expired rows from tables, and reports ended suppressions; to be called regularly.
    pub fn expire(&self) {
        let now = now();
        self.tell_suppressions_over(now);
        let due: Vec<String> = {
            let state = self.lock();
            let policies = state.plane.iter().flat_map(|plane| plane.policies());
            policies.filter(|(_, p)| p.environment().is_due(now)).map(|(name, _)| name).collect()
        };
        for name in due {
            let expire = |policy: &mut Policy, _: &mut Persistence| {
                policy.environment_mut().expire(now, EXPIRE);
                Ok(((), Touched::Expired))
            };
            // A policy that was unloaded meanwhile has no rows.
            let _gone = self.change_by(&name, expire);
        }
    }

    fn tell_suppressions_over(&self, now: i64) {
        let Some(lines) = self.lines.as_ref().filter(|lines| lines.is_wanted()) else { return };
        let policies = self.lock().plane.as_ref().map(|plane| plane.policies());
        for (_, policy) in policies.into_iter().flatten() {
            for trigger in 0..policy.program().triggers.len() {
                for over in policy.triggers().suppressions_over(trigger, now) {
                    lines.suppression_over(&policy, trigger, &over);
                }
            }
        }
    }

    /// Resets a param to the value in the program.
    ///
    /// # Errors
    /// No such policy or param.
    pub fn reset_param(&self, policy: &str, param: &str) -> Result<(), Refusal> {
        let name = policy.to_owned();
        self.change_by(policy, |policy, persistence| {
            let program = policy.program().clone();
            let (id, about) = param_named(&program, param)?;
            policy.set_param(id, &about.value).map_err(|error| refused(&error))?;
            let dropped = Mutation::Drop { kind: Kind::Param, name: param.to_owned(), key: None };
            persistence.changed(&name, dropped, true);
            Ok(((), Touched::Param(id, false)))
        })
    }

    /// The params of a policy: name, type, value, default, bounds.
    ///
    /// # Errors
    /// No such policy.
    pub fn params(&self, policy: &str) -> Result<Vec<Json>, Refusal> {
        let policy = self.policy(policy)?;
        let environment = policy.environment();
        let about = |(at, param): (usize, &mrule_compiler::hir::Param)| {
            let id = ParamId(at as u32);
            let value = match &param.value {
                Value::Ip(..) => {
                    let bits =
                        u128::from(environment.param_high(id)) << 64 | u128::from(environment.param(id));
                    let ip = std::net::Ipv6Addr::from_bits(bits).to_canonical();
                    Value::Ip(ip, if ip.is_ipv4() { 32 } else { 128 })
                }
                _ => Value::Num(environment.param(id)),
            };
            let mut about = Map::new();
            about.insert("name".into(), param.name.as_str().into());
            about.insert("type".into(), text::name(param.ty).into());
            about.insert("value".into(), value_json(param.ty, &[], &value));
            about.insert("default".into(), value_json(param.ty, &[], &param.value));
            if matches!(param.ty, ValueTy::Uint | ValueTy::Size | ValueTy::Duration) {
                let (low, high) = param.bounds;
                about.insert("min".into(), value_json(param.ty, &[], &Value::Num(low)));
                about.insert("max".into(), value_json(param.ty, &[], &Value::Num(high)));
            }
            Json::Object(about)
        };
        Ok(policy.program().params.iter().enumerate().map(about).collect())
    }

    /// The tables of a policy.
    ///
    /// # Errors
    /// No such policy.
    pub fn tables(&self, policy: &str) -> Result<Vec<TableState>, Refusal> {
        let changed = {
            let state = self.lock();
            state.policies.get(policy).map(|entry| entry.changed.tables.clone()).unwrap_or_default()
        };
        let policy = self.policy(policy)?;
        let tables = policy.program().tables.iter().enumerate().filter_map(|(at, table)| {
            let now = policy.environment().table(TableId(at as u32))?;
            Some(TableState {
                name: table.name.clone(),
                key: now.form().key.iter().map(|ty| text::name(*ty)).collect(),
                value: now.form().value.map(text::name),
                rows: now.len(),
                capacity: now.capacity(),
                memory: now.memory(),
                changed: changed.contains(&table.name),
            })
        });
        Ok(tables.collect())
    }

    /// Rows of a table, `limit` of them, beginning with the row at `offset`.
    ///
    /// # Errors
    /// No such policy or table.
    pub fn rows(
        &self,
        policy: &str,
        table: &str,
        offset: usize,
        limit: usize,
    ) -> Result<Page<RowText>, Refusal> {
        let policy = self.policy(policy)?;
        let id = table_of(&policy, table)?;
        let Some(table) = policy.environment().table(id) else { return Err(bad("no such table")) };
        let form = table.form();
        let row = |(key, value, until): Row| RowText {
            key: key_json(form, &key),
            value: value.zip(form.value).map(|(value, ty)| value_json(ty, &form.words, &value)),
            until: until.map(time_text),
        };
        let items: Vec<RowText> = table.rows().skip(offset).take(limit).map(row).collect();
        let (end, total) = (offset + items.len(), table.len());
        let next = (end < total && !items.is_empty()).then_some(end);
        Ok(Page { items, next, total })
    }

    /// The triggers of a policy.
    ///
    /// # Errors
    /// No such policy.
    pub fn triggers(&self, policy: &str) -> Result<Vec<TriggerState>, Refusal> {
        let policy = self.policy(policy)?;
        let about = |(at, trigger): (usize, &mrule_compiler::hir::Trigger)| {
            let by_flow = trigger.is_by_flow();
            let in_flows = matches!(trigger.scope, Scope::Flow(_));
            let counts = (!in_flows).then(|| policy.triggers().counts(at, now()));
            TriggerState {
                name: trigger.name.clone(),
                key: (!by_flow).then(|| trigger.key().iter().map(|ty| text::name(*ty)).collect()),
                external: trigger.external,
                active: counts.map(|counts| counts.active),
                keys: counts.map(|_| trigger.capacity as u64),
                capacity: counts.map(|counts| counts.capacity),
                raised: counts.map(|counts| counts.raised + counts.external),
            }
        };
        Ok(policy.program().triggers.iter().enumerate().map(about).collect())
    }

    /// The active keys of a trigger, in the order of their raises, and its suppressed keys.
    ///
    /// # Errors
    /// No such policy or trigger; one by flow.
    pub fn active(&self, policy: &str, trigger: &str) -> Result<Json, Refusal> {
        let policy = self.policy(policy)?;
        let at = trigger_of(&policy, trigger)?;
        let render = mrule_compiler::render::Render::new(policy.program());
        let about = policy.program().triggers.get(at);
        if about.is_some_and(hir::Trigger::is_by_flow) {
            return Err(bad(format!(
                "trigger `{trigger}` is by flow: ask a flow whether it is active (`mirrorc flow show FLOW`), or the largest (`mirrorc top`)"
            )));
        }
        let when = about.and_then(|t| t.when.as_ref()).map(|when| render.pred(when));
        let now = now();
        let active = policy.triggers().list(at, now).into_iter().map(|key| {
            serde_json::json!({
                "key": key.key.iter().map(part_json).collect::<Vec<_>>(),
                "since": time_text(key.since),
                "until": key.until.map(time_text),
                "raises": key.raises,
            })
        });
        let suppressed = policy.triggers().suppressed(at, now).into_iter().map(|key| {
            serde_json::json!({
                "key": key.key.iter().map(part_json).collect::<Vec<_>>(),
                "reason": key.reason,
                "until": key.until.map(time_text),
                "hits": key.hits,
            })
        });
        Ok(serde_json::json!({
            "name": trigger,
            "when": when,
            "active": active.collect::<Vec<_>>(),
            "suppressed": suppressed.collect::<Vec<_>>(),
        }))
    }
}

/// The number of attempts when other versions replace the policy meanwhile.
const RETRIES: usize = 32;

/// Runs an operation on the current version, again if another version replaces it meanwhile.
pub(super) fn retry<T>(mut body: impl FnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    for _ in 1..RETRIES {
        match body() {
            Err(Refusal::Moved) => std::thread::yield_now(),
            done => return done,
        }
    }
    body()
}

/// Whether the change is about flows, which only workers know.
fn is_of_flows(program: &Program, change: &Change) -> bool {
    match change {
        Change::Flow { .. } => true,
        Change::Clear { trigger, key: None } => bit_of(program, *trigger).is_some(),
        _ => false,
    }
}

/// The largest number of expired rows that are removed at a time.
const EXPIRE: usize = 4096;

/// The part of an environment that was changed.
pub(super) enum Touched {
    /// Nothing: triggers have their own state.
    Nothing,
    /// Expired rows were removed: workers get the copy, and no name counts as changed.
    Expired,
    Table(TableId),
    /// A param: set by a command or client (true), or reset to the program's value (false).
    Param(ParamId, bool),
}

pub(super) fn refused(error: &ChangeError) -> Refusal {
    match error {
        ChangeError::Full | ChangeError::Memory { .. } | ChangeError::Table(_) => {
            Refusal::Conflict(error.to_string())
        }
        _ => bad(error),
    }
}
