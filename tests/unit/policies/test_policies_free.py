"""What could be had right now."""

from __future__ import annotations

from fakes import scenes

from gpualloc.policies.free import FreeRoom, free_room


def test_counts_only_what_could_be_had() -> None:
    fleet = scenes.snapshot(
        scenes.node("gpu01", devices=4, claims=[{"device": 0}], cpus=16, memory_mib=1000),
        scenes.node(
            "gpu02",
            devices=[{"mig": ["1g.10gb", "1g.10gb", "2g.20gb"]}, {"model": "Tesla T4", "memory_mib": 15360}],
            claims=[{"device": "0/0"}],
            cpus=32,
            reserved_cpus=2,
            memory_mib=2000,
        ),
        scenes.node("gpu03", devices=[{"state": "GPU lost"}, {"used_mib": None}], cpus=None, memory_mib=None),
        scenes.node("gpu05", devices=[{"cordon": "fan noise"}], cpus=1, memory_mib=1),
        scenes.node("gpu06", devices=8, cpus=512, memory_mib=9000, cordon="new disks"),
        scenes.node("gpu04", state="unreachable", devices=8),
        scenes.node("slurm01", devices=8, other_controllers=["slurmd"], cpus=256),
    )
    running = [scenes.allocation("r", "gpu01", "1", cpus=4.0)]
    assert free_room(fleet, running) == FreeRoom(
        gpus=3,
        models=((scenes.H100, 2), ("Tesla T4", 1)),
        largest_on_one_node=("gpu01", 2),
        gpu_memory_largest_mib=81559 - 64,
        mig_instances=(("1g.10gb", 1), ("2g.20gb", 1)),
        cpus_largest=("gpu02", 30.0),
        memory_largest_mib=("gpu02", 2000),
    )


def test_nothing_free_is_none_not_zero() -> None:
    nothing = free_room(scenes.snapshot(scenes.node("gpu01", state="unreachable")))
    assert nothing == FreeRoom(0, (), None, None, (), None, None)
