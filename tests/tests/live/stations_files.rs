//! Stations that write: files that rotate, disks that are full, processes that are killed, pipes
//! whose readers stop, go and come. What was written is read back by tshark, and held against what
//! a replay writes. (Rejected: asking the counts alone; they are held against what is there.)

use mrule_compiler::abi::{NO_LIMIT, Verdict};
use mrule_dataplane::station::{Cause, Copy, Options, Stations};
use mrule_tests::feed::Feed;
use mrule_tests::frames::{Frame, captures, parse, read};
use mrule_tests::mirrored;
use mrule_tests::netns::with_pair;
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RULES: &str = "rule all { match any  snaplen headers  to s }\n\
    rule dns { match udp.port == 53  snaplen full  to s }\n\
    limit ttl { match net.ttl < 10  snaplen 30 }\n";

fn capture(name: &str) -> PathBuf {
    captures().into_iter().find(|c| c.file_name().is_some_and(|n| n == name)).expect("a capture")
}

fn rules(station: &str) -> String {
    format!("station s {{ {station} }}\n{RULES}")
}

fn replayed(capture: &Path) -> Vec<Frame> {
    let copies = mirrored::copies(&rules("interface x"), capture, "jit", &["s".to_owned()]).unwrap();
    copies.into_iter().next().unwrap()
}

/// What tshark says of a capture: a line for each packet.
fn tshark(file: &Path, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file).args(["-T", "fields"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().expect("tshark");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_has_what_a_replay_writes() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["demo.pcapng", "odd.pcapng", "cooked2.pcap"] {
        let capture = capture(name);
        let path = directory.path().join("new/folder").join(name).with_extension("pcapng");
        let feed = Feed::open(&rules(&format!("pcapng \"{}\"", path.display())), &capture).unwrap();
        feed.run();
        let counts = feed.finish();
        let expected = replayed(&capture);
        assert_eq!(read(&path), expected, "{name}");
        assert_eq!(counts[0].sent, expected.len() as u64);
        assert_eq!(counts[0].sent_bytes, expected.iter().map(|f| f.bytes.len() as u64).sum::<u64>());
        if mrule_tests::tshark::is_installed() {
            let out = directory.path().join("replay");
            let file = directory.path().join("r.mrule");
            fs::write(&file, rules("interface x")).unwrap();
            let words = [&file, &capture, &out].map(|p| p.display().to_string());
            mrule_tests::cli::mirrorc(&["run", &words[0], "-q", "--read", &words[1], "--out", &words[2]]);
            let fields =
                ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.comment"];
            assert_eq!(tshark(&path, &fields), tshark(&out.join("s.pcapng"), &fields), "{name}");
        }
    }
}

#[test]
fn files_rotate_by_size_and_the_last_are_kept() {
    let capture = capture("web.pcap");
    let expected = replayed(&capture);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.pcapng");
    let feed = Feed::open(&rules(&format!("pcapng \"{}\" rotate 4KiB", path.display())), &capture).unwrap();
    feed.run();
    feed.finish();
    let all = files(directory.path());
    assert!(all.len() > 4, "{all:?}");
    let mut found = Vec::new();
    for (i, file) in all.iter().enumerate() {
        let length = fs::metadata(file).unwrap().len();
        let frames = read(file);
        assert!(length <= 4096 || frames.len() == 1, "{}: {length}", file.display());
        assert!(i + 1 == all.len() || length > 3800, "{}: {length}", file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("all_{:05}_20", i + 1)), "{name}");
        found.extend(frames);
    }
    assert_eq!(found, expected);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.pcapng");
    for _ in 0..2 {
        let station = format!("pcapng \"{}\" rotate 4KiB keep 3", path.display());
        let feed = Feed::open(&rules(&station), &capture).unwrap();
        feed.run();
        let counts = feed.finish();
        assert_eq!(counts[0].sent, expected.len() as u64);
        let last: Vec<_> = files(directory.path()).iter().flat_map(|file| read(file)).collect();
        assert!(files(directory.path()).len() == 3 && last.len() > 20);
        assert_eq!(last, expected[expected.len() - last.len()..], "the youngest are kept");
    }
}

