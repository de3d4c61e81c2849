//! `mirrorc demo`: a client, a server, a bridge between them and a station, in network namespaces
//! of this process, so that a new user sees mirrorc forward and mirror real traffic. The
//! invariants: no interface or address of the machine is touched; when the process ends (Ctrl-C, a
//! panic, a kill), the namespaces and everything in them end too. (Rejected: starting again under
//! unshare(1); that needs one more program, and one more process to end.)

mod hosts;
mod watch;

use crate::exit::{Exit, Failure, plain};
use crate::screen::{BOLD, DIM, DOUBT, Screen};
use crate::table::{grouped, percent, size};
use hosts::Host;
use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_dataplane::Error;
use mrule_dataplane::links::Links;
use mrule_dataplane::live::{Forward, Live, MAIN, Options, Report};
use mrule_dataplane::sys::namespace;
use mrule_engine::policy::Policy;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use watch::Watch;

const RULES: &str = include_str!("../../../rules/demo.mrule");
/// The MTU of the links between the hosts, in bytes.
const MTU: u32 = 1500;
/// The MTU of the link to the station, so that a copy fits together with the tunnel's headers.
const STATION_MTU: u32 = 9000;
/// The address of mirrorc on the link to the station.
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The arguments of `mirrorc demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command creates its own networks (Linux namespaces; it needs no root where user namespaces are
allowed), runs rules/demo.mrule on a bridge between a client and a server, and shows the forwarded
packets and the copies. Copies go into a VXLAN tunnel, and into mirrorc-demo.pcapng in the current
directory, which Wireshark can open. When the command ends, only that file remains.")]
pub struct Args {
    /// Number of requests that the client sends
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    requests: u16,
}

/// Runs the command.
pub fn run(args: &Args, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| Failure::file("listen to", "signals", &error))?;
    }
    leave()?;
    let policy = policy()?;
    // Without this, a few more packets (IPv6) pass.
    let _written = namespace::without_ipv6();
    let links = Links::new()?;
    let mut made = Vec::new();
    let work = [hosts::client, hosts::server, hosts::station];
    for (work, (name, mtu)) in work.into_iter().zip([("in0", MTU), ("out0", MTU), ("mon0", STATION_MTU)]) {
        let host = Host::start(work)?;
        links.pair(name, "eth0", &host.namespace)?;
        links.up(name, mtu)?;
        made.push((host.go()?, host));
    }
    links.address("mon0", HERE)?;
    let [(_, client), (Some(passed), _), (Some(copied), _)] = made.as_slice() else {
        return Err(Failure::usage("a host of the demonstration did not start; please report this"));
    };

    let look = screen.out_look;
    let heading = |text: &str| look.paint(BOLD, text);
    writeln!(screen.out, "{}\n{RULES}", heading("The rules (rules/demo.mrule)"))?;
    writeln!(screen.out, "{}", heading("The network, which exists only inside this process"))?;
    writeln!(screen.out, "client {} -- in0 [mirrorc] out0 -- server {}", hosts::CLIENT, hosts::SERVER)?;
    writeln!(screen.out, "{:>25}mon0 -- VXLAN -- station {}\n", "", hosts::STATION)?;
    screen.out.flush()?;

    let (tell, events) = sync_channel(64);
    let bridges = vec![("in0".into(), "out0".into())];
    let mut options = Options { bridges, ..Options::default() };
    let policies = vec![(MAIN.to_owned(), policy)];
    let live = match Live::start(policies.clone(), &options, None, tell.clone()) {
        Ok(live) => live,
        Err(error @ Error::Interface { .. }) => {
            let note = screen.err_look.paint(DOUBT, "note:");
            writeln!(screen.err, "{note} the kernel cannot forward here, so mirrorc forwards: {error}")?;
            options.forward = Forward::Userspace;
            Live::start(policies, &options, None, tell)?
        }
        Err(error) => return Err(error.into()),
    };
    let asked = client.ask(args.requests, || stop.load(Ordering::Relaxed));
    // The last packets are still in flight.
    std::thread::sleep(Duration::from_millis(300));
    let report = live.finish()?;
    std::thread::sleep(Duration::from_millis(200));
    for event in events.try_iter() {
        writeln!(screen.err, "{} {event}", screen.err_look.paint(DOUBT, "note:"))?;
    }
    show(&report, *asked.as_ref().unwrap_or(&0), passed, copied, screen)?;
    if let Err(what) = report.check() {
        return Err(Failure::usage(format!("the sums do not add up: {what}")));
    }
    match asked {
        Err(error) => {
            Err(Failure::usage(format!("a request of the client got no answer: {}", plain(&error))))
        }
        Ok(_) => Ok(Exit::Clean),
    }
}

/// Moves the process from the machine's network into a new network namespace.
fn leave() -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    let left = match root.then(namespace::enter_new) {
        Some(Ok(())) => Ok(()),
        _ => namespace::enter_new_as_root(),
    };
    left.map_err(|error| {
        let why = match error.kind() {
            // The error of the kernel when a sysctl allows no more namespaces.
            io::ErrorKind::StorageFull => "the system allows no more of them".to_owned(),
            _ => plain(&error),
        };
        Failure::usage(format!("cannot create network namespaces: {why}")).help(
            "run the command as root (sudo mirrorc demo), or allow user namespaces: see the sysctls user.max_user_namespaces,\n\
             kernel.unprivileged_userns_clone (Debian) and kernel.apparmor_restrict_unprivileged_userns (Ubuntu)",
        )
    })
}

fn policy() -> Result<Arc<Policy>, Failure> {
    let name = "demo.mrule".to_owned();
    let compiled = compile(std::slice::from_ref(&name), &mut MemoryLoader::new([(name.clone(), RULES)]), &[]);
    let program =
        compiled.program.ok_or_else(|| Failure::usage("the demonstration's rules do not compile"))?;
    let program = Arc::new(program);
    let failed = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
    let environment = Environment::new(&program).map_err(|error| failed(&error))?;
    let engine = Engine::new(EngineKind::Jit, program, &environment).map_err(|error| failed(&error))?;
    Ok(Arc::new(Policy::new(Arc::new(engine), environment)))
}

fn show(
    report: &Report,
    answered: u64,
    passed: &Watch,
    copied: &Watch,
    screen: &mut Screen<'_>,
) -> io::Result<()> {
    let (look, out) = (screen.out_look, &mut *screen.out);
    let (mut packets, mut bytes, mut who) = (0, 0, "the kernel");
    for port in &report.ports {
        if let Some(by) = &port.redirect {
            (packets, bytes) = (packets + by.packets, bytes + by.bytes);
        } else if let Some(by) = &port.forward {
            (packets, bytes, who) = (packets + by.sent, bytes + by.sent_bytes, "mirrorc");
        }
    }
    let (packets, bytes, answered) = (grouped(packets), size(bytes), size(answered));
    writeln!(out, "{}", look.paint(BOLD, "Forwarded"))?;
    writeln!(
        out,
        "{packets} packets, {bytes}, forwarded by {who}; the client received {answered} of answers"
    )?;
    let first =
        "some of them, as seen at the server's interface (packets over 1514 bytes are not segmented yet):";
    writeln!(out, "{}", look.paint(DIM, first))?;
    for line in passed.few() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\n{}", look.paint(BOLD, "Copied"))?;
    for (station, became) in report.summary.stations.iter().zip(&report.stations) {
        let saved = report.summary.saved_percent(station).map(percent).unwrap_or_default();
        let (sent, dropped) = (grouped(became.sent), grouped(became.dropped_total()));
        let (name, bytes) = (&station.name, size(station.bytes));
        writeln!(out, "{name}: {sent} copies, {bytes}, {saved} saved; {dropped} dropped")?;
    }
    let rules = report.summary.rules.iter().map(|rule| format!("{} {}", rule.name, grouped(rule.decided)));
    writeln!(out, "decided by rule: {}", rules.collect::<Vec<_>>().join(", "))?;
    let came = grouped(copied.received()?);
    let came = format!(
        "{came} copies of ids arrived through the tunnel, by the counter of the station's kernel; some of them:"
    );
    writeln!(out, "{}", look.paint(DIM, &came))?;
    for line in copied.few() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\nthe copies of lake are in mirrorc-demo.pcapng; the networks end with this process")
}
