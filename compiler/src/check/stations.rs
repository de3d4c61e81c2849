//! Stations: the destinations of copies. The words between the braces are a kind, its required
//! words, and settings by name ([`settings`](super::settings)). The invariant: every station of the
//! program is complete and within the limits of its protocol, and no two stations write the same
//! file. (Rejected: settings with `=`; a station is a handful of words.)

use super::Checker;
use super::settings::{Settings, Words};
use super::suggest::{did_you_mean, nearest};
use super::value::{Const, Kind};
use crate::hir::{self, CONVERSIONS, Encap, Target};
use mrule_grammar::ast::{self, Expr, ExprKind, Literal};
use mrule_grammar::codes::{later, settings as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

/// A kind of station.
pub(super) struct StationKind {
    pub name: &'static str,
    /// The form that help texts show.
    pub form: &'static str,
    /// The settings it can have, besides `limit` and `burst`.
    pub settings: &'static [&'static str],
}

const fn kind(name: &'static str, form: &'static str, settings: &'static [&'static str]) -> StationKind {
    StationKind { name, form, settings }
}

/// All kinds. Each kind also needs an arm in [`Checker::target`]: a kind without an arm is read as
/// a tunnel, with the address of a host.
const KINDS: &[StationKind] = &[
    kind("interface", "interface eth0", &[]),
    kind("vxlan", "vxlan 192.0.2.10 vni 77", &["port", "vni", "fragment"]),
    kind("geneve", "geneve 192.0.2.10 vni 77", &["port", "vni", "fragment"]),
    kind("gre", "gre 192.0.2.10 key 7", &["key", "fragment"]),
    kind("erspan2", "erspan2 192.0.2.10 session 7", &["session", "fragment"]),
    kind("tzsp", "tzsp 192.0.2.10", &["port", "fragment"]),
    kind("pcapng", "pcapng \"captures/all.pcapng\" rotate 1GiB keep 10", &["rotate", "keep"]),
    kind("pipe", "pipe \"/run/copies.fifo\"", &[]),
];

/// Planned kinds.
const LATER: &[&str] = &["pool", "erspan3", "kafka", "unix"];

/// Kinds by the names of other tools.
const OTHERS: &[(&str, &str)] = &[
    ("pcap", "pcapng"),
    ("file", "pcapng"),
    ("iface", "interface"),
    ("dev", "interface"),
    ("port", "interface"),
    ("genev", "geneve"),
    ("erspan", "erspan2"),
    ("gretap", "gre"),
    ("fifo", "pipe"),
    ("stdout", "pipe stdout"),
];

/// The longest name of a network interface (Linux, IFNAMSIZ - 1).
const MAX_INTERFACE: usize = 15;

/// What to write for a link-local address.
const NO_ZONE: &str = "a link-local address means a host of one link, and a station names no link (`%eth1`): write \
    another address of the host, or send copies out of the link itself: `interface eth1`";