#[test]
fn files_rotate_by_time_and_have_it_in_their_names() {
    let capture = capture("dns.pcap");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("%Y/at_%H%M%S.pcapng");
    let feed = Feed::open(&rules(&format!("pcapng \"{}\" rotate 1s", path.display())), &capture).unwrap();
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < Duration::from_millis(2600) {
        feed.run();
        times += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = feed.finish();
    let year = files(directory.path());
    assert_eq!(year.len(), 1);
    let all = files(&year[0]);
    assert!((3..=4).contains(&all.len()), "{all:?}");
    let found: usize = all.iter().map(|file| read(file).len()).sum();
    assert_eq!(found, times * replayed(&capture).len());
    assert_eq!(found as u64, counts[0].sent);
}

#[test]
fn a_killed_process_leaves_files_that_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let rule_file = directory.path().join("r.mrule");
    let out = directory.path().join("out");
    let path = out.join("all.pcapng");
    fs::write(&rule_file, rules(&format!("pcapng \"{}\" rotate 1MiB", path.display()))).unwrap();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_feed")).args([&rule_file, &capture("web.pcap")]).spawn().unwrap();
    wait_for("three files", || out.exists() && files(&out).len() >= 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = replayed(&capture("web.pcap"));
    let mut found = 0;
    for file in files(&out) {
        for frame in read(&file) {
            assert_eq!(frame, expected[found % expected.len()]);
            found += 1;
        }
        if mrule_tests::tshark::is_installed() {
            tshark(&file, &["frame.number"]);
        }
    }
    assert!(found > 2 * expected.len(), "{found}");
}

#[test]
fn stations_go_on_with_the_next_program() {
    let directory = tempfile::tempdir().unwrap();
    let [kept, gone, new] = ["kept", "gone", "new"].map(|name| directory.path().join(name));
    let file = |path: &Path| format!("pcapng \"{}\"", path.display());
    let capture = capture("dns.pcap");
    let rules = |rule: &str, other: &str, path: &Path| {
        format!(
            "station kept {{ {} }}\nstation {other} {{ {} }}\nrule {rule} {{ match any  snaplen 60  to kept, {other} }}",
            file(&kept),
            file(path)
        )
    };
    let mut feed = Feed::open(&rules("first", "gone", &gone), &capture).unwrap();
    feed.run();
    let ended = feed.succeed(&rules("second", "a_new_one", &new));
    let copies = read(&gone).len();
    assert!(ended.len() == 1 && ended[0].station == "gone" && ended[0].adds_up(), "{ended:?}");
    assert_eq!(ended[0].sent, copies as u64);
    feed.run();
    let counts = feed.finish();
    assert_eq!((counts[0].sent, counts[1].sent), (copies as u64, 2 * copies as u64));
    assert_eq!((read(&kept).len(), read(&new).len(), read(&gone).len()), (2 * copies, copies, copies));
    assert_eq!(files(directory.path()).len(), 3, "nothing was moved aside");
    if mrule_tests::tshark::is_installed() {
        let mut expected = vec!["rule=first"; copies];
        expected.extend(vec!["rule=second"; copies]);
        assert_eq!(tshark(&kept, &["frame.comment"]), expected);
    }
}

#[test]
fn a_file_that_is_deleted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    let capture = capture("dns.pcap");
    let feed = Feed::open(&rules(&format!("pcapng \"{}\"", path.display())), &capture).unwrap();
    feed.run();
    fs::remove_file(&path).unwrap();
    feed.until("there again", |_| path.exists());
    feed.run();
    feed.finish();
    assert!(read(&path).len() >= replayed(&capture).len());
}

