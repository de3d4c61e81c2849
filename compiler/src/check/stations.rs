//! Stations: where copies go. The words between the braces are a kind, what it needs, and settings by name. The
//! invariant: every station of the program is complete and within what its protocol can carry; two never write the same
//! file. (Rejected: settings with `=`; a station is a handful of words.)

use super::Checker;
use super::suggest::{did_you_mean, nearest};
use super::value::{Const, Kind, Number, Unit};
use crate::hir::{self, Encap, Rotate, Target};
use mrule_grammar::ast::{self, Expr, ExprKind, Literal};
use mrule_grammar::codes::{later, settings as codes};
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;
use std::collections::HashMap;
use std::net::IpAddr;

/// The kinds of station and how each is written.
const KINDS: &[(&str, &str)] = &[
    ("interface", "interface eth0"),
    ("vxlan", "vxlan 192.0.2.10 vni 77"),
    ("geneve", "geneve 192.0.2.10 vni 77"),
    ("pcapng", "pcapng \"captures/all.pcapng\" rotate 1GiB keep 10"),
];

/// Kinds that are to come.
const LATER: &[&str] = &["pool", "gre", "erspan", "erspan2", "erspan3", "tzsp", "pipe", "kafka", "unix"];

/// Kinds by other names.
const OTHERS: &[(&str, &str)] = &[
    ("pcap", "pcapng"),
    ("file", "pcapng"),
    ("iface", "interface"),
    ("dev", "interface"),
    ("port", "interface"),
    ("genev", "geneve"),
];

/// The longest name of a network interface (Linux, IFNAMSIZ - 1).
const MAX_INTERFACE: usize = 15;

/// The greatest network identifier: 24 bits.
const MAX_VNI: u64 = (1 << 24) - 1;

/// The words of a station behind its kind.
struct Words<'e> {
    words: &'e [Expr],
    at: usize,
    /// How the kind is written.
    form: &'static str,
    kind: &'static str,
    /// Behind the last word.
    end: Span,
}

impl<'e> Words<'e> {
    fn next(&mut self) -> Option<&'e Expr> {
        let word = self.words.get(self.at);
        self.at += 1;
        word
    }
}

