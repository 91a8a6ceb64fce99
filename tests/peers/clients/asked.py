"""Calls tools of an MCP server that ask back, answers what is asked, and prints one line of JSON.

    python clients/asked.py URL legacy|2026-07-28 TOKEN SCRIPT

As `asked.mjs`, with the Python SDK.
"""

import json
import sys
from typing import Any

import anyio
import httpx2
from mcp import Client, MCPError, types
from mcp.client.streamable_http import streamable_http_client

url, mode, token, script = sys.argv[1:5]
asked: list[str] = []


async def elicit(context: Any, params: Any) -> types.ElicitResult:
    asked.append("elicitation/create")
    return types.ElicitResult(action="accept", content={"name": "Ada", "check": True, "ok": True, "color": "blue"})


async def sample(context: Any, params: Any) -> types.CreateMessageResult:
    asked.append("sampling/createMessage")
    text = types.TextContent(type="text", text="so be it")
    return types.CreateMessageResult(role="assistant", model="none", content=text)


async def roots(context: Any) -> types.ListRootsResult:
    asked.append("roots/list")
    return types.ListRootsResult(roots=[types.Root(uri="file:///work", name="work")])


async def perform(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    try:
        result = await client.call_tool(operation["call"], operation.get("arguments", {}))
    except MCPError as error:
        return {"error": {"code": error.error.code, "message": error.error.message}}
    return {"ok": result.model_dump(mode="json", by_alias=True, exclude_none=True)}


async def main() -> None:
    headers = {} if token == "-" else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        callbacks = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
        async with Client(transport, mode=mode, **callbacks) as client:
            results = [await perform(client, operation) for operation in json.loads(script)]
            print(json.dumps({"results": results, "asked": asked, "heard": []}), flush=True)


anyio.run(main)
