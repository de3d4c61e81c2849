//! Stations that cannot carry a copy, or of whose copies something is known to have gone wrong, say
//! so: interfaces without a link layer, next hops and hosts that do not answer, links without a
//! carrier. Judged by what comes out of the device, and by what the kernel's tables say.

use super::{numbered, pour, sender};
use crate::MIRRORC;
use mrule_dataplane::sys::frame::OFFLOAD;
use mrule_dataplane::sys::send::{Outgoing, send};
use mrule_tests::wire::{Mirrorc, Wire, until, with_wire, write_rules};
use serde_json::Value;
use std::sync::atomic::AtomicBool;

/// Holds a tun device open and writes each packet that it is given as a line of hexadecimal digits.
const TUN: &str = "
import os, fcntl, struct, sys
f = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(f, 0x400454ca, struct.pack('16sH', b't0', 0x1001))
os.system('ip link set t0 mtu 1000 up')
out = open(sys.argv[1], 'w', 1)
while True:
    print(os.read(f, 65535).hex(), file=out)
";

fn started(wire: &Wire, dir: &std::path::Path, station: &str) -> Mirrorc {
    let text = format!("station s {{ {station} }}\nrule r {{ match ip or arp  snaplen full  to s }}\n");
    let rules = write_rules(dir, &text);
    wire.mirrorc(MIRRORC, &[&rules, "--tap", "in0", "--workers", "1", "--promiscuous"])
}

fn station(sums: &Value, what: &str) -> u64 {
    sums["stations"][0][what].as_u64().unwrap()
}

#[test]
fn a_device_without_a_link_layer_gets_ip_packets_and_what_is_none_is_unfit() {
    let name =
        "data_plane::link_stations::a_device_without_a_link_layer_gets_ip_packets_and_what_is_none_is_unfit";
    if !std::path::Path::new("/dev/net/tun").exists() {
        return eprintln!("SKIPPED: there is no /dev/net/tun");
    }
    with_wire(name, |wire| {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("tun.py");
        let came = dir.path().join("came");
        std::fs::write(&script, TUN).unwrap();
        let command = ["python3", script.to_str().unwrap(), came.to_str().unwrap()];
        let _tun = wire.start(&wire.here, &command);
        until("the device is there", || {
            let shown = wire.try_run(&wire.here, &["cat", "/sys/class/net/t0/carrier"]);
            shown.stdout == b"1\n" && came.exists()
        });
        let run = started(wire, dir.path(), "interface t0");
        let plain = numbered(7);
        let ip = plain[14..60].to_vec();
        let tagged = [&plain[..12], &[0x81, 0, 0, 10], &plain[12..]].concat();
        let arp = [&plain[..12], &[8, 6], &[0; 46]].concat();
        // An IP packet of 1,100 bytes, longer than the device takes.
        let mut long = plain.clone();
        long[16..18].copy_from_slice(&1100_u16.to_be_bytes());
        long.resize(1114, 9);
        wire.say(&[plain.clone(), tagged, arp.clone(), arp, long.clone()]);
        run.counts("all are sent", |sums| station(sums, "sent") == 3);
        run.says("carries IP packets only");
        let said = run.said();
        let sums = run.stop();
        assert_eq!(sums["stations"][0]["dropped"]["unfit"], 2, "{sums}");
        assert_eq!((station(&sums, "cut"), station(&sums, "cut_bytes")), (1, 100), "{sums}");
        assert_eq!(said.matches("carries IP packets only").count(), 1, "{said}");
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let wanted = [hex(&ip), hex(&ip), hex(&long[14..1014])];
        let ours = || -> Vec<String> {
            let came = std::fs::read_to_string(&came).unwrap();
            came.lines().filter(|line| line.starts_with("45")).map(str::to_owned).collect()
        };
        until("all came out", || ours().len() >= 3);
        assert_eq!(ours(), wanted);
    });
}

#[test]
fn copies_to_who_does_not_answer_are_known() {
    let name = "data_plane::link_stations::copies_to_who_does_not_answer_are_known";
    with_wire(name, |wire| {
        wire.ip(&wire.here, &["addr", "add", "10.2.0.1/24", "dev", "m0"]);
        wire.ip(&wire.right, &["addr", "add", "10.2.0.2/24", "dev", "mon"]);
        let say = |count| {
            wire.inside(&wire.left, || pour(&sender("l0"), 0, count, 400, &AtomicBool::new(false)));
        };
        // Nobody has this address.
        let dir = tempfile::tempdir().unwrap();
        let run = started(wire, dir.path(), "vxlan 10.2.0.9 vni 7");
        say(400);
        run.says("10.2.0.9, the next hop to 10.2.0.9, has not told its link-layer address");
        let sums = run.stop();
        assert!(station(&sums, "sent") > 0, "{sums}");
        assert_eq!(station(&sums, "unanswered"), station(&sums, "sent"), "{sums}");
        // This host is there, and has nobody at the port.
        let dir = tempfile::tempdir().unwrap();
        let run = started(wire, dir.path(), "vxlan 10.2.0.2 vni 7");
        say(400);
        run.says("it refuses the port");
        run.counts("errors are counted", |sums| station(sums, "network_errors") > 0);
        let sums = run.stop();
        assert!(
            station(&sums, "unanswered") < station(&sums, "sent") + station(&sums, "network_errors"),
            "{sums}"
        );
    });
}

#[test]
fn an_interface_without_a_carrier_is_no_station() {
    let name = "data_plane::link_stations::an_interface_without_a_carrier_is_no_station";
    with_wire(name, |wire| {
        let dir = tempfile::tempdir().unwrap();
        let run = started(wire, dir.path(), "interface m0");
        let frame = numbered(1);
        let say = |count: usize| {
            wire.inside(&wire.left, || {
                let outgoing = vec![Outgoing { offload: [0; OFFLOAD], bytes: &frame }; count];
                send(&sender("l0"), &outgoing, |_, error| panic!("{error}"));
            });
        };
        say(10);
        run.counts("copies are sent", |sums| station(sums, "sent") == 10);
        wire.ip(&wire.right, &["link", "set", "mon", "down"]);
        run.says("the interface `m0` has no carrier");
        say(10);
        run.counts("copies are dropped", |sums| {
            sums["stations"][0]["dropped"]["unreachable"].as_u64().unwrap() + station(sums, "link_drops")
                >= 10
        });
        wire.ip(&wire.right, &["link", "set", "mon", "up"]);
        until("copies are sent again", || {
            say(1);
            run.said().contains("station s is up again")
        });
        run.stop();
    });
}
