"""The key stream: the same numbers for ever, uniform, and independent of every global generator."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch

from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.stream import Stream

KEY = Key(bytes(range(32)))
LABELS = ("model.layers.0.mlp", "UnitRearrangement")


def fresh() -> Stream:
    """Return the stream that the golden values were drawn from."""
    return KEY.stream(*LABELS)


# Frozen: a release made with these numbers must unlock in every later version. Never renew them to pass a test.


def test_words_are_frozen() -> None:
    expected = [0x35D85A904FDECC34, 0x9F8944B14E35A47F, 0xA22B08971942F1F5, 0x2663C4B65393A5F4]
    assert fresh().words(4).tolist() == expected


def test_words_far_down_the_stream_are_frozen() -> None:
    assert hashlib.sha256(fresh().words(100_000).astype("<u8").tobytes()).hexdigest() == (
        "118b583e69052ee71bd2ebf81b3a04b820c9fcc48d115160ea160928fe192f03"
    )


def test_permutation_is_frozen() -> None:
    assert fresh().permutation(12).tolist() == [3, 6, 0, 10, 7, 1, 2, 11, 5, 4, 9, 8]


def test_signs_are_frozen() -> None:
    assert fresh().signs(12).tolist() == [1, -1, -1, 1, -1, -1, 1, 1, -1, -1, 1, -1]


def test_exponents_are_frozen() -> None:
    assert fresh().exponents(12, 4).tolist() == [0, -1, 1, -2, 2, -3, 3, -4, -1, 2, -2, 3]


def test_uniform_is_frozen() -> None:
    expected = ["0x1.aec2d4827ef64p-3", "0x1.3f1289629c6b5p-1", "0x1.4456112e3285fp-1"]
    assert [value.hex() for value in fresh().uniform(3).tolist()] == expected


def test_mask_is_frozen() -> None:
    assert fresh().mask(b"hello, world").hex() == "5ca9b223ff76f84210d6592a"


def test_normal_is_frozen_up_to_the_last_bits() -> None:
    expected = [-1.2627576422429938, -1.2343314098670486, 0.5618569717533374, 0.7729196150095968, 0.19471373176867604]
    np.testing.assert_allclose(fresh().normal(5), expected, rtol=1e-14)


def test_orthogonal_is_frozen_up_to_rounding() -> None:
    expected = [
        [-0.5408092214274107, -0.8180701703177129, -0.19566957467993143],
        [0.3310231838920658, 0.00686122767633643, -0.9435976765977822],
        [-0.773271645506957, 0.5750774904229178, -0.26708957722801846],
    ]
    np.testing.assert_allclose(fresh().orthogonal(3), expected, rtol=1e-12)


def test_words_follow_the_written_definition() -> None:
    """The definition written out once more: HMAC-SHA-256 of length-prefixed labels, SHAKE-256 in counter mode."""
    message = b"mergeguard stream v1"
    for label in LABELS:
        message += len(label).to_bytes(8, "big") + label.encode()
    seed = hmac.digest(KEY.secret, message, "sha256")
    pool = b"".join(hashlib.shake_256(seed + i.to_bytes(8, "little")).digest(4096) for i in range(3))
    expected = [int.from_bytes(pool[8 * i : 8 * i + 8], "little") for i in range(1200)]
    assert fresh().words(1200).tolist() == expected


# Independence


@pytest.mark.parametrize("parts", [(1, 1, 1), (0, 700), (511, 2, 513), (1000, 24)])
def test_draws_follow_one_another(parts: tuple[int, ...]) -> None:
    stream = fresh()
    pieces = np.concatenate([stream.words(n) for n in parts])
    np.testing.assert_array_equal(pieces, fresh().words(sum(parts)))


def test_labels_are_encoded_without_ambiguity() -> None:
    labels = [(), ("",), ("", ""), ("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ("a\x00b",), ("a", "b"), ("b", "a")]
    seen = {tuple(KEY.stream(*parts).words(2).tolist()) for parts in labels}
    assert len(seen) == len(labels)


def test_another_key_gives_another_stream() -> None:
    other = Key(bytes(31) + b"\x01").stream(*LABELS)
    assert not np.isin(other.words(1000), fresh().words(1000)).any()


DRAWS: dict[str, Callable[[Stream], object]] = {
    "words": lambda s: s.words(10),
    "permutation": lambda s: s.permutation(10),
    "signs": lambda s: s.signs(10),
    "exponents": lambda s: s.exponents(10, 4),
    "uniform": lambda s: s.uniform((2, 5)),
    "normal": lambda s: s.normal((2, 5)),
    "orthogonal": lambda s: s.orthogonal(4),
    "mask": lambda s: s.mask(b"0123456789"),
}


@pytest.mark.parametrize("name", DRAWS)
def test_global_generators_are_neither_read_nor_advanced(name: str) -> None:
    results, states = [], []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        random.seed(seed)
        before = (np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist(), random.getstate())
        results.append(np.asarray(DRAWS[name](fresh())).tobytes())
        after = (np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist(), random.getstate())
        states.append(before == after)
    assert (results[0], states) == (results[1], [True, True])


# Distributions, with a fixed key: the p-values are constants, not chances


def test_words_have_uniform_bytes() -> None:
    counts = np.bincount(np.frombuffer(fresh().words(40_000).tobytes(), dtype=np.uint8), minlength=256)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("bound", [1, 4, 7])
def test_exponents_are_uniform_and_reach_both_ends(bound: int) -> None:
    drawn = fresh().exponents(20_000, bound)
    counts = np.bincount(drawn + bound, minlength=2 * bound + 1)
    assert (drawn.min(), drawn.max()) == (-bound, bound)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_signs_are_balanced() -> None:
    drawn = fresh().signs(20_000)
    assert set(drawn.tolist()) == {-1.0, 1.0}
    assert scipy.stats.binomtest(int((drawn > 0).sum()), 20_000).pvalue > 0.01


def test_permutations_of_four_are_uniform() -> None:
    stream = fresh()
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(4800):
        order = tuple(stream.permutation(4).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 24
    assert scipy.stats.chisquare(list(seen.values())).pvalue > 0.01


def test_uniform_and_normal_have_their_distributions() -> None:
    assert scipy.stats.kstest(fresh().uniform(20_000), "uniform").pvalue > 0.01
    assert scipy.stats.kstest(fresh().normal(20_001), "norm").pvalue > 0.01


class Extremes(Stream):
    """A stream whose words are given."""

    __slots__ = ("_given",)

    def __init__(self, given: list[int]) -> None:
        super().__init__(bytes(32))
        self._given = given

    def _take(self, nbytes: int) -> bytes:
        taken, self._given = self._given[: nbytes // 8], self._given[nbytes // 8 :]
        return b"".join(word.to_bytes(8, "little") for word in taken)


def test_uniform_never_reaches_its_ends() -> None:
    low, high = Extremes([0, 2**64 - 1]).uniform(2).tolist()
    assert (low, high) == (2.0**-53, 1.0 - 2.0**-53)


def test_normal_stays_finite_at_the_extremes() -> None:
    drawn = Extremes([0, 0, 2**64 - 1, 2**64 - 1]).normal(4)
    assert np.isfinite(drawn).all()
    assert drawn[0] == pytest.approx(np.sqrt(106 * np.log(2)))


def test_exponents_redraw_words_past_the_last_full_span() -> None:
    # 2**64 = 9 * k + 7 for bound 4: the seven largest words would favour the low exponents
    assert 2**64 % 9 == 7
    drawn = Extremes([2**64 - 7, 2**64 - 8, 2**64 - 1, 0, 5]).exponents(3, 4)
    assert drawn.tolist() == [4, -4, 1]


# Shapes, inverses and bad input


@pytest.mark.parametrize("n", [0, 1, 2, 16, 65])
def test_orthogonal_is_orthogonal(n: int) -> None:
    q = fresh().orthogonal(n)
    assert q.shape == (n, n)
    np.testing.assert_allclose(q.T @ q, np.eye(n), atol=1e-13)


def test_orthogonal_is_not_biased_by_the_signs_of_lapack() -> None:
    # LAPACK's own Q has one sign of its diagonal far more often; under the Haar measure both are equally likely
    stream = fresh()
    positive = sum(stream.orthogonal(3)[0, 0] > 0 for _ in range(2000))
    assert scipy.stats.binomtest(positive, 2000).pvalue > 0.01


@pytest.mark.parametrize("n", [0, 1, 2, 513])
def test_permutation_is_one(n: int) -> None:
    order = fresh().permutation(n)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("data", [b"", b"x", b"seventeen bytes!!", bytes(5000)])
def test_mask_undoes_itself(data: bytes) -> None:
    masked = fresh().mask(data)
    assert (fresh().mask(masked), masked != data) == (data, bool(data))


@pytest.mark.parametrize(("shape", "expected"), [(3, (3,)), ((2, 3), (2, 3)), ((), ()), ((0, 4), (0, 4))])
def test_shapes(shape: int | tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert (fresh().uniform(shape).shape, fresh().normal(shape).shape) == (expected, expected)


def test_bound_zero_leaves_every_scale_at_one() -> None:
    assert fresh().exponents(5, 0).tolist() == [0, 0, 0, 0, 0]


def test_bad_requests_are_refused() -> None:
    with pytest.raises(RecipeError, match="Cannot draw -1 values"):
        fresh().words(-1)
    with pytest.raises(RecipeError, match=r"must be in 0 \.\. 1074, got -2"):
        fresh().exponents(3, -2)
    with pytest.raises(RecipeError, match="seed of 32 bytes, got 3"):
        Stream(b"abc")
