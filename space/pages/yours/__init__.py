"""Protect yours: what the presets would do to a visitor's model, and the release to take away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from space.choice import ChoiceError
from space.failures import in_sentences
from space.page import Built, Page
from space.pages.yours import protecting
from space.pages.yours.look import PRESETS, look_at
from space.pages.yours.look import render as render_look
from space.pages.yours.model import LARGEST_BYTES, TAKEN, received
from space.pages.yours.protecting import render as render_release
from space.status import Status

_SLUG = "yours"
_ABOUT = f"""
Give the id of a public model on the Hub, or upload one: `model.safetensors` with `config.json`, up to
{LARGEST_BYTES >> 20} MB. Weights are read and rearranged, and no code of a model is ever run. What you upload and what
is made of it are removed; for larger models and for private ones take the library.
"""
_SIGNED_IN = bool(os.environ.get("OAUTH_CLIENT_ID"))  # Spaces sets it where visitors can sign in


@in_sentences
def look(repository: str, files: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    """Prove what each preset may do to a model, and say how many of its weights it would move.

    Args:
        repository: id of a model on the Hub, or "".
        files: uploaded files of a model, instead.

    Returns:
        The state of the run and the result, both HTML.
    """
    status = Status(1)
    yield status.now("Proving its architecture"), gr.skip()
    with received(repository, files) as folder:
        found = look_at(folder)
    status.step()
    yield status.finished("Looked at just now"), render_look(found)


@in_sentences
def protect(repository: str, files: Sequence[str] | None, preset: str) -> Iterator[tuple[str, Any, Any, Any]]:
    """Protect a model with a new key.

    Args:
        repository: id of a model on the Hub, or "".
        files: uploaded files of a model, instead.
        preset: "exact", "mergelock" or "params".

    Returns:
        The state of the run and the result as HTML, the text of the key file, and the release as a zip.
    """
    _check_preset(preset)
    status = Status(1)
    yield status.now("Protecting and verifying"), gr.skip(), gr.skip(), gr.skip()
    with received(repository, files) as folder:
        done = protecting.protect(folder, preset)
    status.step()
    archive = gr.update(value=str(done.archive), visible=True)
    try:
        key = gr.update(value=done.key, visible=True)
        yield status.finished("Protected just now"), render_release(done), key, archive
    finally:  # by now Gradio has a copy of its own, which it removes in time
        if done.archive is not None:
            done.archive.unlink()


@in_sentences
def publish(
    repository: str, files: Sequence[str] | None, preset: str, target: str, token: gr.OAuthToken | None
) -> Iterator[tuple[str, Any, Any]]:
    """Protect a model with a new key and push the release with the visitor's own login."""
    _check_preset(preset)
    if token is None:
        raise ChoiceError("Sign in first: the release is pushed in your name.")
    if not isinstance(target, str) or not target.strip():
        raise ChoiceError("Name the repository that the release goes to: owner/name.")
    status = Status(1)
    yield status.now("Protecting, verifying and pushing"), gr.skip(), gr.skip()
    with received(repository, files) as folder:
        done = protecting.protect(folder, preset, repository=target.strip(), token=token.token)
    status.step()
    yield status.finished("Pushed just now"), render_release(done), gr.update(value=done.key, visible=True)


def build() -> Built:
    """Lay out the tab."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            repository = gr.Textbox(label="Model on the Hub", placeholder="owner/name", max_length=200)
            files = gr.File(label="Or its files", file_count="multiple", file_types=list(TAKEN), height=160)
            run = gr.Button("Look at it", variant="primary", elem_id=f"{_SLUG}-run")
            preset = gr.Radio(list(PRESETS), value=PRESETS[0], label="Preset")
            take = gr.Button("Protect it", elem_id=f"{_SLUG}-protect")
        with gr.Column(scale=4, min_width=320):
            status = gr.HTML(elem_id=f"{_SLUG}-status")
            result = gr.HTML(elem_id=f"{_SLUG}-result", min_height=200)
            key = gr.Code(label="The key, shown once", language="json", visible=False, interactive=False)
            archive = gr.File(label="The release", visible=False, interactive=False)
    shared: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": _SLUG, "show_progress": "hidden"}
    given = [repository, files]
    run.click(look, given, [status, result], api_name="look", **shared)
    take.click(protect, [*given, preset], [status, result, key, archive], api_name="protect", **shared)
    if _SIGNED_IN:
        _lay_out_pushing([*given, preset], [status, result, key], shared)
    return Built({"repository": repository, "preset": preset}, run)


def _lay_out_pushing(given: list[Any], outputs: list[Any], shared: dict[str, Any]) -> None:
    with gr.Row():
        gr.LoginButton()
        target = gr.Textbox(label="Push to", placeholder="owner/name", max_length=200)
        push = gr.Button("Protect and push", elem_id=f"{_SLUG}-push")
    push.click(publish, [*given, target], outputs, api_visibility="private", **shared)


def _check_preset(preset: object) -> None:
    if preset not in PRESETS:
        raise ChoiceError(f"There is no preset {str(preset)[:40]!r}: choose one of {', '.join(PRESETS)}.")


PAGE = Page(_SLUG, "Protect yours", _ABOUT, build)
