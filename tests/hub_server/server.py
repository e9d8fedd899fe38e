"""The sockets: requests are read whole, logged, made to fail where a test wants it, and answered."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.hub_server.api import READ_TOKEN, TOKEN, USER, Answer, Api, Request, answer_json
from tests.hub_server.store import Refusal, Repository, new_file

__all__ = ["READ_TOKEN", "TOKEN", "USER", "Exchange", "Fault", "LocalHub"]


@dataclass(frozen=True)
class Exchange:
    """One request as it came in, whole, and the status of its answer; 0 where the connection was cut."""

    method: str
    path: str
    body: bytes
    status: int


@dataclass
class Fault:
    """Makes requests fail: those of `method` whose path contains `part`, `times` times.

    Attributes:
        status: of the answer; None cuts the connection.
        done: whether the request is carried out all the same, so that only its answer is lost.
        after_bytes: cut when this much of the body has come in, in place of all of it.
    """

    method: str
    part: str
    status: int | None = 503
    times: int = 1
    done: bool = False
    after_bytes: int | None = None

    def hits(self, method: str, path: str) -> bool:
        """Count down where it fits."""
        fits = self.times > 0 and method == self.method and self.part in path
        self.times -= fits
        return fits


class LocalHub:
    """The server, running in a thread while the context is open.

    Attributes:
        url: what HF_ENDPOINT must be.
        log: every request so far.
        faults: what is to go wrong.
    """

    def __init__(self) -> None:
        self.api = Api()
        self.log: list[Exchange] = []
        self.faults: list[Fault] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _socket_side(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalHub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def repositories(self) -> dict[str, Repository]:
        """Every repository by its id."""
        return self.api.repositories

    @property
    def requests(self) -> list[str]:
        """Every request so far, as "METHOD path"."""
        return [f"{exchange.method} {exchange.path}" for exchange in self.log]

    def add(self, repo_id: str, folder: Path, *, revision: str = "main", gated: bool = False) -> Repository:
        """Publish the files of a folder, and no others, as the next commit of a branch."""
        files = {
            path.relative_to(folder).as_posix(): new_file(path.name, path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        repository = self.repositories.setdefault(repo_id, Repository(repo_id, gated=gated))
        repository.record(revision, f"Upload {folder.name}", files, repository.refs.get(revision))
        return repository

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Return what a branch or commit holds."""
        return {name: file.data for name, file in self.repositories[repo_id].resolve(revision).files.items()}

    def bodies(self) -> bytes:
        """Return the bodies of all requests so far, one after another, and what commits carry in base64."""
        parts = [part for exchange in self.log for part in (exchange.body, *_carried(exchange))]
        return b"\n".join(parts)

    def environment(self, home: Path, **changes: str) -> dict[str, str]:
        """Return the environment of a process that talks to this server and keeps its cache under `home`."""
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        inherited = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
        return {**inherited, **settings, **changes}


def _carried(exchange: Exchange) -> Iterator[bytes]:
    if exchange.method == "POST" and "/commit/" in exchange.path:
        for line in exchange.body.splitlines():
            content = json.loads(line)["value"].get("content")
            if content is not None:
                yield base64.b64decode(content)


def _socket_side(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Connection(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fault = next((fault for fault in hub.faults if fault.hits(self.command, self.path)), None)
            length = int(self.headers.get("Content-Length") or 0)
            part = None if fault is None else fault.after_bytes
            body = self.rfile.read(length if part is None else min(part, length))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            answer = None
            if fault is None or fault.done:
                answer = self._answer(body)
            if fault is not None:
                answer = None if fault.status is None else answer_json({"error": "on purpose"}, fault.status)
            hub.log.append(Exchange(self.command, self.path, body, 0 if answer is None else answer.status))
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self._send(answer)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

        def _answer(self, body: bytes) -> Answer:
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            method = "GET" if self.command == "HEAD" else self.command
            try:
                return hub.api.answer(Request(method, self.path, body, token, hub.url))
            except Refusal as refusal:
                made = answer_json({"error": str(refusal), **refusal.body}, refusal.status)
                code = {"X-Error-Code": refusal.code} if refusal.code else {}
                return Answer(made.status, made.body, {**made.headers, **code, "X-Error-Message": str(refusal)})

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent; `LocalHub.log` has it all."""

    return Connection
