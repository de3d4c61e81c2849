//! What flows say: each direction's bytes in order, once, through the automaton of the program's
//! stream patterns, through the recognisers of applications, and through the readers of their
//! messages. The invariants: only what the program asks for is done, and a direction of which
//! nobody wants more bytes holds nothing; memory is bounded by [`StreamLimits`] and the number of
//! flows; the work for a packet is bounded by its length and by what its direction holds; every
//! payload byte is counted once. The first copy of a byte counts. What is held back is held in a
//! pool; when there is no room, the gap is given up: the search goes on behind it as in mid-stream,
//! and messages are read on only where the gap lies within a body that is skipped. (Rejected: to
//! reassemble streams in memory and look at them when they end; the packet that completes a match
//! must be the one that knows.)

use crate::error::Error;
use crate::flow::{FlowId, Segment};
use crate::memory::list;
use mrule_compiler::context::BatchContext;
use mrule_compiler::environment::Environment;
use mrule_compiler::fields::App;
use mrule_compiler::hir::{NumKind, ParamId, Program, StreamKind, Uses};
use mrule_compiler::streams::{Automaton, State};
use std::sync::Arc;

mod counts;
mod deliver;
mod detect;
mod dns;
mod http;
mod order;
mod out;
mod pool;
mod tls;

pub use counts::{Gaps, Messages, StreamCounts};

use pool::{Part, Pool};

/// How much memory content may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes for held segments and partial messages, of all flows.
    pub pool: usize,
    /// How many bytes ahead of a gap one direction may hold, counted by the chunks of 2 KiB that it
    /// touches.
    pub held_per_direction: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits { pool: 64 << 20, held_per_direction: 256 << 10 }
    }
}

/// How deep a pattern looks.
#[derive(Debug, Clone, Copy)]
enum Depth {
    Const(u64),
    Param(ParamId),
}

impl Depth {
    fn get(self, environment: &Environment) -> u64 {
        match self {
            Depth::Const(depth) => depth,
            Depth::Param(param) => environment.param(param),
        }
    }
}

/// The contents of all flows of one table of flows.
#[derive(Debug)]
pub struct Streams {
    /// By flow, in blocks that are made when the first of their flows is seen.
    blocks: Vec<Option<Box<[Content]>>>,
    flows: usize,
    /// Flows were there before: where one of them stands is where it begins.
    late: bool,
    shared: Shared,
}

/// All of it but the flows.
#[derive(Debug)]
struct Shared {
    uses: Uses,
    /// The patterns, in the order of the program.
    looks_for: Vec<StreamKind>,
    /// Applications have to be recognised.
    wants_app: bool,
    automaton: Arc<Automaton>,
    depths: Vec<Depth>,
    /// The greatest of the constant depths.
    deepest: u64,
    /// The params that are depths.
    params: Vec<ParamId>,
    pool: Pool,
    /// How many chunks one direction may hold.
    chunks: u32,
    counts: StreamCounts,
    scratch: Vec<u8>,
}

/// What is known of a flow's content.
#[derive(Debug)]
struct Content {
    app: App,
    /// From the client, from the server.
    dirs: [Dir; 2],
    methods: http::Methods,
    /// The flow began when this was looking, or it was seen that it did not.
    known: bool,
}

/// One direction.
#[derive(Debug)]
struct Dir {
    /// The offset of the next byte in order.
    next: u64,
    state: State,
    held: order::Held,
    /// The first bytes, until the application is known; then a message that is not complete.
    part: Part,
    reader: Reader,
    /// A segment was seen.
    begun: bool,
    /// Nobody wants more bytes.
    done: bool,
    /// Its first bytes are all there is to recognise an application by.
    closed: bool,
    /// The search is over for good.
    searched: bool,
    /// Its first segment that is seen is where it begins.
    late: bool,
}

/// Who reads messages.
#[derive(Debug)]
enum Reader {
    /// Nobody yet.
    Waiting,
    Http(http::Reader),
    Tls(tls::Reader),
    Dns(dns::Reader),
    /// Nobody, for good.
    Over,
}

