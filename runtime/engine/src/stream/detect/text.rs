//! Recognisers of protocols whose messages are lines of text. Invariant: where several protocols
//! share the beginning of a line, the line is read to its end, or up to the limit. (Rejected:
//! regular expressions; they cannot tell "no" from "not yet".)

use super::{Answer, More, No, Prefix, Yes, at, begins, begins_any, side};

const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MKCALENDAR ",
    b"CHECKOUT ",
    b"MERGE ",
    b"ACL ",
    b"PURGE ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"UNSUBSCRIBE ",
    b"M-SEARCH ",
    b"BIND ",
    b"LINK ",
    b"UNLINK ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
    b"QUERY ",
    b"CCM_POST ",
];

/// A request line as far as it has come: its target, its version (`None`: not there yet), and
/// whether the line ends.
type Line<'b> = (&'b [u8], Option<&'b [u8]>, bool);

/// Reads a request line.
fn request<'b>(bytes: &'b [u8], methods: &[&[u8]]) -> Result<Line<'b>, Answer> {
    match begins_any(bytes, methods) {
        Yes => {}
        answer => return Err(answer),
    }
    let space = bytes.iter().position(|&byte| byte == b' ').unwrap_or(bytes.len());
    let rest = bytes.get(space + 1..).unwrap_or(&[]);
    let (line, ends) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) => (rest.get(..end).unwrap_or(rest), true),
        None => (rest, false),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().any(|&byte| byte < b' ' || byte == 0x7f) {
        return Err(No);
    }
    match line.iter().position(|&byte| byte == b' ') {
        Some(space) => Ok((line.get(..space).unwrap_or(line), line.get(space + 1..), ends)),
        None => Ok((line, None, ends)),
    }
}

/// Whether a target begins with one of `with`, ignoring case.
fn scheme(target: &[u8], with: &[&[u8]]) -> Answer {
    with.iter().fold(No, |answer, with| {
        answer.or(|| match (target.get(..with.len()), with.get(..target.len())) {
            (Some(start), _) => Answer::of(start.eq_ignore_ascii_case(with)),
            (None, Some(start)) if start.eq_ignore_ascii_case(target) => More,
            (None, _) => No,
        })
    })
}

/// Whether a request has such a target and one of these versions.
fn target(prefix: Prefix, methods: &[&[u8]], target: impl Fn(&[u8]) -> Answer, versions: &[&[u8]]) -> Answer {
    let (found, version, ends) = match request(prefix.bytes, methods) {
        Ok(line) => line,
        Err(answer) => return answer,
    };
    let good = if found.is_empty() { Answer::of(!ends && version.is_none()) } else { target(found) };
    match (good, version) {
        (No, _) | (More, Some(_)) => No,
        (_, None) if ends => No,
        (_, Some(version)) if ends => Answer::of(versions.contains(&version)),
        (_, Some(version)) if versions.iter().all(|whole| !whole.starts_with(version)) => No,
        // The line is longer than the limit.
        (Yes, _) if prefix.closed && !found.is_empty() => Yes,
        _ => More,
    }
}

/// One end is enough: a web server also answers bytes that are no request.
pub(super) fn http(client: Prefix, server: Prefix) -> Answer {
    let unanswered = server.bytes.is_empty() && !server.closed;
    // Empty lines before a request are skipped (RFC 9112, 2.2).
    let lines = client.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let client = Prefix { bytes: client.bytes.get(lines..).unwrap_or(&[]), ..client };
    match (side(http_request, client), side(http_response, server)) {
        (Yes, _) | (_, Yes) => Yes,
        (No, More) if unanswered && client.bytes.first().is_some_and(u8::is_ascii_uppercase) => More,
        (No, _) | (_, No) => No,
        (More, More) => More,
    }
}

/// A known method and a web target. The rest may be sloppy, as scanners write it, but must not be
/// of another protocol.
pub(super) fn http_request(prefix: Prefix) -> Answer {
    let (target, version, ends) = match request(prefix.bytes, METHODS) {
        Ok(line) => line,
        Err(answer) => return answer,
    };
    let connect = prefix.bytes.starts_with(b"CONNECT ");
    let web: &[&[u8]] = &[b"/", b"*", b"http://", b"https://", b"http/1."];
    let good = if connect { authority(target) } else { scheme(target, web) };
    match (good, version) {
        (No, _) | (More, Some(_)) => No,
        // A line of two words is HTTP if only the blank before the version is missing.
        (good, None) if ends => Answer::of(good == Yes && memchr::memmem::find(target, b"HTTP/1.").is_some()),
        // The line is longer than the limit: the visible part of the version must match.
        (_, Some(version)) if prefix.closed && !ends && b"HTTP/1.".starts_with(version) => Yes,
        (Yes, None) if prefix.closed && !target.is_empty() => Yes,
        (_, Some(version)) => begins(version, b"HTTP/1.").or(|| Answer::of(ends && version == b"HTTP/1")),
        _ => More,
    }
}

