"""A receiver of the record: OpenTelemetry logs, and batches that are signed as Standard Webhooks says.

    python servers/receiver.py PORT [SECRET]

Port 0 takes a free one. Prints `READY <port>`. What it takes is judged by the official code: `opentelemetry-proto` with
the JSON reader of `protobuf`, and `standardwebhooks` with SECRET.

    POST /v1/logs   OTLP over HTTP, JSON
    POST /hook      a signed batch
    GET /taken      {"logs": [record, ..], "hooks": [{"id", "body"}, ..], "tries": [id or null, ..], "wrong": [reason, ..]}
    POST /behave    {"status": 200, "hang": false, "location": null, "partial": 0}: how it answers from now on

What is answered with another status than 200 is not taken.
"""

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from standardwebhooks import Webhook

port, secret = (sys.argv[1:] + ["0", ""][len(sys.argv) - 1 :])[:2]
lock = threading.Lock()
taken = {"logs": [], "hooks": [], "tries": [], "wrong": []}
behaviour = {"status": 200, "hang": False, "location": None, "partial": 0}
never = threading.Event()


def to_base64(value):
    """Ids are hex digits in OTLP, where the general mapping of protobuf has base64: the one place where they differ."""
    if isinstance(value, dict):
        ids = ("traceId", "spanId")
        return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ids else to_base64(v) for k, v in value.items()}
    return [to_base64(item) for item in value] if isinstance(value, list) else value


def attributes(of):
    return {a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value") for a in of}


def records(body):
    request = ExportLogsServiceRequest()
    json_format.ParseDict(to_base64(json.loads(body)), request)
    return [
        {
            "resource": attributes(resource.resource.attributes),
            "event": record.event_name,
            "time": record.time_unix_nano,
            "severity": record.severity_text,
            "number": record.severity_number,
            "trace": record.trace_id.hex(),
            "body": record.body.string_value,
            "attributes": attributes(record.attributes),
        }
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"{}", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with lock:
            body = json.dumps(taken).encode()
        self.reply(200, body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/behave":
            behaviour.update(json.loads(body))
            return self.reply(200)
        with lock:
            taken["tries"].append(self.headers.get("webhook-id"))
        if behaviour["hang"]:
            never.wait()
        status = behaviour["status"]
        if status != 200:
            location = behaviour["location"]
            return self.reply(status, headers=[("Location", location)] if location else [])
        try:
            with lock:
                self.take(body)
        except Exception as error:
            with lock:
                taken["wrong"].append(f"{type(error).__name__}: {error}")
            return self.reply(500)
        rejected = behaviour["partial"]
        partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": "too old"}}
        self.reply(200, json.dumps(partial if rejected else {}).encode())

    def take(self, body):
        if self.path == "/v1/logs":
            taken["logs"].extend(records(body))
        else:
            content = Webhook(secret).verify(body.decode(), dict(self.headers))
            taken["hooks"].append({"id": self.headers["webhook-id"], "body": content})


server = ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
server.daemon_threads = True
print(f"READY {server.server_address[1]}", flush=True)
server.serve_forever()
