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