/// The target of CONNECT: a host and a port (RFC 9112, 3.2.3). NATS has CONNECT, too, with JSON.
fn authority(target: &[u8]) -> Answer {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte);
    if target.is_empty() { More } else { Answer::of(target.iter().all(fits)) }
}

pub(super) fn http_response(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    begins_any(bytes, &[b"HTTP/1.1 ", b"HTTP/1.0 "])
        .and(|| at(bytes, 9, |byte| matches!(byte, b'1'..=b'5')))
        .and(|| at(bytes, 10, |byte| byte.is_ascii_digit()))
        .and(|| at(bytes, 11, |byte| byte.is_ascii_digit()))
}

pub(super) fn rtsp(prefix: Prefix) -> Answer {
    const METHODS: &[&[u8]] = &[
        b"OPTIONS ",
        b"DESCRIBE ",
        b"SETUP ",
        b"PLAY ",
        b"PAUSE ",
        b"TEARDOWN ",
        b"ANNOUNCE ",
        b"RECORD ",
        b"GET_PARAMETER ",
        b"SET_PARAMETER ",
        b"REDIRECT ",
    ];
    let good = |target: &[u8]| {
        scheme(target, &[b"rtsp://", b"rtsps://", b"rtspu://"]).or(|| if target == b"*" { Yes } else { No })
    };
    begins(prefix.bytes, b"RTSP/1.0 ").or(|| {
        // A star alone does not decide: the version must.
        let star = prefix.bytes.get(..9).is_some_and(|start| start == b"OPTIONS *");
        target(Prefix { closed: prefix.closed && !star, ..prefix }, METHODS, good, &[b"RTSP/1.0"])
    })
}

pub(super) fn sip(prefix: Prefix) -> Answer {
    const METHODS: &[&[u8]] = &[
        b"INVITE ",
        b"REGISTER ",
        b"OPTIONS ",
        b"ACK ",
        b"BYE ",
        b"CANCEL ",
        b"SUBSCRIBE ",
        b"NOTIFY ",
        b"MESSAGE ",
        b"INFO ",
        b"PRACK ",
        b"UPDATE ",
        b"REFER ",
        b"PUBLISH ",
    ];
    let good = |target: &[u8]| scheme(target, &[b"sip:", b"sips:", b"tel:"]);
    begins(prefix.bytes, b"SIP/2.0 ").or(|| target(prefix, METHODS, good, &[b"SIP/2.0"]))
}

pub(super) fn ssh(prefix: Prefix) -> Answer {
    begins_any(prefix.bytes, &[b"SSH-2.0-", b"SSH-1.99-", b"SSH-1.5-", b"SSH-1.3-"])
}

/// Whether the bytes begin with one of these words, ignoring case, followed by a space or the end
/// of the line.
fn command(bytes: &[u8], words: &[&[u8]]) -> Answer {
    match bytes.iter().position(|byte| !byte.is_ascii_alphanumeric()) {
        Some(end) => {
            let (word, rest) = bytes.split_at(end);
            let ends = matches!(rest.first(), Some(b' ' | b'\r' | b'\n'));
            Answer::of(ends && words.iter().any(|w| w.eq_ignore_ascii_case(word)))
        }
        None if words.iter().any(|w| w.get(..bytes.len()).is_some_and(|w| w.eq_ignore_ascii_case(bytes))) => {
            More
        }
        None => No,
    }
}

const SMTP: &[&[u8]] = &[b"EHLO", b"HELO", b"LHLO"];
const FTP: &[&[u8]] = &[b"USER", b"AUTH", b"FEAT", b"SYST", b"OPTS", b"HOST", b"CLNT", b"PASS"];
const POP3: &[&[u8]] = &[b"USER", b"APOP", b"CAPA", b"AUTH", b"STLS", b"QUIT", b"PASS", b"NOOP"];

