"""`--sim FILE.toml` becomes a cluster, or tells everything that is wrong with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gpualloc.config.simfile import load_cluster
from gpualloc.errors import ConfigError
from gpualloc.sim.cluster import check_cluster
from gpualloc.sim.gpu import FaultKind

GOOD = """\
speed = 60
seed = 3
[[nodes]]
name = "big[1-2]"
gpus = ["7xH100-80GB", "NVIDIA L4"]
cpus = 128
memory_gib = 1024
driver = "580.95.05"
labels = { rack = "b" }
price_per_gpu_hour = 2.5
paths = ["/data/imagenet", "/scratch"]
numa_nodes = 2
mig = [0, 2]
[[nodes]]
name = "cpu"
gpus = []
[[faults]]
node = "big[1-2]"
gpu = 7
kind = "KIND"
from = "1h"
until = "2h"
"""


def gpu_fault() -> FaultKind:
    return next(kind for kind in FaultKind if kind is not FaultKind.UNREACHABLE)


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "my cluster.toml"
        file.write_text(text.replace("KIND", gpu_fault().value))
        return file

    return write


def test_a_whole_file(write):
    spec = check_cluster(load_cluster(write(GOOD)))
    assert (spec.speed, spec.seed, [host.name for host in spec.nodes]) == (60.0, 3, ["big1", "big2", "cpu"])
    big = spec.nodes[1]
    assert big.gpus == ("H100-80GB",) * 7 + ("NVIDIA L4",)
    assert (big.cpus, big.memory_gib, big.driver, big.labels, big.mig) == (
        128,
        1024,
        "580.95.05",
        {"rack": "b"},
        (0, 2),
    )
    assert (big.price_per_gpu_hour, spec.nodes[2].price_per_gpu_hour) == (2.5, None)
    assert (big.paths, big.numa_nodes) == (("/data/imagenet", "/scratch"), 2)
    assert (spec.nodes[2].gpus, spec.nodes[2].paths, spec.nodes[2].numa_nodes) == ((), (), 1)
    assert [(fault.node, fault.gpu, fault.from_s, fault.until_s) for fault in spec.faults] == [
        ("big1", 7, 3600.0, 7200.0),
        ("big2", 7, 3600.0, 7200.0),
    ]


def test_the_name_is_a_safe_folder_name_of_its_own(write, tmp_path):
    file = write('[[nodes]]\nname = "n"\ngpus = ["T4"]\n')
    other = tmp_path / "deeper" / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    names = {load_cluster(file).name, load_cluster(other).name}
    assert len(names) == 2
    assert all(name.startswith("my-cluster-") for name in names)


def test_everything_wrong_is_told_at_once(write):
    file = write(
        """\
speeed = 2
seed = -1
[[nodes]]
name = "a[1-2]"
gpus = ["H100-80GB", "H1000"]
cpus = 0
[[nodes]]
nam = "b"
gpus = 4
[[nodes]]
name = "a1"
gpus = []
[[nodes]]
name = "c"
gpus = ["T4"]
mig = [0, 5]
[[nodes]]
name = "d"
gpus = ["99xH1000", "99xT4"]
[[faults]]
node = "zz"
kind = "rust"
[[faults]]
node = "c"
gpu = 0
kind = "KIND"
from = "2h"
until = "soon"
"""
    )
    with pytest.raises(ConfigError) as caught:
        load_cluster(file)
    assert caught.value.exit_code == 2
    for told in (
        "line 1: speeed: no such key (did you mean speed?)",
        "line 2: seed: expected a whole number, 0 or more, found -1",
        "line 6: nodes.0.cpus: expected a number of cores, 1 to 4096, found 0",
        "line 7: nodes.1.name: expected node names, such as",
        "line 8: nodes.1.nam: no such key (did you mean name?)",
        'line 9: nodes.1.gpus: expected an array of GPU models, such as ["8xH100-80GB"], or [], found 4',
        "line 16: nodes.3.mig: there is no GPU 5",
        "line 19: nodes.4.gpus: 99 GPUs are too many",
        "line 19: nodes.4.gpus.0: 'H1000' is not a GPU model",
        "line 22: faults.0.kind: expected one of",
        "line 28: faults.1.until: 'soon' is not a duration",
    ):
        assert f"{file}, {told}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nodes: expected one or more [[nodes]], found nothing"),
        ("nodes = []", "nodes: expected one or more [[nodes]], found []"),
        ("nodes = [1]", "line 1: nodes.0: expected a table, found 1"),
        ('[[nodes]]\nname = "a[1-20000]"\ngpus = []', "20000 nodes are too many"),
        ('[[nodes]]\nname = "a,a,-b"\ngpus = []', "'-b' is not a node name"),
        ('[[nodes]]\nname = "a"\ngpus = []\n[[nodes]]\nname = "a"\ngpus = []', "line 5: nodes.1.name: node a is"),
        ("speed = 0\n[[nodes]]\nname = 'a'\ngpus = []", "speed: expected a number above 0"),
        ("speed = nan\n[[nodes]]\nname = 'a'\ngpus = []", "speed: expected a number above 0"),
        ("[[nodes]\n", "line 1: not valid TOML"),
    ],
)
def test_one_wrong_thing(write, text, told):
    file = write(text)
    with pytest.raises(ConfigError) as caught:
        load_cluster(file)
    assert caught.value.message.startswith(str(file))
    assert told in caught.value.message


def test_reading_it_imports_no_pydantic(write):
    file = write('[[nodes]]\nname = "n"\ngpus = ["T4"]\n')
    program = (
        "import sys; from pathlib import Path; from gpualloc.config.simfile import load_cluster;"
        "load_cluster(Path(sys.argv[1])); print({'pydantic', 'ClusterShell', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(file)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "set()\n"
