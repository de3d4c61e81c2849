//! A load for which the system refuses memory returns an error, and the running policy continues.
//! This is a separate executable, because its allocator and its `mmap` fail the N-th large request,
//! for each N of a load. Invariant: only requests of the tested thread are counted, from the moment
//! when it starts the count. (Rejected: limits of the system, which also refuse the small requests
//! that each program needs.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed test stops")]
#![allow(unsafe_code, reason = "an allocator, and a system call in the C library's place")]

use mrule_compiler::compile::{MemoryLoader, compile};
use mrule_compiler::engine::{Engine, EngineKind};
use mrule_compiler::environment::Environment;
use mrule_engine::decider::{Decider, Limits};
use mrule_engine::policy::Policy;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};
use std::sync::Arc;

/// Only requests of at least this number of bytes are counted. Smaller requests do not grow with
/// what a program asks for.
const LARGE: usize = 16 << 10;

thread_local! {
    /// How many large requests succeed before one fails. `None`: requests are not counted.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this request must fail.
fn fails(size: usize) -> bool {
    size >= LARGE
        && LEFT.with(|left| match left.get() {
            Some(0) => {
                left.set(None);
                FAILED.with(|failed| failed.set(true));
                true
            }
            Some(more) => {
                left.set(Some(more - 1));
                false
            }
            None => false,
        })
}

struct Failing;

// SAFETY: the system's allocator; some of its requests fail, which the contract allows.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Replaces the C library's function for all Rust code of this executable.
#[unsafe(no_mangle)]
extern "C" fn mmap(
    at: *mut c_void,
    length: usize,
    access: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    if fails(length) {
        // SAFETY: the thread's own errno.
        unsafe { *libc::__errno_location() = libc::ENOMEM };
        return libc::MAP_FAILED;
    }
    // SAFETY: as the caller promises.
    let made: c_long = unsafe { libc::syscall(libc::SYS_mmap, at, length, access, flags, file, offset) };
    made as *mut c_void
}

fn program(extra: &str, keys: usize) -> (Arc<Engine>, Environment) {
    let text = format!(
        "station s {{ pcapng \"s.pcapng\" }}
         trigger busy by net.src {{ when count(tcp) per 1s > 100 or distinct(net.dst) per 1m > 50  hold 1m  keys {keys} }}
         trigger named by net.dst {{ external  hold 1h  keys {keys} }}
         rule busy {{ match busy[net.addr]  snaplen full  to s }}
         rule named {{ match named[net.addr] and flow.packets > 3  snaplen 60  to s }}
         rule said {{ match stream contains \"evil\"  snaplen 60  to s }}\n{extra}"
    );
    let compiled = compile(&["a".to_owned()], &mut MemoryLoader::new([("a", text)]), &[]);
    let program = Arc::new(compiled.program.unwrap());
    let environment = Environment::new(&program).unwrap();
    (Arc::new(Engine::new(EngineKind::Jit, program, &environment).unwrap()), environment)
}

#[test]
fn each_large_allocation_of_a_load_may_fail() {
    let limits = Limits::default();
    let (engine, environment) = program("", 100_000);
    let old = Policy::try_new(engine, environment).unwrap();
    let mut at_work = Decider::new(&old, &limits, 64).unwrap();
    let mut failures = 0;
    // The triggers of the first go on; those of the second are new.
    let made = [program("", 100_000), program("", 104_096)];
    for n in 0.. {
        assert!(n < 10_000, "a load ends");
        let (engine, environment) = made[n as usize % 2].clone();
        LEFT.with(|left| left.set(Some(n)));
        let loaded =
            old.try_succeed(engine, environment).map_err(|error| error.to_string()).and_then(|policy| {
                Decider::new(&policy, &limits, 64)
                    .map(|decider| (policy, decider))
                    .map_err(|error| error.to_string())
            });
        LEFT.with(|left| left.set(None));
        let failed = FAILED.with(|failed| failed.replace(false));
        assert_eq!(loaded.is_err(), failed, "request {n}: {:?}", loaded.as_ref().err());
        match loaded {
            Err(why) => {
                failures += 1;
                assert!(why.contains("the system has no"), "request {n}: {why}");
                assert_eq!(at_work.decide(&old, &[]).capacity(), 64, "what is at work decides");
            }
            // The last requests belong to the program with more keys, so both programs must
            // succeed.
            Ok(_) if n % 2 == 1 => break,
            Ok(_) => {}
        }
    }
    println!("{failures} large requests failed, each with an error");
    assert!(failures >= 50, "{failures}");
}