impl Checker<'_> {
    /// All stations.
    pub fn stations(&mut self) -> Vec<hir::Station> {
        let mut stations = Vec::new();
        let mut files: HashMap<String, Span> = HashMap::new();
        for item in self.names.station_items.clone() {
            let Some(target) = self.target(item) else { continue };
            if let Target::Pcapng { path, .. } = &target {
                if let Some(first) = files.get(path) {
                    let finding = Diagnostic::new(codes::SAME_FILE, format!("two stations write `{path}`"));
                    let finding = finding.at(item.name.span, "again here").at(*first, "first here");
                    self.report(finding.help("give each its own file, or name one station in several rules"));
                } else {
                    files.insert(path.clone(), item.name.span);
                }
            }
            stations.push(hir::Station {
                name: item.name.node.clone(),
                span: item.name.span,
                target,
                limit: None,
            });
        }
        stations
    }

    fn target(&mut self, item: &ast::Station) -> Option<Target> {
        let end = Span { start: item.span.end.saturating_sub(1).max(item.span.start), ..item.span };
        let Some(first) = item.words.first() else {
            let message = format!("station `{}` does not say what it is", item.name.node);
            let finding = Diagnostic::new(codes::MISSING_SETTING, message).at(item.name.span, "empty");
            self.report(finding.help("write its kind: `{ interface eth0 }`, `{ vxlan 192.0.2.10 vni 77 }`"));
            return None;
        };
        let kind = match &first.kind {
            ExprKind::Path(name) => name.as_str(),
            ExprKind::Broken => return None,
            _ => "",
        };
        let Some((kind, form)) = KINDS.iter().find(|(k, _)| *k == kind) else {
            self.unknown_kind(first, kind);
            return None;
        };
        let mut words = Words { words: item.words.get(1..).unwrap_or(&[]), at: 0, form, kind, end };
        match *kind {
            "interface" => {
                let name = self.interface(&mut words)?;
                self.settings(&mut words, &[])?;
                Some(Target::Interface { name })
            }
            "pcapng" => {
                let path = self.path_word(&mut words)?;
                let settings = self.settings(&mut words, &["rotate", "keep"])?;
                let (rotate, keep) = (settings.get("rotate").copied(), settings.get("keep").copied());
                if let (None, Some(_)) = (rotate, keep) {
                    let finding = Diagnostic::new(codes::MISSING_SETTING, "`keep` needs `rotate`");
                    let finding = finding.at(end, "no size to rotate at");
                    self.report(
                        finding.help(
                            "write `rotate 1GiB keep 10`: a new file after each GiB, the last ten kept",
                        ),
                    );
                    return None;
                }
                Some(Target::Pcapng { path, rotate: Rotate { size: rotate, time: None }, keep })
            }
            _ => {
                let host = self.host(&mut words)?;
                let settings = self.settings(&mut words, &["port", "vni"])?;
                let Some(vni) = settings.get("vni") else {
                    let finding = Diagnostic::new(codes::MISSING_SETTING, format!("`{kind}` needs a `vni`"));
                    let finding = finding.at(end, "no network identifier");
                    self.report(finding.help(format!("write `{form}`")));
                    return None;
                };
                let vni = *vni as u32;
                let port = |default| settings.get("port").map_or(default, |p| *p as u16);
                let encap = match *kind {
                    "vxlan" => Encap::Vxlan { port: port(4789), vni },
                    _ => Encap::Geneve { port: port(6081), vni },
                };
                Some(Target::Tunnel { host, encap, fragment: false })
            }
        }
    }

    fn unknown_kind(&mut self, word: &Expr, kind: &str) {
        if LATER.contains(&kind) {
            let help = "stations are `interface`, `vxlan`, `geneve` and `pcapng` so far";
            return self.not_yet(later::STATIONS, word.span, &format!("the station kind `{kind}`"), help);
        }
        let message = format!("there is no station kind `{}`", self.text(word.span));
        let finding = Diagnostic::new(codes::STATION_KIND, message).at(word.span, "unknown kind");
        let near = match OTHERS.iter().find(|(k, _)| *k == kind) {
            Some((_, other)) => vec![*other],
            None => nearest(kind, KINDS.iter().map(|(k, _)| *k)),
        };
        let finding = finding.help(did_you_mean(&near).unwrap_or_else(|| {
            let kinds: Vec<_> = KINDS.iter().map(|(k, _)| format!("`{k}`")).collect();
            format!("the kinds are {}", kinds.join(", "))
        }));
        self.report(match near.as_slice() {
            [only] => finding.fix(word.span, *only),
            _ => finding,
        });
    }

    /// What a kind needs behind it is not there.
    fn missing(&mut self, words: &Words, what: &str) {
        let finding = Diagnostic::new(codes::MISSING_SETTING, format!("`{}` needs {what}", words.kind));
        self.report(
            finding
                .at(words.end, format!("no {}", what.trim_start_matches("a ").trim_start_matches("an ")))
                .help(format!("write `{}`", words.form)),
        );
    }

    /// A word that is not what it should be.
    fn bad_word(&mut self, word: &Expr, what: &str, help: &str) {
        if matches!(word.kind, ExprKind::Broken) {
            return;
        }
        let message = format!("`{}` is not {what}", self.text(word.span));
        self.report(
            Diagnostic::new(codes::STATION_SETTING, message).at(word.span, format!("not {what}")).help(help),
        );
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
        match &word.kind {
            ExprKind::Literal(Literal::String(text)) => match std::str::from_utf8(text) {
                Ok(path) if !path.is_empty() && !path.contains('\0') => return Some(path.to_owned()),
                _ => self.bad_word(word, "a path", "write `pcapng \"captures/all.pcapng\"`"),
            },
            _ => self.bad_word(word, "a path in quotes", "write `pcapng \"captures/all.pcapng\"`"),
        }
        None
    }

    fn host(&mut self, words: &mut Words) -> Option<IpAddr> {
        let Some(word) = words.next() else {
            self.missing(words, "the address of a host");
            return None;
        };
        match self.station_constant(word) {
            Some(Const::Ipv4(ip)) => return Some(IpAddr::V4(ip)),
            Some(constant) if constant.as_ipv6().is_some() => return constant.as_ipv6().map(IpAddr::V6),
            Some(_) => self.bad_word(word, "an address", &format!("write `{}`", words.form)),
            None => {
                self.bad_word(word, "an address", "names are not resolved; write the address: 192.0.2.10")
            }
        }
        None
    }

    /// A word as a constant: a literal or the name of a `let`.
    fn station_constant(&mut self, word: &Expr) -> Option<Const> {
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

    /// Settings by name, each a number.
    fn settings(
        &mut self,
        words: &mut Words,
        known: &'static [&'static str],
    ) -> Option<HashMap<&'static str, u64>> {
        let mut found: HashMap<&'static str, u64> = HashMap::new();
        while let Some(word) = words.next() {
            let name = if let ExprKind::Path(name) = &word.kind { name.as_str() } else { "" };
            let Some(name) = known.iter().find(|k| **k == name).copied() else {
                self.unknown_setting(word, name, words, known);
                return None;
            };
            let Some(value) = words.next() else {
                self.missing(words, &format!("a number behind `{name}`"));
                return None;
            };
            let number = self.setting(name, value)?;
            if found.insert(name, number).is_some() {
                let finding = Diagnostic::new(codes::STATION_SETTING, format!("`{name}` is said twice"));
                self.report(finding.at(word.span, "again here").help("leave one of them out"));
                return None;
            }
        }
        Some(found)
    }

    fn unknown_setting(&mut self, word: &Expr, name: &str, words: &Words, known: &[&'static str]) {
        if matches!(word.kind, ExprKind::Broken) {
            return;
        }
        let message = format!("`{}` is no setting of `{}`", self.text(word.span), words.kind);
        let finding = Diagnostic::new(codes::STATION_SETTING, message).at(word.span, "unknown setting");
        let near = match name {
            "id" | "vnid" if known.contains(&"vni") => vec!["vni"],
            "size" | "rotation" | "limit" if known.contains(&"rotate") => vec!["rotate"],
            "files" | "count" if known.contains(&"keep") => vec!["keep"],
            _ => nearest(name, known.iter().copied()),
        };
        let finding = finding.help(did_you_mean(&near).unwrap_or_else(|| format!("write `{}`", words.form)));
        self.report(match near.as_slice() {
            [only] => finding.fix(word.span, *only),
            _ => finding,
        });
    }

    fn setting(&mut self, name: &str, word: &Expr) -> Option<u64> {
        let (low, high, what) = match name {
            "port" => (1, 65_535, "a port, 1 to 65535".to_owned()),
            "vni" => (0, MAX_VNI, format!("a number from 0 to {MAX_VNI} (24 bits)")),
            "rotate" => (4096, u64::MAX, "a size of at least 4KiB".to_owned()),
            _ => (1, 1_000_000, "a number of files, 1 to 1000000".to_owned()),
        };
        let size_allowed = name == "rotate";
        match self.station_constant(word) {
            Some(Const::Number(Number { value, unit, .. }))
                if (low..=high).contains(&value)
                    && (unit == Unit::None || unit == Unit::Size && size_allowed) =>
            {
                return Some(value);
            }
            _ => {}
        }
        let help = match &word.kind {
            ExprKind::Path(path) if self.names.values.contains_key(path.as_str()) => {
                "a station's settings are constants: a literal, or a `let` of one"
            }
            _ => "write it like `vni 77`, `port 4789`, `rotate 1GiB`, `keep 10`",
        };
        self.bad_word(word, &what, help);
        None
    }
}
