//! The metrics for Prometheus (OpenMetrics). The invariant: the values are the sums of the report
//! that `--stats json` prints, taken at one moment; a name ends in `_total` if its value only
//! grows. (Rejected: separate counters for metrics; they would have to be kept equal to the
//! runtime's.)

use crate::control::Health;
use crate::control::Report;
use mrule_dataplane::station::Cause;
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

/// One value and its labels.
type Value<'a> = (Vec<(&'static str, &'a str)>, u64);

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
        let (report, health) = (&self.0, &self.1);
        gauges(
            &mut encoder,
            "ready",
            "1 if mirrorc does its work, 0 if /v1/ready answers 503",
            [(vec![], health.is_ready().into())].into_iter(),
        )?;
        let reasons = health
            .reasons
            .iter()
            .map(|reason| (vec![("kind", reason.kind.name()), ("subject", reason.subject.as_str())], 1));
        gauges(
            &mut encoder,
            "unhealthy",
            "Current problems: one sample of value 1 for each reason in /v1/health",
            reasons,
        )?;
        let port = |value: fn(&mrule_dataplane::live::PortCounts) -> u64| {
            report.ports.iter().map(move |port| (vec![("port", port.name.as_str())], value(port)))
        };
        counters(
            &mut encoder,
            "received_frames",
            "Frames that the kernel received for mirrorc, including frames that it dropped",
            port(|p| p.received),
        )?;
        counters(
            &mut encoder,
            "kernel_dropped_frames",
            "Frames that the kernel dropped before mirrorc read them",
            port(|p| p.kernel_drops),
        )?;
        counters(&mut encoder, "received_bytes", "Bytes of the frames that mirrorc read", port(|p| p.bytes))?;
        let forwarded = report.ports.iter().flat_map(|port| {
            let label = |what| vec![("port", port.name.as_str()), ("result", what)];
            let ours = port.forward.map(|f| [(label("sent"), f.sent), (label("failed"), f.failed())]);
            let kernel = port.redirect.map(|r| [(label("sent"), r.packets), (label("failed"), r.failed)]);
            ours.into_iter().chain(kernel).flatten()
        });
        counters(&mut encoder, "forwarded_frames", "Frames to forward, by result", forwarded)?;
        let all = &report.summary;
        let packets = [("mirrored", all.mirrored), ("not", all.unmirrored)];
        let packets = packets.into_iter().map(|(copied, n)| (vec![("copied", copied)], n));
        counters(&mut encoder, "packets", "Packets decided, by whether any station got a copy", packets)?;
        let withheld = [(vec![], all.bound_withheld)].into_iter();
        let help = "Copies withheld by binding limits of other policies or after a failed restore";
        counters(&mut encoder, "copies_withheld", help, withheld)?;
        let sent = report.policies.iter().flat_map(|p| {
            p.stations
                .iter()
                .map(move |s| (vec![("policy", p.name.as_str()), ("station", s.station.as_str())], s))
        });
        let of = |value: fn(&mrule_dataplane::station::Counts) -> u64| {
            sent.clone().map(move |(labels, counts)| (labels, value(counts)))
        };
        counters(
            &mut encoder,
            "copies_requested",
            "Copies that rules requested for a station",
            of(|s| s.requested),
        )?;
        counters(&mut encoder, "copies_sent", "Copies sent to a station", of(|s| s.sent))?;
        counters(
            &mut encoder,
            "copies_sent_bytes",
            "Bytes of the copies sent to a station",
            of(|s| s.sent_bytes),
        )?;
        let dropped = sent.clone().flat_map(|(labels, counts)| {
            Cause::ALL.into_iter().map(move |cause| {
                ([labels.clone(), vec![("cause", cause.name())]].concat(), counts.dropped_by(cause))
            })
        });
        counters(&mut encoder, "copies_dropped", "Copies dropped instead of sent, by cause", dropped)?;
        let known = sent.clone().flat_map(|(labels, counts)| {
            let kinds = [
                ("unanswered", counts.unanswered),
                ("network_error", counts.network_errors),
                ("link_drop", counts.link_drops),
            ];
            kinds.map(|(kind, n)| ([labels.clone(), vec![("kind", kind)]].concat(), n))
        });
        let help = "Known delivery problems of copies that count as sent, by kind";
        counters(&mut encoder, "copies_doubtful", help, known)?;
        let up = sent.clone().map(|(labels, counts)| (labels, u64::from(counts.down.is_none())));
        gauges(&mut encoder, "station_up", "1 if the station accepts copies, 0 if it is down", up)?;
        let version = report.policies.iter().map(|p| (vec![("policy", p.name.as_str())], p.version));
        gauges(&mut encoder, "policy_version", "Current version of the policy", version)?;
        let rules = report.policies.iter().flat_map(|p| {
            let labels = move |rule| vec![("policy", p.name.as_str()), ("rule", rule)];
            p.summary.rules.iter().map(move |r| (labels(r.name.as_str()), r.matched))
        });
        counters(&mut encoder, "rule_matched", "Packets that matched the rule", rules)?;
        let triggers = report.policies.iter().flat_map(|p| {
            let labels = move |trigger| vec![("policy", p.name.as_str()), ("trigger", trigger)];
            p.summary.triggers.iter().map(move |t| (labels(t.name.as_str()), t))
        });
        let active = triggers.clone().filter_map(|(labels, t)| Some((labels, t.keys.as_ref()?.active)));
        gauges(&mut encoder, "trigger_active_keys", "Keys for which the trigger is active", active)?;
        let raised = triggers.map(|(labels, t)| (labels, t.packets.raised));
        counters(&mut encoder, "trigger_raised", "Number of times that packets raised the trigger", raised)?;
        let flows = report.policies.iter().filter_map(|p| {
            Some((vec![("policy", p.name.as_str())], p.summary.tracked.as_ref()?.flows.active))
        });
        gauges(&mut encoder, "flows", "Flows in the flow table", flows)?;
        let alarms = report.alarms.iter().flat_map(|a| {
            let results = [("sent", a.sent), ("failed", a.failed), ("dropped", a.dropped)];
            results.map(|(result, n)| (vec![("to", a.to.as_str()), ("result", result)], n))
        });
        counters(&mut encoder, "alarms", "Alarms to a receiver, by result", alarms)?;
        let waiting = report.alarms.iter().map(|a| (vec![("to", a.to.as_str())], a.waiting));
        gauges(&mut encoder, "alarms_waiting", "Alarms that wait to be sent to the receiver", waiting)?;
        let up = report.alarms.iter().map(|a| (vec![("to", a.to.as_str())], u64::from(a.down.is_none())));
        gauges(&mut encoder, "alarm_receiver_up", "1 if the receiver accepts alarms, 0 if it does not", up)?;
        let events = report.history.iter().flat_map(|history| {
            let results =
                [("kept", history.kept), ("written", history.written), ("unwritten", history.unwritten)];
            let results = results.into_iter().chain([("lost", history.lost)]);
            results.map(|(result, n)| (vec![("result", result)], n))
        });
        counters(&mut encoder, "history_events", "Events of the history, by result", events)
    }
}

fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = Value<'a>>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = Value<'a>>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)?;
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
}
