//! What flows contain. Each direction's bytes go in order and once through the automaton of the
//! program's stream patterns, the recognisers of applications, and the readers of messages.
//! Invariants: only what the program asks for is done, and a direction of which no more bytes are
//! wanted holds nothing. [`StreamLimits`] and the number of flows bound the memory. A packet's
//! length and the bytes that its direction holds bound the work for the packet. Each payload byte
//! is counted once, and the first copy of a byte counts. Bytes ahead of a gap are held in a pool.
//! When a gap is given up (see `gap`), the search continues behind it as in mid-stream. Messages
//! are read on from the next segment that begins with one, or at once if the gap lies within a
//! skipped body. (Rejected: to reassemble streams in memory and look at them when they end; the
//! packet that completes a match must be the packet that reports it.)

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
mod gap;
mod http;
mod order;
mod out;
mod pool;
mod quic;
mod tls;

pub use counts::{Gaps, Messages, StreamCounts};

use pool::{MessageBuffer, Pool};

/// How much memory the contents of flows may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Bytes for held segments and partial messages, of all flows together.
    pub pool: usize,
    /// Bytes that one direction may hold ahead of a gap, counted in the chunks of 2 KiB that these
    /// bytes touch.
    pub held_per_direction: usize,
    /// A gap is given up when more bytes than this wait behind it,
    pub gap_bytes: usize,
    /// or more packets than this,
    pub gap_packets: u64,
    /// or bytes wait for longer than this, in nanoseconds of packet time.
    pub gap_time: i64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            pool: 64 << 20,
            held_per_direction: 256 << 10,
            gap_bytes: 64 << 10,
            gap_packets: 64,
            gap_time: 1_000_000_000,
        }
    }
}

/// The stream offset up to which a pattern is searched for.
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
    /// By flow, in blocks. A block is allocated when the first of its flows is seen.
    blocks: Vec<Option<Box<[Content]>>>,
    flows: usize,
    /// There were flows before the search began. Such a flow begins at its next segment.
    late: bool,
    shared: Shared,
}

/// Everything but the flows.
#[derive(Debug)]
struct Shared {
    uses: Uses,
    /// The kinds of the patterns, in the order of the program.
    looks_for: Vec<StreamKind>,
    /// The program asks for applications, or for messages, which need them.
    wants_app: bool,
    automaton: Arc<Automaton>,
    depths: Vec<Depth>,
    /// The greatest of the constant depths.
    deepest: u64,
    /// The params that are depths of patterns.
    params: Vec<ParamId>,
    pool: Pool,
    limits: StreamLimits,
    /// The number of chunks that one direction may hold.
    chunks: u32,
    counts: StreamCounts,
    scratch: Vec<u8>,
}

/// What is known about a flow's content.
#[derive(Debug)]
struct Content {
    app: App,
    /// By the end that sends ([`Segment::end`]).
    dirs: [Dir; 2],
    methods: http::Methods,
    /// The end that content has shown to be the client.
    client: Option<usize>,
    /// Bytes are missing in the flow's messages, so responses may not match their requests.
    torn: bool,
    /// The flow began during the search, or is known to have begun before it.
    known: bool,
}

/// One direction.
#[derive(Debug)]
struct Dir {
    /// The offset of the next byte in order.
    next: u64,
    state: State,
    held: order::ReorderBuffer,
    gap: gap::GapState,
    /// The first bytes, until the application is known; then the part of an incomplete message.
    part: MessageBuffer,
    reader: Reader,
    /// A packet was seen.
    heard: bool,
    /// Payload was seen.
    begun: bool,
    /// No more bytes of the direction are wanted.
    done: bool,
    /// The first bytes seen so far are all that can show the application.
    closed: bool,
    /// The search for patterns has ended for good.
    searched: bool,
    /// The direction's first segment that is seen is taken for its beginning.
    late: bool,
    /// The first bytes seen did not show the application. The other end's bytes may; until then, no
    /// bytes are wanted.
    paused: bool,
    /// The first bytes seen may lie within a message.
    adrift: bool,
    /// In mid-stream, the first segment had one byte: perhaps a keep-alive.
    single: bool,
}

/// The reader of a direction's messages.
#[derive(Debug)]
enum Reader {
    /// The application is not known yet.
    Waiting,
    Http(http::Reader),
    Tls(tls::Reader),
    Dns(dns::Reader),
    Quic(quic::Reader),
    /// Bytes are missing. Reading begins anew at the next segment that begins with a message.
    Lost,
    /// No messages are read any more.
    Over,
}

/// Number of flows in a block.
const BLOCK: usize = 256;

impl Streams {
    /// Whether a program looks into streams at all.
    pub(crate) fn looks(program: &Program) -> bool {
        let uses = program.uses();
        uses.streams || uses.contents()
    }

    /// Notes that the table already has flows whose contents were not searched.
    pub(crate) fn begin_late(&mut self) {
        self.late = true;
    }

    /// Memory for the contents of `flows` flows when all of them are searched and the pool is full,
    /// in bytes. The automaton, which workers share, is not included.
    pub(crate) fn memory_of(limits: &StreamLimits, flows: usize) -> u64 {
        let blocks = flows.div_ceil(BLOCK) as u64;
        let block = (size_of::<Option<Box<[Content]>>>() + BLOCK * size_of::<Content>()) as u64;
        (blocks * block).saturating_add(limits.pool as u64) + size_of::<Self>() as u64
    }