/// Which protocol a greeting names: SMTP (true) or FTP (false).
fn greeting(bytes: &[u8]) -> Option<bool> {
    bytes.windows(4).find_map(|four| {
        if four.eq_ignore_ascii_case(b"SMTP") {
            Some(true)
        } else {
            four.get(1..).filter(|three| three.eq_ignore_ascii_case(b"FTP")).map(|_| false)
        }
    })
}

/// Tells SMTP and FTP apart, whose greetings look alike.
fn greets(client: Prefix, server: Prefix, smtp: bool) -> Answer {
    let words = if smtp { SMTP } else { FTP };
    if server.bytes.is_empty() {
        return match command(client.bytes, words) {
            _ if client.bytes.is_empty() => More,
            // FTP's commands are POP3 commands too.
            Yes if !smtp => More,
            answer => answer,
        };
    }
    begins_any(server.bytes, &[b"220 ", b"220-"]).and(|| match greeting(server.bytes) {
        Some(is_smtp) => Answer::of(is_smtp == smtp),
        None if client.bytes.is_empty() => More,
        None => command(client.bytes, words),
    })
}

pub(super) fn smtp(client: Prefix, server: Prefix) -> Answer {
    greets(client, server, true)
}

pub(super) fn ftp(client: Prefix, server: Prefix) -> Answer {
    greets(client, server, false)
}

pub(super) fn pop3(client: Prefix, server: Prefix) -> Answer {
    let said = if client.bytes.is_empty() { More } else { command(client.bytes, POP3) };
    if said == No || server.bytes.is_empty() {
        return if said == No { No } else { More };
    }
    // Redis also answers a bare "+OK".
    begins(server.bytes, b"+OK ").or(|| begins_any(server.bytes, &[b"+OK\r", b"+OK\n"]).and(|| said))
}

pub(super) fn imap_server(prefix: Prefix) -> Answer {
    begins_any(prefix.bytes, &[b"* OK ", b"* OK\r", b"* PREAUTH ", b"* BYE "])
}

pub(super) fn imap_client(prefix: Prefix) -> Answer {
    const WORDS: &[&[u8]] = &[
        b"CAPABILITY",
        b"LOGIN",
        b"STARTTLS",
        b"AUTHENTICATE",
        b"ID",
        b"NOOP",
        b"LOGOUT",
        b"SELECT",
        b"ENABLE",
    ];
    let bytes = prefix.bytes;
    let tag = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'.').count();
    match bytes.get(tag) {
        _ if tag > 12 => No,
        None => More,
        Some(b' ') if tag > 0 => match bytes.get(tag + 1..) {
            None | Some([]) => More,
            Some(rest) => command(rest, WORDS),
        },
        Some(_) => No,
    }
}

/// A number and the end of the line.
fn count(bytes: &[u8]) -> Result<&[u8], Answer> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = bytes.get(digits..).unwrap_or(&[]);
    match begins(rest, b"\r\n") {
        _ if digits > 9 => Err(No),
        Yes if digits > 0 => Ok(rest.get(2..).unwrap_or(&[])),
        More if digits > 0 || rest.is_empty() => Err(More),
        _ => Err(No),
    }
}

pub(super) fn redis(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    // An array of strings, each with its length.
    let array = || {
        let rest = bytes.strip_prefix(b"*").ok_or(No)?;
        let rest = count(rest)?;
        let rest = rest.strip_prefix(b"$").ok_or(if rest.is_empty() { More } else { No })?;
        count(rest).map(|_| Yes)
    };
    begins_any(bytes, &[b"PING\r\n", b"ping\r\n"]).or(|| array().unwrap_or_else(|answer| answer))
}

/// Never decides alone, because other protocols also begin like this.
pub(super) fn redis_reply(prefix: Prefix) -> Answer {
    match at(prefix.bytes, 0, |byte| b"+-:$*%~_#,".contains(&byte)) {
        No => No,
        _ => More,
    }
}

pub(super) fn git(prefix: Prefix) -> Answer {
    let bytes = prefix.bytes;
    let size = bytes.get(..4.min(bytes.len())).unwrap_or(bytes);
    Answer::of(size.iter().all(u8::is_ascii_hexdigit)).and(|| match bytes.get(4..) {
        None => More,
        Some(rest) => begins_any(rest, &[b"git-upload-pack ", b"git-receive-pack ", b"git-upload-archive "]),
    })
}
