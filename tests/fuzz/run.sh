#!/usr/bin/env bash
# Runs fuzz targets: tests/fuzz/run.sh SECONDS [TARGET...], by default all of them, two at a time. It fails where one finds
# something; the input stands in tests/fuzz/artifacts/TARGET then, and `tests/fuzz/run.sh 0 TARGET FILE` shows it again.
#
# It begins from tests/fuzz/corpus and from what earlier runs have found, which is kept with the build in PORTCULLIS_CACHE
# (by default ${XDG_CACHE_HOME:-$HOME/.cache}/portcullis). With SEED set it begins from tests/fuzz/corpus alone and makes up
# the same inputs each time, as far as it comes: so the everyday run fails for what a change did, not by luck.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis}
version=0.13.2
tool="$cache/cargo-fuzz-$version"
export CARGO_TARGET_DIR="$cache/fuzz/target"

say() { printf 'fuzz: %s\n' "$*" >&2; }

# The programs, built as cargo-fuzz does it. Portcullis has no unsafe code of its own, so no sanitizer is worth its price in
# speed; what it needs of an unstable compiler are the coverage counters alone.
build() {
  mkdir -p "$cache"
  exec 9>"$cache/fuzz.lock"
  flock 9
  if [ ! -x "$tool/bin/cargo-fuzz" ]; then
    say "installing cargo-fuzz $version"
    CARGO_TARGET_DIR="$cache/fuzz/tool" cargo install -q cargo-fuzz --version "$version" --locked --debug --root "$tool"
    rm -rf "$cache/fuzz/tool"
  fi
  PATH="$tool/bin:$PATH" RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir "$here" --sanitizer none --target "$triple" 2>&1 |
    grep -vE '^ +(Compiling|Finished|Downloaded|Downloading)' >&2 || [ "${PIPESTATUS[0]}" -eq 0 ]
  flock -u 9
}

dictionary() {
  case $1 in
    jsonrpc) echo json ;;
    policy | config) echo yaml ;;
    redact) echo text ;;
    *) echo "$1" ;;
  esac
}

# One target for some seconds; its log is shown where it fails.
run() {
  local target=$1 seconds=$2 log="$cache/fuzz/$1.log" grown="$cache/fuzz/corpus/$1" status=0
  if [ -n "${SEED:-}" ]; then
    rm -rf "$grown.once"
    grown=$grown.once
  fi
  mkdir -p "$grown" "$here/artifacts/$target"
  "$built/$target" "$grown" "$here/corpus/$target" -seed="${SEED:-0}" -max_total_time="$seconds" -rss_limit_mb=512 -timeout=1 -max_len=4096 \
    -dict="$here/dictionaries/$(dictionary "$target").dict" -artifact_prefix="$here/artifacts/$target/" \
    -print_final_stats=1 >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ] && ! stalled "$target" "$log"; then
    tail -n 60 "$log" >&2
    say "$target failed; see tests/fuzz/artifacts/$target"
    return 1
  fi
  say "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, peak $(sed -n 's/^stat::peak_rss_mb: *//p' "$log") MB"
}

# Whether it failed because the machine stood still: libFuzzer's clock is the wall's. Then the same input is quick by itself.
stalled() {
  local input
  grep -q '^SUMMARY: libFuzzer: timeout' "$2" || return 1
  input=$(sed -n 's/.*Test unit written to //p' "$2" | tail -n 1)
  for _ in 1 2 3; do
    "$built/$1" -timeout=1 -rss_limit_mb=512 "$input" >>"$2" 2>&1 && rm -f "$input" && return 0
  done
  return 1
}

triple=$(rustc -vV | sed -n 's/^host: //p')
built="$CARGO_TARGET_DIR/$triple/release"
seconds=${1:?how many seconds?}
shift
build
if [ "$seconds" = 0 ]; then
  exec "$built/$1" "${@:2}"
fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(jsonrpc sse token policy redact config)
failed=0
for ((at = 0; at < ${#targets[@]}; at += 2)); do
  pids=()
  for target in "${targets[@]:at:2}"; do
    run "$target" "$seconds" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
done
exit "$failed"