    /// The contents of the flows of a table with `flows` places.
    ///
    /// # Errors
    /// [`Error::Streams`]: the patterns together exceed a limit; [`Error::Memory`].
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
                wants_app: uses.contents(),
                automaton,
                looks_for: program.streams.iter().map(|pattern| pattern.kind.clone()).collect(),
                uses: uses.clone(),
                depths,
                deepest,
                params,
                pool: Pool::new(limits.pool),
                limits: *limits,
                chunks: chunks.try_into().unwrap_or(u32::MAX),
                counts: StreamCounts::default(),
                scratch: Vec::new(),
            },
        })
    }

    /// Takes the new bytes of packet `i`, whose flow and place in the stream `segment` gives. Marks
    /// in `context` the patterns that the packet completes, and writes there what the messages say
    /// that it completes. Call it for the packets in order, once each. Returns what is known about
    /// the application now; always [`App::Undecided`] when the program does not ask for it.
    pub fn observe(
        &mut self,
        environment: &Environment,
        i: usize,
        segment: &Segment,
        context: &mut BatchContext,
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
            // Without memory, the flows of this block are not searched. The next packet tries
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
            let app = context.flows.get(i).and_then(|view| App::ALL.get(view.app as usize));
            content.begin_late(app.copied().unwrap_or_default());
        }
        let deepest =
            shared.params.iter().fold(shared.deepest, |most, &param| most.max(environment.param(param)));
        deliver::Job { environment, i, segment, context, deepest, shared }.take(content);
        content.app
    }

    /// The end that content has shown to be the client, if nothing has shown it before this
    /// segment.
    pub fn client(&self, segment: &Segment) -> Option<usize> {
        if segment.client_known {
            return None;
        }
        let block = self.blocks.get(segment.flow.index() / BLOCK)?.as_ref()?;
        block.get(segment.flow.index() % BLOCK)?.client
    }

    /// Takes the place of `other`, which knows the same flows for another program. If both programs
    /// look for the same, the search continues with all that `other` knew. Otherwise each flow
    /// begins anew at its next segment: patterns across that place are not found, and messages of
    /// earlier flows are not read. Returns true when the search continues.
    pub(crate) fn take_over(&mut self, other: &mut Streams) -> bool {
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

    /// Frees what a flow held. Call it when the flow has ended.
    pub fn forget(&mut self, flow: FlowId) {
        let block = self.blocks.get_mut(flow.index() / BLOCK).and_then(Option::as_mut);
        if let Some(content) = block.and_then(|block| block.get_mut(flow.index() % BLOCK)) {
            content.free(&mut self.shared);
        }
    }

    /// The counters since the start.
    pub fn counts(&self) -> StreamCounts {
        self.shared.counts
    }

    /// Allocated memory, in bytes.
    pub fn memory(&self) -> usize {
        let blocks = self.blocks.iter().flatten().count();
        size_of::<Self>()
            + self.blocks.capacity() * size_of::<Option<Box<[Content]>>>()
            + blocks * BLOCK * size_of::<Content>()
            + self.shared.pool.memory()
            + self.shared.automaton.memory()
            + self.shared.scratch.capacity()
    }

    /// Bytes of the pool in use.
    pub fn pooled(&self) -> usize {
        self.shared.pool.used() * size_of::<pool::Chunk>()
    }
}

impl Shared {
    /// A reader of the messages of an application, at the start of a message.
    fn reader(&self, app: App) -> Reader {
        match app {
            App::Http if self.uses.http => Reader::Http(http::Reader::default()),
            App::Tls if self.uses.tls => Reader::Tls(tls::Reader::default()),
            App::Dns if self.uses.dns => Reader::Dns(dns::Reader::default()),
            App::Quic if self.uses.tls || self.uses.quic => {
                Reader::Quic(quic::Reader::new(self.uses.quic, self.uses.tls))
            }
            _ => Reader::Over,
        }
    }

    /// Whether both programs look for the same beside patterns.
    fn uses_alike(&self, other: &Shared) -> bool {
        let what = |uses: &Uses| (uses.app, uses.http, uses.tls, uses.dns, uses.quic, uses.streams);
        what(&self.uses) == what(&other.uses)
    }
}

impl Content {
    fn new(automaton: &Automaton) -> Content {
        let dir = || Dir {
            next: 0,
            state: automaton.start(false),
            held: order::ReorderBuffer::default(),
            gap: gap::GapState::default(),
            part: MessageBuffer::default(),
            reader: Reader::Waiting,
            heard: false,
            begun: false,
            done: false,
            closed: false,
            searched: false,
            late: false,
            paused: false,
            adrift: false,
            single: false,
        };
        Content {
            app: App::Undecided,
            dirs: [dir(), dir()],
            methods: http::Methods::default(),
            client: None,
            torn: false,
            known: false,
        }
    }

    /// Sets up a flow that began before the search. Its messages are not read, and its application
    /// stays as it was known.
    fn begin_late(&mut self, app: App) {
        (self.known, self.app) = (true, app);
        for dir in &mut self.dirs {
            (dir.reader, dir.closed, dir.late) = (Reader::Over, true, true);
        }
    }

    fn free(&mut self, shared: &mut Shared) {
        if self.dirs.iter().any(|dir| dir.heard) {
            self.dirs.iter_mut().for_each(|dir| dir.free(shared));
            *self = Content::new(&shared.automaton);
        }
    }
}

impl Dir {
    /// Frees what the direction holds.
    fn free(&mut self, shared: &mut Shared) {
        self.free_held(shared);
        self.part.clear(&mut shared.pool);
    }

    /// Frees the bytes that wait behind gaps.
    fn free_held(&mut self, shared: &mut Shared) {
        let bytes = self.held.clear(&mut shared.pool, self.next);
        shared.counts.held -= bytes;
        shared.counts.abandoned += bytes;
        self.gap.release(u64::MAX, 0);
    }
}
