"""The cluster of `--sim demo`: mixed GPUs, other people's work, MIG and one sick GPU."""

from __future__ import annotations

from gpualloc.sim.cluster import ClusterSpec, Fault, HostSpec, Stranger
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.use import Pattern

_TRAINING = Stranger("ann", "python train.py --config llama.yaml", (0, 1, 2, 3), 61_440, Pattern.TRAINING, age_s=26_000)
_SERVING = Stranger("bob", "python -m vllm.entrypoints.api_server", (0,), 33_792, Pattern.INFERENCE, age_s=190_000)
_NOTEBOOK = Stranger("chen", "python -m ipykernel_launcher", (1,), 2_048, Pattern.IDLE, age_s=9_300)
_NIGHTLY = Stranger("dora", "python evaluate.py --suite nightly", (0,), 20_480, Pattern.DAILY, age_s=43_000)
_STREAMS = Stranger("cam", "deepstream-app -c streams.txt", (0,), 6_144, Pattern.STEADY, age_s=600_000)
_SMALL = Stranger("eve", "python finetune.py", (0,), 5_120, Pattern.TRAINING, age_s=1_500, profile="2g.12gb")


def demo_cluster() -> ClusterSpec:
    """27 GPUs on six nodes: at start 16 of them are free and healthy, `fir01` wholly so."""
    return ClusterSpec(
        name="demo",
        seed=7,
        nodes=(
            HostSpec(
                "birch01", ("H100-80GB",) * 8, 192, 2048, labels={"rack": "b", "net": "ib"}, strangers=(_TRAINING,)
            ),
            HostSpec(
                "cedar01", ("A100-80GB",) * 4, 128, 1024, labels={"rack": "c", "net": "ib"}, strangers=(_NIGHTLY,)
            ),
            HostSpec("fir01", ("A100-40GB",) * 4, 96, 512, labels={"rack": "c"}),
            HostSpec("oak01", ("L40S",) * 4, 64, 512, labels={"rack": "o"}, strangers=(_SERVING, _NOTEBOOK)),
            HostSpec("pine01", ("T4",) * 4, 32, 128, "535.183.01", labels={"rack": "o"}, strangers=(_STREAMS,)),
            HostSpec(
                "yew01",
                ("A30-24GB", "A30-24GB", "H100-80GB"),
                64,
                256,
                labels={"rack": "y"},
                mig=(0, 1),
                instances=((0, "2g.12gb"), (0, "1g.6gb"), (0, "1g.6gb")),
                strangers=(_SMALL,),
            ),
        ),
        faults=(Fault("pine01", FaultKind.NEEDS_RESET, gpu=3),),
    )