/// Flows of a block.
const BLOCK: usize = 256;

impl Streams {
    /// Whether a program looks into streams at all.
    pub fn looks(program: &Program) -> bool {
        let uses = program.uses();
        uses.streams || uses.app || uses.http || uses.tls || uses.dns
    }

    /// Flows are there already, which nobody has looked into.
    pub fn begin_late(&mut self) {
        self.late = true;
    }

    /// Bytes that the contents of so many flows take when all of them are looked into and the pool
    /// is full; without the automaton, which workers share.
    pub fn memory_of(limits: &StreamLimits, flows: usize) -> u64 {
        let blocks = flows.div_ceil(BLOCK) as u64;
        let block = (size_of::<Option<Box<[Content]>>>() + BLOCK * size_of::<Content>()) as u64;
        (blocks * block).saturating_add(limits.pool as u64) + size_of::<Self>() as u64
    }

    /// For the flows of a table with so many places.
    ///
    /// # Errors
    /// [`Error::Streams`]: the patterns are too large together; [`Error::Memory`].
    pub fn new(program: &Program, limits: &StreamLimits, flows: usize) -> Result<Streams, Error> {
        let uses = program.uses();
        let depths: Vec<Depth> = program
            .streams
            .iter()
            .map(|pattern| match pattern.depth.kind() {
                NumKind::Const(depth) => Depth::Const(*depth),
                NumKind::Param(param) => Depth::Param(*param),
                _ => Depth::Const(pattern.depth.max()),
            })
            .collect();
        let (mut deepest, mut params) = (0, Vec::new());
        for depth in &depths {
            match *depth {
                Depth::Const(depth) => deepest = depth.max(deepest),
                Depth::Param(param) if !params.contains(&param) => params.push(param),
                Depth::Param(_) => {}
            }
        }
        let chunks = (limits.held_per_direction / pool::CHUNK).max(1);
        let automaton = program.automaton().map_err(|too_large| Error::Streams(too_large.to_string()))?;
        let mut blocks = list(flows.div_ceil(BLOCK))?;
        blocks.resize_with(flows.div_ceil(BLOCK), || None);
        Ok(Streams {
            blocks,
            flows,
            late: false,
            shared: Shared {
                wants_app: uses.app || uses.http || uses.tls || uses.dns,
                automaton,
                looks_for: program.streams.iter().map(|pattern| pattern.kind.clone()).collect(),
                uses: uses.clone(),
                depths,
                deepest,
                params,
                pool: Pool::new(limits.pool),
                chunks: chunks.try_into().unwrap_or(u32::MAX),
                counts: StreamCounts::default(),
                scratch: Vec::new(),
            },
        })
    }

    /// Takes the new bytes of packet `i`, whose flow and place are `segment`: says in `sight` which
    /// patterns it completes and what the messages that it completes say. Packets come in order,
    /// each once. The answer is what is known of the application now; always [`App::Undecided`]
    /// when the program does not ask for it.
    pub fn observe(
        &mut self,
        environment: &Environment,
        i: usize,
        segment: &Segment,
        sight: &mut BatchContext,
    ) -> App {
        let shared = &mut self.shared;
        if !shared.wants_app && !shared.uses.streams {
            return App::Undecided;
        }
        if segment.flow.index() >= self.flows {
            return App::Undecided;
        }
        let (block, at) = (segment.flow.index() / BLOCK, segment.flow.index() % BLOCK);
        let Some(block) = self.blocks.get_mut(block) else { return App::Undecided };
        let automaton = &shared.automaton;
        if block.is_none() {
            // Without memory the flows of this block are not looked into, and the next packet asks
            // again.
            let Ok(mut contents) = list(BLOCK) else { return App::Undecided };
            contents.resize_with(BLOCK, || Content::new(automaton));
            *block = Some(contents.into());
        }
        let Some(content) = block.as_mut().and_then(|block| block.get_mut(at)) else { return App::Undecided };
        if segment.is_new {
            content.free(shared);
            content.known = true;
        } else if self.late && !content.known {
            let app = sight.flows.get(i).and_then(|view| App::ALL.get(view.app as usize));
            content.begin_late(app.copied().unwrap_or_default());
        }
        let deepest =
            shared.params.iter().fold(shared.deepest, |most, &param| most.max(environment.param(param)));
        deliver::Job { environment, i, segment, sight, deepest, shared }.take(content);
        content.app
    }

