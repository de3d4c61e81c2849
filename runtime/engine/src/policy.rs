//! A program prepared to run: its engine, its environment, and the states of its triggers. Workers
//! share it. Invariant: engine, environment and states belong to the same program, and the
//! environment reads this policy's states. (Rejected: to pass the three separately, which allows
//! parts of two programs to be mixed.)

use crate::memory::NoMemory;
use crate::trigger::{TriggerShape, TriggerStore, WindowKind, WindowShape};
use mrule_compiler::engine::Engine;
use mrule_compiler::environment::{ChangeError, Environment, States};
use mrule_compiler::hir::{
    self, Num, NumKind, ParamId, Program, Scope, Station, TableId, TriggerId, Value, ValueTy,
};
use mrule_compiler::table::KeyValue;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A program that is ready to run.
#[derive(Debug, Clone)]
pub struct Policy {
    engine: Arc<Engine>,
    /// Computes what the limits leave of other policies' copies ([`Program::bounds`]); set if the
    /// policy is binding.
    bounds: Option<Arc<Engine>>,
    environment: Environment,
    triggers: Arc<TriggerStore>,
    repeatable: bool,
    label: Option<Label>,
    /// Who wrote each station, in the order of the program. Stations behind the last entry are the
    /// owner's.
    origins: Vec<Origin>,
    /// The names of stations that get no copies until they are resumed.
    drained: Arc<BTreeSet<String>>,
    /// Memory as counted when the policy was loaded, without tables, in bytes.
    memory: u64,
    /// The memory that the tables may take, in bytes.
    table_room: u64,
}

/// The name and the version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The version, from 1; each load makes another version.
    pub version: u64,
}

/// Who wrote a rule file or the definition of a station.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// The owner: started the run, can send it signals, or can open its control socket.
    #[default]
    Owner,
    /// The client that holds the token of this name.
    Client(Arc<str>),
}

impl Origin {
    /// The client of this name.
    pub fn client(name: &str) -> Origin {
        Origin::Client(name.into())
    }

    /// Whether the owner wrote it.
    pub fn is_owner(&self) -> bool {
        *self == Origin::Owner
    }

    /// Whether both origins have the same access.
    pub fn is_as_free_as(&self, other: &Origin) -> bool {
        self.is_owner() == other.is_owner()
    }
}

impl Policy {
    /// A policy whose triggers are inactive, except those that are already raised in the
    /// environment. The environment must be made from the engine's program. Where there is no
    /// memory, it aborts the process, as other allocations do; [`try_new`](Self::try_new) returns
    /// an error.
    pub fn new(engine: Arc<Engine>, environment: Environment) -> Policy {
        Policy::try_new(engine, environment).unwrap_or_else(|none| none.abort())
    }

