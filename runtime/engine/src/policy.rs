//! A program made ready to run: what decides, what it looks into, and the states of its triggers.
//! Workers share it. The invariant: engine, environment and states are of the same program, and the
//! environment asks this policy's states. (Rejected: handing the three around one by one, which
//! lets somebody mix those of two programs.)

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

/// A program that can be run.
#[derive(Debug, Clone)]
pub struct Policy {
    engine: Arc<Engine>,
    /// What its limits leave of other policies' copies ([`Program::bounds`]), when it is binding.
    bounds: Option<Arc<Engine>>,
    environment: Environment,
    triggers: Arc<TriggerStore>,
    repeatable: bool,
    label: Option<Label>,
    /// Who wrote each station, in the order of the program; those behind the last are the owner's.
    origins: Vec<Origin>,
    /// Stations that get no copies until somebody resumes them.
    drained: Arc<BTreeSet<String>>,
    /// Bytes that it was counted with when it was loaded, without tables.
    memory: u64,
    /// Bytes that its tables may take.
    table_room: u64,
}

/// Which policy a program is, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub policy: Arc<str>,
    /// From 1; each load is another one.
    pub version: u64,
}

/// Who wrote a rule file or the words of a station.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// Whoever started the run, sends it signals or can open its control socket.
    #[default]
    Owner,
    /// The holder of the token of this name.
    Client(Arc<str>),
}

impl Origin {
    /// A client of this name.
    pub fn client(name: &str) -> Origin {
        Origin::Client(name.into())
    }

    /// Whether the owner wrote it.
    pub fn is_owner(&self) -> bool {
        *self == Origin::Owner
    }

    /// Whether both may reach the same.
    pub fn is_as_free_as(&self, other: &Origin) -> bool {
        self.is_owner() == other.is_owner()
    }
}

impl Policy {
    /// A policy in which no trigger is active but those raised in the environment already. The
    /// environment was made of the engine's program. Ends the process where there is no memory, as
    /// other allocations do; [`try_new`](Self::try_new) does not.
    pub fn new(engine: Arc<Engine>, environment: Environment) -> Policy {
        Policy::try_new(engine, environment).unwrap_or_else(|none| none.abort())
    }

