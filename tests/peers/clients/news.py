"""Listens for news of an MCP server with the Python SDK, and prints a line of JSON for each thing that happens.

    python clients/news.py URL TOKEN FILTER

It speaks 2026-07-28. FILTER and the lines are as in `news.mjs`, but that news are the SDK's own names of events.
"""

import dataclasses
import json
import sys
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost

url, token, wanted = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=None) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="2026-07-28") as client:
            listening = client.listen(
                tools_list_changed=wanted.get("toolsListChanged", False),
                prompts_list_changed=wanted.get("promptsListChanged", False),
                resources_list_changed=wanted.get("resourcesListChanged", False),
                resource_subscriptions=wanted.get("resourceSubscriptions", []),
            )
            async with listening as subscription:
                honoured = subscription.honored.model_dump(mode="json", by_alias=True, exclude_none=True)
                say({"listening": honoured})
                try:
                    async for event in subscription:
                        fields = dataclasses.asdict(event) if dataclasses.is_dataclass(event) else event.model_dump()
                        say({"news": type(event).__name__, "params": fields})
                    say({"closed": "graceful"})
                except SubscriptionLost:
                    say({"closed": "remote"})


anyio.run(main)
