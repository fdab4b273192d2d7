"""Nodes and tasks out of CSV and JSON lines: every row as it stands, and every doubt refused with its place."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError
from gpualloc.model.shapes import Shape
from gpualloc.sim.traces import reading
from gpualloc.sim.traces.lines import MAX_LINE_BYTES, text_lines
from gpualloc.sim.traces.reading import read_nodes, read_tasks
from gpualloc.sim.traces.trace import TraceNode, TraceTask, gather

OPENB_NODES = "sn,cpu_milli,memory_mib,gpu,model"
OPENB_TASKS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
)
OWN_NODES = "name,cpus,memory_mib,gpus,gpu_model,gpu_memory_mib"
OWN_TASKS = "name,cpus,memory_mib,gpus,fraction,gpu_models,arrives_s,leaves_s"


def nodes(*lines: str) -> list[TraceNode]:
    return list(read_nodes((line + "\n" for line in lines), "n.csv"))


def tasks(*lines: str) -> list[TraceTask]:
    return list(read_tasks((line + "\n" for line in lines), "t.csv"))


def refusal(read: object, *lines: str) -> BrokenInputError:
    with pytest.raises(BrokenInputError) as caught:
        read(*lines)
    assert caught.value.exit_code == 2
    return caught.value


def test_published_nodes() -> None:
    found = nodes(OPENB_NODES, "openb-node-0000,64000,262144,2,P100", "openb-node-0001,32000,262144,0,")
    assert found == [
        TraceNode("openb-node-0000", 64_000, 262_144, 2, "P100"),
        TraceNode("openb-node-0001", 32_000, 262_144, 0, ""),
    ]


def test_nodes_of_our_own() -> None:
    found = nodes(OWN_NODES, "a,7.5,1024,8,NVIDIA H100 80GB HBM3,81559", "b,4,1,0,,", '"c, d",0.001,1,1,T4,')
    assert found == [
        TraceNode("a", 7_500, 1024, 8, "NVIDIA H100 80GB HBM3", 81_559),
        TraceNode("b", 4_000, 1, 0, ""),
        TraceNode("c, d", 1, 1, 1, "T4"),
    ]


def test_published_tasks() -> None:
    found = tasks(
        OPENB_TASKS,
        "openb-pod-0000,12500,57344,0,0,,LS,Running,10971827,10972394,10971829",
        "openb-pod-0001,6000,12288,1,460,V100M32|V100M16,BE,Pending,427061,12902960,",
        "openb-pod-0002,88000,65536,8,1000,,LS,Running,0,0,0",
    )
    assert found == [
        TraceTask(0, "openb-pod-0000", Shape(12_500, 57_344, 0, 0), 10_971_827, 10_972_394),
        TraceTask(1, "openb-pod-0001", Shape(6_000, 12_288, 1, 460, ("V100M16", "V100M32")), 427_061, 12_902_960),
        TraceTask(2, "openb-pod-0002", Shape(88_000, 65_536, 8, 1000), 0, 0),
    ]
    assert (found[2].cpu_milli, found[2].memory_mib, found[2].gpus, found[2].milli) == (88_000, 65_536, 8, 1000)
    assert (found[2].shape.gpu_milli, found[1].models) == (8000, ("V100M16", "V100M32"))


def test_published_tasks_without_models_and_times_need_no_names() -> None:
    found = tasks("cpu_milli,memory_mib,num_gpu,gpu_milli", "0,0,1,1000")
    assert found == [TraceTask(0, "task-0", Shape(0, 0, 1, 1000))]


def test_tasks_of_our_own_in_any_order_of_columns() -> None:
    found = tasks(
        "leaves_s,arrives_s,gpu_models,gpus,memory_mib,cpus,fraction",
        "2e3,1.5, T4 | A100 |T4,1,10,3.152,0.810",
        ",7,,2,10,0,1",
        ",,,0,10,1,",
    )
    assert found == [
        TraceTask(0, "task-0", Shape(3_152, 10, 1, 810, ("A100", "T4")), 1.5, 2000.0),
        TraceTask(1, "task-1", Shape(0, 10, 2, 1000), 7.0, None),
        TraceTask(2, "task-2", Shape(1000, 10, 0, 0)),
    ]


def test_json_lines_say_the_same_as_csv() -> None:
    found = tasks(
        '{"cpus": 3.152, "memory_mib": 10, "gpus": 1, "fraction": 0.81, "gpu_models": ["T4", "A100"], "arrives_s": 0}',
        "",
        '{"name": "x", "gpus": 2, "memory_mib": "20", "cpus": 1, "fraction": null}',
    )
    assert found == [
        TraceTask(0, "task-0", Shape(3_152, 10, 1, 810, ("A100", "T4")), 0.0),
        TraceTask(1, "x", Shape(1000, 20, 2, 1000)),
    ]
    assert nodes('{"name":"a","cpus":1,"memory_mib":2,"gpus":1,"gpu_model":"T4"}') == [TraceNode("a", 1000, 2, 1, "T4")]


def test_empty_lines_are_no_rows() -> None:
    found = tasks("", "cpus,memory_mib,gpus", "", "1,1,1", "", "2,1,1", "")
    assert [(task.row, task.cpu_milli) for task in found] == [(0, 1000), (1, 2000)]
    error = refusal(tasks, "", "cpus,memory_mib,gpus", "", "1,1,1", "", "2,1,x")
    assert "row 1 (line 6)" in error.message


def test_equal_tasks_share_one_shape() -> None:
    found = tasks("cpus,memory_mib,gpus", "1,1,1", "2,1,1", "1,1,1")
    assert found[0].shape is found[2].shape
    assert found[0].shape is not found[1].shape


WRONG_NODES = {
    "negative CPUs": ("a,-1,1,1,T4,", "cpus"),
    "no CPUs": ("a,0,1,1,T4,", "cpus"),
    "too fine CPUs": ("a,0.0001,1,1,T4,", "three digits"),
    "memory is text": ("a,1,much,1,T4,", "memory_mib"),
    "memory in digits of another script": ("a,1,٣,1,T4,", "memory_mib"),
    "memory with underscores": ("a,1,1_000,1,T4,", "memory_mib"),
    "huge memory": ("a,1,99999999999999999,1,T4,", "memory_mib"),
    "too many GPUs": ("a,1,1,1025,T4,", "0 to 1024"),
    "half a GPU": ("a,1,1,0.5,T4,", "gpus"),
    "no model": ("a,1,1,1,,", "gpu_model"),
    "model without GPU": ("a,1,1,0,T4,", "without GPU"),
    "model is a pattern": ("a,1,1,1,T*,", "gpu_model"),
    "models": ("a,1,1,1,T4|A100,", "gpu_model"),
    "memory of no GPU": ("a,1,1,0,,8", "without GPU"),
    "no GPU memory": ("a,1,1,1,T4,0", "gpu_memory_mib"),
    "no name": (",1,1,1,T4,", "name"),
    "name rings": ("\x07,1,1,1,T4,", "\\u0007"),
    "long name": ("x" * 201 + ",1,1,1,T4,", "200"),
    "cells are missing": ("a,1,1", "6 columns"),
    "cells too many": ("a,1,1,1,T4,,", "6 columns"),
}


@pytest.mark.parametrize(("line", "said"), WRONG_NODES.values(), ids=WRONG_NODES.keys())
def test_a_node_that_cannot_be_is_refused_with_its_row(line: str, said: str) -> None:
    error = refusal(nodes, OWN_NODES, "fine,1,1,1,T4,", line)
    assert error.message.startswith("n.csv, row 1 (line 3): ")
    assert said in error.message


WRONG_TASKS = {
    "NaN": ("a,NaN,1,1,,,,", "cpus"),
    "infinite": ("a,inf,1,1,,,,", "cpus"),
    "exponent": ("a,1e1,1,1,,,,", "cpus"),
    "negative memory": ("a,1,-5,1,,,,", "memory_mib"),
    "negative GPUs": ("a,1,1,-1,,,,", "gpus"),
    "fraction above 1": ("a,1,1,1,1.001,,,", "fraction"),
    "fraction 0": ("a,1,1,1,0,,,", "fraction"),
    "negative fraction": ("a,1,1,1,-0.5,,,", "fraction"),
    "too fine a fraction": ("a,1,1,1,0.3333,,,", "three digits"),
    "part of two GPUs": ("a,1,1,2,0.5,,,", "a part is of one GPU"),
    "part without GPU": ("a,1,1,0,0.5,,,", "without GPU"),
    "model without GPU": ("a,1,1,0,,T4,,", "without GPU"),
    "empty model": ("a,1,1,1,,T4|,,", "gpu_models"),
    "pattern": ("a,1,1,1,,T?,,", "gpu_models"),
    "leaves first": ("a,1,1,1,,,20,19.5", "leaves_s 19.5 lies before arrives_s 20"),
    "time before the trace": ("a,1,1,1,,,-1,", "arrives_s"),
    "no time": ("a,1,1,1,,,nan,", "arrives_s"),
    "never": ("a,1,1,1,,,,1e999", "leaves_s"),
    "long number": ("a,1,1,1,,," + "9" * 5000 + ",", "arrives_s"),
}


@pytest.mark.parametrize(("line", "said"), WRONG_TASKS.values(), ids=WRONG_TASKS.keys())
def test_a_task_that_cannot_be_is_refused_with_its_row(line: str, said: str) -> None:
    error = refusal(tasks, OWN_TASKS, "fine,1,1,1,,,,", line)
    assert error.message.startswith("t.csv, row 1 (line 3): ")
    assert said in error.message
    assert len(error.message) < 400


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("1,1,1,1001", "gpu_milli"),
        ("1,1,1,0", "takes 1 to 1000"),
        ("1,1,2,500", "takes 1000"),
        ("1,1,0,500", "takes 0"),
        ("1,1,1,", "gpu_milli"),
        ("-1,1,1,1000", "cpu_milli"),
        ("1.5,1,1,1000", "cpu_milli"),
        ("1,1,65537,1000", "num_gpu"),
    ],
)
def test_a_published_task_that_cannot_be_is_refused_with_its_row(cells: str, said: str) -> None:
    error = refusal(tasks, "cpu_milli,memory_mib,num_gpu,gpu_milli", "1,1,1,1000", cells)
    assert error.message.startswith("t.csv, row 1 (line 3): ")
    assert said in error.message


def test_published_times_that_go_back_are_refused() -> None:
    error = refusal(tasks, OPENB_TASKS, "p,1,1,1,1000,,LS,Running,10,9,")
    assert error.message == "t.csv, row 0 (line 2): deletion_time 9 lies before creation_time 10"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (OPENB_TASKS.replace("num_gpu", "gpus"), "no column num_gpu"),
        (OPENB_TASKS.replace("cpu_milli,", "").replace("gpu_milli,", ""), "no column cpu_milli, gpu_milli"),
        (OPENB_TASKS + ",duration", 'no column "duration"'),
        (OWN_TASKS.replace("fraction", "fractoin"), 'no column "fractoin"'),
        (OWN_TASKS + ",gpus", "gpus stands there twice"),
        ("cpus,memory_mib", "no column gpus"),
        ("this,is,another,file", "none of the columns is known"),
        ("<html>", "none of the columns is known"),
    ],
)
def test_a_header_that_does_not_fit_says_what_is_expected(header: str, said: str) -> None:
    error = refusal(tasks, header, "1,2,3")
    assert said in error.message
    assert error.message.startswith("t.csv: ")
    if "twice" not in said:
        assert error.hint is not None
        assert "have cpu" in error.hint


def test_a_misspelt_column_is_told_the_right_one() -> None:
    assert (refusal(tasks, OWN_TASKS.replace("fraction", "fractoin")).hint or "").startswith("did you mean fraction?")


@pytest.mark.parametrize("lines", [(), ("",), ("  ", "\t")])
def test_an_empty_file_is_refused(lines: tuple[str, ...]) -> None:
    assert refusal(tasks, *lines).message == "t.csv: is empty"


@pytest.mark.parametrize("header", [OWN_TASKS, OPENB_TASKS])
def test_a_file_without_rows_is_refused(header: str) -> None:
    assert "no rows" in refusal(tasks, header).message


def test_a_name_is_that_of_one_node() -> None:
    error = refusal(nodes, OPENB_NODES, "a,1,1,0,", "b,1,1,0,", "a,2,2,0,")
    assert error.message.startswith('n.csv, row 2 (line 4): a node "a" came before')


def test_there_are_not_endless_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_NODES", 1000)

    def endless() -> Iterator[str]:
        yield OPENB_NODES
        number = 0
        while True:
            yield f"n{number},1,1,0,"
            number += 1

    with pytest.raises(BrokenInputError, match=r"row 1000 .*at most 1000"):
        for _ in read_nodes(endless(), "n.csv"):
            pass


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"cpus": 1, "memory_mib": 1', "not JSON"),
        ("[" * 30_000, "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("cpus,memory_mib,gpus", "not JSON"),
        ('{"cpus": 1, "memory_mib": 1, "gpus": 1, "cpus": 2}', "twice"),
        ('{"cpus": NaN, "memory_mib": 1, "gpus": 1}', "NaN is no number"),
        ('{"cpus": true, "memory_mib": 1, "gpus": 1}', '"cpus" holds neither'),
        ('{"cpus": {}, "memory_mib": 1, "gpus": 1}', '"cpus" holds neither'),
        ('{"cpus": [1], "memory_mib": 1, "gpus": 1}', '"cpus" holds neither'),
        ('{"cpus": 1, "memory_mib": 1}', "row 1 (line 2): read as tasks, and there is no column gpus"),
        ('{"cpus": 1, "memory_mib": 1, "gpus": 1, "user": "x"}', 'no column "user"'),
        ('{"cpus": 1e400, "memory_mib": 1, "gpus": 1}', "cpus"),
        ('{"cpus": 1, "memory_mib": 1.0, "gpus": 1}', "memory_mib"),
        ('{"cpus": 1, "memory_mib": ' + "9" * 5000 + ', "gpus": 1}', "memory_mib"),
        ('{"cpus": 1, "memory_mib": 1, "gpus": 1, "name": "\\ud800"}', "name"),
    ],
)
def test_a_json_line_that_does_not_fit_is_refused_with_its_line(line: str, said: str) -> None:
    error = refusal(tasks, '{"cpus": 1, "memory_mib": 1, "gpus": 1}', line)
    assert "line 2" in error.message
    assert said in error.message
    assert error.message.isprintable()


@pytest.mark.parametrize(
    "line",
    ['"1,1,1', '1,"1"1,1', '1,"1\n,1', "1,1\r,1"],
)
def test_broken_csv_is_refused_with_its_line(line: str) -> None:
    error = refusal(tasks, "cpus,memory_mib,gpus", "1,1,1", *line.split("\n"), "1,1,1")
    assert error.message.startswith("t.csv, line 3: ")


def test_an_open_quote_does_not_eat_a_huge_file() -> None:
    taken = 0

    def huge() -> Iterator[str]:
        nonlocal taken
        yield "cpus,memory_mib,gpus\n"
        yield '"1,1,1\n'
        while True:
            taken += 1
            yield "1,1,1\n"

    with pytest.raises(BrokenInputError, match="line 2: "):
        list(read_tasks(huge(), "t.csv"))
    assert taken < 100_000


def lines_of(content: bytes) -> list[str]:
    return list(text_lines(io.BytesIO(content), "f.csv"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_lines_of_a_file_plain_or_packed(pack) -> None:
    assert lines_of(pack("a\n\r\nü".encode())) == ["a\n", "\r\n", "ü"]
    assert lines_of(pack("\ufeffcpus\n1".encode())) == ["cpus\n", "1"]
    assert lines_of(pack(b"")) == []
    with pytest.raises(BrokenInputError, match=f"line 2: longer than {MAX_LINE_BYTES} bytes"):
        lines_of(pack(b"fine\n" + b"x" * (MAX_LINE_BYTES + 1)))
    with pytest.raises(BrokenInputError, match="line 3: not UTF-8"):
        lines_of(pack(b"fine\nfine\ncaf\xe9\n"))
    with pytest.raises(BrokenInputError, match="line 1: not UTF-8"):
        lines_of(pack("name,cpus".encode("utf-16")))


def test_damaged_gzip_is_refused() -> None:
    packed = gzip.compress(b"cpus,memory_mib,gpus\n" + b"1,1,1\n" * 1000)
    for damaged in (packed[:-20], packed[:40], packed[:30] + b"\xff" * 20 + packed[50:], packed[:2]):
        with pytest.raises(BrokenInputError, match="gzip data are damaged"):
            list(text_lines(io.BytesIO(damaged), "f.gz"))


def test_a_line_that_is_too_long_is_refused_before_it_is_read_whole() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def readinto(self, buffer) -> int:
            buffer[:] = b"x" * len(buffer)
            self.taken += len(buffer)
            return len(buffer)

    endless = Endless()
    with pytest.raises(BrokenInputError, match="line 1: longer"):
        list(text_lines(io.BufferedReader(endless), "f.csv"))
    assert endless.taken < 1 << 20
    with pytest.raises(BrokenInputError, match="line 2: longer"):
        tasks("cpus,memory_mib,gpus", "1" * MAX_LINE_BYTES + ",1,1")


def test_a_table_has_the_tasks_that_were_read() -> None:
    read = tasks(OWN_TASKS, "ä,1,1,1,0.5,T4,1,", "b,2,1,8,,,,9", "c,1,1,1,0.5,T4,2,3", "d,1,1,0,,,,")
    table = gather(read, "t.csv")
    assert list(table) == read
    assert len(table) == 4
    assert table.shapes == (read[0].shape, read[1].shape, read[3].shape)
    assert table.gpu_milli.tolist() == [500, 8000, 500, 0]
    assert table.milli.tolist() == [500, 1000, 500, 0]
    for row in (-1, 4):
        with pytest.raises(IndexError):
            table.task(row)


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
MODEL = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="|*?[]!"), min_size=1, max_size=8)
TIMES = st.one_of(st.none(), st.floats(0, 1e9))


@st.composite
def task_rows(draw: st.DrawFn) -> TraceTask:
    gpus = draw(st.integers(0, 16))
    milli = draw(st.integers(1, 1000)) if gpus == 1 else 1000 if gpus else 0
    models = tuple(sorted(draw(st.sets(MODEL, max_size=3)))) if gpus else ()
    shape = Shape(draw(st.integers(0, 65_536_000)), draw(st.integers(0, 1 << 40)), gpus, milli, models)
    arrives, leaves = draw(TIMES), draw(TIMES)
    if arrives is not None and leaves is not None and leaves < arrives:
        arrives, leaves = leaves, arrives
    return TraceTask(0, draw(TEXT), shape, arrives, leaves)


def as_written(task: TraceTask) -> dict[str, object]:
    part = {"fraction": task.milli / 1000} if 0 < task.milli < 1000 else {}
    models = {"gpu_models": "|".join(task.models)} if task.models else {}
    times = {"arrives_s": task.arrives_s, "leaves_s": task.leaves_s}
    cells = {"name": task.name, "cpus": task.cpu_milli / 1000, "memory_mib": task.memory_mib, "gpus": task.gpus}
    return {**cells, **part, **models, **times}


@given(st.lists(task_rows(), min_size=1, max_size=10))
def test_what_is_written_comes_back(written: list[TraceTask]) -> None:
    rows = [TraceTask(row, task.name, task.shape, task.arrives_s, task.leaves_s) for row, task in enumerate(written)]
    text = [json.dumps(as_written(task)) for task in rows]
    assert tasks(*text) == rows
    assert list(gather(rows, "t")) == rows
    quoted = [
        ",".join(
            "" if value is None else '"' + str(value).replace('"', '""') + '"'
            for value in (as_written(task).get(column) for column in OWN_TASKS.split(","))
        )
        for task in rows
    ]
    assert tasks(OWN_TASKS, *quoted) == rows


CELL = st.one_of(
    st.sampled_from(["", "0", "1", "0.5", "-1", "nan", "1e9", "T4", "T4|A100", '"', ","]), st.text(max_size=8)
)


@given(
    st.lists(st.lists(CELL, min_size=7, max_size=9).map(",".join), max_size=4),
    st.sampled_from([OWN_TASKS, OPENB_TASKS]),
)
def test_hostile_rows_are_refused_or_make_sense(lines: list[str], header: str) -> None:
    found = read_or_refused(line + "\n" for line in (header, *lines))
    for task in found:
        assert task.name.isprintable()
        assert task.cpu_milli >= 0
        assert (task.gpus == 0) == (task.milli == 0)
        assert task.milli in range(1001) if task.gpus < 2 else task.milli == 1000
        assert task.arrives_s is None or task.leaves_s is None or task.leaves_s >= task.arrives_s


@given(st.binary(max_size=200), st.booleans())
def test_hostile_bytes_are_refused_or_read(content: bytes, after_header: bool) -> None:
    whole = b"cpus,memory_mib,gpus\n1,1,1\n" + content if after_header else content
    assert all(task.name.isprintable() for task in read_or_refused(text_lines(io.BytesIO(whole), "t.csv")))


def read_or_refused(lines: Iterable[str]) -> list[TraceTask]:
    """The tasks; none when they are refused in one printable sentence that names the file."""
    try:
        found = list(read_tasks(lines, "t.csv"))
    except BrokenInputError as error:
        said = error.message
        found = []
    else:
        said = "t.csv: fine"
    assert said.startswith("t.csv")
    assert said.isprintable()
    return found
