//! The settings of stations: by name, in any order, each with a value of its own kind. The
//! invariant: a setting's value is within the range of its protocol and of the runtime, so no later
//! code checks it again. (Rejected: a map of numbers; `rotate` is a size or a duration, and `limit`
//! counts bytes or copies.)

use super::Checker;
use super::stations::StationKind;
use super::suggest::{did_you_mean, nearest};
use super::value::{Const, Number, Unit};
use crate::hir::{Rate, RateOf, Rotate};
use mrule_grammar::ast::{Expr, ExprKind};
use mrule_grammar::codes::settings as codes;
use mrule_grammar::diagnostic::Diagnostic;
use mrule_grammar::span::Span;

/// The settings that every kind has.
const OF_ALL: &[&str] = &["limit", "burst"];

/// The greatest network identifier: 24 bits.
const MAX_VNI: u64 = (1 << 24) - 1;

/// The greatest rate and burst: a terabyte. A terabit a second is 125 GB.
const MAX_RATE: u64 = 1_000_000_000_000;

/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The words of a station after its kind.
pub(super) struct Words<'e> {
    words: &'e [Expr],
    at: usize,
    pub kind: &'static StationKind,
    /// The place after the last word.
    pub end: Span,
}

impl<'e> Words<'e> {
    pub fn new(words: &'e [Expr], kind: &'static StationKind, end: Span) -> Words<'e> {
        Words { words, at: 0, kind, end }
    }

    pub fn next(&mut self) -> Option<&'e Expr> {
        let word = self.words.get(self.at);
        self.at += 1;
        word
    }

    fn known(&self) -> impl Iterator<Item = &'static str> {
        self.kind.settings.iter().chain(OF_ALL).copied()
    }
}

/// The settings of a station.
#[derive(Default)]
pub(super) struct Settings {
    pub port: Option<u16>,
    pub vni: Option<u32>,
    pub key: Option<u32>,
    pub session: Option<u16>,
    pub fragment: bool,
    pub rotate: Rotate,
    pub keep: Option<u64>,
    limit: Option<(u64, RateOf)>,
    burst: Option<(u64, RateOf)>,
}

impl Settings {
    /// Keeps a value that [`Checker::setting`] has accepted. Returns whether it is the first with
    /// its name.
    fn keep(&mut self, name: &str, value: u64, unit: Unit) -> bool {
        fn once<T>(place: &mut Option<T>, value: T) -> bool {
            place.replace(value).is_none()
        }
        let of = if unit == Unit::None { RateOf::Copies } else { RateOf::Bytes };
        match name {
            "port" => once(&mut self.port, value as u16),
            "vni" => once(&mut self.vni, value as u32),
            "key" => once(&mut self.key, value as u32),
            "session" => once(&mut self.session, value as u16),
            "rotate" if unit == Unit::Duration => once(&mut self.rotate.time, value),
            "rotate" => once(&mut self.rotate.size, value),
            "keep" => once(&mut self.keep, value),
            "limit" => once(&mut self.limit, (value, of)),
            "burst" => once(&mut self.burst, (value, of)),
            _ => !std::mem::replace(&mut self.fragment, true),
        }
    }
}

