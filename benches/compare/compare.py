"""Portcullis and others on the same work, in one run: `make bench`, or `make bench QUICK=1` for a few minutes' worth.

For each work all contenders are up at once and take turns, A B C A B C, so that what else the machine does meets them all.
The figure that noise touches least is the CPU time that a contender's processes spend, divided by the calls; ratios are
to the bare pass-through of the same round, and the median of the rounds is what is told. Every answer is checked by the
generator; a wrong one ends the run. Where there are four cores or more, contenders and generator have cores of their own.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time

import contenders
from contenders import Missing

VERSION = "2026-07-28"
PATIENCE = 30
BASE = "bare pingora"
WHOLE = "Portcullis, everything on"
POLICY = "Portcullis, token and policy"


class Work:
    """A request, what its answer must be, and how many calls make a round."""

    def __init__(self, name, calls, tool=None, text="x" * 40, *, method="tools/call", status=200, holds='"complete"', varies=False, size=0, token=None):
        self.name, self.calls, self.status, self.holds, self.varies, self.size = name, calls, status, holds, varies, size
        self.method, self.tool, self.token = method, tool, token
        meta = {"progressToken": "p", f"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
        params = {"name": tool, "arguments": {"text": text}} if tool else {}
        self.body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}, separators=(",", ":"))

    def request(self, contender):
        name = f"Mcp-Name: {self.tool}\r\n" if self.tool else ""
        return (
            f"POST /work/mcp HTTP/1.1\r\nHost: 127.0.0.1:{contender.port}\r\nAuthorization: Bearer {self.token or contender.token}\r\n"
            f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: {VERSION}\r\nMcp-Method: {self.method}\r\n{name}Content-Length: {len(self.body)}\r\n\r\n{self.body}"
        ).encode()


SMALL = Work("300 B, answer of 1 KiB", 4000, "echo", "x" * 90, size=1000)
WORKS = [
    SMALL,
    Work("the same with a finding", 3000, "person", size=950, holds=" wrote from "),
    Work("64 KiB both ways", 600, "upload", "The quick brown fox. " * 3100, size=65000),
    Work("answer of 1 MiB", 60, "large", size=1 << 20),
    Work("the same with a finding", 60, "persons", size=1 << 20, holds=" wrote from "),
    Work("10,000 events", 12, "events", holds='"text":"done"', size=1 << 20),
]
REFUSALS = [
    Work("denied by a rule", 3000, "denied", holds="Unknown tool"),
    Work("bad token", 3000, "echo", status=401, holds="", token="not.a.token"),
    Work("rate-limited", 3000, "limited", status=429, holds="Rate limit reached", varies=True),
]


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.rows, self.missing = [], []
        self.share = 0.25 if options.quick else 1.0
        self.rounds = 3 if options.quick else 7

    def program(self, name):
        return pathlib.Path(self.options.programs) / name

    def load(self, contender, work, calls, callers, rate=None):
        """What the generator says of `calls`; ends the run where an answer was wrong."""
        request = self.folder / "request"
        request.write_bytes(work.request(contender))
        command = [self.program("compare-load"), "--to", f"127.0.0.1:{contender.port}", "--request", request]
        command += ["--calls", calls, "--callers", callers, "--status", work.status, "--holds", work.holds, "--bytes", work.size]
        if rate:
            command += ["--rate", rate]
        if work.varies:
            command.append("--varies")
        if contender.name == WHOLE and work.tool and work.tool.startswith("person"):
            command += ["--lacks", "@mail.example"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env={**os.environ, "RUST_BACKTRACE": "0"}, preexec_fn=contenders.pin("load"))
        if done.returncode != 0:
            raise SystemExit(f"compare: {contender.name}, {work.name}: {done.stderr[:2000]}")
        return json.loads(done.stdout)

    def measure(self, contender, work, calls, callers):
        before = contender.cpu()
        said = self.load(contender, work, calls, callers)
        return {**said, "cpu_us": (contender.cpu() - before) / said["calls"] * 1e6, "rate": said["calls"] / said["seconds"]}

    def interleave(self, group, work, callers=16, base=BASE):
        """Rounds of all contenders in turn; the median of each, and of its ratio to `base` within a round."""
        calls = max(int(work.calls * self.share), callers)
        for contender in group:
            self.load(contender, work, max(calls // 4, callers), callers)
        rounds = []
        for _ in range(self.rounds):
            rounds.append({contender.name: self.measure(contender, work, calls, callers) for contender in group})
        for contender in group:
            median = lambda key: statistics.median(one[contender.name][key] for one in rounds)
            has_base = base in rounds[0] and rounds[0][base]["cpu_us"] > 0 and contender.process
            ratio = statistics.median(one[contender.name]["cpu_us"] / one[base]["cpu_us"] for one in rounds) if has_base else None
            self.add(work=work.name, callers=callers, contender=contender.name, cpu_us=median("cpu_us"), ratio=ratio, base=base,
                     rate=median("rate"), p50_us=median("p50_us"), p99_us=median("p99_us"))
        return {contender.name: statistics.median(one[contender.name]["rate"] for one in rounds) for contender in group}

    def add(self, **row):
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    @contextlib.contextmanager
    def up(self, starts, tools=0):
        """All contenders of `starts` (name: how) in front of one upstream; what is not installed is left out with a word."""
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(contenders.upstream(self.program("compare-upstream"), tools))
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
            group = []
            for name, start in starts.items():
                try:
                    group.append(stack.enter_context(start(name, folder, port)))
                except Missing as missing:
                    if str(missing) not in self.missing:
                        self.missing.append(str(missing))
            for contender in group:
                self.await_tools(contender)
            yield group

    def await_tools(self, contender):
        """Until it serves a call: a gateway has to ask for the list of tools first."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.load(contender, SMALL, 1, 1)
            except SystemExit:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def portcullis(self, rules, whole=True):
        return lambda *where: contenders.portcullis(self.options.portcullis, rules, whole, *where)

    def bare(self):
        return lambda *where: contenders.passthrough(self.program("compare-passthrough"), *where)

    def contest(self):
        starts = {"direct": contenders.direct, "nginx": contenders.nginx, "Envoy": contenders.envoy, BASE: self.bare()}
        starts |= {POLICY: self.portcullis(10, False), WHOLE: self.portcullis(1000)}
        for text in self.options.other:
            name, command = text.split("=", 1)
            starts[name] = lambda *where, command=command: contenders.other(command, *where)
        with self.up(starts) as group:
            idle = {contender.name: contender.memory() for contender in group if contender.process}
            for work in WORKS:
                peak = self.interleave(group, work)
                if work is SMALL:
                    for callers in (1, 64):
                        self.interleave(group, work, callers)
                    self.latency(group, peak[WHOLE] / 4)
            self.memory(group, idle)

    def latency(self, group, rate):
        """At a quarter of what Portcullis serves at most, for all."""
        calls = int(rate * (2 if self.options.quick else 10))
        rounds = [{contender.name: self.load(contender, SMALL, calls, 16, rate) for contender in group} for _ in range(self.rounds)]
        for contender in group:
            median = lambda key: statistics.median(one[contender.name][key] - one["direct"][key] for one in rounds)
            self.add(work=f"added at {rate:.0f} calls/s", contender=contender.name, added_p50_us=median("p50_us"), added_p99_us=median("p99_us"))

    def memory(self, group, idle):
        work = next(work for work in WORKS if work.tool == "upload")
        for contender in group:
            if contender.process:
                self.load(contender, work, int(2000 * self.share), 64)
                self.add(work="memory", contender=contender.name, idle_mib=idle[contender.name], loaded_mib=contender.memory(), peak_mib=contender.memory("VmHWM"))

    def refusals(self):
        with self.up({WHOLE: self.portcullis(1000)}) as group:
            (only,) = group
            self.load(only, Work("spent", 1, "limited", holds="", status=200), 1, 1)
            for work in REFUSALS:
                self.load(only, work, 100, 16)
                rounds = [(self.measure(only, SMALL, int(2000 * self.share), 16), self.measure(only, work, int(3000 * self.share), 16)) for _ in range(self.rounds)]
                ratio = statistics.median(refused["cpu_us"] / served["cpu_us"] for served, refused in rounds)
                cpu = statistics.median(refused["cpu_us"] for _, refused in rounds)
                self.add(work=f"refused: {work.name}", callers=16, contender=WHOLE, cpu_us=cpu, ratio=ratio, base="its own small call")

    def lists(self):
        # A page of Portcullis's has a thousand tools at most, so a longer list would not be the same work for both.
        for tools, calls in [(10, 3000), (200, 1000), (1000, 200)]:
            listed = Work(f"tools/list of {tools}", calls, method="tools/list", holds=f'"tool_{tools - 9}"', size=tools * 100)
            with self.up({BASE: self.bare(), WHOLE: self.portcullis(1000)}, tools - 8) as group:
                self.interleave(group, listed)

    def policies(self):
        base = "10 rules"
        with self.up({f"{rules:,} rules".replace(",", " ") if rules > 10 else base: self.portcullis(rules) for rules in (10, 1000, 10000)}) as group:
            self.interleave(group, SMALL, base=base)


