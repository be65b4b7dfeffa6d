"""The kind `coremltools`: iPhones and iPads through coremltools' own app and `MLModelBenchmarker`.

It needs no app of this project, and measures packages without a bundle. The app is built on the
Mac, signed, and started anew for every session. The Mac communicates with it through files, which
leaves the device idle for half a second between runs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mnv4_coreml import compute_unit_of
from mnv4_coreml.mil.saved import SavedModel
from mnv4_mobile.errors import ConfigError, DeviceError, MobileError
from mnv4_mobile.measuring.device import Attached, Device
from mnv4_mobile.measuring.devices.ios import AppleDevice, failure, ready
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import SILENT, Progress
from mnv4_mobile.target import load_target, require
from mnv4_mobile.tensors import Tensors

if TYPE_CHECKING:
    from mnv4_coreml.mlmodel import CoreMLModel

_START_S, _RUN_S = 900, 15
"""Time limits in seconds: for building and starting the app, and for one run."""


class RemoteDevice:
    """One iPhone or iPad.

    Args:
        phone: The device, from `ios.ready`.
        team: The id of the team that signs coremltools' app.
    """

    def __init__(self, phone: AppleDevice, team: str) -> None:
        self._phone, self._team = phone, team
        self._work = TemporaryDirectory(prefix="mnv4-", ignore_cleanup_errors=True)

    def describe(self) -> DeviceInfo:
        """See `Device.describe`; the description is the one that the kind `ios` gives."""
        return self._phone.info

    def thermal(self) -> Thermal:
        """Returns an empty state: coremltools does not report any."""
        return Thermal()

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`.

        Raises:
            ConfigError: Not supported: coremltools' app takes and returns arrays of floats only.
        """
        name = f"{self._phone.info.id}: {subject.path.name}"
        if subject.artifact.target != "coreml":
            raise ConfigError(f"{name}: coremltools runs .mlpackage only")
        require(load_target("coreml"))
        if plan.affinity != "none":
            raise ConfigError(f"affinity: found {plan.affinity!r}, allowed on iOS: none")
        description = SavedModel(subject.path).description
        for feature in (*description.input, *description.output):
            if (kind := feature.type.WhichOneof("Type")) != "multiArrayType":
                raise ConfigError(f"{name}: {feature.name}: found {kind}, coremltools sends arrays")

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`. It cannot wait for `max_thermal`."""
        limit = _START_S + plan.seconds + (plan.warmup + plan.runs) * _RUN_S
        progress.update(f"{self._phone.info.id}: build coremltools' app, run {subject.path.name}")

        async def session() -> Samples:
            return await asyncio.wait_for(self._session(subject, plan), limit)

        try:
            return asyncio.run(session())
        except MobileError:
            raise
        except TimeoutError:
            raise failure(self._phone, f"coremltools took more than {limit:.0f} s") from None
        except Exception as error:  # coremltools raises private exception types
            raise failure(self._phone, f"coremltools: {error}") from error

    def close(self) -> None:
        """Removes the folder in which the app was built; the app stays on the device."""
        self._work.cleanup()

    async def _session(self, subject: Subject, plan: Plan) -> Samples:
        from mnv4_coreml.mlmodel import CoreMLModel, copied

        with copied(subject.path) as package:
            opened = CoreMLModel(package, compute_unit_of(plan.unit), load=False)
            return await self._measured(opened, subject, plan)

    async def _measured(self, opened: CoreMLModel, subject: Subject, plan: Plan) -> Samples:
        device = await self._prepared()
        feeds = subject.feeds()
        golden = subject.check([await _predict(opened, device, feed) for feed in feeds])
        benchmarker, fed = opened.benchmarker(device), opened.feed(feeds[0])
        cold, warm = (await benchmarker.benchmark_load(iterations=2)).samples

        async def run() -> float:
            (ms,) = (await benchmarker.benchmark_predict(inputs=fed, iterations=1)).samples
            return float(ms)

        first = await run()
        for _ in range(plan.warmup):
            await run()
        begins: list[float] = []
        latencies: list[float] = []
        start = time.perf_counter()
        while len(begins) < plan.runs or time.perf_counter() - start < plan.seconds:
            begins.append((time.perf_counter() - start) * 1e3)
            latencies.append(await run())
        return Samples(
            golden_sqnr_db=golden,
            load_cold_ms=cold,
            load_warm_ms=warm,
            first_ms=first,
            latencies_ms=tuple(latencies),
            t_ms=tuple(begins),
            # A runtime name of its own: latencies depend on the pauses between runs.
            versions={
                "runtime": f"coremltools {self._phone.info.os_build}",
                "tool": f"coremltools {version('coremltools')}",
            },
        )

    async def _prepared(self) -> Any:
        """Returns coremltools' object for the device, with the app started.

        Raises:
            DeviceError: coremltools does not see the device.
        """
        from coremltools.models.ml_program.experimental.remote_device import (
            AppSigningCredentials,
            Device,
        )

        devices = [one for one in Device.get_devices() if one.udid == self._phone.udid]
        if not devices:
            raise DeviceError(f"{self._phone.info.id}: coremltools does not see this device")
        return await devices[0].prepare_for_model_debugging(
            credentials=AppSigningCredentials(development_team=self._team),
            working_directory=Path(self._work.name),
        )


async def _predict(opened: CoreMLModel, device: Any, feed: Tensors) -> dict[str, Any]:
    """Runs the model once and returns its outputs, which the benchmarker does not return."""
    from coremltools.models.ml_program.experimental.async_wrapper import MLModelAsyncWrapper

    model = opened.model
    wrapper = MLModelAsyncWrapper.from_spec_or_path(
        spec_or_path=model.get_spec(),
        weights_dir=model.weights_dir,
        compute_units=model.compute_unit,
        device=device,
    )
    await wrapper.load()
    found: dict[str, Any] = opened.answer(await wrapper.predict(opened.feed(feed), state=None))
    await wrapper.unload()
    return found


class Remote:
    """The kind `coremltools`, written as `coremltools` or `coremltools:UDID`."""

    name = "coremltools"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Device]:
        """See `Kind.connect`; `tool` is the team that signs the app.

        Raises:
            ConfigError: `tool` is not the id of a team.
            DeviceError: See `ios.ready`.
        """
        if not re.fullmatch(r"[A-Z0-9]{10}", tool or ""):
            raise ConfigError(
                f"--tool: found {tool!r}, must be your development team's id, ten capital letters "
                "and digits: the team signs the app that coremltools builds"
            )
        return [RemoteDevice(ready(address), str(tool))]

    def attached(self) -> list[Attached]:
        """Returns no devices: the kind `ios` lists the same ones."""
        return []


kind = Remote()
