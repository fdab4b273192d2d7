"""Output segments under a cap."""

import os

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.node import output
from gpualloc.node.output import Output


def test_what_was_written_is_read_at_any_offset(tmp_path):
    log = Output(str(tmp_path), 800)
    for start in range(0, 500, 50):
        log.write(bytes(range(start % 250, start % 250 + 5)) * 10)
    log.close()
    whole, end = output.read(str(tmp_path), 0, 1000)
    assert end == len(whole) == output.end_offset(str(tmp_path)) == 500
    assert output.read(str(tmp_path), 123, 77) == (whole[123:200], 200)
    assert output.read(str(tmp_path), 500, 10) == (b"", 500)
    assert output.read(str(tmp_path), 900, 10) == (b"", 900)
    assert output.read(str(tmp_path), 0, 0) == (b"", 0)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30))
def test_the_newest_output_within_the_cap_is_kept(tmp_path_factory, pieces):
    folder = str(tmp_path_factory.mktemp("log"))
    log = Output(folder, 400)
    for piece in pieces:
        log.write(piece)
    log.close()
    written = b"".join(pieces)
    data, end = output.read(folder, 0, 10_000)
    assert end == output.end_offset(folder) == len(written)
    assert written.endswith(data)
    assert len(data) <= 400
    assert len(data) >= min(len(written), 300)


def test_a_folder_that_is_gone_loses_output_and_nothing_else(tmp_path):
    log = Output(str(tmp_path / "none"), 100)
    log.write(b"x")
    log.close()
    assert output.end_offset(str(tmp_path / "none")) == 0


def test_dropping_gives_the_room_back(tmp_path):
    log = Output(str(tmp_path), 80)
    log.write(b"x" * 50)
    log.drop()
    assert os.listdir(tmp_path) == []