#[test]
fn a_full_disk_costs_copies_is_told_once_and_recovers() {
    with_pair("a_full_disk_costs_copies_is_told_once_and_recovers", |_| {
        let directory = tempfile::tempdir().unwrap();
        let small = Mount::new(directory.path());
        let path = small.0.join("a.pcapng");
        let ballast = small.0.join("ballast");
        fs::write(&ballast, vec![1; 15 << 20]).unwrap();
        let capture = capture("web.pcap");
        let feed = Feed::open(&rules(&format!("pcapng \"{}\"", path.display())), &capture).unwrap();
        feed.until("full", |feed| !feed.told().is_empty());
        assert!(feed.told()[0].contains("no room for"), "{:?}", feed.told());
        for _ in 0..30 {
            assert!(feed.run() < Duration::from_secs(3), "a worker waited");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(feed.told().len(), 1, "{:?}", feed.told());
        fs::remove_file(&ballast).unwrap();
        feed.until("up again", |feed| feed.told().len() == 2);
        assert!(feed.told()[1].contains("up again"));
        let counts = feed.finish();
        assert!(counts[0].dropped_by(Cause::Write) > 0);
        assert_eq!(read(&path).len() as u64, counts[0].sent, "what was counted as sent is there");
    });
}

/// A file system with room for 16 MiB.
struct Mount(PathBuf);

impl Mount {
    fn new(directory: &Path) -> Mount {
        let words = ["-t", "tmpfs", "-o", "size=16m", "none"];
        assert!(Command::new("mount").args(words).arg(directory).status().unwrap().success(), "mount");
        Mount(directory.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone_already = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_reader_that_stops_delays_nobody_and_the_next_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copies.fifo");
    let capture = capture("web.pcap");
    let expected = replayed(&capture);
    let options = Options { queue_bytes: 256 << 10, ..Options::default() };
    let feed = Feed::with(&rules(&format!("pipe \"{}\"", path.display())), &capture, options).unwrap();
    assert!(feed.told()[0].contains("nobody reads"), "{:?}", feed.told());
    feed.run();
    // Opens at once, because the FIFO is there; reads nothing.
    let open = || fs::OpenOptions::new().read(true).custom_flags(nonblocking()).open(&path).unwrap();
    let reader = open();
    wait_for("up", || feed.told().len() == 2);
    feed.until("stuck", |feed| {
        assert!(feed.run() < Duration::from_secs(3), "a worker waited");
        feed.told().len() == 3
    });
    assert!(feed.told()[2].contains("does not read"), "{:?}", feed.told());
    feed.until("full", |feed| feed.stations().counts()[0].dropped_by(Cause::QueueFull) > 0);
    drop(reader);
    let before = feed.told().len();
    // Another reader: whole blocks from the beginning, however the first one left.
    std::thread::sleep(Duration::from_millis(300));
    let mut reader = open();
    wait_for("up again", || feed.told().len() > before || feed.told().last().unwrap().contains("up again"));
    std::thread::sleep(Duration::from_millis(300));
    let mut heard = Vec::new();
    feed.run();
    let end = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let mut part = [0; 65_536];
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            match reader.read(&mut part) {
                Ok(0) => break,
                Ok(n) => heard.extend_from_slice(&part[..n]),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        heard
    });
    let counts = feed.finish();
    let frames = parse(end.join().unwrap());
    assert!(frames.len() >= expected.len(), "{} {counts:?}", frames.len());
    assert_eq!(frames[frames.len() - expected.len()..], expected);
    assert!(counts[0].dropped_by(Cause::NoReader) > 0, "{counts:?}");
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copies.fifo");
    let feed = Feed::open(&rules(&format!("pipe \"{}\"", path.display())), &capture("web.pcap")).unwrap();
    let _reader = fs::OpenOptions::new().read(true).custom_flags(nonblocking()).open(&path).unwrap();
    wait_for("up", || feed.told().len() == 2);
    for _ in 0..20 {
        feed.run();
    }
    let begun = Instant::now();
    let counts = feed.finish_in(Duration::from_millis(500));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(counts[0].dropped_by(Cause::Stopped) > 0, "{counts:?}");
}

#[test]
fn workers_side_by_side_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    let capture = capture("web.pcap");
    let copies = replayed(&capture).len() as u64;
    // Room for a few chunks, so that some are dropped.
    let options = Options { queue_bytes: 32 << 10, queue_copies: 300, ..Options::default() };
    let feed = Feed::with(&rules(&format!("pcapng \"{}\"", path.display())), &capture, options).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).map(|_| feed.run()).max());
        }
    });
    let counts = feed.finish();
    assert_eq!(counts[0].requested, 4 * 20 * copies);
    assert_eq!(counts[0].sent + counts[0].dropped_by(Cause::QueueFull), counts[0].requested, "{counts:?}");
    let found = read(&path);
    assert_eq!(found.len() as u64, counts[0].sent);
    assert_eq!(found.iter().map(|f| f.bytes.len() as u64).sum::<u64>(), counts[0].sent_bytes);
}

