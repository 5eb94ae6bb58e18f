"""Keyed random numbers: a draw is a pure function of (seed, replication, purpose, entity, index).

Nothing is consumed, so neither the order of events nor an added entity changes anybody's numbers, and
strategies under comparison meet the same ones. The generator is the finalizer of SplitMix64 (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014; constants by Stafford, variant 13) applied once
for the entity and once for the index to a key hashed from the rest. Scalars and arrays give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, odd: neighbouring keys land far apart
_STEP_1 = 0xBF58476D1CE4E5B9
_STEP_2 = 0x94D049BB133111EB
_ULP = 2.0**-53
_ONE, _STEP = np.uint64(1), np.uint64(_GOLDEN)
_FACTOR_1, _FACTOR_2 = np.uint64(_STEP_1), np.uint64(_STEP_2)
_SHIFT_1, _SHIFT_2, _SHIFT_3, _SHIFT_UNIFORM = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_PIECE = 2**14
_MOST_INTEGERS = 2**11
"""So that 53 random bits times their number fit into 64."""

Integers: TypeAlias = int | NDArray[np.integer]
"""An integer or an array of integers."""


class Draws:
    """The random numbers of one replication.

    Args:
        seed: any integer, of any size or sign.
        replication: which repetition of the experiment; each has numbers of its own.
    """

    __slots__ = ("_keys", "replication", "seed")

    def __init__(self, seed: int, replication: int = 0) -> None:
        self.seed = seed
        self.replication = replication
        self._keys: dict[str, int] = {}

    def uniform(self, purpose: str, entity: int = 0, index: int = 0) -> float:
        """A number in [0, 1), a multiple of 2**-53. Entity and index count modulo 2**64."""
        return (self._bits(purpose, entity, index) >> 11) * _ULP

    def uniform_array(self, purpose: str, entity: Integers = 0, index: Integers = 0) -> NDArray[np.float64]:
        """`uniform` for each (entity, index), which broadcast against each other; equal to it bit for bit."""
        key = np.uint64(self._key(purpose))
        if isinstance(entity, int) or not isinstance(index, int) or np.ndim(entity) != 1:
            return _uniform_of(_bits_of(key, entity, index))
        # Piece by piece, in a processor's cache.
        uniform = np.empty(len(entity))
        for at in range(0, len(entity), _PIECE):
            piece = slice(at, at + _PIECE)
            uniform[piece] = _uniform_of(_bits_of(key, entity[piece], index))
        return uniform

    def keys(self, purposes: Sequence[str]) -> NDArray[np.uint64]:
        """What stands for each of these purposes in `uniform_of`."""
        return np.array([self._key(purpose) for purpose in purposes], np.uint64)

    def uniform_of(self, keys: NDArray[np.uint64], entity: Integers, index: Integers) -> NDArray[np.float64]:
        """`uniform` where each draw has a purpose of its own, given by `keys`."""
        return _uniform_of(_bits_of(keys, entity, index))

    def keyed(self, purpose: str, entity: NDArray[np.int64]) -> KeyedDraws:
        """The draws of one purpose for these entities, which many will be asked of."""
        return KeyedDraws(_mixed_entities(np.uint64(self._key(purpose)), entity))

    def integer_below(self, n: int, purpose: str, entity: int = 0, index: int = 0) -> int:
        """An integer from 0 to n - 1: the same draw as `uniform`, scaled. Even to within n / 2**53."""
        assert n >= 1, f"no integer from 0 to {n - 1}"
        return (self._bits(purpose, entity, index) >> 11) * n >> 53

    def integers_below(
        self, n: int, purpose: str, entity: Integers = 0, index: Integers = 0
    ) -> NDArray[np.int64]:
        """`integer_below` for each (entity, index); equal to it bit for bit."""
        assert 1 <= n <= _MOST_INTEGERS, f"integers from 0 to {n - 1} for arrays"
        bits = _bits_of(np.uint64(self._key(purpose)), entity, index) >> np.uint64(11)
        return (bits * np.uint64(n) >> np.uint64(53)).astype(np.int64)

    def _bits(self, purpose: str, entity: int, index: int) -> int:
        key = self._keys.get(purpose)
        if key is None:
            key = self._key(purpose)
        mixed = _mixed(key + (entity + 1) * _GOLDEN & _MASK)
        return _mixed(mixed + (index + 1) * _GOLDEN & _MASK)

    def _key(self, purpose: str) -> int:
        # Python's own hash of a text differs from process to process.
        text = f"{self.seed}/{self.replication}/{purpose}"
        key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
        self._keys[purpose] = key
        return key


class KeyedDraws:
    """Draws of one purpose: what depends on the entity alone is worked out."""

    __slots__ = ("_mixed",)

    def __init__(self, mixed: NDArray[np.uint64]) -> None:
        self._mixed = mixed

    def uniform(self, place: NDArray[np.integer], index: NDArray[np.int64]) -> NDArray[np.float64]:
        """`Draws.uniform` for the entities at these places and an index of each."""
        with np.errstate(over="ignore"):
            return _uniform_of(_mixed_array(_stepped_array(self._mixed[place], index.astype(np.uint64))))


def _mixed_entities(key: np.uint64 | NDArray[np.uint64], entity: Integers) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # unsigned arithmetic wraps, as the mask makes scalars do
        return _mixed_array(_stepped_array(key, _as_uint64(entity)))


def _bits_of(key: np.uint64 | NDArray[np.uint64], entity: Integers, index: Integers) -> NDArray[np.uint64]:
    mixed, indices = _mixed_entities(key, entity), _as_uint64(index)
    with np.errstate(over="ignore"):
        return _mixed_array(_stepped_array(mixed, indices))


def _stepped_array(bits: np.uint64 | NDArray[np.uint64], number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`stepped` for each element of an array of numbers that nobody else holds."""
    if np.ndim(number) == 0 or np.ndim(bits) > np.ndim(number):
        scalar: NDArray[np.uint64] = stepped(bits, number)
        return scalar
    number += _ONE
    number *= _STEP
    # Broadcast against each other, they may be more than these.
    return np.add(bits, number, out=number if np.ndim(bits) == 0 or np.shape(bits) == number.shape else None)


