"""What the record of calls costs: the same calls with each durability of the journal, on a release build. `make cost` runs it.

For each mode in turn, several times over: a gateway of its own, a warm-up, then wrk in a closed loop. Printed are the medians
of the gateway's CPU time for each call (user and system, all threads) and of wrk's percentiles. CPU time compares the modes
even where other programs take a share of the machine; the percentiles do not. The generator and the upstream run on the same
machine. Nothing is held to a figure here.
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from soak import GATEWAY, HERE, ROOT, load, running, wait_for, write_configuration

MODES = ["async", "journaled", "synced"]
ROUNDS = int(os.environ.get("COST_ROUNDS", "3"))
SECONDS = int(os.environ.get("COST_SECONDS", "10"))
CALLERS = int(os.environ.get("COST_CALLERS", "16"))


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(mode, port):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = write_configuration(folder, port, durability=mode)
        log = stack.enter_context(open(folder / "gateway.log", "w"))
        command = [GATEWAY, "serve", "--config", config, "--ready-file", folder / "ready.json"]
        gateway = stack.enter_context(running(command, stderr=log))
        ready = wait_for("ready file", lambda: (folder / "ready.json").exists() and json.loads((folder / "ready.json").read_text()))
        said = [GATEWAY, "token", "--config", config, "--user", "ana", "--role", "tester"]
        token = subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
        address = ready["gateway"].removeprefix("http://")
        wait_for("served call", lambda: load(address, token, 1, 1)["good"] > 0)
        before = cpu_seconds(gateway)
        said = load(address, token, CALLERS, SECONDS)
        calls = said["good"] * SECONDS
        return {"cpu_us": (cpu_seconds(gateway) - before) * 1e6 / calls, **said}


def main():
    with contextlib.ExitStack() as stack:
        node = ROOT / "tests/peers/node_modules/.bin/node"
        upstream = stack.enter_context(running([node, HERE / "upstream.mjs"], stdout=subprocess.PIPE, text=True))
        port = int(upstream.stdout.readline())
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before, {CALLERS} callers", flush=True)
        found = {mode: [] for mode in MODES}
        for _ in range(ROUNDS):
            for mode in MODES:
                found[mode].append(measure(mode, port))
    middle = {mode: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for mode, runs in found.items()}
    for mode, figures in middle.items():
        more = figures["cpu_us"] / middle["async"]["cpu_us"] - 1
        print(
            f"{mode:10} {figures['cpu_us']:7.0f} us of CPU a call ({more:+.1%} over async), {figures['good']:7.0f} calls/s, "
            f"p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms"
        )


main()
