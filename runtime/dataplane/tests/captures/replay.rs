//! Tests whole runs: the contents of stations' files, the counters, and the behaviour when
//! something fails.

use crate::common::copies::{Copy, station_file};
use crate::common::programs::{any, bytes, program, real_captures, rule, run, run_with, slice};
use crate::common::{self, Ng, ORDERS, Order, Pcap, frame, read_bytes};
use mrule_compiler::engine::EngineKind;
use mrule_compiler::hir::{Length, Rule};
use mrule_dataplane::BreakReason;
use mrule_dataplane::Error;
use mrule_dataplane::capture::LinkType;
use mrule_dataplane::replay::Summary;
use mrule_dataplane::station::{Names, PcapngFile};
use proptest::prelude::*;
use std::path::PathBuf;

struct CaptureFile {
    directory: tempfile::TempDir,
}

impl CaptureFile {
    fn with(capture: &[u8]) -> CaptureFile {
        let place = CaptureFile { directory: tempfile::tempdir().unwrap() };
        std::fs::write(place.capture(), capture).unwrap();
        place
    }
    fn capture(&self) -> PathBuf {
        self.directory.path().join("capture")
    }
    fn out(&self) -> PathBuf {
        self.directory.path().join("deep/out")
    }
    fn station(&self, name: &str) -> PathBuf {
        self.out().join(format!("{name}.pcapng"))
    }
}

fn copy(interface: u32, time: u64, frame: &[u8], length: u32, comment: &str) -> Copy {
    Copy { interface, time, frame: frame.to_vec(), length, comment: comment.to_owned() }
}

#[test]
fn copies_keep_length_time_and_interface_and_say_who_decided() {
    let ng = Ng::new(Order::Big)
        .interface(1, 96, &[(2, b"eth0"), (9, &[9])])
        .interface(113, 0, &[(2, b"any"), (9, &[0x8a]), (14, &1_600_000_000_u64.to_be_bytes())])
        .interface(101, 0, &[])
        .enhanced(1, (5 << 10) + 1, &frame(1, 100), 1500)
        .enhanced(0, 1_700_000_000_987_654_321, &frame(2, 61), 61)
        .enhanced(0, 7, &frame(3, 300), 300)
        .simple(&frame(4, 10), 10);
    let place = CaptureFile::with(&ng.bytes);
    let program = program(
        &["ids", "lake", "quiet"],
        vec![
            any("base", bytes(40), 0b001),
            rule("long", (1000, 2000), Length::Full, 0b001),
            rule("middle", (200, 400), slice(10, 250), 0b010),
        ],
        vec![rule("privacy", (50, 70), bytes(20), 0b111), rule("secret", (0, 10), Length::None, 0b001)],
    );
    let summary = run(&program, &place.capture(), Some(&place.out())).unwrap();

    let ids = station_file(&place.station("ids"));
    assert_eq!(ids.sections, 1);
    let any = Some("any".to_owned());
    assert_eq!(ids.interfaces, [(1, Some("eth0".to_owned()), 9), (113, any, 9), (101, None, 9)]);
    // 1/1024 s is 976562.5 ns.
    assert_eq!(
        ids.copies,
        [
            copy(1, 1_600_000_005_000_976_562, &frame(1, 100), 1500, "rule=long"),
            copy(0, 1_700_000_000_987_654_321, &frame(2, 61)[..20], 61, "rule=base limit=privacy"),
            copy(0, 7, &frame(3, 300)[..40], 300, "rule=base"),
        ]
    );
    let lake = station_file(&place.station("lake"));
    assert_eq!(lake.copies, [copy(0, 7, &frame(3, 300)[10..250], 300, "rule=middle bytes=10..250")]);
    let quiet = station_file(&place.station("quiet"));
    assert_eq!((quiet.copies.len(), quiet.interfaces.len()), (0, 3), "a file even without copies");

    assert_eq!(
        (summary.totals.packets, summary.totals.wire_bytes, summary.totals.captured_bytes),
        (4, 1871, 471)
    );
    assert_eq!((summary.totals.mirrored, summary.totals.unmirrored), (3, 1));
    let stations: Vec<_> = summary.totals.stations.iter().map(|s| (s.copies, s.bytes, s.withheld)).collect();
    assert_eq!(stations, [(3, 160, 1), (1, 240, 0), (0, 0, 0)]);
    let rules: Vec<_> =
        summary.totals.rules.iter().map(|r| (r.name.as_str(), r.matched, r.decided, r.bytes)).collect();
    assert_eq!(rules, [("base", 4, 3, 60), ("long", 1, 1, 100), ("middle", 1, 1, 240)]);
    let limits: Vec<_> = summary.totals.limits.iter().map(|l| (l.matched, l.cut, l.withheld)).collect();
    assert_eq!(limits, [(1, 1, 0), (1, 0, 1)]);
    let ids = &summary.totals.stations[0];
    let size = std::fs::metadata(place.station("ids")).unwrap().len();
    assert_eq!(summary.file(0), Some(&(place.station("ids"), size)));
    assert_eq!(summary.totals.saved_percent(ids), Some(100.0 * (1.0 - 160.0 / 471.0)));
    assert!(summary.is_complete());
}

