//! The registry of metrics: name, type, unit, labels and meaning of each family in one table. The
//! encoder takes them from here, and `docs/metrics.md` is made of them. The invariant: a family has
//! as many label values as it has labels (the compiler checks it), and each family of the table is
//! encoded (a test). (Rejected: names and labels where values are encoded; no page can read those.)

/// How a metric changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows; its samples end in `_total`.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A label: its name, and which values it has.
pub type MetricLabel = (&'static str, &'static str);

/// A family of metrics, for the page.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As samples have it, without `_total`.
    pub name: &'static str,
    /// How it changes.
    pub kind: MetricKind,
    /// What is counted.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [MetricLabel],
    /// What it means, as the line `# HELP` says.
    pub help: &'static str,
}

/// The same, with so many labels.
#[derive(Debug)]
pub(super) struct Family<const N: usize> {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: [MetricLabel; N],
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal, $unit:literal, [$($label:expr),*], $help:literal;)*) => {
        $(pub(super) const $id: Family<{ <[MetricLabel]>::len(&[$($label),*]) }> =
            Family { name: $name, kind: MetricKind::$kind, labels: [$($label),*], help: $help };)*

        /// All families, in the order of the text.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: concat!("mirrorc_", $name),
            kind: MetricKind::$kind,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

const PORT: MetricLabel = ("port", "the interface");
const POLICY: MetricLabel = ("policy", "the policy");
const STATION: MetricLabel = ("station", "the station");
const TO: MetricLabel = ("to", "the receiver, as the option names it");

families! {
    READY = Gauge "ready", "0 or 1", [], "1 if mirrorc does its work, 0 if /v1/ready answers 503";
    UNHEALTHY = Gauge "unhealthy", "1 a reason",
        [("kind", "the kind of the reason"), ("subject", "what the reason is about")],
        "Current problems: one sample of value 1 for each reason in /v1/health";
    RECEIVED_FRAMES = Counter "received_frames", "frames", [PORT], "Frames that the kernel received for mirrorc, including frames that it dropped";
    KERNEL_DROPPED_FRAMES = Counter "kernel_dropped_frames", "frames", [PORT],
        "Frames that the kernel dropped before mirrorc read them";
    RECEIVED_BYTES = Counter "received_bytes", "bytes", [PORT], "Bytes of the frames that mirrorc read";
    FORWARDED_FRAMES = Counter "forwarded_frames", "frames", [PORT, ("result", "`sent`, `failed`")],
        "Frames to forward, by result";
    PACKETS = Counter "packets", "packets", [("copied", "`mirrored`, `not`")],
        "Packets decided, by whether any station got a copy";
    COPIES_WITHHELD = Counter "copies_withheld", "copies", [],
        "Copies withheld by binding limits of other policies or after a failed restore";
    COPIES_REQUESTED = Counter "copies_requested", "copies", [POLICY, STATION], "Copies that rules requested for a station";
    COPIES_SENT = Counter "copies_sent", "copies", [POLICY, STATION], "Copies sent to a station";
    COPIES_SENT_BYTES = Counter "copies_sent_bytes", "bytes", [POLICY, STATION], "Bytes of the copies sent to a station";
    COPIES_DROPPED = Counter "copies_dropped", "copies",
        [POLICY, STATION, ("cause", "a [cause](language.md#stations)")],
        "Copies dropped instead of sent, by cause";
    COPIES_DOUBTFUL = Counter "copies_doubtful", "copies",
        [POLICY, STATION, ("kind", "`unanswered`, `network_error`, `link_drop`")],
        "Known delivery problems of copies that count as sent, by kind";
    STATION_UP = Gauge "station_up", "0 or 1", [POLICY, STATION], "1 if the station accepts copies, 0 if it is down";
    POLICY_VERSION = Gauge "policy_version", "a version", [POLICY], "Current version of the policy";
    RULE_MATCHED = Counter "rule_matched", "packets", [POLICY, ("rule", "the rule")],
        "Packets that matched the rule";
    TRIGGER_ACTIVE_KEYS = Gauge "trigger_active_keys", "keys", [POLICY, ("trigger", "the trigger")],
        "Keys for which the trigger is active";
    TRIGGER_RAISED = Counter "trigger_raised", "raises", [POLICY, ("trigger", "the trigger")],
        "Number of times that packets raised the trigger";
    FLOWS = Gauge "flows", "flows", [POLICY], "Flows in the flow table";
    STREAM_GAPS = Counter "stream_gaps", "gaps",
        [POLICY, ("cause", "a [cause](counters.md#tracked), such as `acknowledged`")],
        "Gaps in streams that were given up, by cause";
    ALARMS = Counter "alarms", "alarms", [TO, ("result", "`sent`, `failed`, `dropped`")],
        "Alarms to a receiver, by result";
    ALARMS_WAITING = Gauge "alarms_waiting", "alarms", [TO], "Alarms that wait to be sent to the receiver";
    ALARM_RECEIVER_UP = Gauge "alarm_receiver_up", "0 or 1", [TO], "1 if the receiver accepts alarms, 0 if it does not";
    HISTORY_EVENTS = Counter "history_events", "events",
        [("result", "`kept`, `written`, `unwritten`, `lost`")],
        "Events of the history, by result";
}