    /// Like [`new`](Self::new), but returns an error where there is no memory.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn try_new(engine: Arc<Engine>, environment: Environment) -> Result<Policy, NoMemory> {
        let triggers = TriggerStore::empty(None).try_renewed(shapes(engine.program(), &environment))?;
        Ok(Policy::with(engine, environment, triggers, false))
    }

    /// A policy for a replay: the packets alone, and never chance, decide which keys a full trigger
    /// evicts. Where there is no memory, it aborts the process;
    /// [`try_repeatable`](Self::try_repeatable) returns an error.
    pub fn repeatable(engine: Arc<Engine>, environment: Environment) -> Policy {
        Policy::try_repeatable(engine, environment).unwrap_or_else(|none| none.abort())
    }

    /// Like [`repeatable`](Self::repeatable), but returns an error where there is no memory.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn try_repeatable(engine: Arc<Engine>, environment: Environment) -> Result<Policy, NoMemory> {
        let triggers = TriggerStore::empty(Some(0)).try_renewed(shapes(engine.program(), &environment))?;
        Ok(Policy::with(engine, environment, triggers, true))
    }

    fn with(
        engine: Arc<Engine>,
        mut environment: Environment,
        triggers: TriggerStore,
        repeatable: bool,
    ) -> Policy {
        let triggers = Arc::new(triggers);
        environment.keep_states(triggers.clone());
        let (bounds, label, origins, drained) = (None, None, Vec::new(), Arc::default());
        let (memory, table_room) = (0, u64::MAX);
        Policy {
            engine,
            bounds,
            environment,
            triggers,
            repeatable,
            label,
            origins,
            drained,
            memory,
            table_room,
        }
    }

    /// A policy that takes this policy's place: triggers with the same name and shape keep their
    /// states. (Tables and params keep theirs if the new environment was made to take them over.)
    ///
    /// # Errors
    /// [`NoMemory`]: this policy is unchanged.
    pub fn try_succeed(&self, engine: Arc<Engine>, environment: Environment) -> Result<Policy, NoMemory> {
        let triggers = self.triggers.try_renewed(shapes(engine.program(), &environment))?;
        Ok(Policy::with(engine, environment, triggers, self.repeatable))
    }

    /// Sets the memory that the policy was counted with, without its tables, in bytes.
    pub fn counted(self, bytes: u64) -> Policy {
        Policy { memory: bytes, ..self }
    }

    /// The policy's present memory in a budget, in bytes: as counted at its load, plus its tables
    /// as they are.
    pub fn memory(&self) -> u64 {
        self.memory.saturating_add(self.table_memory())
    }

    fn table_memory(&self) -> u64 {
        let tables =
            (0..self.program().tables.len()).filter_map(|at| self.environment.table(TableId(at as u32)));
        tables.map(|table| table.memory() as u64).fold(0, u64::saturating_add)
    }

    /// Allows the tables to grow by this number of bytes.
    pub fn set_table_room(&mut self, more: u64) {
        self.table_room = self.table_memory().saturating_add(more);
    }

    /// Checks that the tables take no more memory than they may.
    ///
    /// # Errors
    /// [`ChangeError::Memory`]
    pub fn check_tables(&self) -> Result<(), ChangeError> {
        let bytes = self.table_memory();
        if bytes <= self.table_room {
            Ok(())
        } else {
            Err(ChangeError::Memory { bytes, room: self.table_room })
        }
    }

    /// Sets the policy's name and version.
    pub fn labelled(self, label: Label) -> Policy {
        Policy { label: Some(label), ..self }
    }

    /// Makes the policy binding for all others. `bounds` must be made from the program's
    /// [`Program::bounds`].
    pub fn binding(self, bounds: Option<Arc<Engine>>) -> Policy {
        Policy { bounds, ..self }
    }

    /// The engine that computes what the limits leave of other policies' copies. `None`: the policy
    /// is not binding.
    pub fn bounds(&self) -> Option<&Engine> {
        self.bounds.as_deref()
    }

    /// Replaces the station at this place by a station that `origin` wrote. All else stays as it
    /// is.
    pub fn with_station(self, at: usize, station: Station, origin: Origin) -> Policy {
        let mut origins = self.origins();
        if let Some(place) = origins.get_mut(at) {
            *place = origin;
        }
        Policy { engine: Arc::new(self.engine.with_station(at, station)), origins, ..self }
    }

    /// Sets who wrote the stations, in the order of the program.
    pub fn written_by(self, origins: Vec<Origin>) -> Policy {
        Policy { origins, ..self }
    }

    /// Who wrote each station, in the order of the program.
    pub fn origins(&self) -> Vec<Origin> {
        let mut origins = self.origins.clone();
        origins.resize(self.program().stations.len(), Origin::Owner);
        origins
    }

    /// Sets the names of stations that get no copies until they are resumed.
    pub fn draining(self, stations: BTreeSet<String>) -> Policy {
        Policy { drained: Arc::new(stations), ..self }
    }

    /// The names of stations that get no copies until they are resumed.
    pub fn drained(&self) -> &BTreeSet<String> {
        &self.drained
    }

    /// The policy's name and version.
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Whether the same packets always have the same effect, including which keys are evicted.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        self.engine.program()
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The environment, to change tables. Workers that share a clone of this policy keep the old
    /// environment.
    pub fn environment_mut(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// The states of the triggers.
    pub fn triggers(&self) -> &TriggerStore {
        &self.triggers
    }

    /// The shapes of the triggers, in the order of the program.
    pub fn shapes(&self) -> Vec<TriggerShape> {
        shapes(self.program(), &self.environment)
    }

    /// Gives a param another value, of its type and within its bounds. A window whose length is
    /// this param begins anew.
    ///
    /// # Errors
    /// [`ChangeError`]: an unknown param, or a value of another type or out of bounds.
    pub fn set_param(&mut self, id: ParamId, value: &Value) -> Result<(), ChangeError> {
        self.environment.set_param(id, value)?;
        let program = self.engine.program();
        for (at, trigger) in program.triggers.iter().enumerate() {
            if let Some(hold) = trigger.hold.as_ref().filter(|hold| is_param(hold, id)) {
                self.triggers.set_hold(at, Some(nanoseconds(hold, &self.environment)));
            }
            for (window, (_, of)) in program.windows_of(TriggerId(at as u32)).enumerate() {
                if is_param(&of.per, id) {
                    self.triggers.set_per(at, window, nanoseconds(&of.per, &self.environment));
                }
            }
        }
        Ok(())
    }
}

fn is_param(num: &Num, id: ParamId) -> bool {
    matches!(num.kind(), NumKind::Param(of) if *of == id)
}

/// A length of time, from a constant or a param.
fn nanoseconds(num: &Num, environment: &Environment) -> i64 {
    let value = match num.kind() {
        NumKind::Const(value) => *value,
        NumKind::Param(id) => environment.param(*id),
        _ => 0,
    };
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The shapes of a program's triggers. Triggers with the key `flow` that count nothing are kept in
/// the flow table; in the store they take only some kilobytes.
pub(crate) fn shapes(program: &Program, environment: &Environment) -> Vec<TriggerShape> {
    let key_groups = program.key_groups();
    let shape = |(at, trigger): (usize, &hir::Trigger)| {
        let name = trigger.name.clone();
        if matches!(trigger.scope, Scope::Flow(_)) && trigger.own.is_empty() {
            return TriggerShape { name, parts: 0, keys: 1, ..TriggerShape::default() };
        }
        let windows = program.windows_of(TriggerId(at as u32)).map(|(_, window)| WindowShape {
            kind: match window.kind {
                hir::WindowKind::Count => WindowKind::Count,
                hir::WindowKind::Sum(_) => WindowKind::Sum,
                hir::WindowKind::Distinct(_) => WindowKind::Distinct,
            },
            per: nanoseconds(&window.per, environment),
        });
        TriggerShape {
            name,
            parts: trigger.own.first().map_or(trigger.key().len(), |own| own.key.len()),
            text: trigger.key().contains(&ValueTy::String),
            keys: trigger.capacity,
            hold: trigger.hold.as_ref().map(|hold| nanoseconds(hold, environment)),
            windows: windows.collect(),
            key_group: key_groups.iter().position(|(_, alike)| alike.contains(&TriggerId(at as u32))),
        }
    };
    program.triggers.iter().enumerate().map(shape).collect()
}

impl States for TriggerStore {
    fn active(&self, trigger: TriggerId, key: &[KeyValue], now: i64) -> bool {
        TriggerStore::active(self, trigger.index(), key, now)
    }
}