#[test]
fn without_a_directory_copies_are_counted_only() {
    let place =
        CaptureFile::with(&Pcap::new(Order::Little, common::MICRO, 1).packet(1, 1, &frame(1, 60), 60).bytes);
    let program = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    let summary = run(&program, &place.capture(), None).unwrap();
    assert_eq!((summary.totals.stations[0].copies, summary.file(0)), (1, None));
    assert_eq!(std::fs::read_dir(place.directory.path()).unwrap().count(), 1);
}

#[test]
fn a_broken_capture_gives_what_was_readable() {
    let mut pcap = Pcap::new(Order::Big, common::NANO, 101);
    for i in 0..1000 {
        pcap = pcap.packet(i, 1, &frame(1, 60), 60);
    }
    pcap.bytes.truncate(24 + 76 * 700 + 10);
    let place = CaptureFile::with(&pcap.bytes);
    let program = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    let summary = run(&program, &place.capture(), Some(&place.out())).unwrap();
    assert_eq!((summary.totals.packets, station_file(&place.station("ids")).copies.len()), (700, 700));
    let broken = summary.broken[0].at.clone();
    assert_eq!(
        (broken.offset, &broken.reason),
        (24 + 76 * 700, &BreakReason::Cut { what: "a packet record", needs: 16, left: 10 })
    );
    assert!(!summary.is_complete());

    let place = CaptureFile::with(&[]);
    let summary = run(&program, &place.capture(), Some(&place.out())).unwrap();
    assert_eq!(
        (summary.totals.packets, summary.broken.first().map(|b| &b.at.reason)),
        (0, Some(&BreakReason::Empty))
    );
    assert_eq!(station_file(&place.station("ids")).sections, 1);
}

#[test]
fn unsupported_interfaces_are_told_and_the_others_done() {
    let ng = Ng::new(Order::Little)
        .interface(127, 0, &[(2, b"wlan0")])
        .interface(1, 0, &[(2, b"eth0")])
        .enhanced(0, 1, &frame(1, 50), 50)
        .enhanced(1, 2, &frame(2, 50), 50)
        .enhanced(0, 3, &frame(3, 50), 50);
    let place = CaptureFile::with(&ng.bytes);
    let program = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    let summary = run(&program, &place.capture(), Some(&place.out())).unwrap();
    assert_eq!((summary.totals.packets, summary.unsupported.as_slice()), (1, &[(LinkType(127), 2)][..]));
    assert!(!summary.is_complete());
    assert_eq!(station_file(&place.station("ids")).copies, [copy(1, 2_000, &frame(2, 50), 50, "rule=all")]);
}

