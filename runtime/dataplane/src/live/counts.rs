//! What a live run counted: by port, and all together. The invariants are in [`Report::check`]:
//! every frame that the kernel counted was read or dropped by it, every packet that was decided
//! came out of a frame, and every copy that was asked for was sent or dropped by a cause.
//! (Rejected: percentages, which are functions of these.)

use super::redirect::Redirect;
use crate::station;
use mrule_engine::totals::{RetiredTotals, Totals};
use std::io;
use std::time::Duration;

/// What became of the frames of one port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// The interface.
    pub name: String,
    /// Frames that the kernel had for us, without those that it passed over:
    /// `frames + kernel_drops + malformed`, once the ring is drained.
    pub received: u64,
    /// Frames that it dropped because the ring was full.
    pub kernel_drops: u64,
    /// How often the ring was full.
    pub ring_full: u64,
    /// Frames that were read.
    pub frames: u64,
    /// Their length on the wire, in bytes, super-frames as they are.
    pub bytes: u64,
    /// Frames of blocks that contradicted themselves: a fault of the kernel.
    pub malformed: u64,
    /// Super-frames among those read (GSO, GRO) that were cut into packets.
    pub super_frames: u64,
    /// The packets that they became.
    pub segments: u64,
    /// Super-frames that were decided as they are, because how to cut them is not known (tunnels).
    pub unsegmented: u64,
    /// Packets whose checksum was completed.
    pub checksums_completed: u64,
    /// Frames of which bytes are missing that copies may need: there was no room for them.
    pub truncated: u64,
    /// Of these, frames longer than a block of the ring, of which only the head is there: more of
    /// them waited than [`LONG_QUEUE`](crate::sys::tap::LONG_QUEUE).
    pub long_lost: u64,
    /// The memory of the rings of all workers for this interface, in bytes.
    pub ring_bytes: u64,
    /// Frames of which the kernel gave the head only, because no rule could want more.
    pub clipped: u64,
    /// The kernel passes over what no rule could want: that is not among `received`, nor counted
    /// anywhere.
    pub prefilter: bool,
    /// What the interface itself counted as received meanwhile, in its own way; near `received` and
    /// what was passed over.
    pub entered: u64,
    /// What became of the frames that the workers were to forward; none when the kernel forwards,
    /// or nothing does.
    pub forward: Option<ForwardCounts>,
    /// What the kernel's redirect counted; none when the workers forward, or nothing does.
    pub redirect: Option<RedirectCounts>,
}

/// What the kernel forwarded during this run, as its tc action counts: super-frames as the packets
/// they stand for. It goes on while a run begins and ends, so it is near the packets that were read
/// and not equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedirectCounts {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, packets that the other interface did not take.
    pub failed: u64,
}

impl RedirectCounts {
    /// Adds what a redirect counted since `before`; one that was installed anew began at 0.
    pub(super) fn add(&mut self, before: Option<&Redirect>, now: &Redirect) {
        let same = before.filter(|before| before.is_same(now) && before.bytes <= now.bytes);
        let (packets, bytes, failed) = same.map_or((0, 0, 0), |b| (b.packets, b.bytes, b.failed));
        self.packets += u64::from(now.packets.wrapping_sub(packets));
        self.bytes += now.bytes - bytes;
        self.failed += u64::from(now.failed.wrapping_sub(failed));
    }
}

/// What became of frames that were to be forwarded:
/// `sent + busy + too_long + down + truncated + refused` is the number of frames read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardCounts {
    /// Handed to the other interface.
    pub sent: u64,
    /// Their bytes, without what was dropped.
    pub sent_bytes: u64,
    /// The other interface had no room (ENOBUFS, EAGAIN).
    pub busy: u64,
    /// Longer than the other interface takes (EMSGSIZE).
    pub too_long: u64,
    /// The other interface is down or gone (ENETDOWN, ENXIO, ENODEV).
    pub down: u64,
    /// The ring had no room for all bytes.
    pub truncated: u64,
    /// Refused for another reason.
    pub refused: u64,
}

impl ForwardCounts {
    /// All that was not forwarded.
    pub fn failed(&self) -> u64 {
        self.busy + self.too_long + self.down + self.truncated + self.refused
    }

    pub(super) fn fail(&mut self, error: &io::Error) {
        *match error.raw_os_error() {
            Some(libc::ENOBUFS | libc::EAGAIN) => &mut self.busy,
            Some(libc::EMSGSIZE) => &mut self.too_long,
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => &mut self.down,
            _ => &mut self.refused,
        } += 1;
    }

    fn add(&mut self, more: &ForwardCounts) {
        let ForwardCounts { sent, sent_bytes, busy, too_long, down, truncated, refused } = more;
        self.sent += sent;
        self.sent_bytes += sent_bytes;
        self.busy += busy;
        self.too_long += too_long;
        self.down += down;
        self.truncated += truncated;
        self.refused += refused;
    }
}

