"""A table of what a target patches in its toolchain, and when each patch applies.

Toolchains change every month. A target lists what it replaces or uses beyond their public
interfaces, with the versions that this was tested with. With other versions, or on request
(`--set TARGET.stock=true`), the stock path runs, which leaves out patches that only save time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from packaging.specifiers import SpecifierSet

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ToolchainError
from mnv4_mobile.option import Option

PatchKind = Literal["workaround", "artifact", "speedup"]
"""`workaround`: without it the artifact is wrong or cannot be made. `artifact`: it makes the
artifact smaller or faster. `speedup`: it saves build time and does not change the artifact."""

STOCK = Option(
    name="stock",
    type=bool,
    default=False,
    help="Leave out patches that only save build time, to see whether a fault is upstream's.",
)
"""The option of every target that patches its toolchain."""

_GONE = (AttributeError, ImportError)
"""The errors that a patch raises if upstream names have changed."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One place where a target replaces or uses upstream code beyond its public interface."""

    name: str
    """The patch's name in messages."""
    kind: PatchKind
    """What the patch is for."""
    reason: str
    """What upstream does that needs a patch."""
    upstream: str
    """The upstream file, function or issue."""
    saves: str
    """What the patch gains, or what goes wrong without it."""
    apply: Callable[[], AbstractContextManager[Any]] | None = None
    """Patches upstream while its context is open; imports the toolchain. None if the target's code
    uses an upstream name directly instead of replacing one."""


@dataclass(frozen=True, kw_only=True)
class Patches:
    """A target's patches, and the versions of distributions that they were tested with."""

    tested: Mapping[str, str]
    """Version specifiers by distribution: `{"torch": "==2.13.*"}`."""
    table: tuple[Patch, ...] = field(default=())

    def versions(self) -> dict[str, str]:
        """Returns the versions of the tested distributions, as far as they are installed."""
        found = {}
        for name in self.tested:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found

    def untested(self) -> str | None:
        """Returns which installed versions were not tested, or None if all of them were."""
        others = [
            f"{name} {found} (tested: {self.tested[name]})"
            for name, found in self.versions().items()
            if not SpecifierSet(self.tested[name]).contains(found, prereleases=True)
        ]
        return ", ".join(others) or None

    def active(self, stock: bool = False) -> bool:
        """Returns whether speedups apply.

        Args:
            stock: Whether the user asked for the stock path.
        """
        return not stock and self.untested() is None

    @contextmanager
    def applied(self, stock: bool = False) -> Iterator[list[str]]:
        """Applies the patches within a context: all of them, or no speedups on the stock path.

        Args:
            stock: Whether the user asked for the stock path.

        Yields:
            Messages for the user, to be returned in `Lowered.notes`: that the stock path runs
            without being asked for, and patches that no longer fit the toolchain.

        Raises:
            ToolchainError: A workaround does not fit the installed toolchain.
        """
        notes: list[str] = []
        active = self.active(stock)
        if not stock and not active:
            notes.append(f"builds are slower, without speedups: not tested: {self.untested()}")
        with ExitStack() as entered:
            for patch in self.table:
                if patch.apply is None or (patch.kind == "speedup" and not active):
                    continue
                try:
                    entered.enter_context(patch.apply())
                except _GONE as error:
                    found = ", ".join(f"{name} {v}" for name, v in self.versions().items())
                    text = f"the {patch.kind} {patch.name!r} does not fit {found}: {error}"
                    if patch.kind == "workaround":
                        raise ToolchainError(text) from error
                    notes.append(f"left out: {text}")
            yield notes


def stock(spec: BuildSpec) -> bool:
    """Returns whether the user asked for the stock path (`STOCK`)."""
    return bool(spec.options.get(STOCK.name, STOCK.default))
