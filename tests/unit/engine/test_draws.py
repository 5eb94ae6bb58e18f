import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.draws import Draws

WORDS = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("seed", "replication", "purpose", "entity", "index", "draw"),
    [
        (0, 0, "", 0, 0, 0.13325055301345745),
        (1, 0, "latency", 0, 0, 0.08244720508206338),
        (1, 0, "latency", 0, 1, 0.8486217058090532),
        (1, 0, "latency", 1, 0, 0.8670668314792029),
        (1, 1, "latency", 0, 0, 0.19510461920699773),
        (2, 0, "latency", 0, 0, 0.9873331919787695),
        (-5, 3, "backoff", 9223372036854775807, -1, 0.7502857857023854),
        (1208925819614629174706176, 0, "poll phase", 1000000, 1000000000, 0.685383651524989),
    ],
)
def test_known_answers(
    seed: int, replication: int, purpose: str, entity: int, index: int, draw: float
) -> None:
    assert Draws(seed, replication).uniform(purpose, entity, index) == draw


@given(WORDS, WORDS, st.integers(), st.text(max_size=5))
def test_scalars_and_arrays_agree_bit_for_bit(entity: int, index: int, seed: int, purpose: str) -> None:
    draws = Draws(seed)
    scalar = draws.uniform(purpose, entity, index)
    assert draws.uniform_array(purpose, np.array([entity]), np.array([index])).tolist() == [scalar]
    assert float(draws.uniform_array(purpose, entity, index)) == scalar
    assert 0 <= scalar < 1
    assert (scalar * 2**53).is_integer()


def test_entities_and_indices_broadcast(draws: Draws) -> None:
    entities, indices = np.arange(3)[:, None], np.arange(4, dtype=np.int32)
    expected = [[draws.uniform("x", entity, index) for index in range(4)] for entity in range(3)]
    assert draws.uniform_array("x", entities, indices).tolist() == expected
    assert draws.uniform_array("x", 2, indices).tolist() == expected[2]


def test_a_draw_does_not_depend_on_the_draws_before_it() -> None:
    busy, fresh = Draws(7), Draws(7)
    for index in range(100):
        busy.uniform("something else", index)
        busy.uniform("latency", index)
    assert busy.uniform("latency", 3, 5) == fresh.uniform("latency", 3, 5)


def test_every_part_of_the_key_matters() -> None:
    keys = [
        (seed, replication, purpose, entity, index)
        for seed in (0, 1)
        for replication in (0, 1)
        for purpose in ("a", "b")
        for entity in (0, 1)
        for index in (0, 1)
    ]
    drawn = [Draws(seed, replication).uniform(*rest) for seed, replication, *rest in keys]  # type: ignore[arg-type]
    assert len(dict.fromkeys(drawn)) == len(keys)


@pytest.mark.parametrize(("one", "other"), [((1, 23), (12, 3)), ((-1, 0), (2**64 - 1, 0)), ((0, 1), (1, 0))])
def test_seeds_and_replications_that_look_alike_are_kept_apart(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert Draws(*one).uniform("x") != Draws(*other).uniform("x")


def test_entity_and_index_are_not_interchangeable(draws: Draws) -> None:
    assert draws.uniform("x", 3, 5) != draws.uniform("x", 5, 3)


def test_draws_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    program = "from simulator.engine.draws import Draws; print(Draws(1).uniform('latency', 2, 3).hex())"
    printed = [
        subprocess.check_output([sys.executable, "-c", program], env={"PYTHONHASHSEED": hash_seed})
        for hash_seed in ("1", "2")
    ]
    assert printed[0] == printed[1] == (Draws(1).uniform("latency", 2, 3).hex() + "\n").encode()


@given(st.integers(1, 2**70), WORDS)
def test_an_integer_below_n_is_the_uniform_draw_scaled(n: int, entity: int) -> None:
    draws = Draws(3)
    number = draws.integer_below(n, "choice", entity)
    assert 0 <= number < n
    assert number == int(draws.uniform("choice", entity) * 2**53) * n // 2**53


@given(st.integers(1, 2**11), WORDS, WORDS)
def test_integers_below_n_are_those_of_scalars(n: int, entity: int, index: int) -> None:
    draws = Draws(11)
    alone = draws.integer_below(n, "choice", entity, index)
    assert draws.integers_below(n, "choice", np.array([entity]), np.array([index])).tolist() == [alone]


def test_there_is_no_integer_below_nought(draws: Draws) -> None:
    with pytest.raises(AssertionError, match="no integer"):
        draws.integer_below(0, "choice")
