# The recipes are plain cargo commands; `just` is a convenience.

# What a change needs before it is committed, in some minutes.
fast:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --workspace --locked --lib --bins
    cargo test --workspace --locked --test grammar --test language --test process

# The whole check, as run for every change.
ci:
    .ci/run

# Licences, sources and banned crates of the dependencies (needs cargo-deny).
deny:
    cargo deny check bans licenses sources

# Published figures; needs an idle machine.
bench:
    cargo bench -p mrule-tests --bench decision
    cargo bench -p mrule-engine --bench flow
    cargo bench -p mrule-engine --bench trigger
    cargo bench -p mrule-engine --bench program

# Hold the shims of native code and the engine's memory against the rules of aliasing (nightly with miri and rust-src).
miri:
    cargo +nightly miri test -p mrule-compiler --lib jit::shims
    cargo +nightly miri test -p mrule-engine --lib -- memory:: trigger::cells trigger::lock_shards

# Each interleaving of a few threads at the lock shards of triggers (seconds, after loom is built once).
loom:
    RUSTFLAGS="--cfg loom" cargo test --release --locked --manifest-path tests/loom/Cargo.toml --target-dir target/loom

# Fuzz one target for a minute (needs cargo-fuzz and a nightly toolchain).
fuzz target="engines":
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{target}} -- -max_total_time=60

# Record outputs anew; read the difference before you commit it.
update:
    UPDATE=1 cargo test --workspace --locked --test language
    git diff --stat