impl Checker<'_> {
    /// Reads the settings after the words that a kind requires.
    pub fn settings(&mut self, words: &mut Words) -> Option<Settings> {
        let mut found = Settings::default();
        while let Some(word) = words.next() {
            let name = if let ExprKind::Path(name) = &word.kind { name.as_str() } else { "" };
            let Some(name) = words.known().find(|known| *known == name) else {
                self.unknown_setting(word, name, words);
                return None;
            };
            let (value, unit) = if name == "fragment" {
                (1, Unit::None)
            } else {
                let Some(value) = words.next() else {
                    self.missing(words, &format!("a number behind `{name}`"));
                    return None;
                };
                self.setting(name, value)?
            };
            if !found.keep(name, value, unit) {
                let finding = Diagnostic::new(codes::STATION_SETTING, format!("`{name}` is said twice"));
                self.report(finding.at(word.span, "again here").help("leave one of them out"));
                return None;
            }
        }
        Some(found)
    }

    /// The rate of `limit` and `burst`. `end` is the place after the last word.
    pub fn rate(&mut self, settings: &Settings, end: Span) -> Option<Option<Rate>> {
        let finding = match (settings.limit, settings.burst) {
            (None, None) => return Some(None),
            (Some((per_second, of)), None) => {
                let burst = match of {
                    // The bytes of a tenth of a second, and at least a packet of any length.
                    RateOf::Bytes => (per_second / 10).max(64 << 10),
                    RateOf::Copies => (per_second / 10).max(1),
                };
                return Some(Some(Rate { per_second, burst, of }));
            }
            (Some((per_second, of)), Some((burst, same))) if of == same => {
                return Some(Some(Rate { per_second, burst, of }));
            }
            (Some(_), Some(_)) => {
                let finding =
                    Diagnostic::new(codes::STATION_SETTING, "`limit` and `burst` count different things");
                finding.at(end, "bytes and copies")
            }
            (None, Some(_)) => {
                Diagnostic::new(codes::MISSING_SETTING, "`burst` needs `limit`").at(end, "no limit")
            }
        };
        let help =
            "write `limit 100Mbit burst 1MiB` for bytes, `limit 5000 burst 100` for copies, each a second";
        self.report(finding.help(help));
        None
    }

    /// Reports a missing word that a kind requires.
    pub(super) fn missing(&mut self, words: &Words, what: &str) {
        let finding = Diagnostic::new(codes::MISSING_SETTING, format!("`{}` needs {what}", words.kind.name));
        self.report(
            finding
                .at(words.end, format!("no {}", what.trim_start_matches("a ").trim_start_matches("an ")))
                .help(format!("write `{}`", words.kind.form)),
        );
    }

    /// Reports a wrong word.
    pub(super) fn bad_word(&mut self, word: &Expr, what: &str, help: &str) {
        if matches!(word.kind, ExprKind::Broken) {
            return;
        }
        let message = format!("`{}` is not {what}", self.text(word.span));
        self.report(
            Diagnostic::new(codes::STATION_SETTING, message).at(word.span, format!("not {what}")).help(help),
        );
    }

    fn unknown_setting(&mut self, word: &Expr, name: &str, words: &Words) {
        if matches!(word.kind, ExprKind::Broken) {
            return;
        }
        let message = format!("`{}` is no setting of `{}`", self.text(word.span), words.kind.name);
        let finding = Diagnostic::new(codes::STATION_SETTING, message).at(word.span, "unknown setting");
        let known = |name| words.known().any(|known| known == name);
        let near = match name {
            "id" | "vnid" if known("vni") => vec!["vni"],
            "id" | "session_id" if known("session") => vec!["session"],
            "size" | "rotation" | "every" | "interval" if known("rotate") => vec!["rotate"],
            "files" | "count" if known("keep") => vec!["keep"],
            "rate" => vec!["limit"],
            _ => nearest(name, words.known()),
        };
        let finding =
            finding.help(did_you_mean(&near).unwrap_or_else(|| format!("write `{}`", words.kind.form)));
        self.report(match near.as_slice() {
            [only] => finding.fix(word.span, *only),
            _ => finding,
        });
    }

    /// The value of a setting and its unit.
    fn setting(&mut self, name: &str, word: &Expr) -> Option<(u64, Unit)> {
        let (range, what) = match name {
            "port" => (1..=65_535, "a port, 1 to 65535".to_owned()),
            "vni" => (0..=MAX_VNI, format!("a number from 0 to {MAX_VNI} (24 bits)")),
            "key" => (0..=u64::from(u32::MAX), format!("a number from 0 to {} (32 bits)", u32::MAX)),
            "session" => (0..=1023, "a number from 0 to 1023 (10 bits)".to_owned()),
            "rotate" => (4096..=u64::MAX, "a size of at least 4KiB, or a duration of at least 1s".to_owned()),
            "limit" | "burst" => {
                (1..=MAX_RATE, "a number of copies, or a size such as `100Mbit` or `1MiB`".to_owned())
            }
            _ => (1..=1_000_000, "a number of files, 1 to 1000000".to_owned()),
        };
        if let Some(Const::Number(Number { value, unit, .. })) = self.station_constant(word) {
            let fits = match unit {
                Unit::None => range.contains(&value),
                Unit::Size => range.contains(&value) && matches!(name, "rotate" | "limit" | "burst"),
                Unit::Duration => value >= SECOND && name == "rotate",
            };
            if fits {
                return Some((value, unit));
            }
        }
        let help = match &word.kind {
            ExprKind::Path(path) if self.names.values.contains_key(path.as_str()) => {
                "a station's settings are constants: a literal, or a `let` of one"
            }
            _ => match name {
                "port" => "write it like `port 4789`",
                "vni" => "write it like `vni 77`",
                "key" => "write it like `key 7`",
                "session" => "write it like `session 7`",
                "rotate" => "write it like `rotate 1GiB` or `rotate 5m`",
                "limit" => "write it like `limit 100Mbit` (bytes a second) or `limit 5000` (copies a second)",
                "burst" => "write it like `burst 1MiB` (bytes) or `burst 100` (copies)",
                _ => "write it like `keep 10`",
            },
        };
        self.bad_word(word, &what, help);
        None
    }
}
