//! A harness for the contents of flows: programs that ask for patterns, applications and messages,
//! segments made by hand, and what each segment reports. (Rejected: frames through the dissector
//! and the flow table; the tested code lies behind both.)

use mrule_compiler::context::{BatchContext, FacetValue};
use mrule_compiler::environment::Environment;
use mrule_compiler::fields::{App, Facet, FlowSlot};
use mrule_compiler::hir::{Num, Pred, Program, Rule, StreamKind, StreamPattern};
use mrule_compiler::pattern;
use mrule_compiler::sets::Intervals;
use mrule_engine::flow::{FlowId, Segment};
use mrule_engine::stream::{StreamLimits, Streams};
use std::sync::Arc;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub const HTTP: &[Facet] = &[
    Facet::HttpMethod,
    Facet::HttpUri,
    Facet::HttpHost,
    Facet::HttpUserAgent,
    Facet::HttpCookie,
    Facet::HttpCode,
    Facet::HttpContentType,
];
pub const TLS: &[Facet] = &[Facet::TlsServerName, Facet::TlsVersion, Facet::TlsAlpn];
pub const QUIC: &[Facet] = &[Facet::QuicVersion];
pub const DNS: &[Facet] = &[Facet::DnsName, Facet::DnsType, Facet::DnsResponse, Facet::DnsRcode];

pub fn contains(bytes: &[u8]) -> StreamKind {
    StreamKind::Contains(bytes.into())
}

pub fn matches(text: &str) -> StreamKind {
    StreamKind::Matches(pattern::translate(text).unwrap())
}

/// A program with these patterns and depths that asks for these facets and for the application.
pub fn program(patterns: &[(StreamKind, u64)], facets: &[Facet], app: bool) -> Program {
    let streams = patterns
        .iter()
        .map(|(kind, depth)| StreamPattern { kind: kind.clone(), depth: Num::constant(*depth) });
    let known = Pred::test(Num::flow(0, FlowSlot::App), Arc::new(Intervals::range(1, 5)));
    let matches = facets.iter().map(|&facet| Pred::has_facet(facet)).chain(app.then_some(known));
    let rule = |matches| Rule {
        name: "asks".to_owned(),
        span: mrule_grammar::span::Span::default(),
        matches,
        asks: Vec::new(),
        stations: 0,
        everywhere: false,
    };
    Program { streams: streams.collect(), rules: vec![rule(Pred::or(matches))], ..Program::default() }
}

pub struct Feed {
    pub streams: Streams,
    pub environment: Environment,
    pub context: BatchContext,
    patterns: usize,
}

/// What a packet reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedResult {
    pub app: App,
    pub found: Vec<usize>,
    pub said: Vec<(Facet, String)>,
}

impl Feed {
    pub fn new(program: &Program) -> Feed {
        Feed::limited(program, &StreamLimits::default())
    }

    pub fn limited(program: &Program, limits: &StreamLimits) -> Feed {
        Feed {
            streams: Streams::new(program, limits, 1000).unwrap(),
            environment: Environment::new(program).unwrap(),
            context: BatchContext::new(program, 1),
            patterns: program.streams.len(),
        }
    }

    pub fn give(&mut self, segment: &Segment) -> FeedResult {
        self.context.begin();
        let app = self.streams.observe(&self.environment, 0, segment, &mut self.context);
        assert!(self.streams.counts().adds_up(), "{:?}", self.streams.counts());
        let found = (0..self.patterns)
            .filter(|&id| self.context.found(0, mrule_compiler::hir::StreamId(id as u32)))
            .collect();
        let mut said = Vec::new();
        for &facet in HTTP.iter().chain(TLS).chain(QUIC).chain(DNS) {
            said.extend(self.context.facets(0, facet).map(|value| match value {
                FacetValue::Num(n) => (facet, n.to_string()),
                FacetValue::Text(text) => (facet, String::from_utf8_lossy(text).into_owned()),
            }));
        }
        FeedResult { app, found, said }
    }

    /// A TCP segment from the client of flow 0.
    pub fn client(&mut self, start: u64, payload: &[u8]) -> FeedResult {
        self.give(&segment(true, start as i64, payload))
    }

    /// A TCP segment from the server of flow 0.
    pub fn server(&mut self, start: u64, payload: &[u8]) -> FeedResult {
        self.give(&segment(false, start as i64, payload))
    }

    /// Ends the flow; counters stay.
    pub fn end(&mut self) {
        self.streams.forget(FlowId(0));
    }
}

pub fn segment(from_client: bool, start: i64, payload: &[u8]) -> Segment<'_> {
    Segment {
        flow: FlowId(0),
        is_new: false,
        from_client,
        end: usize::from(!from_client),
        proto: TCP,
        start,
        payload,
        length: payload.len() as u32,
        midstream: false,
        client_known: true,
        continues: false,
        time: 0,
        ack: None,
        fin: false,
        rst: false,
    }
}

/// A small generator of numbers, so that a failure can be repeated.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((n ^ (n >> 31)) % below.max(1) as u64) as usize
    }
}
