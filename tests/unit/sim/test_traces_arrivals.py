"""Orders of arrival: read and checked, and drawn from a seed by the published protocol."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.shapes import Shape
from gpualloc.sim.traces import arrivals
from gpualloc.sim.traces.arrivals import check_order, inflate, read_arrivals, read_order
from gpualloc.sim.traces.trace import Tasks, TraceTask, gather


def table(*demands: tuple[int, int]) -> Tasks:
    """Tasks of so many GPUs with so much of each."""
    shapes = (Shape(1000, 1, gpus, milli) for gpus, milli in demands)
    return gather((TraceTask(row, f"t{row}", shape) for row, shape in enumerate(shapes)), "t.csv")


def archive(**arrays: object) -> io.BytesIO:
    out = io.BytesIO()
    np.savez_compressed(out, **{name: np.asarray(array) for name, array in arrays.items()})
    out.seek(0)
    return out


def test_an_order_in_a_text() -> None:
    assert read_order(["2\n", " 0 \r\n", "2\n", "\n", "1"], "o.txt", 3).tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["0", "-1"], 'o.txt, line 2: "-1" is not the number of a row'),
        (["0", "", "x"], 'o.txt, line 3: "x" is not'),
        (["0", "1.0"], 'o.txt, line 2: "1.0" is not'),
        (["0", "٣"], "o.txt, line 2: "),
        (["9" * 400], "o.txt, line 1: "),
        (["0", "1", "3"], "o.txt: arrival 2 names row 3 of 3 tasks"),
        ([], "o.txt: 0 arrivals"),
    ],
)
def test_an_order_that_does_not_fit_is_refused_with_its_place(lines: list[str], said: str) -> None:
    with pytest.raises(BrokenInputError) as caught:
        read_order(lines, "o.txt", 3)
    assert caught.value.message.startswith(said)
    assert len(caught.value.message) < 200


def test_an_order_in_an_archive() -> None:
    packed = archive(default_42=np.array([1, 0, 1], np.uint16), default_43=np.array([0], np.int64))
    order = read_arrivals(packed, "default_42", "a.npz", 2)
    assert (order.tolist(), order.dtype) == ([1, 0, 1], np.int64)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ([0.0, 1.0], "whole numbers in one dimension"),
        ([[0], [1]], "whole numbers in one dimension"),
        (0, "whole numbers in one dimension"),
        ([], "whole numbers in one dimension"),
        (np.array([], np.uint16), "0 arrivals"),
        ([0, 2], "arrival 1 names row 2 of 2"),
        ([0, -1], "arrival 1 names row -1 of 2"),
        (np.array([2**64 - 1], np.uint64), "arrival 0 names row 18446744073709551615"),
        ([True], "whole numbers in one dimension"),
        (["0"], "whole numbers in one dimension"),
        (np.array([{}], object), "whole numbers in one dimension"),
    ],
)
def test_an_array_that_is_no_order_is_refused(array: object, said: str) -> None:
    with pytest.raises(BrokenInputError) as caught:
        read_arrivals(archive(k=array), "k", "a.npz", 2)
    assert caught.value.message.startswith("a.npz, k: ")
    assert said in caught.value.message


def test_a_key_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(BrokenInputError) as caught:
        read_arrivals(archive(default_42=[0], cpu050_42=[0]), "defualt_42", "a.npz", 1)
    assert caught.value.message == 'a.npz: has no array "defualt_42", of 2'
    assert (caught.value.hint or "").startswith("nearest: default_42")


def damaged_member(content: bytes) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("k.npy", content)
    out.seek(0)
    return out


def npy(shape: str, content: bytes = b"") -> bytes:
    head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy("(3,)", b"\0" * 16),
        npy("(10**9,)"),
        npy("(9000000000000000000,)"),
        npy("('a',)"),
        npy("(1,)", b"\0" * 9),
    ],
)
def test_a_damaged_array_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenInputError, match="not an array of whole numbers"):
        read_arrivals(damaged_member(content), "k", "a.npz", 3)
    assert read_arrivals(damaged_member(npy("(1,)", b"\0" * 8)), "k", "a.npz", 3).tolist() == [0]


@given(st.data())
def test_a_damaged_archive_is_refused_or_still_an_order(data: st.DataObject) -> None:
    content = bytearray(archive(k=np.arange(50) % 7).getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    assert read_or_refused(bytes(content)) <= set(range(7))


def read_or_refused(content: bytes) -> set[int]:
    try:
        return set(read_arrivals(io.BytesIO(content), "k", "a.npz", 7).tolist())
    except BrokenInputError:
        return set()


def test_an_array_too_long_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_MAX_MEMBER_BYTES", 400)
    with pytest.raises(BrokenInputError, match="more than"):
        read_arrivals(archive(k=np.zeros(10_000, np.int64)), "k", "a.npz", 1)


def test_the_order_of_a_seed_is_the_same_everywhere() -> None:
    tasks = table((1, 1000), (1, 500), (2, 1000), (0, 0), (1, 810))
    assert inflate(tasks, 8_000, 1.3, 42).tolist() == [4, 1, 3, 0, 2, 4, 1, 3, 4, 0, 0, 2]
    assert inflate(tasks, 2_000, 1.3, 42).tolist() == [4, 1, 3]
    assert inflate(tasks, 8_000, 1.3, 43).tolist()[:5] != [4, 1, 3, 0, 2]


DEMAND = st.one_of(
    st.just((0, 0)), st.tuples(st.just(1), st.integers(1, 1000)), st.tuples(st.integers(2, 8), st.just(1000))
)


@given(
    st.lists(DEMAND, min_size=1, max_size=30).filter(lambda demands: any(gpus for gpus, _ in demands)),
    st.integers(1, 40_000),
    st.floats(0.1, 3),
    st.integers(0, 2**64 - 1),
)
def test_an_order_holds_to_the_protocol(demands: list[tuple[int, int]], capacity: int, load: float, seed: int) -> None:
    tasks = table(*demands)
    order = inflate(tasks, capacity, load, seed)
    assert order.tolist() == inflate(tasks, capacity, load, seed).tolist()
    total, goal = int(tasks.gpu_milli.sum()), round(load * capacity)
    arrived = int(tasks.gpu_milli[order].sum())
    if total > goal:
        assert len(set(order.tolist())) == len(order) < len(tasks)
        assert arrived <= goal
        return
    assert sorted(order[: len(tasks)].tolist()) == list(range(len(tasks)))
    before = np.cumsum(tasks.gpu_milli[order]) - tasks.gpu_milli[order]
    assert (before + tasks.milli[order])[len(tasks) :].max(initial=0) <= goal
    assert arrived + 1000 > goal or total == goal


def test_a_load_that_the_list_has_by_itself_is_the_list() -> None:
    tasks = table((1, 500), (1, 500), (0, 0))
    assert sorted(inflate(tasks, 1000, 1.0, 7).tolist()) == [0, 1, 2]


def test_every_order_and_every_draw_is_as_likely() -> None:
    tasks = table((1, 1000), (1, 1000), (1, 1000))
    orders = [inflate(tasks, 4000, 1.0, seed).tolist() for seed in range(600)]
    assert all(len(order) == 4 for order in orders)
    permutations = {tuple(order[:3]) for order in orders}
    assert len(permutations) == 6
    assert all(150 < sum(order[3] == row for order in orders) < 250 for row in range(3))
    taken_out = [({0, 1, 2} - set(inflate(tasks, 2000, 1.0, seed).tolist())) for seed in range(600)]
    assert all(150 < sum(gone == {row} for gone in taken_out) < 250 for row in range(3))


@pytest.mark.parametrize(
    ("capacity", "demands", "said"),
    [
        (0, [(1, 1000)], "the nodes have no GPU"),
        (1000, [(0, 0)], "no task asks for a GPU"),
        (10**12, [(1, 1), (0, 0)], "more than 100000000 arrivals"),
    ],
)
def test_a_load_that_cannot_be_reached_is_refused(capacity: int, demands: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(BrokenInputError, match=said):
        inflate(table(*demands), capacity, 1.3, 1)


@pytest.mark.parametrize("load", [0.0, -1.0, float("nan"), float("inf"), 101.0])
def test_a_load_out_of_range_is_refused(load: float) -> None:
    with pytest.raises(UsageError, match="load"):
        inflate(table((1, 1000)), 1000, load, 1)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match="seed"):
        inflate(table((1, 1000)), 1000, 1.3, seed)


def test_an_array_of_fewer_bits_is_an_order_too() -> None:
    assert check_order(np.array([1, 0], np.int8), 2, "x").dtype == np.int64
