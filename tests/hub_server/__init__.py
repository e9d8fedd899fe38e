"""A Hub in this process: the HTTP interface that the Hugging Face clients use, offline and for real.

    with LocalHub() as hub:
        hub.add("org/tiny", folder)
        subprocess.run([...], env=hub.environment(tmp_path))  # or connect(hub, monkeypatch, tmp_path) in this process

Repositories have commits, branches, pull requests and a history; large files go through the LFS protocol; every request
is logged with its body; and requests can be made to fail, before they are carried out or after.
"""

from __future__ import annotations

from tests.hub_server.connection import CLIENT_WARNS, connect
from tests.hub_server.server import READ_TOKEN, TOKEN, USER, Exchange, Fault, LocalHub
from tests.hub_server.store import Repository

__all__ = ["CLIENT_WARNS", "READ_TOKEN", "TOKEN", "USER", "Exchange", "Fault", "LocalHub", "Repository", "connect"]