def table(rows, missing):
    """The rows as Markdown, one table for each kind."""
    lines = ["| work | contender | CPU per call, µs | ratio | calls/s | p50, µs | p99, µs |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        if "cpu_us" not in row:
            continue
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}" + ("" if row["base"] == BASE else f" of {row['base']}")
        speed = f"{row['rate']:.0f} | {row['p50_us']:.0f} | {row['p99_us']:.0f}" if "rate" in row else " | | "
        callers = f", {row['callers']} callers" if row["callers"] != 16 else ""
        cpu = f"{row['cpu_us']:.0f}" if row["cpu_us"] else ""
        lines.append(f"| {row['work']}{callers} | {row['contender']} | {cpu} | {ratio} | {speed} |")
    lines += ["", "| | added p50, µs | added p99, µs |", "|---|---:|---:|"]
    lines += [f"| {row['work']}, {row['contender']} | {row['added_p50_us']:.0f} | {row['added_p99_us']:.0f} |" for row in rows if "added_p50_us" in row]
    lines += ["", "| memory, MiB | idle | after 64 callers with 64 KiB | at most |", "|---|---:|---:|---:|"]
    lines += [f"| {row['contender']} | {row['idle_mib']:.0f} | {row['loaded_mib']:.0f} | {row['peak_mib']:.0f} |" for row in rows if "idle_mib" in row]
    return "\n".join([*lines, "", *(f"Left out: {one}" for one in missing)])


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system(), "threads": contenders.THREADS, "load_before": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="target/release", help="where compare-upstream, -passthrough and -load are")
    parser.add_argument("--portcullis", default="target/release/portcullis")
    parser.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    parser.add_argument("--only", choices=["contest", "refusals", "lists", "policies"], help="one part")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=COMMAND", help="another proxy; {port} is its port, {upstream} the upstream's")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows there too")
    options = parser.parse_args()
    about = machine()
    print(json.dumps(about), flush=True)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(options, pathlib.Path(name))
        for part in ["contest", "refusals", "lists", "policies"]:
            if options.only in (None, part):
                getattr(bench, part)()
    print(f"\n{about['cpu']}, {about['cores']} cores, {contenders.THREADS} threads for each contender\n")
    print(table(bench.rows, bench.missing))
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "rows": bench.rows, "missing": bench.missing}, indent=1))


main()