#[test]
fn an_end_amid_of_work_adds_up() {
    let capture = capture("web.pcap");
    let frames = read(&capture);
    let options = Options { interfaces: mrule_tests::feed::interfaces(&capture), ..Options::default() };
    let verdict = Verdict { start: 0, end: 40, rule: 0, limit: NO_LIMIT };
    for round in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let station = format!("pcapng \"{}\"", directory.path().join("a.pcapng").display());
        let program = mrule_tests::compile_text(&rules(&station)).unwrap();
        let stations = Stations::open(&program, &options).unwrap();
        // The same ones, to look at when these are ended.
        let watch = stations.succeed(&program, &options).unwrap();
        std::thread::scope(|scope| {
            for mut producers in [stations.producers(), stations.producers(), stations.producers()] {
                let frames = &frames;
                scope.spawn(move || {
                    for frame in frames.iter().cycle().take(30 * frames.len()) {
                        let packet = &frame.packet();
                        producers[0].offer(&Copy { packet, verdict, number: 1, flow_hash: 0 });
                        producers[0].flush();
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(round));
            stations.finish(Instant::now() + Duration::from_millis(100));
        });
        let counts = watch.counts().remove(0);
        assert_eq!(counts.requested, 3 * 30 * frames.len() as u64);
        assert!(counts.adds_up(), "{counts:?}");
    }
}

/// As a number, for the standard library.
fn nonblocking() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits() as i32
}

#[test]
fn tshark_reads_standard_output_while_it_is_written() {
    if !mrule_tests::tshark::is_installed() {
        eprintln!("SKIPPED: there is no tshark");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let rule_file = directory.path().join("r.mrule");
    fs::write(&rule_file, rules("pipe stdout")).unwrap();
    let capture = capture("demo.pcapng");
    let mut feed = Command::new(env!("CARGO_BIN_EXE_feed"))
        .args([&rule_file, &capture])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let expected = replayed(&capture);
    let count = (2 * expected.len()).to_string();
    let tshark = Command::new("tshark")
        .args(["-n", "-l", "-i", "-", "-c", &count, "-T", "fields", "-e", "frame.len", "-e", "frame.cap_len"])
        .stdin(feed.stdout.take().unwrap())
        .output()
        .unwrap();
    feed.kill().unwrap();
    feed.wait().unwrap();
    let said = String::from_utf8(tshark.stdout).unwrap();
    let line = |f: &Frame| format!("{}\t{}", f.len, f.bytes.len());
    let expected: Vec<_> = expected.iter().chain(&expected).map(line).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(&tshark.stderr));
}

#[test]
fn a_limit_lets_its_rate_pass_and_counts_the_rest() {
    let capture = capture("web.pcap");
    let copies = replayed(&capture).len() as u64;
    let directory = tempfile::tempdir().unwrap();
    let station = format!("pcapng \"{}\" limit 50 burst 20", directory.path().join("a.pcapng").display());
    let feed = Feed::open(&rules(&station), &capture).unwrap();
    let begun = Instant::now();
    let mut times = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        feed.run();
        times += 1;
    }
    let counts = feed.finish();
    // What waits in the queue goes on at the rate until the end.
    let most = 20 + (50.0 * begun.elapsed().as_secs_f64()) as u64 + 10;
    assert_eq!(counts[0].requested, times * copies);
    assert_eq!(counts[0].sent + counts[0].dropped_by(Cause::Rate), counts[0].requested, "{counts:?}");
    assert!((20..=most).contains(&counts[0].sent), "{counts:?}");
}

#[test]
fn what_can_never_work_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = |station: &str, because: &str| {
        let error = Feed::open(&rules(station), &capture("dns.pcap")).err().unwrap();
        assert!(error.contains("cannot open station `s`") && error.contains(because), "{error}");
    };
    refused(&format!("pipe \"{}\"", file.display()), "is no FIFO; for a file write `pcapng");
    refused(&format!("pcapng \"{}/x.pcapng\"", file.display()), "cannot create");
    refused(&format!("pcapng \"{}\"", directory.path().display()), "it is a directory");
    refused(&format!("pcapng \"{}\"", file.display()), "is there and is empty");
    refused("pcapng \"/dev/null\"", "it is a device");
    refused("pipe \"/dev/null\"", "is a device");
}
