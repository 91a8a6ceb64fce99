# What a developer runs, and what CI runs: the same.
.PHONY: test lint build demo peers

test: peers lint
	cargo test --workspace

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# What the tests need: packages, and real MCP servers and clients. Cheap to repeat.
peers:
	tests/peers/install.sh

build:
	cargo build --release

demo:
	cargo run -- demo
