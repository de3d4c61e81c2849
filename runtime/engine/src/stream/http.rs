//! HTTP/1: the heads of all requests and responses of a direction. Bodies are skipped as the heads
//! say (RFC 9112, 6.3). The body of a response also depends on its request, so each flow remembers
//! the methods of up to [`Methods::MOST`] requests without a response. Requests beyond these count
//! as ordinary. Upgrades (101, CONNECT) end the reading of both directions. Invariant: a head is
//! parsed once, when its last byte has come. (Rejected: to parse after each segment; the work for a
//! head of many tiny segments would grow with the square of its length.)

use super::out::{MAX_MESSAGE, Out, ParserState};
use super::pool::MessageBuffer;
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use mrule_compiler::fields::Facet;

/// The requests that wait for their responses.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// Two bits per method, the oldest in the lowest bits.
    kinds: u64,
    count: u8,
    /// Number of later requests whose methods were not kept.
    more: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Other = 0,
    Head = 1,
    Connect = 2,
}

impl Methods {
    /// How many methods are remembered.
    pub(super) const MOST: u8 = 32;

    fn push(&mut self, method: Method) {
        if self.count < Self::MOST && self.more == 0 {
            self.kinds |= (method as u64) << (self.count * 2);
            self.count += 1;
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The method of the request that the next response answers.
    fn oldest(&self) -> Method {
        match self.kinds & 3 {
            _ if self.count == 0 => Method::Other,
            1 => Method::Head,
            2 => Method::Connect,
            _ => Method::Other,
        }
    }

    fn pop(&mut self) {
        if self.count > 0 {
            self.kinds >>= 2;
            self.count -= 1;
        } else {
            self.more = self.more.saturating_sub(1);
        }
    }
}

/// The reader's place in a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// In a head, with the state of the line so far.
    Head(Line),
    /// In a body, with the number of bytes left.
    Body(u64),
    /// In a body that ends with the connection.
    ToEnd,
    /// In the size of a chunk: its value so far, and whether digits were read.
    Size(u64, bool),
    /// Behind the size of a chunk, before the end of the line.
    SizeEnd(u64),
    /// In a chunk, with the number of bytes left.
    Chunk(u64),
    /// Behind a chunk, before the end of the line.
    ChunkEnd,
    /// Behind the last chunk.
    Trailer(Line),
}

/// The state of the line so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    /// The line has only a carriage return.
    Return,
    Text,
}

/// The reader of one direction.
#[derive(Debug)]
pub(super) struct Reader {
    step: Step,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { step: Step::Head(Line::Text) }
    }
}

/// What follows a message's head.
enum Body {
    None,
    Length(u64),
    Chunked,
    ToEnd,
    Tunnel,
}

impl Reader {
    /// Skips `missing` bytes. Returns whether the place in the direction is still known.
    pub(super) fn gap(&mut self, missing: u64) -> bool {
        match &mut self.step {
            Step::ToEnd => true,
            Step::Body(left) | Step::Chunk(left) if *left >= missing => {
                *left -= missing;
                if self.step == Step::Body(0) {
                    self.step = Step::Head(Line::Text);
                } else if self.step == Step::Chunk(0) {
                    self.step = Step::ChunkEnd;
                }
                true
            }
            _ => false,
        }
    }

