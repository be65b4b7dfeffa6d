"""Programs that run a `.pte` on a device."""

from __future__ import annotations

import re
from collections.abc import Callable

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measuring.devices.tool import Foreign, Run, Runner, Tool
from mnv4_mobile.measuring.measurement import Samples, Summary


class ExecutorRunner(Foreign):
    """ExecuTorch's `executor_runner`. It has no warm-up: its mean includes the first inference."""

    def argv(self, run: Run) -> list[str]:
        """See `Tool.argv`. The inputs are ones, and `run.seconds` is ignored: no option sets it."""
        return [
            *self.pinned(run),
            f"--model_path={run.model}",
            f"--num_executions={run.runs}",
            f"--cpu_threads={run.threads}",
        ]

    def memory_argv(self, run: Run) -> None:
        """Returns None: the tool does not report its memory."""
        return

    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """See `parse`."""
        return parse(printed)


def parse(printed: str) -> Samples:
    """Reads what `executor_runner` logs: `Model executed successfully N time(s) in X ms.`

    Raises:
        DeviceError: There is no such line, or it has no time, as in old releases.
    """
    found = re.search(
        r"Model executed successfully(?: (\d+) time\(s\))?(?: in (\d+(?:\.\d+)?) ms)?\.", printed
    )
    if found is None:
        raise DeviceError(
            "executor_runner: printed no line `Model executed successfully`; a build for Android "
            "may log to logcat only"
        )
    if found[1] is None or found[2] is None or int(found[1]) == 0:
        raise DeviceError(
            f"executor_runner: {found[0]!r} has no time per run; its release may be too old"
        )
    count = int(found[1])
    mean = float(found[2]) / count
    return Samples(
        golden_sqnr_db=None,
        summary=Summary(mean=mean, std=None, min=None, max=None, count=count),
    )


TOOLS: tuple[Tool, ...] = (
    Runner("mnv4-executorch-runner", r"mnv4-executorch-runner.*"),
    ExecutorRunner("executor_runner", r".*executor_runner.*"),
)