    /// Takes the place of what another program knew of the same flows. What both look for alike
    /// goes on, and so does what is known of each flow; else every flow begins anew where it
    /// stands: a pattern that lies across that place is not found, and messages of flows that began
    /// before are not read. True when it goes on.
    pub fn take_over(&mut self, other: &mut Streams) -> bool {
        let (mine, its) = (&mut self.shared, &mut other.shared);
        let goes_on = mine.looks_for == its.looks_for && mine.uses_alike(its) && self.flows == other.flows;
        let mut counts = its.counts;
        if goes_on {
            std::mem::swap(&mut self.blocks, &mut other.blocks);
            std::mem::swap(&mut mine.pool, &mut its.pool);
            std::mem::swap(&mut mine.automaton, &mut its.automaton);
            self.late = other.late;
        } else {
            counts.abandoned += std::mem::take(&mut counts.held);
            self.late = true;
        }
        mine.counts = counts;
        goes_on
    }

    /// The flow has ended: frees what it held.
    pub fn forget(&mut self, flow: FlowId) {
        let block = self.blocks.get_mut(flow.index() / BLOCK).and_then(Option::as_mut);
        if let Some(content) = block.and_then(|block| block.get_mut(flow.index() % BLOCK)) {
            content.free(&mut self.shared);
        }
    }

    /// What was counted since the start.
    pub fn counts(&self) -> StreamCounts {
        self.shared.counts
    }

    /// How many bytes it has allocated.
    pub fn memory(&self) -> usize {
        let blocks = self.blocks.iter().flatten().count();
        size_of::<Self>()
            + self.blocks.capacity() * size_of::<Option<Box<[Content]>>>()
            + blocks * BLOCK * size_of::<Content>()
            + self.shared.pool.memory()
            + self.shared.automaton.memory()
            + self.shared.scratch.capacity()
    }

    /// How many bytes of the pool are in use.
    pub fn pooled(&self) -> usize {
        self.shared.pool.used() * size_of::<pool::Chunk>()
    }
}

impl Shared {
    /// Whether the same is looked for beside patterns.
    fn uses_alike(&self, other: &Shared) -> bool {
        let what = |uses: &Uses| (uses.app, uses.http, uses.tls, uses.dns, uses.streams);
        what(&self.uses) == what(&other.uses)
    }
}

impl Content {
    fn new(automaton: &Automaton) -> Content {
        let dir = || Dir {
            next: 0,
            state: automaton.start(false),
            held: order::Held::default(),
            part: Part::default(),
            reader: Reader::Waiting,
            begun: false,
            done: false,
            closed: false,
            searched: false,
            late: false,
        };
        Content { app: App::Undecided, dirs: [dir(), dir()], methods: http::Methods::default(), known: false }
    }

    /// A flow that began when nobody looked: its messages are not read, and what it is stays what
    /// was known of it.
    fn begin_late(&mut self, app: App) {
        (self.known, self.app) = (true, app);
        for dir in &mut self.dirs {
            (dir.reader, dir.closed, dir.late) = (Reader::Over, true, true);
        }
    }

    fn free(&mut self, shared: &mut Shared) {
        if self.dirs.iter().any(|dir| dir.begun) {
            self.dirs.iter_mut().for_each(|dir| dir.free(shared));
            *self = Content::new(&shared.automaton);
        }
    }
}

impl Dir {
    /// Frees what it holds.
    fn free(&mut self, shared: &mut Shared) {
        let bytes = self.held.clear(&mut shared.pool, self.next);
        shared.counts.held -= bytes;
        shared.counts.abandoned += bytes;
        self.part.clear(&mut shared.pool);
    }
}