impl Checker<'_> {
    /// All stations.
    pub fn stations(&mut self) -> Vec<hir::Station> {
        let mut stations = Vec::new();
        let mut files: HashMap<Option<PathBuf>, Span> = HashMap::new();
        for item in self.names.station_items.clone() {
            let Some((target, limit)) = self.target(item) else { continue };
            let path = match &target {
                Target::Pcapng { path, .. } | Target::Pipe { path: Some(path) } => Some(path.as_str()),
                Target::Pipe { path: None } => Some("-"),
                _ => None,
            };
            if let Some(path) = path {
                // `./a` and `a//b` are the same as `a` and `a/b`.
                let parts = Path::new(path).components().filter(|part| *part != Component::CurDir);
                let same = (path != "-").then(|| parts.collect::<PathBuf>());
                if let Some(first) = files.get(&same) {
                    let what = if path == "-" { "standard output".to_owned() } else { format!("`{path}`") };
                    let finding = Diagnostic::new(codes::SAME_FILE, format!("two stations write {what}"));
                    let finding = finding.at(item.name.span, "again here").at(*first, "first here");
                    self.report(finding.help("give each its own file, or name one station in several rules"));
                } else {
                    files.insert(same, item.name.span);
                }
            }
            stations.push(hir::Station { name: item.name.node.clone(), span: item.name.span, target, limit });
        }
        stations
    }

    fn target(&mut self, item: &ast::Station) -> Option<(Target, Option<hir::Rate>)> {
        let end = Span { start: item.span.end.saturating_sub(1).max(item.span.start), ..item.span };
        let Some(first) = item.words.first() else {
            let message = format!("station `{}` has no kind", item.name.node);
            let finding = Diagnostic::new(codes::MISSING_SETTING, message).at(item.name.span, "empty");
            self.report(finding.help("write its kind: `{ interface eth0 }`, `{ vxlan 192.0.2.10 vni 77 }`"));
            return None;
        };
        let name = match &first.kind {
            ExprKind::Path(name) => name.as_str(),
            ExprKind::Broken => return None,
            _ => "",
        };
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
            self.unknown_kind(first, name);
            return None;
        };
        let mut words = Words::new(item.words.get(1..).unwrap_or(&[]), kind, end);
        let (target, settings) = match kind.name {
            "interface" => {
                let name = self.interface(&mut words)?;
                (Target::Interface { name }, self.settings(&mut words)?)
            }
            "pcapng" => {
                let path = self.path_word(&mut words)?;
                let settings = self.settings(&mut words)?;
                let (rotate, keep) = (settings.rotate, settings.keep);
                if rotate == hir::Rotate::default() && keep.is_some() {
                    let finding = Diagnostic::new(codes::MISSING_SETTING, "`keep` needs `rotate`");
                    let finding = finding.at(end, "nothing to rotate at");
                    self.report(finding.help(
                        "write `rotate 1GiB keep 10`: a new file after each GiB, the last ten kept; or \
                         `rotate 5m`",
                    ));
                    return None;
                }
                (Target::Pcapng { path, rotate, keep }, settings)
            }
            "pipe" => {
                let path = self.pipe_word(&mut words)?;
                (Target::Pipe { path }, self.settings(&mut words)?)
            }
            _ => {
                let host = self.host(&mut words)?;
                let settings = self.settings(&mut words)?;
                let encap = self.encap(&settings, &words)?;
                (Target::Tunnel { host, encap, fragment: settings.fragment }, settings)
            }
        };
        let limit = self.rate(&settings, end)?;
        Some((target, limit))
    }

    /// A tunnel's headers, if the required settings are there.
    fn encap(&mut self, settings: &Settings, words: &Words) -> Option<Encap> {
        let port = |default| settings.port.unwrap_or(default);
        Some(match words.kind.name {
            "gre" => Encap::Gre { key: settings.key },
            "tzsp" => Encap::Tzsp { port: port(37_008) },
            "erspan2" => {
                let session = self.needed(settings.session, words, "a `session`", "no session")?;
                Encap::Erspan2 { session }
            }
            name => {
                let vni = self.needed(settings.vni, words, "a `vni`", "no network identifier")?;
                match name {
                    "vxlan" => Encap::Vxlan { port: port(4789), vni },
                    _ => Encap::Geneve { port: port(6081), vni },
                }
            }
        })
    }

    /// A required setting. If it is missing, it is reported.
    fn needed<T>(&mut self, value: Option<T>, words: &Words, what: &str, label: &str) -> Option<T> {
        if value.is_none() {
            let message = format!("`{}` needs {what}", words.kind.name);
            let finding = Diagnostic::new(codes::MISSING_SETTING, message).at(words.end, label);
            self.report(finding.help(format!("write `{}`", words.kind.form)));
        }
        value
    }

    fn unknown_kind(&mut self, word: &Expr, kind: &str) {
        if LATER.contains(&kind) {
            let kinds: Vec<_> = KINDS.iter().map(|k| format!("`{}`", k.name)).collect();
            let help = format!("stations are {} so far", kinds.join(", "));
            return self.not_yet(later::STATIONS, word.span, &format!("the station kind `{kind}`"), &help);
        }
        let message = format!("there is no station kind `{}`", self.text(word.span));
        let finding = Diagnostic::new(codes::STATION_KIND, message).at(word.span, "unknown kind");
        // `port` is excluded: it may be a mistake for `interface`.
        let settings = KINDS.iter().find(|k| k.settings.contains(&kind) && kind != "port");
        let of_all = ["limit", "burst"].contains(&kind).then_some("interface eth0 limit 100Mbit");
        if let Some(form) = of_all.or(settings.map(|k| k.form)) {
            let help = format!("`{kind}` comes after the kind and its target, as in `{form}`");
            return self.report(finding.help(help));
        }
        let near = match OTHERS.iter().find(|(k, _)| *k == kind) {
            Some((_, other)) => vec![*other],
            None => nearest(kind, KINDS.iter().map(|k| k.name)),
        };
        let finding = finding.help(did_you_mean(&near).unwrap_or_else(|| {
            let kinds: Vec<_> = KINDS.iter().map(|k| format!("`{}`", k.name)).collect();
            format!("the kinds are {}", kinds.join(", "))
        }));
        self.report(match near.as_slice() {
            [only] => finding.fix(word.span, *only),
            _ => finding,
        });
    }

    fn interface(&mut self, words: &mut Words) -> Option<String> {
        let Some(word) = words.next() else {
            self.missing(words, "the name of an interface");
            return None;
        };
        let name = match &word.kind {
            ExprKind::Path(name) => name.clone(),
            ExprKind::Literal(Literal::String(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => {
                self.bad_word(
                    word,
                    "the name of an interface",
                    "write `interface eth0`; names with dashes stand in quotes",
                );
                return None;
            }
        };
        let sound = !name.is_empty() && name != "." && name != "..";
        if !sound
            || name.len() > MAX_INTERFACE
            || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        {
            let help = format!("names have at most {MAX_INTERFACE} bytes, and neither blanks nor `/`");
            self.bad_word(word, "the name of an interface", &help);
            return None;
        }
        Some(name)
    }

    fn path_word(&mut self, words: &mut Words) -> Option<String> {
        let Some(word) = words.next() else {
            self.missing(words, "a path");
            return None;
        };
        let form = format!("write `{}`", words.kind.form);
        let path = match &word.kind {
            ExprKind::Literal(Literal::String(text)) => match std::str::from_utf8(text) {
                Ok(path) if !path.is_empty() && !path.contains('\0') => path,
                _ => {
                    self.bad_word(word, "a path", &form);
                    return None;
                }
            },
            _ => {
                let help = format!("write `{} \"{}\"`", words.kind.name, self.text(word.span));
                self.bad_word(word, "a path in quotes", &help);
                return None;
            }
        };
        self.taken_literally(path, word, true);
        self.conversions(path, word).then(|| path.to_owned())
    }

    /// Whether each `%` of a path starts a conversion.
    fn conversions(&mut self, path: &str, word: &Expr) -> bool {
        let mut signs = path.chars();
        while let Some(sign) = signs.next() {
            if sign != '%' {
                continue;
            }
            let next = signs.next();
            if next.is_none_or(|next| !CONVERSIONS.contains(next)) {
                let message = match next {
                    Some(next) => format!("`%{next}` cannot stand in a path"),
                    None => "a `%` at the end of a path".to_owned(),
                };
                let all: Vec<_> =
                    CONVERSIONS.chars().filter(|c| *c != '%').map(|c| format!("`%{c}`")).collect();
                let help = format!(
                    "the start time of a file is inserted by {}; `%%` is a percent sign",
                    all.join(" ")
                );
                let finding = Diagnostic::new(codes::STATION_SETTING, message).at(word.span, "in this path");
                self.report(finding.help(help));
                return false;
            }
        }
        true
    }

    /// The path of a FIFO. Inner `None`: standard output.
    fn pipe_word(&mut self, words: &mut Words) -> Option<Option<String>> {
        let Some(word) = words.next() else {
            self.missing(words, "a path, or `stdout`");
            return None;
        };
        match &word.kind {
            ExprKind::Path(name) if name == "stdout" => return Some(None),
            ExprKind::Literal(Literal::String(text)) => match std::str::from_utf8(text) {
                Ok("-") => return Some(None),
                Ok(path) if !path.is_empty() && !path.contains('\0') => {
                    self.taken_literally(path, word, false);
                    return Some(Some(path.to_owned()));
                }
                _ => {}
            },
            _ => {}
        }
        self.bad_word(word, "a path in quotes", &format!("write `{}` or `pipe stdout`", words.kind.form));
        None
    }

    fn host(&mut self, words: &mut Words) -> Option<IpAddr> {
        let Some(word) = words.next() else {
            self.missing(words, "the address of a host");
            return None;
        };
        let form = format!("write `{}`", words.kind.form);
        let host = match self.station_constant(word) {
            Some(Const::Ipv4(ip)) => IpAddr::V4(ip),
            Some(constant) => match constant.as_ipv6() {
                Some(ip) => IpAddr::V6(ip).to_canonical(),
                None => {
                    let zone = matches!(&constant, Const::Text(text) if text.contains(&b'%'));
                    self.bad_word(word, "an address", if zone { NO_ZONE } else { &form });
                    return None;
                }
            },
            None => {
                let zone = self.text(word.span).contains('%');
                let help =
                    if zone { NO_ZONE } else { "names are not resolved; write the address: 192.0.2.10" };
                self.bad_word(word, "an address", help);
                return None;
            }
        };
        if matches!(host, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            self.bad_word(word, "an address that a route leads to", NO_ZONE);
            return None;
        }
        if host.is_unspecified() || host == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
            self.bad_word(word, "the address of a host", &form);
            return None;
        }
        Some(host)
    }

    /// A word as a constant: a literal or the name of a `let`.
    pub(super) fn station_constant(&mut self, word: &Expr) -> Option<Const> {
        match &word.kind {
            ExprKind::Literal(literal) => self.literal(literal, word.span),
            ExprKind::Path(name) => match self.names.values.get(name.as_str()) {
                Some((super::names::Entry::Let(index), _)) => match self.use_let(*index, word.span).kind {
                    Kind::Const(constant) => Some(constant),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }
}