    pub(super) fn take(
        &mut self,
        part: &mut MessageBuffer,
        mut bytes: &[u8],
        methods: &mut Methods,
        out: &mut Out,
    ) -> ParserState {
        while let Some(&byte) = bytes.first() {
            match self.step {
                Step::Head(line) => {
                    // Empty lines before a message are skipped (RFC 9112, 2.2).
                    if part.is_empty() && matches!(byte, b'\r' | b'\n') {
                        bytes = bytes.get(1..).unwrap_or(&[]);
                        continue;
                    }
                    let (line, end) = empty_line(line, bytes);
                    let Some(end) = end else {
                        self.step = Step::Head(line);
                        return if out.keep(part, bytes) { ParserState::Continue } else { ParserState::Done };
                    };
                    let (last, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                    bytes = rest;
                    if part.len() + last.len() > MAX_MESSAGE {
                        out.counts.messages.too_large += 1;
                        return ParserState::Done;
                    }
                    let body = if part.is_empty() {
                        head(last, methods, out)
                    } else {
                        let whole = out.whole(part, last);
                        let body = head(&whole, methods, out);
                        *out.scratch = whole;
                        body
                    };
                    self.step = match body {
                        None => {
                            out.counts.messages.malformed += 1;
                            return ParserState::Done;
                        }
                        Some(body) => {
                            out.counts.messages.http += 1;
                            match body {
                                Body::None | Body::Length(0) => Step::Head(Line::Text),
                                Body::Length(left) => Step::Body(left),
                                Body::Chunked => Step::Size(0, false),
                                Body::ToEnd => Step::ToEnd,
                                Body::Tunnel => return ParserState::Tunnel,
                            }
                        }
                    };
                }
                Step::Body(left) => self.step = skip(left, &mut bytes, Step::Body, Step::Head(Line::Text)),
                Step::Chunk(left) => self.step = skip(left, &mut bytes, Step::Chunk, Step::ChunkEnd),
                Step::ToEnd => return ParserState::Continue,
                Step::Size(size, digits) => {
                    bytes = bytes.get(1..).unwrap_or(&[]);
                    self.step = match (char::from(byte).to_digit(16), byte) {
                        (Some(digit), _) if size >> 60 == 0 => Step::Size(size << 4 | u64::from(digit), true),
                        (None, b'\n') if digits => data(size),
                        (None, b';' | b' ' | b'\t' | b'\r') if digits => Step::SizeEnd(size),
                        _ => {
                            out.counts.messages.malformed += 1;
                            return ParserState::Done;
                        }
                    };
                }
                Step::SizeEnd(size) => match memchr::memchr(b'\n', bytes) {
                    Some(end) => {
                        bytes = bytes.get(end + 1..).unwrap_or(&[]);
                        self.step = data(size);
                    }
                    None => return ParserState::Continue,
                },
                Step::ChunkEnd => {
                    bytes = bytes.get(1..).unwrap_or(&[]);
                    match byte {
                        b'\r' => {}
                        b'\n' => self.step = Step::Size(0, false),
                        _ => {
                            out.counts.messages.malformed += 1;
                            return ParserState::Done;
                        }
                    }
                }
                Step::Trailer(line) => match empty_line(line, bytes) {
                    (_, Some(end)) => {
                        bytes = bytes.get(end..).unwrap_or(&[]);
                        self.step = Step::Head(Line::Text);
                    }
                    (line, None) => {
                        self.step = Step::Trailer(line);
                        return ParserState::Continue;
                    }
                },
            }
        }
        ParserState::Continue
    }
}

/// The step behind a chunk's size.
fn data(size: u64) -> Step {
    if size == 0 { Step::Trailer(Line::Empty) } else { Step::Chunk(size) }
}

/// Skips the rest of a body.
fn skip(left: u64, bytes: &mut &[u8], more: fn(u64) -> Step, done: Step) -> Step {
    let now = left.min(bytes.len() as u64);
    *bytes = bytes.get(now as usize..).unwrap_or(&[]);
    if now == left { done } else { more(left - now) }
}

/// Looks for the end of an empty line. Returns the state of the last line, and the offset behind
/// the empty line.
fn empty_line(mut line: Line, bytes: &[u8]) -> (Line, Option<usize>) {
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        line = match (line, byte) {
            (Line::Empty | Line::Return, b'\n') => return (Line::Empty, Some(i + 1)),
            (Line::Empty, b'\r') => Line::Return,
            _ => match memchr::memchr(b'\n', bytes.get(i..).unwrap_or(&[])) {
                None => return (Line::Text, None),
                Some(end) => {
                    i += end;
                    Line::Empty
                }
            },
        };
        i += 1;
    }
    (line, None)
}

/// This number of headers is enough for nearly all messages. Otherwise the head is parsed again
/// with `MOST_HEADERS`.
const HEADERS: usize = 64;
const MOST_HEADERS: usize = 2048;

/// Reads a head. Returns `None` when the bytes are no head.
fn head(bytes: &[u8], methods: &mut Methods, out: &mut Out) -> Option<Body> {
    match read(bytes, &mut [EMPTY_HEADER; HEADERS], methods, out) {
        Err(httparse::Error::TooManyHeaders) => {
            read(bytes, &mut vec![EMPTY_HEADER; MOST_HEADERS], methods, out).ok()
        }
        body => body.ok(),
    }
}

