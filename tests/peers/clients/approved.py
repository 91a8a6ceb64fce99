"""Calls a tool that needs the approval of a person, plays that person, and prints one line of JSON.

    python clients/approved.py URL legacy|2026-07-28 TOKEN SCRIPT

As `approved.mjs`, with the Python SDK.
"""

import json
import sys
from typing import Any

import anyio
import httpx2
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

url, mode, token, script = sys.argv[1:5]
wanted = json.loads(script)
deciding = wanted["deciding"]
asked = False


async def decide(link: str) -> None:
    path = f"{deciding['admin']}/api/approvals/{link.rsplit('/', 1)[1]}/approve"
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {deciding['token']}"}) as http:
        answer = await http.post(path, json={})
        answer.raise_for_status()


async def elicit(context: Any, params: Any) -> types.ElicitResult:
    global asked
    asked = True
    await decide(params.url)
    return types.ElicitResult(action="accept")


async def main() -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        callbacks = {"elicitation_callback": elicit} if deciding["page"] else {}
        async with Client(transport, mode=mode, **callbacks) as client:
            result = await client.call_tool(wanted["call"], wanted["arguments"])
            said = result.model_dump(mode="json", by_alias=True, exclude_none=True)
            approval = said.get("_meta", {}).get("portcullis/approval")
            if approval:
                await decide(approval["url"])
                result = await client.call_tool(wanted["call"], wanted["arguments"])
                said = result.model_dump(mode="json", by_alias=True, exclude_none=True)
            print(json.dumps({"result": said, "asked": asked}), flush=True)


anyio.run(main)
