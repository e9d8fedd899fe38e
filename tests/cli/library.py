"""A stand-in for `mergeguard_hub.release`, and how the command line is run on it in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mergeguard_hub.cli import main
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release.report import ComponentReport, Inspection, Report, StageReport, Verification

SECRET = bytes(range(32))
DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
PART = ComponentReport("", "LlamaForCausalLM", DIGEST, 12_345, 0.987, 0.5, block_drift=0.0, model_drift=2.5e-7)
STAGES = (
    StageReport("", "UnitRearrangement", {}, "proved", "outputs equal", spaces=2, error=1e-12),
    StageReport("", "HeadMix", {"kind": "exact"}, "refused", "the query-key norm does not commute"),
)


def report(**changes: Any) -> Report:
    """Return what protecting a small Llama reports."""
    fields: dict[str, Any] = {
        "version": 1,
        "id": "release-1",
        "digest": DIGEST,
        "recipe": "exact",
        "key_id": Key(SECRET).id,
        "components": (PART,),
        "stages": STAGES,
        "exact": True,
    }
    return Report(**{**fields, **changes})


class Library:
    """Stands in for `mergeguard_hub.release`: records the calls, writes a sidecar, and answers as told."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        self.error: BaseException | None = None
        self.sidecar_key: str | None = None
        self.report = report()
        self.verification = Verification("protected", DIGEST, DIGEST)

    def protect_folder(self, source: Path, target: Path, **settings: Any) -> Report:
        self._record("protect", source=source, target=target, **settings)
        target.mkdir()
        sidecar = {"key_id": self.sidecar_key or settings["key"].id}
        (target / "mergeguard.json").write_text(json.dumps(sidecar))
        return self.report

    def unlock_folder(self, source: Path, target: Path, **settings: Any) -> Report:
        self._record("unlock", source=source, target=target, **settings)
        return self.report

    def verify_folder(self, path: Path, **settings: Any) -> Verification:
        self._record("verify", path=path, **settings)
        return self.verification

    def inspect_folder(self, path: Path, **settings: Any) -> Inspection:
        self._record("inspect", path=path, **settings)
        return Inspection((PART,), STAGES)

    def read_sidecar(self, path: Path) -> dict[str, Any] | None:
        file = path / "mergeguard.json"
        return json.loads(file.read_text()) if file.exists() else None

    def _record(self, name: str, **given: Any) -> None:
        self.calls[name] = given
        if self.error is not None:
            raise self.error


def run(*arguments: str) -> Result:
    """Run one command in this process; anything that it did not expect is raised here."""
    result = CliRunner().invoke(main, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