impl PortCounts {
    /// Nothing counted yet.
    pub(super) fn of(name: &str) -> PortCounts {
        PortCounts { name: name.to_owned(), ..PortCounts::default() }
    }

    pub(super) fn add(&mut self, more: &PortCounts) {
        let PortCounts {
            name: _,
            received,
            kernel_drops,
            ring_full,
            frames,
            bytes,
            malformed,
            super_frames,
            segments,
            unsegmented,
            checksums_completed,
            truncated,
            long_lost,
            ring_bytes,
            clipped,
            prefilter: _,
            entered: _,
            forward,
            redirect: _,
        } = more;
        self.received += received;
        self.kernel_drops += kernel_drops;
        self.ring_full += ring_full;
        self.frames += frames;
        self.bytes += bytes;
        self.malformed += malformed;
        self.super_frames += super_frames;
        self.segments += segments;
        self.unsegmented += unsegmented;
        self.checksums_completed += checksums_completed;
        self.truncated += truncated;
        self.long_lost += long_lost;
        self.ring_bytes += ring_bytes;
        self.clipped += clipped;
        if let Some(more) = forward {
            self.forward.get_or_insert_default().add(more);
        }
    }

    /// The packets that its frames are.
    pub fn packets(&self) -> u64 {
        self.frames - self.super_frames + self.segments
    }
}

/// What a live run counted so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How long it has run.
    pub elapsed: Duration,
    /// By port.
    pub ports: Vec<PortCounts>,
    /// What was decided, by all policies together. Where there are several, names are
    /// `POLICY/NAME`.
    pub summary: Totals,
    /// What became of copies, by station, in the order of the summary.
    pub stations: Vec<station::Counts>,
    /// The same, policy by policy.
    pub policies: Vec<PolicyReport>,
    /// Sums of rules, limits and stations that are no more, of all policies.
    pub gone: RetiredTotals,
    /// What became of the copies of stations that are no more; those that are ending are not in it
    /// yet.
    pub retired: station::Counts,
}

/// What one policy did, all of its versions together.
#[derive(Debug, Clone, Default)]
pub struct PolicyReport {
    /// Its name.
    pub name: String,
    /// The version at work, from 1.
    pub version: u64,
    /// What it decided.
    pub summary: Totals,
    /// What became of its copies, by station.
    pub stations: Vec<station::Counts>,
}

impl Report {
    /// Puts the policies' sums side by side into one; packets are there already.
    pub(super) fn put_together(&mut self) {
        let several = self.policies.len() > 1;
        self.stations.clear();
        for PolicyReport { name: policy, summary: of, stations, .. } in &self.policies {
            let named = |name: &mut String| {
                if several {
                    *name = format!("{policy}/{name}");
                }
            };
            let mut part = of.clone();
            part.stations.iter_mut().for_each(|s| named(&mut s.name));
            part.rules.iter_mut().for_each(|s| named(&mut s.name));
            part.limits.iter_mut().for_each(|s| named(&mut s.name));
            part.triggers.iter_mut().for_each(|s| named(&mut s.name));
            self.summary.append(part);
            self.stations.extend(stations.iter().cloned().map(|mut counts| {
                named(&mut counts.station);
                counts
            }));
        }
    }

    /// Checks that every sum adds up; only when the run is over, because ports and stations are
    /// counted at other moments while it lasts.
    ///
    /// # Errors
    /// Says which does not.
    pub fn check(&self) -> Result<(), String> {
        for port in &self.ports {
            if port.received != port.frames + port.kernel_drops + port.malformed {
                return Err(format!("received is not read + dropped: {port:?}"));
            }
            if port.forward.is_some_and(|f| f.sent + f.failed() != port.frames) {
                return Err(format!("frames are not forwarded + failed: {port:?}"));
            }
        }
        let packets: u64 = self.ports.iter().map(PortCounts::packets).sum();
        let (mirrored, not) = (self.summary.mirrored, self.summary.unmirrored);
        if packets != self.summary.packets || mirrored + not != packets {
            return Err(format!("packets of ports {packets}, decided {}", self.summary.packets));
        }
        for policy in &self.policies {
            policy.summary.check().map_err(|what| format!("policy {}: {what}", policy.name))?;
            for (asked, became) in policy.summary.stations.iter().zip(&policy.stations) {
                if asked.copies != became.requested
                    || asked.bytes != became.requested_bytes
                    || !became.adds_up()
                {
                    return Err(format!("copies asked {asked:?}, became {became:?}"));
                }
            }
        }
        let (gone, retired) = (&self.gone, &self.retired);
        if (gone.copies, gone.bytes) != (retired.requested, retired.requested_bytes) || !retired.adds_up() {
            return Err(format!("of what is no more, copies asked {gone:?}, became {retired:?}"));
        }
        Ok(())
    }
}
