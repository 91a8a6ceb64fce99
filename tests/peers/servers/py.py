"""An MCP server on a Python SDK that speaks every revision.

    python servers/py.py PORT [mcp|fastmcp] [json|sse]

The second argument is the SDK (`mcp` by default), the third how it answers legacy calls: a stream (the default) or one
JSON body. Port 0 takes a free one. Prints `READY <port>`. With `stdio` in the place of the port it speaks on standard
input and output instead.
"""

import json
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.types import CallToolResult, TextContent

port, family, style = (sys.argv[1:] + ["0", "mcp", "sse"][len(sys.argv) - 1 :])[:3]

if family == "fastmcp":
    from fastmcp import Context, FastMCP
    from fastmcp.tools.base import ToolResult

    server = FastMCP("peer-fastmcp", version="1.0.0")

    def answer(text: str, structured: dict[str, Any] | None = None) -> ToolResult:
        return ToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)

    Answer = ToolResult
else:
    from mcp.server.mcpserver import Context, MCPServer

    server = MCPServer("peer-py", version="1.0.0")

    def answer(text: str, structured: dict[str, Any] | None = None) -> CallToolResult:
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)

    Answer = CallToolResult


@server.tool()
def add(a: float, b: float) -> Answer:
    """Adds two numbers"""
    total = a + b
    number = int(total) if total == int(total) else total
    return answer(str(number), {"sum": number})


@server.tool()
def echo(value: Any) -> Answer:
    """Gives any JSON back"""
    return answer(json.dumps(value, separators=(",", ":"), ensure_ascii=False), {"value": value})


@server.tool()
def leak(text: str) -> Answer:
    """Says the given text"""
    return answer(text, {"text": text})


@server.tool()
def big(bytes: int) -> Answer:
    """Says so many bytes"""
    return answer("x" * bytes)


@server.tool()
async def slow(ms: float, ctx: Context) -> Answer:
    """Takes so long, and says how far it is"""
    for step in range(1, 5):
        await anyio.sleep(ms / 4000)
        await ctx.report_progress(step, 4)
    return answer("done")


@server.prompt()
def greet(name: str) -> str:
    """Greets"""
    return f"Hello, {name}"


@server.resource(f"note://{server.name}", mime_type="text/plain")
def note() -> str:
    return f"The note of {server.name}"


class Announced(uvicorn.Server):
    """A server that says when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(f"READY {listener.getsockname()[1]}", flush=True)


if port == "stdio":
    server.run(**({"show_banner": False} if family == "fastmcp" else {}))
    sys.exit()
if family == "fastmcp":
    app = server.http_app(path="/mcp", json_response=style == "json")
else:
    app = server.streamable_http_app(json_response=style == "json")
listener = socket.create_server(("127.0.0.1", int(port)))
Announced(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
