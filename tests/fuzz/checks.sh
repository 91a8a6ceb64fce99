#!/usr/bin/env bash
# Runs the checks without a fuzzer: the corpora, our parser against other readers, the compiled policy against the naive one.
# With PORTCULLIS_WHOLE set, every reader gets every message.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis}
export CARGO_TARGET_DIR="$cache/fuzz/target"
cd "$here"
# One build for all: what each package asks of its libraries differs, and every difference is a build of its own.
PORTCULLIS_PAIRS=1000000 cargo test --locked -p portcullis-checks -p portcullis_core --tests -- --nocapture \
  nothing_in_the_corpora the_checks_are_built reads_what_we_accept_as_we_do read_what_we_accept_as_we_do \
  the_compiled_policy_decides_as_the_naive_one
