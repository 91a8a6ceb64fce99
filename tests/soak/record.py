"""What the record of calls costs, and how fast it is checked: `make cost` runs it on a release build.

First `benches/record.rs`: how fast `portcullis audit verify` is over a journal, an export, and tables in a Postgres of its own.
Then the same calls with each durability of the journal: for each in turn, several times over, a gateway of its own, a warm-up,
`load.rs` in a closed loop, and then with calls that are due half as often as were answered. Printed are the medians of the
gateway's CPU time for each call of the closed loop (user and system, all threads), of how many were answered, and of the
percentiles of both. CPU time compares the modes even where other programs take a share of the machine; the rest does not. The
generator and the upstream run on the same machine. Nothing is held to a figure here; a call that fails ends it.

`--quick` does little of all that, with a debug build: it shows that this program works, and no figure.
"""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile

from soak import GATEWAY, HERE, ROOT, compiled, load, running, wait_for, write_configuration

MODES = ["async", "journaled", "synced"]
QUICK = "--quick" in sys.argv[1:]
ROUNDS, SECONDS, CALLERS, ROWS = (1, 2, 4, 20_000) if QUICK else (3, 10, 16, 300_000)
PROGRAM = ROOT / "target/debug/portcullis" if QUICK else GATEWAY


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def program(name):
    """A program of Postgres, the newest of the package's, and how it is run: not as root, whom Postgres refuses."""
    packaged = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(packaged[-1]) if packaged else shutil.which(name)
    if not found:
        raise SystemExit(f"record: no {name}: run `make peers`")
    options = {"cwd": "/", "env": {**os.environ, "LC_ALL": "C"}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres")
        options.update(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])
    return found, options


@contextlib.contextmanager
def postgres():
    """A cluster of its own, reached by a socket in its folder; its URL."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        initdb, options = program("initdb")
        made = [initdb, "--auth=trust", "--username=admin", "--no-sync", "--encoding=UTF8", "-D", folder / "data"]
        subprocess.run(made, check=True, **options)
        server, options = program("postgres")
        command = [server, "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        stack.enter_context(running(command, **options))
        answers, options = program("pg_isready")
        asked = [answers, "-q", "-h", folder, "-U", "admin", "-d", "postgres"]
        wait_for("answer of Postgres", lambda: subprocess.run(asked, **options).returncode == 0)
        yield f"postgres://admin@localhost/postgres?host={folder}"


def verify():
    """What the benchmark prints."""
    with postgres() as url:
        command = ["cargo", "bench", "--bench", "record", *(["--profile", "dev"] if QUICK else [])]
        environment = {**os.environ, "AUDIT_DATABASE": url, "ROWS": str(ROWS)}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "rows" in line]


def answered(said, what):
    """All of these calls were."""
    if said["good"] <= 0 or said["refused"] or said["other"] or said["broken"]:
        raise SystemExit(f"record: {what}: not every call was answered: {said}")
    return said


def measure(generator, mode, port):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = write_configuration(folder, port, durability=mode)
        log = stack.enter_context(open(folder / "gateway.log", "w"))
        command = [PROGRAM, "serve", "--config", config, "--ready-file", folder / "ready.json"]
        gateway = stack.enter_context(running(command, stderr=log))
        ready = wait_for("ready file", lambda: (folder / "ready.json").exists() and json.loads((folder / "ready.json").read_text()))
        said = [PROGRAM, "token", "--config", config, "--user", "ana", "--role", "tester"]
        token = subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
        call = (generator, ready["gateway"].removeprefix("http://"), token)
        wait_for("served call", lambda: load(call, 1, 1)["good"] > 0)
        before = cpu_seconds(gateway)
        peak = answered(load(call, CALLERS, SECONDS), mode)
        cpu = cpu_seconds(gateway) - before
        half = answered(load(call, CALLERS, SECONDS, max(peak["good"] / 2, 1)), f"{mode}, at half of that")
        return {
            "cpu_us": cpu * 1e6 / (peak["good"] * SECONDS),
            "calls": peak["good"],
            "p50_ms": peak["p50_ms"],
            "p99_ms": peak["p99_ms"],
            "half_p50_ms": half["p50_ms"],
            "half_p99_ms": half["p99_ms"],
        }


def cost():
    """The medians of each mode."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = compiled(folder)
        node = ROOT / "tests/peers/node_modules/.bin/node"
        upstream = stack.enter_context(running([node, HERE / "upstream.mjs"], stdout=subprocess.PIPE, text=True))
        port = int(upstream.stdout.readline())
        found = {mode: [] for mode in MODES}
        for _ in range(ROUNDS):
            for mode in MODES:
                found[mode].append(measure(generator, mode, port))
    return {mode: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for mode, runs in found.items()}


def main():
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, {CALLERS} callers, {ROUNDS} x {SECONDS} s", flush=True)
    # Which builds the program, too, that a quick run measures.
    for line in verify():
        print(line, flush=True)
    middle = cost()
    print("| journal | CPU of a call | over `async` | calls/s | p50 | p99 | p50 at half of that | p99 at half of that |")
    print("|---|---|---|---|---|---|---|---|")
    for mode, figures in middle.items():
        more = figures["cpu_us"] / middle["async"]["cpu_us"] - 1
        times = " | ".join(f"{figures[key]:.2f} ms" for key in ["p50_ms", "p99_ms", "half_p50_ms", "half_p99_ms"])
        print(f"| `{mode}` | {figures['cpu_us']:.0f} us | {more:+.1%} | {figures['calls']:.0f} | {times} |")
    if QUICK:
        print("these are no figures: little was done, by a debug build")


if __name__ == "__main__":
    main()
