//! The counters of a live run: by port, and all together. The invariants are in [`Report::check`]:
//! each frame that the kernel counted was read or dropped by the kernel; each decided packet came
//! out of a frame; each requested copy was sent, or dropped by one cause. (Rejected: percentages,
//! which are functions of these.)

use super::redirect::Redirect;
use crate::station;
use mrule_engine::totals::{RetiredTotals, Totals};
use std::io;
use std::time::Duration;

mrule_engine::counters! {
    /// The counters of one port's frames.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct PortCounts {
        /// The name of the interface.
        pub name: String as kept,
        /// Frames that the kernel had for this process, without dropped frames of the prefilter:
        /// `frames + kernel_drops + malformed`, once the ring is drained.
        pub received: u64,
        /// Frames that the kernel dropped because the ring was full.
        pub kernel_drops: u64,
        /// How often the ring was full.
        pub ring_full: u64,
        /// Frames that were read.
        pub frames: u64,
        /// Length of these frames on the wire, in bytes; super-frames uncut.
        pub bytes: u64,
        /// Frames of blocks that contradicted themselves: a fault of the kernel.
        pub malformed: u64,
        /// Super-frames (GSO, GRO) among the read frames that were cut into packets.
        pub super_frames: u64,
        /// The packets that these super-frames became.
        pub segments: u64,
        /// Super-frames that were decided uncut, because mirrorc cannot cut them (tunnels).
        pub unsegmented: u64,
        /// Packets whose checksum was completed.
        pub checksums_completed: u64,
        /// Frames without bytes that copies may need, because there was no room for them.
        pub truncated: u64,
        /// Of these, frames longer than a block of the ring of which only the head is there: more
        /// of them waited than [`LONG_QUEUE`](crate::sys::tap::LONG_QUEUE).
        pub long_lost: u64,
        /// Memory of all workers' rings for this interface, in bytes.
        pub ring_bytes: u64,
        /// Frames of which the kernel delivered only the head, because no rule could want more.
        pub clipped: u64,
        /// Whether the kernel drops what no rule could want. Such packets are not among `received`,
        /// nor counted anywhere.
        pub prefilter: bool as kept,
        /// Packets that the interface itself counted as received meanwhile, in its own way: near
        /// `received` plus what the prefilter dropped.
        pub entered: u64 as kept,
        /// Counters of the frames that the workers had to forward. `None`: the kernel forwards, or
        /// nothing does.
        pub forward: Option<ForwardCounts>,
        /// Counters of the kernel's redirect. `None`: the workers forward, or nothing does.
        pub redirect: Option<RedirectCounts> as kept,
    }
}

mrule_engine::counters! {
    /// What the kernel forwarded during this run, by the counters of its tc action; a super-frame
    /// counts as the packets that it stands for. Forwarding continues while a run begins and ends,
    /// so the number is near the read packets, but not equal.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct RedirectCounts {
        /// Packets forwarded.
        pub packets: u64,
        /// Bytes of these packets.
        pub bytes: u64,
        /// Of these packets: packets that the other interface did not accept.
        pub failed: u64,
    }
}

impl RedirectCounts {
    /// Adds what a redirect counted since `before`. A newly installed redirect began at 0.
    pub(super) fn count(&mut self, before: Option<&Redirect>, now: &Redirect) {
        let same = before.filter(|before| before.is_same(now) && before.bytes <= now.bytes);
        let (packets, bytes, failed) = same.map_or((0, 0, 0), |b| (b.packets, b.bytes, b.failed));
        self.packets += u64::from(now.packets.wrapping_sub(packets));
        self.bytes += now.bytes - bytes;
        self.failed += u64::from(now.failed.wrapping_sub(failed));
    }
}

mrule_engine::counters! {
    /// Counters of frames that had to be forwarded: `sent + busy + too_long + down + truncated +
    /// refused` is the number of frames read.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct ForwardCounts {
        /// Frames that were handed to the other interface.
        pub sent: u64,
        /// Bytes of these frames.
        pub sent_bytes: u64,
        /// Frames for which the other interface had no room (ENOBUFS, EAGAIN).
        pub busy: u64,
        /// Frames longer than the other interface accepts (EMSGSIZE).
        pub too_long: u64,
        /// Frames whose other interface was down or gone (ENETDOWN, ENXIO, ENODEV).
        pub down: u64,
        /// Frames for whose bytes the ring had no room.
        pub truncated: u64,
        /// Frames that were refused for another reason.
        pub refused: u64,
    }
}

impl ForwardCounts {
    /// All frames that were not forwarded.
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
}

impl PortCounts {
    /// Empty counters.
    pub(super) fn of(name: &str) -> PortCounts {
        PortCounts { name: name.to_owned(), ..PortCounts::default() }
    }

    /// The number of packets that the port's frames became.
    pub fn packets(&self) -> u64 {
        self.frames - self.super_frames + self.segments
    }
}

/// The counters of a live run so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How long the run has lasted.
    pub elapsed: Duration,
    /// Counters by port.
    pub ports: Vec<PortCounts>,
    /// What all policies decided together. With several policies, names are `POLICY/NAME`.
    pub summary: Totals,
    /// Counters of copies by station, in the order of the summary.
    pub stations: Vec<station::Counts>,
    /// The counters policy by policy.
    pub policies: Vec<PolicyReport>,
    /// Sums of removed rules, limits and stations of all policies.
    pub gone: RetiredTotals,
    /// Counters of the copies of removed stations, without stations that are still ending.
    pub retired: station::Counts,
}

/// What one policy did, all of its versions together.
#[derive(Debug, Clone, Default)]
pub struct PolicyReport {
    /// The policy's name.
    pub name: String,
    /// The present version, from 1.
    pub version: u64,
    /// What the policy decided.
    pub summary: Totals,
    /// Counters of the policy's copies, by station.
    pub stations: Vec<station::Counts>,
}

impl Report {
    /// Combines the policies' sums into one summary; packets are already counted.
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

    /// Checks that all sums add up. Call it only after the run, because ports and stations are
    /// counted at different moments during the run.
    ///
    /// # Errors
    /// Names the sum that does not add up.
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
