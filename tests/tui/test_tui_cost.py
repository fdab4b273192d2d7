"""What the dashboard says of its own cost is what the kernel counts."""

from __future__ import annotations

import resource
import time

from gpualloc.tui.cost import ProcessCostMeter


def test_the_first_measurement_knows_no_cpu() -> None:
    assert ProcessCostMeter().measure().cpu_ratio is None


def test_work_is_counted_against_the_time_that_passed() -> None:
    meter = ProcessCostMeter()
    began_s, cpu_s = time.monotonic(), time.process_time()
    meter.measure()
    while time.process_time() - cpu_s < 0.05:
        sum(range(1000))
    found = meter.measure()
    assert found.cpu_ratio is not None
    least = 0.05 / (time.monotonic() - began_s)
    assert least * 0.9 <= found.cpu_ratio <= 64


def test_memory_is_what_is_resident_now() -> None:
    before = ProcessCostMeter().measure().rss_mib
    held = bytearray(b"x") * (64 << 20)
    after = ProcessCostMeter().measure().rss_mib
    assert after - before >= 60
    assert after <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + 1
    del held
