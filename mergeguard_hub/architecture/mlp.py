"""Find MLPs, plain and gated, dense and stacked experts, and their symmetric spaces.

Source of the algebra: catalogue entries G1 (hidden units) and G2 (the linear half of a gated unit, units of a ReLU) in
docs/symmetries.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mergeguard_hub.architecture.block import Candidate, Mlp, Part
from mergeguard_hub.architecture.names import Names, template_of
from mergeguard_hub.architecture.residual import hidden_sizes
from mergeguard_hub.architecture.space import Claim, Port, Space

GATED: tuple[tuple[str, str, str], ...] = (
    ("gate_proj", "up_proj", "down_proj"),
    ("w1", "w3", "w2"),
    ("wi_0", "wi_1", "wo"),
    ("c_fc_0", "c_fc_1", "c_proj"),
    ("w2", "w1", "c_proj"),
    ("w1", "v1", "w2"),
    ("gate", "up", "down"),
    ("linear_fc1_gate", "linear_fc1_up", "linear_fc2"),
    ("ffn_gate", "ffn_up", "ffn_down"),
    ("w_in.w_0", "w_in.w_1", "w_out"),
    ("wi.0", "wi.1", "wo"),
)
PAIRED: tuple[tuple[str, str], ...] = (
    ("gate_up_proj", "down_proj"),
    ("up_proj", "down_proj"),
    ("fc1", "fc2"),
    ("c_fc", "c_proj"),
    ("fc_in", "fc_out"),
    ("dense_h_to_4h", "dense_4h_to_h"),
    ("intermediate.dense", "output.dense"),
    ("net.0.proj", "net.2"),
    ("net.0", "net.2"),
    ("lin1", "lin2"),
    ("linear1", "linear2"),
    ("wi", "wo"),
    ("Wi", "Wo"),
    ("input_linear", "output_linear"),
    ("linear_in", "linear_out"),
    ("linear_fc1", "linear_fc2"),
    ("w12", "w3"),
    ("w_in", "w_out"),
    ("mlp.0", "mlp.2"),
    ("ffn.0", "ffn.2"),
    ("feed_forward.0", "feed_forward.2"),
    ("intermediate", "output"),
    ("proj_in", "proj_out"),
)
UNITS: frozenset[Claim] = frozenset({"permute", "sign", "scale"})


def find_mlps(names: Names) -> Iterator[Mlp]:
    """Yield every reading of every MLP, likelier readings first."""
    for prefix in names.prefixes:
        for gate, up, down in GATED:
            found = [names.weight(prefix, (leaf,)) for leaf in (gate, up, down)]
            if all(name is not None for name in found):
                yield from _separate(names, prefix, *[name for name in found if name is not None])
                break
        else:
            for first, second in PAIRED:
                into, out = names.weight(prefix, (first,)), names.weight(prefix, (second,))
                if into is not None and out is not None:
                    yield from _paired(names, prefix, into, out)
                    break


def _axes(names: Names, into: str, out: str) -> Iterator[tuple[int, int, int]]:
    """Yield (axis of `into`, axis of `out`, times that `into` is wider) for every way the two can meet.

    Linear is [out, in]; GPT-2's Conv1D and stacked experts may be [in, out]; stacked experts lead with the expert axis.
    """
    a, b = names.shapes[into], names.shapes[out]
    if len(a) != len(b) or len(a) not in (2, 3):
        return
    lead, outer = len(a) - 2, set(hidden_sizes(names).values())
    for first, second in ((lead, lead + 1), (lead + 1, lead)):
        units = b[second]
        other = a[first - 1 if first > lead else first + 1], b[second - 1 if second > lead else second + 1]
        known = not outer or other[0] in outer
        if (
            units > 1
            and known
            and other[0] == other[1]
            and a[first] in (units, 2 * units)
            and (not lead or a[0] == b[0])
        ):
            yield first, second, a[first] // units


def _bias(names: Names, weight: str, units: int) -> str | None:
    """The bias along the units: one axis, or [experts, units] for stacked experts (which this reading leaves out)."""
    bias = names.bias(weight)
    return bias if bias is not None and names.shapes[bias] == (units,) else None


def _separate(names: Names, prefix: str, gate: str, up: str, down: str) -> Iterator[Mlp]:
    if names.shapes[gate] != names.shapes[up]:
        return
    for axis, out_axis, times in _axes(names, up, down):
        if times != 1:
            continue
        units = names.shapes[up][axis]
        at = np.arange(units, dtype=np.int64)
        parts = [Part(name, axis, at, _bias(names, name, units)) for name in (gate, up)]
        down_part = Part(down, out_axis, at)
        yield Mlp(prefix, f"gate beside up, axis {axis}", parts[1], down_part, parts[0])
        yield Mlp(prefix, f"up beside gate, axis {axis}", parts[0], down_part, parts[1])


def _paired(names: Names, prefix: str, into: str, out: str) -> Iterator[Mlp]:
    for axis, out_axis, times in _axes(names, into, out):
        units = names.shapes[out][out_axis]
        at = np.arange(units, dtype=np.int64)
        down = Part(out, out_axis, at)
        bias = _bias(names, into, units * times)
        if times == 1:
            yield Mlp(prefix, f"plain, axis {axis}", Part(into, axis, at, bias), down)
            continue
        halves = {"gate first": (at, at + units), "up first": (at + units, at)}
        halves |= {"gate even": (2 * at, 2 * at + 1), "up even": (2 * at + 1, 2 * at)}
        for reading, (gate, up) in halves.items():
            yield Mlp(prefix, f"{reading}, axis {axis}", Part(into, axis, up, bias), down, Part(into, axis, gate, bias))


def unit_space(names: Names, mlp: Mlp) -> Space:
    """The hidden units: all ports move; scales and signs go onto the linear half and off the output columns.

    A plain MLP claims scales too: they hold for ReLU, and the proof drops them for every other activation.
    """
    column = mlp.up.positions[:, None]
    ports = mlp.up.ports(column, scale=1) + mlp.down.ports(mlp.down.positions[:, None], scale=-1)
    if mlp.gate is not None:
        ports += mlp.gate.ports(mlp.gate.positions[:, None], sign=False)
    stacked = len(names.shapes[mlp.up.weight]) == 3
    if stacked:
        ports += _stacked_biases(names, mlp)
    return Space(f"{mlp.prefix}/units", "hidden_units", mlp.up.positions.size, tuple(ports), UNITS)


def _stacked_biases(names: Names, mlp: Mlp) -> list[Port]:
    ports = []
    for part, sign, scale in ((mlp.up, True, 1), (mlp.gate, False, 0)):
        bias = names.bias(part.weight) if part is not None else None
        if part is not None and bias is not None and len(names.shapes[bias]) == 2:
            ports.append(Port(bias, 1, part.positions[:, None], sign, scale))
    return ports


def mlp_candidates(names: Names, mlps: list[Mlp]) -> list[Candidate]:
    """Return every reading of the MLPs' hidden units, gathered over layers."""
    found: dict[tuple[str, str], list[Space]] = {}
    for mlp in mlps:
        found.setdefault((template_of(mlp.prefix), mlp.reading), []).append(unit_space(names, mlp))
    return [Candidate(template, "units", reading, tuple(spaces)) for (template, reading), spaces in found.items()]