def _uniform_of(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    uniform = (bits >> np.uint64(11)).astype(np.float64)
    uniform *= _ULP
    return uniform


# Of 64-bit numbers, which wrap: for arrays, for numpy's scalars, and compiled (fleet/compiled.py).


def stepped(bits: Any, number: Any) -> Any:
    """What is mixed for this number, of an entity or an index, where `bits` stand for what was before."""
    return bits + (number + _ONE) * _STEP


def mixed_scalar(bits: Any) -> Any:
    """A bijection of 64 bits in which every input bit moves about half of the output bits."""
    bits = (bits ^ bits >> _SHIFT_1) * _FACTOR_1
    bits = (bits ^ bits >> _SHIFT_2) * _FACTOR_2
    return bits ^ bits >> _SHIFT_3


def uniform_scalar(bits: Any) -> Any:
    """The number in [0, 1) that these bits stand for."""
    return np.float64(bits >> _SHIFT_UNIFORM) * _ULP


def _mixed(bits: int) -> int:
    """`mixed_scalar` of one of Python's own integers."""
    bits = (bits ^ bits >> 30) * _STEP_1 & _MASK
    bits = (bits ^ bits >> 27) * _STEP_2 & _MASK
    return bits ^ bits >> 31


def _mixed_array(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`_mixed` for each element of an array that nobody else holds."""
    if np.ndim(bits) == 0:  # a scalar cannot be written to
        scalar: NDArray[np.uint64] = mixed_scalar(bits)
        return scalar
    shifted = bits >> _SHIFT_1
    bits ^= shifted
    bits *= _FACTOR_1
    bits ^= np.right_shift(bits, _SHIFT_2, out=shifted)
    bits *= _FACTOR_2
    bits ^= np.right_shift(bits, _SHIFT_3, out=shifted)
    return bits


def _as_uint64(numbers: Integers) -> NDArray[np.uint64]:
    """Integers modulo 2**64, as two's complement has them."""
    if isinstance(numbers, int):
        return np.array(numbers & _MASK, np.uint64)
    return np.asarray(numbers).astype(np.uint64)
