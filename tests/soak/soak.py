"""The gateway under more than it can serve, and among clients that are slow on purpose. `make soak` runs it on a release build.

`load.rs` sends the calls. Its closed loop of CALLERS connections saturates the gateway: that is its peak. Overload is an open
loop, calls that are due ten times as often whatever becomes of them, over CROWD connections for a minute. It fails where
- the calls that are served under overload are fewer than 90 % of the peak,
- memory passes 512 MB,
- ten seconds later the peak is not reached again (90 % of it),
- 2,000 clients that trickle a header raise the others' p99 by more than half.
The generator and the upstream run on the same machine and take their share of it: figures compare with each other alone. The
generator runs with less right to the processor (nice 10), since callers are elsewhere; how much of what was due it could send
is among the figures.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAMED = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
GATEWAY = pathlib.Path(NAMED[0] if NAMED else ROOT / "target/release/portcullis").resolve()
SECONDS = int(os.environ.get("SOAK_SECONDS", "60"))
CALLERS = 64
CROWD = 4000
SLOW = 2000
SECRET = "a secret that only the soak test of portcullis knows"

POLICY = """version: 1
roles: { tester: {} }
tools: [{ match: "*.echo", class: read }]
access: [{ roles: [tester], upstreams: ["*"], level: read }]
redaction: [{ detect: [email, card, secret], action: mask }]
"""


def write_configuration(folder, port, durability="journaled"):
    document = {
        "version": 1,
        "listen": {"ingress": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "upstreams": "upstreams.yaml",
        "policy": "policy.yaml",
        "identity": {"issuers": [{"issuer": "dev", "secret": SECRET, "algorithms": ["HS256"], "audiences": ["soak"]}]},
        "journal": {"path": str(folder / "journal.db"), "durability": durability},
        "telemetry": {"log": "json"},
    }
    upstreams = {
        "version": 1,
        "upstreams": {"one": {"url": f"http://127.0.0.1:{port}/mcp"}},
        "endpoints": {"work": {"upstreams": ["one"]}},
    }
    (folder / "gateway.yaml").write_text(json.dumps(document))
    (folder / "upstreams.yaml").write_text(json.dumps(upstreams))
    (folder / "policy.yaml").write_text(POLICY)
    return folder / "gateway.yaml"


def wait_for(what, found, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise SystemExit(f"soak: no {what} within {seconds} s")


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def compiled(folder):
    program = folder / "load"
    subprocess.run(["rustc", "--edition", "2024", "-O", "-o", program, HERE / "load.rs"], check=True)
    return program


def load(call, callers, seconds, rate=0):
    program, address, token = call
    command = ["nice", "-n", "10", program, address, token, callers, seconds, int(rate)]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"soak: load: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def memory(process, field):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith(field))


async def trickle(address, until):
    """A client that sends a header, one byte each second, and begins anew when it is cut off."""
    host, port = address.split(":")
    while not until.is_set():
        try:
            _, writer = await asyncio.open_connection(host, int(port))
            for byte in b"POST /work/mcp HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 1000:
                if until.is_set():
                    break
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
            writer.close()
        except OSError:
            await asyncio.sleep(0.2)


async def among_slow(call, seconds):
    until = asyncio.Event()
    clients = [asyncio.create_task(trickle(call[1], until)) for _ in range(SLOW)]
    await asyncio.sleep(3)
    try:
        return await asyncio.to_thread(load, call, CALLERS // 4, seconds)
    finally:
        until.set()
        await asyncio.gather(*clients)


def measure(gateway, call):
    short = max(SECONDS // 3, 3)
    load(call, CALLERS, short)
    peak = load(call, CALLERS, short)
    print("peak        ", peak, flush=True)
    overload = load(call, CROWD, SECONDS, 10 * peak["good"])
    print("overload    ", overload, flush=True)
    after = load(call, CALLERS, 10)
    print("afterwards  ", after, f"memory {memory(gateway, 'VmHWM')} MB at most, {memory(gateway, 'VmRSS')} MB now", flush=True)
    alone = load(call, CALLERS // 4, short)
    print("alone       ", alone, flush=True)
    among = asyncio.run(among_slow(call, short))
    print("among slow  ", among, flush=True)
    return {
        "served under overload, of the peak": (overload["good"] / peak["good"], ">=", 0.9),
        "served within ten seconds after it": (after["good"] / peak["good"], ">=", 0.9),
        "memory in MB": (memory(gateway, "VmHWM"), "<=", 512),
        "p99 among slow clients, of p99 alone": (among["p99_ms"] / alone["p99_ms"], "<=", 1.5),
    }


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    node = ROOT / "tests/peers/node_modules/.bin/node"
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        upstream = stack.enter_context(running([node, HERE / "upstream.mjs"], stdout=subprocess.PIPE, text=True))
        config = write_configuration(folder, int(upstream.stdout.readline()))
        log = stack.enter_context(open(folder / "gateway.log", "w"))
        command = [GATEWAY, "serve", "--config", config, "--ready-file", folder / "ready.json"]
        gateway = stack.enter_context(running(command, stderr=log))
        ready = wait_for("ready file", lambda: (folder / "ready.json").exists() and json.loads((folder / "ready.json").read_text()))
        said = [GATEWAY, "token", "--config", config, "--user", "ana", "--role", "tester"]
        token = subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
        call = (compiled(folder), ready["gateway"].removeprefix("http://"), token)
        wait_for("served call", lambda: load(call, 1, 1)["good"] > 0)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
        figures = measure(gateway, call)
    failed = False
    for what, (figure, sign, bound) in figures.items():
        holds = figure >= bound if sign == ">=" else figure <= bound
        failed |= not holds
        print(f"{'ok    ' if holds else 'FAILED'} {what}: {figure:.2f} ({sign} {bound})")
    sys.exit(failed)


if __name__ == "__main__":
    main()
