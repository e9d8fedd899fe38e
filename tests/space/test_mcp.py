"""The page's functions offered to language models, called by a real client of the Model Context Protocol."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from space.app import main
from tests.space.visit import serving

TOOLS = {"images", "language", "vision", "attack", "merge_path", "look", "protect"}


def test_tools_are_named_as_the_functions_described_and_answer() -> None:
    # In a thread of its own: the browser of other tests keeps an event loop in this one.
    with serving("--mcp") as address, ThreadPoolExecutor(1) as elsewhere:
        listed, answered, refused = elsewhere.submit(anyio.run, _ask, f"{address}gradio_api/mcp/").result()
    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == TOOLS
    assert all(tool.description for tool in tools.values())
    assert "defender" in tools["vision"].inputSchema["properties"]
    assert not answered.isError
    assert "Computed just now" in answered.content[0].text
    assert refused.isError
    assert "Traceback" not in refused.content[0].text


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("space.app.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["--mcp"])
    assert result.exit_code == 1
    assert "mergeguard-hub[mcp]" in result.output


async def _ask(address: str) -> tuple[Any, Any, Any]:
    choice = {"defender": "scenes", "partner": "aerial", "protection": "exact", "merge": "TIES", "weight": 1.0}
    async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        return (
            await session.list_tools(),
            await session.call_tool("vision", choice),
            await session.call_tool("vision", {**choice, "defender": "<script>"}),
        )
