"""Checks that Swift code uses nothing newer than the oldest system it supports.

Swift on Linux ignores `@available` for Apple's systems. The versions come from the stubs of Apple's
modules and from the interfaces of Swift's own modules. Only names are compared: of Swift's modules
types and global functions, of the stubs whatever has `@available`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Version = tuple[int, ...]
Versions = Mapping[str, Version]
"""Versions by system: `iOS`, `macOS`, `tvOS`, `visionOS`; one that is not named has the name."""

_VERSION = re.compile(r"\b(iOS|macOS|tvOS|visionOS) ([\d.]+)")
_DECLARED = r"(?:class|struct|enum|protocol|actor|func|var|let|typealias)"
_ANNOTATED = re.compile(
    r"^(?P<indent>[ \t]*)@available\((?P<versions>[^)]*)\)\s*"
    rf"(?:@\w+(?:\([^)]*\))?\s+|(?!{_DECLARED}\b)\w+\s+)*(?:{_DECLARED}|case)\s+(?P<name>\w+)",
    re.MULTILINE,
)
_TOKEN = re.compile(
    r"(?P<skip>//[^\n]*|/\*.*?\*/)"
    r'|(?P<text>"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*")'
    r"|(?P<attribute>@available\([^)]*\))|(?P<condition>#available\([^)]*\))"
    r"|(?P<unknown>#unavailable)|(?P<word>[A-Za-z_]\w*)|(?P<mark>[{}()\n])",
    re.DOTALL,
)
_OPENS = re.compile(r"\s*(?:\{|where\b)")
_OWN = re.compile(r"\b(?:class|struct|enum|protocol|actor|typealias) (\w+)")
_PLATFORM = re.compile(r"\.(iOS|macOS|tvOS|visionOS)\(\.v([\d_]+)\)")


def minimum(package: Path) -> Versions:
    """Returns the oldest systems that a Package.swift names."""
    found = _PLATFORM.findall(package.read_text("utf-8"))
    return {system: _version(text.replace("_", ".")) for system, text in found}


def introduced(
    stubs: Iterable[Path], interfaces: Iterable[Path], own: Iterable[Path]
) -> dict[str, Versions]:
    """Returns the versions that introduced each name with `@available`.

    Args:
        stubs: Stubs of Apple's modules.
        interfaces: `.swiftinterface` files of Swift's own modules. Their members are left out,
            because names like `count` have too many owners.
        own: Sources whose types hide those of the same name. These count with their `@available`.
    """
    names: dict[str, Versions] = {}
    for path in interfaces:
        for found in _ANNOTATED.finditer(path.read_text("utf-8")):
            if not found["indent"] and (versions := _versions(found["versions"])):
                # The oldest declaration counts, as functions are overloaded.
                old = names.get(found["name"], versions)
                names[found["name"]] = min(old, versions, key=lambda one: one.get("iOS", ()))
    for path in stubs:
        for found in _ANNOTATED.finditer(path.read_text("utf-8")):
            if versions := _versions(found["versions"]):
                names[found["name"]] = versions
    for path in own:
        text = path.read_text("utf-8")
        annotated = {
            found["name"]: _versions(found["versions"]) for found in _ANNOTATED.finditer(text)
        }
        for name in _OWN.findall(text):
            names.pop(name, None)
            if newer := annotated.get(name):
                names[name] = newer
    return names


@dataclass
class _Scope:
    granted: Versions
    after: Versions = field(default_factory=dict)
    """What `guard #available` grants to the rest of the scope around this one."""


@dataclass
class _Reader:
    """Follows which versions the code at a place may rely on."""

    scopes: list[_Scope]
    pending: Versions = field(default_factory=dict)
    """What the block that opens next may rely on."""
    declaring: bool = False
    """Whether `pending` holds before the block, as in a signature."""
    named: bool = False
    """Whether the declaration's keyword was read."""
    guards: bool = False
    parentheses: int = 0
    depths: list[int] = field(default_factory=list)

    @property
    def granted(self) -> Versions:
        outer = self.scopes[-1].granted
        return _newest(outer, self.pending) if self.declaring else outer

    def annotate(self, versions: Versions, *, declaring: bool) -> None:
        self.pending, self.declaring, self.named = versions, declaring, False

    def word(self, word: str) -> None:
        self.guards = self.guards or word == "guard"
        self.named = self.named or re.fullmatch(_DECLARED, word) is not None

    def mark(self, mark: str, *, opens: bool) -> None:
        """Takes a brace, a parenthesis or the end of a line.

        Args:
            mark: The character.
            opens: Whether the code after it continues the declaration before it.
        """
        if mark == "{":
            self._open()
        elif mark == "}":
            closed = self.scopes.pop()
            self.parentheses = self.depths.pop()
            self.scopes[-1].granted = _newest(self.scopes[-1].granted, closed.after)
        elif mark == "(":
            self.parentheses += 1
        elif mark == ")":
            self.parentheses -= 1
        elif self.declaring and self.named and not self.parentheses and not opens:
            self.annotate({}, declaring=False)

    def _open(self) -> None:
        if self.parentheses:  # a closure among the arguments: the block comes after it
            self.scopes.append(_Scope(self.granted))
        else:
            outer = self.scopes[-1].granted
            if self.guards:
                self.scopes.append(_Scope(outer, after=self.pending))
            else:
                self.scopes.append(_Scope(_newest(outer, self.pending)))
            self.annotate({}, declaring=False)
            self.guards = False
        self.depths.append(self.parentheses)
        self.parentheses = 0


def _newer(source: Path, introduced: Mapping[str, Versions], minimum: Versions) -> Iterator[str]:
    text = source.read_text("utf-8")
    reader = _Reader([_Scope(minimum)])
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token[0]
        line = text.count("\n", 0, token.start()) + 1
        if kind == "unknown":
            yield f"{source}:{line}: found #unavailable, which this check cannot follow"
        elif kind == "attribute":
            reader.annotate(_versions(found), declaring=True)
        elif kind == "condition":
            reader.annotate(_versions(found), declaring=False)
        elif kind == "mark":
            reader.mark(found, opens=_OPENS.match(text, token.end()) is not None)
        elif kind == "word":
            reader.word(found)
            for system, needed in introduced.get(found, {}).items():
                have = reader.granted.get(system)
                if have is not None and have < needed:
                    yield (
                        f"{source}:{line}: {found} needs {system} {_text(needed)}, "
                        f"this code runs from {_text(have)} on"
                    )


def check(
    sources: Sequence[Path], introduced: Mapping[str, Versions], minimum: Versions
) -> list[str]:
    """Returns a message for each name that older systems lack.

    Args:
        sources: Swift files.
        introduced: The versions that introduced names.
        minimum: The oldest systems that run the code; other systems are not checked.
    """
    return [message for source in sources for message in _newer(source, introduced, minimum)]


def _versions(text: str) -> Versions:
    return {system: _version(version) for system, version in _VERSION.findall(text)}


def _version(text: str) -> Version:
    """Returns 17.0 and 17 as the same version."""
    parts = [int(part) for part in text.split(".")]
    return tuple(parts if parts[-1] or len(parts) == 1 else parts[:-1])


def _newest(a: Versions, b: Versions) -> Versions:
    return {system: max(a[system], b.get(system, a[system])) for system in a}


def _text(version: Version) -> str:
    return ".".join(map(str, version))