fn read<'b>(
    bytes: &'b [u8],
    headers: &mut [Header<'b>],
    methods: &mut Methods,
    out: &mut Out,
) -> Result<Body, httparse::Error> {
    let mut config = ParserConfig::default();
    config
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    if bytes.starts_with(b"HTTP/") {
        let mut response = httparse::Response::new(headers);
        if !matches!(config.parse_response(&mut response, bytes)?, Status::Complete(_)) {
            return Err(httparse::Error::Status);
        }
        let code = response.code.ok_or(httparse::Error::Status)?;
        out.num(Facet::HttpCode, code.into());
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-type") {
                out.text(Facet::HttpContentType, header.value.trim_ascii());
            }
        }
        let method = methods.oldest();
        if code == 101 {
            return Ok(Body::Tunnel);
        }
        if !(100..200).contains(&code) {
            methods.pop();
        }
        return match (code, method) {
            (200..300, Method::Connect) => Ok(Body::Tunnel),
            (100..200 | 204 | 304, _) | (_, Method::Head) => Ok(Body::None),
            _ => length(response.headers, Body::ToEnd),
        };
    }
    let mut request = httparse::Request::new(&mut *headers);
    let (method, target, count) = match config.parse_request(&mut request, bytes) {
        Ok(Status::Complete(_)) => {
            let method = request.method.ok_or(httparse::Error::Token)?;
            (method.as_bytes(), request.path.unwrap_or("").as_bytes(), request.headers.len())
        }
        Ok(Status::Partial) => return Err(httparse::Error::Token),
        Err(httparse::Error::TooManyHeaders) => return Err(httparse::Error::TooManyHeaders),
        Err(error) => loosely(bytes, &mut *headers).ok_or(error)?,
    };
    let headers = headers.get(..count).unwrap_or(&[]);
    out.text(Facet::HttpMethod, method);
    out.text(Facet::HttpUri, target);
    for header in headers {
        let facet = match header.name.len() {
            4 if header.name.eq_ignore_ascii_case("host") => Facet::HttpHost,
            6 if header.name.eq_ignore_ascii_case("cookie") => Facet::HttpCookie,
            10 if header.name.eq_ignore_ascii_case("user-agent") => Facet::HttpUserAgent,
            12 if header.name.eq_ignore_ascii_case("content-type") => Facet::HttpContentType,
            _ => continue,
        };
        out.text(facet, header.value.trim_ascii());
    }
    methods.push(match method {
        b"HEAD" => Method::Head,
        b"CONNECT" => Method::Connect,
        _ => Method::Other,
    });
    length(headers, Body::None)
}

/// Reads a request whose first line breaks RFC 9112, such as a line without a version, as scanners
/// send it. Returns its method, its target and the number of its headers.
fn loosely<'b>(bytes: &'b [u8], headers: &mut [Header<'b>]) -> Option<(&'b [u8], &'b [u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let mut words = line.trim_ascii_end().splitn(3, |&byte| byte == b' ');
    let method = words.next().filter(|word| !word.is_empty())?;
    if !method.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return None;
    }
    match httparse::parse_headers(rest, headers) {
        Ok(Status::Complete((_, found))) => Some((method, words.next().unwrap_or(b""), found.len())),
        Ok(Status::Partial) | Err(_) => None,
    }
}

/// The length of the body, by its headers.
fn length(headers: &[Header], otherwise: Body) -> Result<Body, httparse::Error> {
    let named = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if let Some(last) = named("transfer-encoding").next_back() {
        let coding = last.rsplit(|&byte| byte == b',').next().unwrap_or(last).trim_ascii();
        return Ok(if coding.eq_ignore_ascii_case(b"chunked") { Body::Chunked } else { Body::ToEnd });
    }
    let mut length = None;
    for value in named("content-length").flat_map(|value| value.split(|&byte| byte == b',')) {
        let value = value.trim_ascii();
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(httparse::Error::HeaderValue);
        }
        let value = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or(httparse::Error::HeaderValue)?;
        if length.is_some_and(|length| length != value) {
            return Err(httparse::Error::HeaderValue);
        }
        length = Some(value);
    }
    Ok(length.map_or(otherwise, Body::Length))
}
