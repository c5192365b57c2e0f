# SPDX-License-Identifier: GPL-2.0
"""`make lint LINT=layers`: imports in lib/ run one way.

A folder of lib/, or a file beside them, uses only what stands above it in `LAYERS`. No two files import
each other, be it by way of others, but a module and its own children may. What code imports is read from
its `use` declarations and from the paths in it; documentation may link to anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

# From the lowest layer to the highest: each may use those before it.
LAYERS = (
    "shim",
    "util",
    "sync",
    "module",
    "fs",
    "net",
    "buffer",
    "handler",
    "stats",
    "executor",
    "connection",
    "server",
    "param",
    "testing",
)
ROOT = "ktcp_server"

COMMENT = re.compile(r"//[^\n]*")
STRING = re.compile(r'c?"(?:[^"\\]|\\.)*"', re.DOTALL)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|self|super)(?:::\w+)+")
# The `crate` of a macro's user, for whom a macro of the library names what is public
USERS = re.compile(r"\$crate(?:::\w+)+|\bcrate::__LOG_PREFIX\b")
# The beginning of a module in a file, as `mod raw {`
INLINE = re.compile(r"\bmod (\w+) \{")


def _leaves(tree: str) -> Iterator[str]:
    """The paths of a `use` tree that has no blanks: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    if "{" not in tree:
        yield tree.removesuffix("::self")
        return
    prefix, rest = tree.split("{", 1)
    depth, piece = 0, ""
    for char in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            if piece:
                yield from _leaves(prefix + piece)
            piece = ""
        else:
            piece += char


def _code(source: str) -> str:
    return USERS.sub("users", STRING.sub('""', COMMENT.sub("", source)))


def _nesting(code: str, position: int) -> list[str]:
    """The modules within the file around that position."""
    names: list[str] = []
    for match in INLINE.finditer(code, 0, position):
        depth = code.count("{", match.end(), position) - code.count("}", match.end(), position)
        if depth >= 0:
            names.append(match[1])
    return names


def paths(source: str) -> Iterator[tuple[list[str], str]]:
    """The paths that code names from the crate or from its own module, with the modules around them."""
    code = _code(source)
    for use in USE.finditer(code):
        for leaf in _leaves(re.sub(r"\s+", "", use[1])):
            yield _nesting(code, use.start()), leaf
    rest = USE.sub(lambda use: " " * len(use[0]), code)
    for path in PATH.finditer(rest):
        yield _nesting(rest, path.start()), path[0]


def _resolve(module: list[str], path: str) -> list[str] | None:
    """The path from the crate's root, if it is one of the crate."""
    names = path.split("::")
    if names[0] == "crate":
        return names[1:]
    if names[0] not in ("self", "super"):
        return None
    while names and names[0] in ("self", "super"):
        module = module[:-1] if names[0] == "super" else module
        names = names[1:]
    return module + names


def imports(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module names, from their sources by their paths (`net::socket`)."""
    found: dict[str, set[str]] = {module: set() for module in sources}
    for module, source in sources.items():
        own = [] if module == ROOT else module.split("::")
        for around, path in paths(source):
            target = _resolve(own + around, path)
            if target is None:
                continue
            # The file in which the item is; of one that is re-exported, that which re-exports it.
            names = ["::".join(target[:length]) for length in range(len(target), 0, -1)]
            file = next((name for name in names if name in sources), ROOT)
            if file != module:
                found[module].add(file)
    return found


def _related(one: str, other: str) -> bool:
    return one.startswith(f"{other}::") or other.startswith(f"{one}::")


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle, in order, if there is one; a module and its children are none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        for target in sorted(edges.get(module, ())):
            if not _related(module, target) and (found := visit(target, [*way, module])):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(edges) if (found := visit(module, []))), [])


def complaints(sources: Mapping[str, str]) -> list[str]:
    """A line for each import that runs the wrong way, and for a circle."""
    found = []
    edges = {module: targets for module, targets in imports(sources).items() if module != ROOT}
    for module, targets in sorted(edges.items()):
        layer = module.split("::")[0]
        if layer not in LAYERS:
            found.append(f"{module}: is in no layer: add `{layer}` to LAYERS")
            continue
        for target in sorted(targets):
            other = target.split("::")[0]
            if other == ROOT:
                found.append(f"{module}: imports from the root of the crate")
            elif other in LAYERS and LAYERS.index(other) > LAYERS.index(layer):
                found.append(f"{module}: imports {target}, which is above it")
    if way := circle(edges):
        found.append("a circle: " + " -> ".join([*way, way[0]]))
    return found


def read(library: Path) -> dict[str, str]:
    """The sources of the library, by the paths of their modules."""
    return {
        "::".join(path.relative_to(library).with_suffix("").parts): path.read_text()
        for path in sorted(library.rglob("*.rs"))
    }
