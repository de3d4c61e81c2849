//! The metrics for Prometheus (OpenMetrics). The invariant: the values are the sums of the report
//! that `--stats json` prints, taken at one moment; a name ends in `_total` if its value only
//! grows. (Rejected: separate counters for metrics; they would have to be kept equal to the
//! runtime's.)

use super::families::*;
use crate::control::{Health, Report};
use mrule_dataplane::live::PortCounts;
use mrule_dataplane::station::{Cause, Counts};
use mrule_engine::counters::Counters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt::Error;

/// The counts of one scrape.
#[derive(Debug)]
struct Snapshot(Report, Health);

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4, for clients that do not read OpenMetrics.
    Prometheus,
}

impl Form {
    /// The format that an `Accept` header prefers (RFC 9110, section 12.5.1); OpenMetrics if it
    /// names none.
    pub fn wanted(accept: &str) -> Form {
        let weight = |names: &[&str]| {
            let of = |range: &str| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?.to_ascii_lowercase();
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
                names.contains(&name.as_str()).then_some(weight.unwrap_or(1.0))
            };
            accept
                .split(',')
                .filter_map(of)
                .fold(None, |best: Option<f32>, w| Some(best.map_or(w, |b| b.max(w))))
        };
        let any = || weight(&["*/*"]);
        let open = weight(&["application/openmetrics-text", "application/*"]).or_else(any);
        let plain = weight(&["text/plain", "text/*"]).or_else(any);
        match (open, plain) {
            (open, Some(plain)) if open.is_none_or(|open| plain > open) => Form::Prometheus,
            _ => Form::OpenMetrics,
        }
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The text of all metrics.
pub(super) fn render(report: Report, health: Health, form: Form) -> Result<String, Error> {
    let text = open_metrics(report, health)?;
    Ok(if form == Form::OpenMetrics { text } else { prometheus(&text) })
}

/// The same text in the older Prometheus format: its HELP and TYPE lines name the samples, and it
/// has no end mark.
fn prometheus(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest))
                if counters.contains(&name) =>
            {
                out.push_str(&format!("# {what} {name}_total {rest}\n"));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn open_metrics(report: Report, health: Health) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("mirrorc");
    registry.register_collector(Box::new(Snapshot(report, health)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let out = &mut encoder;
        let (report, health) = (&self.0, &self.1);
        write(out, READY, [([], health.is_ready().into())])?;
        let reasons = health.reasons.iter().map(|reason| ([reason.kind.name(), reason.subject.as_str()], 1));
        write(out, UNHEALTHY, reasons)?;
        ports(report, out)?;
        let all = &report.summary;
        write(out, PACKETS, [(["mirrored"], all.mirrored), (["not"], all.unmirrored)])?;
        write(out, COPIES_WITHHELD, [([], all.bound_withheld)])?;
        stations(report, out)?;
        policies(report, out)?;
        let alarms = report.alarms.iter().flat_map(|a| {
            let results = [("sent", a.sent), ("failed", a.failed), ("dropped", a.dropped)];
            results.map(|(result, n)| ([a.to.as_str(), result], n))
        });
        write(out, ALARMS, alarms)?;
        write(out, ALARMS_WAITING, report.alarms.iter().map(|a| ([a.to.as_str()], a.waiting)))?;
        let up = report.alarms.iter().map(|a| ([a.to.as_str()], u64::from(a.down.is_none())));
        write(out, ALARM_RECEIVER_UP, up)?;
        let events = report.history.iter().flat_map(|h| {
            [(["kept"], h.kept), (["written"], h.written), (["unwritten"], h.unwritten), (["lost"], h.lost)]
        });
        write(out, HISTORY_EVENTS, events)
    }
}

/// What ports received and forwarded.
fn ports(report: &Report, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let port = |value: fn(&PortCounts) -> u64| {
        report.ports.iter().map(move |port| ([port.name.as_str()], value(port)))
    };
    write(out, RECEIVED_FRAMES, port(|p| p.received))?;
    write(out, KERNEL_DROPPED_FRAMES, port(|p| p.kernel_drops))?;
    write(out, RECEIVED_BYTES, port(|p| p.bytes))?;
    let forwarded = report.ports.iter().flat_map(|port| {
        let label = |what| [port.name.as_str(), what];
        let ours = port.forward.map(|f| [(label("sent"), f.sent), (label("failed"), f.failed())]);
        let kernel = port.redirect.map(|r| [(label("sent"), r.packets), (label("failed"), r.failed)]);
        ours.into_iter().chain(kernel).flatten()
    });
    write(out, FORWARDED_FRAMES, forwarded)
}

/// What happened to copies.
fn stations(report: &Report, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let all = report
        .policies
        .iter()
        .flat_map(|p| p.stations.iter().map(move |s| ([p.name.as_str(), s.station.as_str()], s)));
    let of = |value: fn(&Counts) -> u64| all.clone().map(move |(labels, counts)| (labels, value(counts)));
    write(out, COPIES_REQUESTED, of(|s| s.requested))?;
    write(out, COPIES_SENT, of(|s| s.sent))?;
    write(out, COPIES_SENT_BYTES, of(|s| s.sent_bytes))?;
    let dropped = all.clone().flat_map(|([policy, station], counts)| {
        Cause::ALL.map(|cause| ([policy, station, cause.name()], counts.dropped_by(cause)))
    });
    write(out, COPIES_DROPPED, dropped)?;
    let doubtful = all.clone().flat_map(|([policy, station], counts)| {
        let kinds = [
            ("unanswered", counts.unanswered),
            ("network_error", counts.network_errors),
            ("link_drop", counts.link_drops),
        ];
        kinds.map(|(kind, n)| ([policy, station, kind], n))
    });
    write(out, COPIES_DOUBTFUL, doubtful)?;
    write(out, STATION_UP, of(|s| u64::from(s.down.is_none())))
}

/// What policies match, trigger and remember.
fn policies(report: &Report, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let policies = report.policies.iter();
    write(out, POLICY_VERSION, policies.clone().map(|p| ([p.name.as_str()], p.version)))?;
    let rules = policies
        .clone()
        .flat_map(|p| p.summary.rules.iter().map(move |r| ([p.name.as_str(), r.name.as_str()], r.matched)));
    write(out, RULE_MATCHED, rules)?;
    let triggers = policies
        .clone()
        .flat_map(|p| p.summary.triggers.iter().map(move |t| ([p.name.as_str(), t.name.as_str()], t)));
    let active = triggers.clone().filter_map(|(labels, t)| Some((labels, t.keys.as_ref()?.active)));
    write(out, TRIGGER_ACTIVE_KEYS, active)?;
    write(out, TRIGGER_RAISED, triggers.map(|(labels, t)| (labels, t.packets.raised)))?;
    let tracked = policies.filter_map(|p| Some((p.name.as_str(), p.summary.tracked.as_ref()?)));
    write(out, FLOWS, tracked.clone().map(|(policy, tracked)| ([policy], tracked.flows.active)))?;
    let gaps = tracked.filter_map(|(policy, tracked)| Some((policy, tracked.streams.as_ref()?.gaps.list())));
    let gaps: Vec<_> = gaps.collect();
    let gaps = gaps.iter().flat_map(|(policy, gaps)| {
        // Beside the causes, the list has the bytes of all gaps.
        let causes = gaps.iter().filter(|(cause, _)| cause != "bytes");
        causes.map(|(cause, n)| ([*policy, cause.as_str()], *n))
    });
    write(out, STREAM_GAPS, gaps)
}

/// Writes a family: its values, each with the values of its labels.
fn write<'a, const N: usize>(
    out: &mut DescriptorEncoder<'_>,
    family: Family<N>,
    values: impl IntoIterator<Item = ([&'a str; N], u64)>,
) -> Result<(), Error> {
    let Family { name, kind, labels, help } = family;
    let names = labels.map(|(name, _)| name);
    let metric = match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
    };
    let mut encoder = out.encode_descriptor(name, help, None, metric)?;
    for (labels, value) in values {
        let labels: Vec<(&str, &str)> = names.into_iter().zip(labels).collect();
        let encoder = encoder.encode_family(&labels)?;
        match kind {
            MetricKind::Counter => ConstCounter::new(value).encode(encoder)?,
            MetricKind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test stops")]
    use super::*;

    #[test]
    fn a_reader_gets_the_format_that_it_reads() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, form) in [
            ("", Form::OpenMetrics),
            ("*/*", Form::OpenMetrics),
            (prometheus, Form::OpenMetrics),
            ("text/plain", Form::Prometheus),
            ("text/plain;version=0.0.4, */*;q=0.1", Form::Prometheus),
            ("text/plain;q=0.9, application/openmetrics-text;q=0.2", Form::Prometheus),
            ("application/json", Form::OpenMetrics),
        ] {
            assert_eq!(Form::wanted(accept), form, "{accept}");
        }
    }

    #[test]
    fn both_formats_have_the_same_samples() {
        let history = crate::history::Counts { kept: 7, ..Default::default() };
        let report = || Report { history: Some(history.clone()), ..Report::default() };
        let [open, plain] = [Form::OpenMetrics, Form::Prometheus]
            .map(|form| render(report(), Health::default(), form).unwrap());
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&open), samples(&plain));
        assert!(open.ends_with("# EOF\n") && !plain.contains("EOF"));
        assert!(open.contains("# TYPE mirrorc_history_events counter"), "{open}");
        assert!(plain.contains("# TYPE mirrorc_history_events_total counter"), "{plain}");
        assert!(plain.contains("mirrorc_history_events_total{result=\"kept\"} 7"), "{plain}");
    }

    #[test]
    fn every_family_of_the_table_is_encoded() {
        let text = render(Report::default(), Health::default(), Form::OpenMetrics).unwrap();
        let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let encoded: Vec<&str> = typed.collect();
        let kind = |kind| if kind == MetricKind::Counter { "counter" } else { "gauge" };
        let table: Vec<String> = METRICS.iter().map(|m| format!("{} {}", m.name, kind(m.kind))).collect();
        assert_eq!(encoded, table);
    }
}