    /// The same.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn try_new(engine: Arc<Engine>, environment: Environment) -> Result<Policy, NoMemory> {
        let triggers = TriggerStore::empty(None).try_renewed(shapes(engine.program(), &environment))?;
        Ok(Policy::with(engine, environment, triggers, false))
    }

    /// The same for a replay: which keys go when a trigger has too many depends on the packets
    /// alone, never on chance. Ends the process where there is no memory;
    /// [`try_repeatable`](Self::try_repeatable) does not.
    pub fn repeatable(engine: Arc<Engine>, environment: Environment) -> Policy {
        Policy::try_repeatable(engine, environment).unwrap_or_else(|none| none.abort())
    }

    /// The same.
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

    /// A policy that takes another's place: triggers of the same name and shape go on with the
    /// states they have. (What the other's environment has is kept where the environment that is
    /// given here was told to.) Ends the process where there is no memory;
    /// [`try_succeed`](Self::try_succeed) does not.
    pub fn succeed(&self, engine: Arc<Engine>, environment: Environment) -> Policy {
        self.try_succeed(engine, environment).unwrap_or_else(|none| none.abort())
    }

    /// The same.
    ///
    /// # Errors
    /// [`NoMemory`]: then nothing has changed.
    pub fn try_succeed(&self, engine: Arc<Engine>, environment: Environment) -> Result<Policy, NoMemory> {
        let triggers = self.triggers.try_renewed(shapes(engine.program(), &environment))?;
        Ok(Policy::with(engine, environment, triggers, self.repeatable))
    }

    /// The same policy, counted with so many bytes of memory, without its tables.
    pub fn counted(self, bytes: u64) -> Policy {
        Policy { memory: bytes, ..self }
    }

    /// Bytes that it takes now in a budget: as it was counted when it was loaded, and its tables as
    /// they are.
    pub fn memory(&self) -> u64 {
        self.memory.saturating_add(self.table_memory())
    }

    fn table_memory(&self) -> u64 {
        let tables =
            (0..self.program().tables.len()).filter_map(|at| self.environment.table(TableId(at as u32)));
        tables.map(|table| table.memory() as u64).fold(0, u64::saturating_add)
    }

    /// Lets its tables take so many bytes more than now.
    pub fn set_table_room(&mut self, more: u64) {
        self.table_room = self.table_memory().saturating_add(more);
    }

    /// Whether its tables take no more than they may.
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

    /// The same policy, by this name and version.
    pub fn labelled(self, label: Label) -> Policy {
        Policy { label: Some(label), ..self }
    }

    /// The same policy, binding for all others: this engine was made of its program's
    /// [`Program::bounds`].
    pub fn binding(self, bounds: Option<Arc<Engine>>) -> Policy {
        Policy { bounds, ..self }
    }

    /// What its limits leave of other policies' copies; none when it is not binding.
    pub fn bounds(&self) -> Option<&Engine> {
        self.bounds.as_deref()
    }

    /// The same policy, with another station at this place, which this one wrote: all else goes on.
    pub fn with_station(self, at: usize, station: Station, origin: Origin) -> Policy {
        let mut origins = self.origins();
        if let Some(place) = origins.get_mut(at) {
            *place = origin;
        }
        Policy { engine: Arc::new(self.engine.with_station(at, station)), origins, ..self }
    }

    /// The same policy; these wrote its stations, in the order of the program.
    pub fn written_by(self, origins: Vec<Origin>) -> Policy {
        Policy { origins, ..self }
    }

    /// Who wrote each station, in the order of the program.
    pub fn origins(&self) -> Vec<Origin> {
        let mut origins = self.origins.clone();
        origins.resize(self.program().stations.len(), Origin::Owner);
        origins
    }

    /// The same policy, whose stations of these names get no copies until somebody resumes them.
    pub fn draining(self, stations: BTreeSet<String>) -> Policy {
        Policy { drained: Arc::new(stations), ..self }
    }

    /// The stations that get no copies until somebody resumes them.
    pub fn drained(&self) -> &BTreeSet<String> {
        &self.drained
    }

    /// By which name and version it is known.
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Whether the same packets do the same each time, which key goes for want of room included.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// What decides.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        self.engine.program()
    }

    /// What it looks into.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// To change tables. Workers that share a clone of this policy go on with what it was.
    pub fn environment_mut(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// For which keys its triggers are active.
    pub fn triggers(&self) -> &TriggerStore {
        &self.triggers
    }

    /// The shapes of its triggers, in the order of the program.
    pub fn shapes(&self) -> Vec<TriggerShape> {
        shapes(self.program(), &self.environment)
    }

    /// Gives a param another value, of its type and within its bounds. A window whose length it is
    /// begins anew.
    ///
    /// # Errors
    /// [`ChangeError`]: no such param, a value of another type or out of bounds.
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

/// A length of time: a constant or a param.
fn nanoseconds(num: &Num, environment: &Environment) -> i64 {
    let value = match num.kind() {
        NumKind::Const(value) => *value,
        NumKind::Param(id) => environment.param(*id),
        _ => 0,
    };
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The shapes of a program's triggers. Those by flow that count nothing are kept in flows; here
/// they take some kilobytes.
pub fn shapes(program: &Program, environment: &Environment) -> Vec<TriggerShape> {
    let ways = program.key_groups();
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
            way: ways.iter().position(|(_, alike)| alike.contains(&TriggerId(at as u32))),
        }
    };
    program.triggers.iter().enumerate().map(shape).collect()
}

impl States for TriggerStore {
    fn active(&self, trigger: TriggerId, key: &[KeyValue], now: i64) -> bool {
        TriggerStore::active(self, trigger.index(), key, now)
    }
}