#[test]
fn the_capture_that_is_read_is_never_written() {
    let pcap = Pcap::new(Order::Little, common::MICRO, 1).packet(1, 1, &frame(1, 60), 60).bytes;
    let place = CaptureFile::with(&pcap);
    std::fs::create_dir_all(place.out()).unwrap();
    let program = program(&["a", "ids"], vec![any("all", Length::Full, 3)], vec![]);
    std::fs::hard_link(place.capture(), place.station("ids")).unwrap();
    for _ in 0..2 {
        let error = run(&program, &place.capture(), Some(&place.out())).unwrap_err();
        assert!(matches!(&error, Error::WouldOverwrite { path } if *path == place.station("ids")), "{error}");
        assert_eq!(std::fs::read(place.capture()).unwrap(), pcap);
        assert!(!place.station("a").exists(), "nothing is emptied before all are checked");
        std::fs::remove_file(place.station("ids")).unwrap();
        std::os::unix::fs::symlink(place.capture(), place.station("ids")).unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_an_error_with_path_and_reason() {
    let mut pcap = Pcap::new(Order::Little, common::MICRO, 1);
    for i in 0..10_000 {
        pcap = pcap.packet(i, 1, &frame(1, 500), 500);
    }
    let place = CaptureFile::with(&pcap.bytes);
    std::fs::create_dir_all(place.out()).unwrap();
    let program = program(&["a", "ids"], vec![any("all", Length::Full, 3)], vec![]);

    // A link is not followed: its target stays as it is.
    std::os::unix::fs::symlink("/dev/full", place.station("ids")).unwrap();
    let error = run(&program, &place.capture(), Some(&place.out())).unwrap_err();
    assert!(matches!(error, Error::Create { .. }), "{error}");
    assert!(error.to_string().contains("it is a symbolic link; name the file itself"), "{error}");
    std::fs::remove_file(place.station("ids")).unwrap();

    std::fs::create_dir(place.station("ids")).unwrap();
    let error = run(&program, &place.capture(), Some(&place.out())).unwrap_err();
    assert!(matches!(error, Error::Create { .. }) && error.to_string().contains("directory"), "{error}");
    std::fs::remove_dir(place.station("ids")).unwrap();

    let error = run(&program, &place.capture(), Some(&place.capture())).unwrap_err();
    assert!(matches!(error, Error::CreateDirectory { .. }), "{error}");

    // A FIFO is refused immediately, with or without a reader: opening it does not block.
    let made = std::process::Command::new("mkfifo").arg(place.station("ids")).status().unwrap();
    assert!(made.success());
    let error = run(&program, &place.capture(), Some(&place.out())).unwrap_err();
    assert!(matches!(error, Error::Create { .. }) && error.to_string().contains("ids.pcapng"), "{error}");
}

#[test]
fn a_file_that_was_never_finished_ends_with_a_whole_block() {
    let place = CaptureFile::with(&[]);
    let path = place.directory.path().join("killed.pcapng");
    let program = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    let ng = Ng::new(Order::Little).interface(1, 0, &[]).enhanced(0, 1, &frame(1, 333), 333);
    let mut reader = mrule_dataplane::capture::Reader::new(std::io::Cursor::new(ng.bytes)).unwrap();
    let batch = reader.next_batch().unwrap();
    let verdict =
        mrule_compiler::abi::Verdict { start: 0, end: 333, rule: 0, limit: mrule_compiler::abi::NO_LIMIT };
    let mut file = PcapngFile::create(&path, Names::new(&program)).unwrap();
    for _ in 0..2000 {
        file.write(&batch.packets[0], batch.interfaces, &verdict).unwrap();
    }
    drop(file);
    let copies = station_file(&path).copies.len();
    assert!((1000..2000).contains(&copies), "{copies}");
    assert_eq!(read_bytes(&std::fs::read(&path).unwrap()).unwrap().broken, None);
}

#[test]
fn real_captures_through_both_engines() {
    let program = program(
        &["full", "heads", "some"],
        vec![
            any("all", Length::Full, 0b001),
            any("heads", Length::Headers(mrule_compiler::hir::Num::constant(16)), 0b010),
            rule("some", (60, 200), bytes(50), 0b110),
        ],
        vec![rule("long", (1000, 1 << 20), bytes(70), 0b110)],
    );
    for capture in real_captures() {
        let mut whole = read_bytes(&std::fs::read(&capture).unwrap()).unwrap();
        // An empty range makes no copy.
        whole.packets.retain(|packet| !packet.frame.is_empty());
        let place = CaptureFile::with(&[]);
        let out = place.out();
        let interp = run_with(EngineKind::Interp, &program, &capture, Some(&out)).unwrap();
        let name = capture.display();
        assert!(interp.is_complete(), "{name}: {:?}", interp.broken);
        let full = station_file(&place.station("full"));
        assert_eq!(full.copies.len(), whole.packets.len(), "{name}");
        for (copy, packet) in full.copies.iter().zip(&whole.packets) {
            let seen = (copy.interface, copy.time as i64, &copy.frame, copy.length);
            assert_eq!(seen, (packet.interface, packet.time, &packet.frame, packet.length), "{name}");
        }
        let before: Vec<_> =
            ["full", "heads", "some"].map(|s| std::fs::read(place.station(s)).unwrap()).into();
        let jit = run_with(EngineKind::Jit, &program, &capture, Some(&out)).unwrap();
        let after: Vec<_> =
            ["full", "heads", "some"].map(|s| std::fs::read(place.station(s)).unwrap()).into();
        assert!(interp == jit && before == after, "{name}: the engines differ");
    }
}

fn lengths() -> impl Strategy<Value = Length> {
    prop_oneof![
        Just(Length::None),
        Just(Length::Full),
        (0_u64..120).prop_map(bytes),
        (0_u64..120, 0_u64..120).prop_map(|(m, n)| slice(m, n)),
    ]
}

fn rules(name: &'static str) -> impl Strategy<Value = Vec<Rule>> {
    let one = (0_u64..100, 0_u64..100, lengths(), 0_u64..8);
    prop::collection::vec(one, 0..6).prop_map(move |all| {
        let make = |(i, (low, high, length, stations))| {
            rule(&format!("{name}{i}"), (low, low + high), length, stations)
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The sums add up, and the files contain what was counted.
    #[test]
    fn counts_are_what_the_files_hold(rules in rules("r"), limits in rules("l"), big: bool,
                                      packets in prop::collection::vec((0_usize..100, 0_u32..50), 0..600)) {
        let mut ng = Ng::new(ORDERS[usize::from(big)]).interface(1, 0, &[]).interface(101, 0, &[]);
        for (i, &(length, more)) in packets.iter().enumerate() {
            ng = ng.enhanced(i as u32 % 2, i as u64, &frame(i as u8, length), length as u32 + more);
        }
        let place = CaptureFile::with(&ng.bytes);
        let program = program(&["a", "b", "c"], rules, limits);
        let summary = run(&program, &place.capture(), Some(&place.out())).unwrap();
        prop_assert_eq!(summary.totals.packets, packets.len() as u64);
        let (mut decided, mut cut) = (std::collections::BTreeMap::<String, u64>::new(), 0);
        for station in &summary.totals.stations {
            let file = station_file(&place.station(&station.name));
            prop_assert_eq!(station.copies, file.copies.len() as u64);
            prop_assert_eq!(station.bytes, file.copies.iter().map(|copy| copy.frame.len() as u64).sum::<u64>());
            prop_assert!(file.copies.is_sorted_by_key(|copy| copy.time));
            for copy in &file.copies {
                let (length, more) = packets[copy.time as usize / 1000];
                prop_assert_eq!(copy.length, length as u32 + more);
                let whole = frame((copy.time / 1000) as u8, length);
                let start = copy.comment.split_once(" bytes=").map_or(0, |(_, range)| range.split_once("..").unwrap().0.parse().unwrap());
                prop_assert_eq!(&whole[start..start + copy.frame.len()], &copy.frame[..]);
                let rule = copy.comment.strip_prefix("rule=").unwrap().split(' ').next().unwrap();
                *decided.entry(rule.to_owned()).or_default() += copy.frame.len() as u64;
                cut += u64::from(copy.comment.contains(" limit="));
            }
        }
        for rule in &summary.totals.rules {
            prop_assert_eq!(decided.remove(&rule.name).unwrap_or(0), rule.bytes);
        }
        prop_assert_eq!(cut, summary.totals.limits.iter().map(|limit| limit.cut).sum::<u64>());
    }
}

#[test]
fn a_wrong_sum_is_found() {
    let place =
        CaptureFile::with(&Pcap::new(Order::Little, common::MICRO, 1).packet(1, 1, &frame(1, 60), 60).bytes);
    let program = program(&["ids"], vec![any("all", Length::Full, 1)], vec![]);
    let sound = run(&program, &place.capture(), None).unwrap();
    for spoil in [
        |s: &mut Summary| s.totals.unmirrored += 1,
        |s: &mut Summary| s.totals.stations[0].copies += 1,
        |s: &mut Summary| s.totals.stations[0].bytes -= 1,
        |s: &mut Summary| s.totals.rules[0].decided -= 1,
        |s: &mut Summary| s.totals.rules[0].matched = 2,
        |s: &mut Summary| s.totals.captured_bytes = 61,
    ] {
        let mut wrong = sound.clone();
        spoil(&mut wrong);
        assert!(wrong.totals.check().is_err(), "{wrong:?}");
    }
}
