"""Runs a script of operations against an MCP server with the Python SDK, and prints one line of JSON.

    python clients/py.py URL MODE TOKEN [SCRIPT]

MODE: `legacy`, `auto` (the SDK's default) or `2026-07-28`. The rest, and the line, are as in `ts.mjs`.
"""

import json
import sys
from typing import Any

import anyio
import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

url, mode, token = sys.argv[1:4]
script = sys.argv[4] if len(sys.argv) > 4 else sys.stdin.read()


def describe(error: BaseException) -> dict[str, Any]:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        return {"code": error.error.code, "message": error.error.message}
    return {"code": None, "message": f"{type(error).__name__}: {error}"}


async def perform(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    seen = 0

    async def count(progress: float, total: float | None, message: str | None) -> None:
        nonlocal seen
        seen += 1

    try:
        given = operation.get("arguments", {})
        if "list" in operation:
            result = await getattr(client, f"list_{operation['list']}")()
        elif "prompt" in operation:
            result = await client.get_prompt(operation["prompt"], given)
        elif "read" in operation:
            result = await client.read_resource(operation["read"])
        else:
            result = await client.call_tool(operation["call"], given, progress_callback=count)
    except MCPError as error:
        return {"error": describe(error)}
    ok = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"ok": ok, "progress": seen} if seen else {"ok": ok}


async def converse(transport: Any) -> None:
    async with Client(transport, mode=mode) as client:
        results = [await perform(client, operation) for operation in json.loads(script)]
        print(json.dumps({"protocol": client.protocol_version, "results": results}), flush=True)


async def main() -> int:
    try:
        if url.startswith("stdio:"):
            command, *args = json.loads(url.removeprefix("stdio:"))
            env = {} if token == "-" else {"PORTCULLIS_TOKEN": token}
            await converse(stdio_client(StdioServerParameters(command=command, args=args, env=env)))
        else:
            headers = {} if token == "-" else {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
                await converse(streamable_http_client(url, http_client=http))
    except Exception as error:  # whatever stopped the connection is the answer
        print(json.dumps({"error": describe(error)}), flush=True)
        return 1
    return 0


sys.exit(anyio.run(main))
