import gc
import os
import subprocess
import sys
import time

from mnv4_mobile.bundle.timing import timed


def test_runs_and_seconds_are_both_reached():
    calls = []
    found = timed(lambda: calls.append(gc.isenabled()), warmup=3, runs=5)
    assert len(calls) == 3 + 5
    assert calls[3:] == [False] * 5  # a collection would be somebody's latency
    assert gc.isenabled()
    assert len(found.latencies_ms) == len(found.t_ms) == 5
    assert found.busy is None  # the system's clock has not moved
    found = timed(lambda: time.sleep(0.01), warmup=0, runs=2, seconds=0.3)
    assert len(found.latencies_ms) > 2
    assert min(found.latencies_ms) >= 10
    assert found.t_ms[-1] + found.latencies_ms[-1] >= 300
    assert list(found.t_ms) == sorted(found.t_ms)


def test_work_of_another_process_is_seen_and_own_work_is_not():
    def spin():
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass

    own = timed(spin, warmup=0, runs=1)
    # What the loop took is left out, whatever others took: all cores less its own seconds.
    seconds = own.latencies_ms[0] / 1e3 * os.cpu_count()
    assert own.busy <= 1 - 0.5 / seconds + 0.05
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = timed(lambda: time.sleep(0.5), warmup=1, runs=1)
    finally:
        other.kill()
        other.wait()
    assert found.busy >= 0.5 / os.cpu_count()
