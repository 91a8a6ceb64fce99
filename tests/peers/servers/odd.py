"""An MCP server on standard input and output that does what no server should, on demand. No SDK.

    python servers/odd.py [legacy|modern] [what it does at its start ..]

At its start it may be told to `die` (at once), `chatter` (log lines on standard output first), `stay` (it ignores
SIGTERM and the end of its input), `parent` (it has a child process that does so) or `news` (it has resources, and tells
its subscriber what `touch` changes; modern). It writes each message that it
gets to the file `$ODD_LOG`, where that is set, and the number of its process, and its child's, to `$ODD_PIDS`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

era, *start = sys.argv[1:] or ["legacy"]
lock = threading.Lock()


def note(variable, text):
    if path := os.environ.get(variable):
        with open(path, "a") as file:
            file.write(text + "\n")


def say(message):
    with lock:
        sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
        sys.stdout.flush()


def text(value):
    return {"content": [{"type": "text", "text": str(value)}]}


def count(arguments, meta):
    for step in range(1, 4):
        token = meta.get("progressToken")
        if token is not None:
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
        time.sleep(arguments.get("seconds", 0) / 3)
    return text("counted")


def leak(arguments, meta):
    secret = os.environ.get("ODD_SECRET", "none")
    sys.stderr.write(f"the secret is {secret}\n")
    sys.stderr.flush()
    return text(secret)


def garbage(arguments, meta):
    for line in ["Server is listening", "", "{", "[1]", '{"jsonrpc":"2.0","id":4711,"result":{}}', "\x1b[31mred"]:
        say(line)
    return text("said")


subscriber = None


def tell(what, params):
    if subscriber is not None:
        params["_meta"] = {"io.modelcontextprotocol/subscriptionId": subscriber}
        say({"jsonrpc": "2.0", "method": "notifications/" + what, "params": params})


TOOLS = {
    "pid": lambda arguments, meta: text(os.getpid()),
    "environment": lambda arguments, meta: text(" ".join(sorted(os.environ))),
    "cwd": lambda arguments, meta: text(os.getcwd()),
    "die": lambda arguments, meta: os._exit(3),
    "count": count,
    "leak": leak,
    "garbage": garbage,
    "big": lambda arguments, meta: text("x" * arguments["bytes"]),
    "echo": lambda arguments, meta: text(len(arguments["text"])),
    "tell": lambda arguments, meta: text(say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "told"}})),
    "touch": lambda arguments, meta: text(tell("resources/updated", {"uri": arguments["uri"]})),
    "odd": lambda arguments, meta: {"content": [], "extra": float("nan")},
}


def call(message):
    params = message["params"]
    result = TOOLS[params["name"]](params.get("arguments", {}), params.get("_meta", {}))
    if era == "modern":
        result["resultType"] = "complete"
    say({"jsonrpc": "2.0", "id": message["id"], "result": result})


def answer(message):
    method = message["method"]
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
    if method == "initialize" and era == "legacy":
        version = os.environ.get("ODD_VERSION", message["params"]["protocolVersion"])
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "odd", "version": "1"}}
    if method == "server/discover" and era == "modern":
        capabilities = {"tools": {}, "resources": {"subscribe": True}} if "news" in start else {"tools": {}}
        return {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if method == "resources/list" and "news" in start:
        return {"resources": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if method == "tools/list":
        return {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if era == "modern" else {"tools": tools}
    return None


pids = [os.getpid()]
if "stay" in start:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "parent" in start:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    pids.append(subprocess.Popen([sys.executable, "-c", stubborn]).pid)
note("ODD_PIDS", " ".join(map(str, pids)))
if "die" in start:
    sys.exit("it dies, as it was told")
if "chatter" in start:
    say("Starting ..")
    say("  ready")
for line in sys.stdin:
    message = json.loads(line)
    note("ODD_LOG", line.strip())
    if "id" not in message or "method" not in message:
        continue
    if message["method"] == "tools/call" and message["params"]["name"] in TOOLS:
        threading.Thread(target=call, args=[message], daemon=True).start()
        continue
    if message["method"] == "subscriptions/listen" and "news" in start:
        subscriber = message["id"]
        tell("subscriptions/acknowledged", {"notifications": message["params"]["notifications"]})
        continue
    result = answer(message)
    outcome = {"result": result} if result else {"error": {"code": -32601, "message": "Method not found"}}
    say({"jsonrpc": "2.0", "id": message["id"], **outcome})
if "stay" in start:
    time.sleep(600)
