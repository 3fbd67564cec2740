# `just check` is what CI runs; each recipe is one command that also works by hand.

check:
    .ci/run

demo *ARGS:
    cargo run --release -p participant-agent -- demo {{ARGS}}

test *ARGS:
    cargo test --release --workspace {{ARGS}}

# An outside property tester against running agents; after `just test`.
schemathesis:
    .ci/schemathesis

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

deny:
    cargo deny check licenses bans sources

# The kernels against dalek and sha2 on whatever a fuzzer finds, for three minutes; needs `cargo install cargo-fuzz`.
# What it finds is kept in target/fuzz/corpus, a crash in crypto/fuzz/artifacts.
fuzz TARGET="lanes" SECONDS="180":
    mkdir -p target/fuzz/corpus/{{TARGET}}
    cd crypto && cargo fuzz run -s none --no-trace-compares --target-dir ../target/fuzz {{TARGET}} ../target/fuzz/corpus/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}}
