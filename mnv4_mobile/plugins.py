"""Finds targets, devices and device programs by entry point.

The shipped ones use the same hooks as third parties.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mnv4_mobile.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True)
class Group:
    """The entry points of one group: plugins of one kind, by name."""

    name: str
    """The group's name, as in a distribution's metadata."""
    what: str
    """The word for a plugin in messages: `target`, `device`, ..."""
    option: str
    """The option that names a plugin, as messages call it."""

    def names(self) -> list[str]:
        """Returns the names of the installed plugins, sorted."""
        return sorted(self._points())

    def package(self, name: str) -> str:
        """Returns the import package of an installed plugin."""
        return self._points()[name].module.partition(".")[0]

    def load(self, name: str, protocol: type) -> Any:
        """Imports a plugin.

        Args:
            name: The plugin's name.
            protocol: The class or the runtime-checkable protocol that it must satisfy.

        Raises:
            ConfigError: There is no such plugin (the message lists the installed ones), it cannot
                be imported, or it does not satisfy the protocol.
        """
        points = self._points()
        if name not in points:
            raise ConfigError(unknown(self.option, name, self.names(), others=self._other_names()))
        try:
            plugin = points[name].load()
        except Exception as error:
            raise ConfigError(f"{self.what} {name}: cannot be loaded: {error!r}") from error
        if not isinstance(plugin, protocol):
            raise ConfigError(
                f"{self.what} {name}: {points[name].value} is not a {protocol.__name__}"
            )
        return plugin

    def _other_names(self) -> dict[str, str]:
        """Returns the plugin for each name in a plugin's attribute `other_names`, if it has one."""
        found = {}
        for name, point in self._points().items():
            with suppress(Exception):  # a broken plugin must not hide the message
                found.update(dict.fromkeys(getattr(point.load(), "other_names", ()), name))
        return found

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.name)}
