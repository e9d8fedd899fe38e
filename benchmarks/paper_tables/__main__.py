"""MergeGuard's tables 1 to 5 (arXiv 2511.11851), and two of ours: `python -m benchmarks.paper_tables --help`."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks.paper_tables import tables
from benchmarks.paper_tables.family import Family
from benchmarks.paper_tables.measuring import Measuring

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "paper_tables"

work_option = click.option(
    "--work", type=click.Path(path_type=Path), help="Keeps releases and scores; a run that was stopped goes on there."
)
named = {"multiple": True, "required": True, "type": (str, str)}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure MergeGuard as its paper does: alone, merged, beside PaRaMS, stage by stage, attacked."""
    torch.set_num_threads(1)
    disable_progress_bar()


@main.command()
@click.argument("families", nargs=-1, type=click.Choice(["vision", "language"]), metavar="[vision] [language]")
@click.option("--strengths", is_flag=True, help="Also train stage 1 at a higher learning rate.")
@work_option
def zoo(families: tuple[str, ...], strengths: bool, work: Path | None) -> None:
    """The families that are shipped here, both unless one is named; writes benchmarks/results."""
    from benchmarks.paper_tables.zoo import language, vision

    for name in families or ("vision", "language"):
        family = vision() if name == "vision" else language()
        text = _measured(family, (work or WORK) / name, strengths=strengths)
        (ROOT / "benchmarks" / "results" / f"paper-tables-{name}.md").write_text(text + "\n", encoding="utf-8")


@main.command()
@click.option("--base", required=True, help="The whole CLIP model: a folder or an id on the Hub.")
@click.option("--tuned", metavar="NAME MODEL", help="A fine-tuned image encoder; again for each.", **named)
@click.option("--data", metavar="NAME FOLDER", help="Its pictures: train/CLASS/ and test/CLASS/.", **named)
@work_option
def clip(base: str, tuned: tuple[tuple[str, str], ...], data: tuple[tuple[str, str], ...], work: Path | None) -> None:
    """CLIP encoders; openai/clip-vit-large-patch14 and SUN397 ... DTD are the paper's."""
    from benchmarks.paper_tables.clip import clip_folders

    place = work or WORK / "clip"
    _measured(clip_folders(base, dict(tuned), dict(data), place), place)


@main.command()
@click.option("--base", required=True, help="The base model: a folder or an id on the Hub.")
@click.option("--tuned", metavar="NAME MODEL", help="A fine-tune; again for each.", **named)
@click.option(
    "--data", metavar="NAME FILE", help='Its training examples: {"prompt": ..., "answer": ...} a line.', **named
)
@click.option("--task", metavar="NAME TASK", help="What scores it, as of `mergeguard audit --tasks`.", **named)
@work_option
def language(
    base: str,
    tuned: tuple[tuple[str, str], ...],
    data: tuple[tuple[str, str], ...],
    task: tuple[tuple[str, str], ...],
    work: Path | None,
) -> None:
    """Language models; Llama-2-7B with fine-tunes for AlpacaEval, GSM8K and HumanEval is the paper's first."""
    from benchmarks.paper_tables.language import language_folders

    _measured(language_folders(base, dict(tuned), dict(data), dict(task)), work or WORK / "models")


def _measured(family: Family, work: Path, *, strengths: bool = False) -> str:
    """Measure a family, print the tables and leave them beside the scores."""
    text = tables.report(Measuring(family, work, click.echo), strengths=strengths).rstrip()
    click.echo(text)
    (work / "tables.md").write_text(text + "\n", encoding="utf-8")
    return text


if __name__ == "__main__":
    main()
