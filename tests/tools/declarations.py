# SPDX-License-Identifier: GPL-2.0
"""Functions and structs that C and Rust both declare, read from either and compared by kind.

The compilers cannot compare them: bindgen is no part of what a module is built with. The reader
understands the few forms that the headers of this tree use, and complains about any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = r"[A-Za-z_]\w*"

# The kind of a scalar: what Rust calls it without its `c_`.
C_SCALARS = {
    "unsigned int": "uint",
    "unsigned long": "ulong",
    "size_t": "usize",
    "ssize_t": "isize",
    "loff_t": "i64",
    "umode_t": "u16",
    **{f"s{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
}
KNOWN = {"void", "bool", "char", "int", "usize", "isize", "uint", "ulong"} | {
    f"{sign}{bits}" for sign in "iu" for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True)
class Function:
    """The kinds of what a function takes and returns."""

    takes: tuple[str, ...]
    returns: str


class Unreadable(Exception):
    """The text has a form that is not understood."""


def _split(text: str) -> list[str]:
    """The parts of a list between its commas, of which those in parentheses or brackets are none."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [" ".join(part.split()) for part in [*parts, text[start:]] if part.strip()]


def _scalar(kind: str) -> str:
    if kind not in KNOWN:
        raise Unreadable(kind)
    return kind


def c_kind(text: str, typedefs: dict[str, str]) -> str:
    """The kind of a C type, which is given without a name."""
    text = " ".join(text.replace("*", " * ").split())
    if text in typedefs:
        return typedefs[text]
    if text.endswith("*"):
        pointee = text.removesuffix("*").strip()
        mutability = "const" if pointee.startswith("const ") else "mut"
        return f"*{mutability} {c_kind(pointee.removeprefix('const '), typedefs)}"
    if match := re.fullmatch(rf"struct ({NAME})", text):
        return match[1]
    return _scalar(C_SCALARS.get(text, text))


def c_variable(text: str, typedefs: dict[str, str]) -> tuple[str, str]:
    """The name and the kind of a parameter, a field or a `typedef`."""
    text = " ".join(text.split())
    if match := re.fullmatch(rf"(.+?)\(\* ?({NAME})\) ?\((.*)\)", text):
        return match[2], c_function(match[1], match[3], typedefs)
    if match := re.fullmatch(rf"(.+?)({NAME})", text):
        return match[2], c_kind(match[1], typedefs)
    raise Unreadable(text)


def c_function(returns: str, takes: str, typedefs: dict[str, str]) -> str:
    """The kind of a pointer to a function."""
    function = _c_function(returns, takes, typedefs)
    return f"fn({', '.join(function.takes)}) -> {function.returns}"


def _c_function(returns: str, takes: str, typedefs: dict[str, str]) -> Function:
    parameters = [] if takes.strip() == "void" else _split(takes)
    kinds = tuple(c_variable(parameter, typedefs)[1] for parameter in parameters)
    return Function(kinds, c_kind(returns, typedefs))


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|^#.*?(?<!\\)$", "", text, flags=re.DOTALL | re.MULTILINE)


def c_typedefs(header: str) -> dict[str, str]:
    """The kinds of the types that a header gives a name to."""
    found: dict[str, str] = {}
    for text in re.findall(r"^typedef ([^;]+);", _without_comments(header), re.MULTILINE):
        name, kind = c_variable(text, found)
        found[name] = kind
    return found


def c_functions(header: str) -> dict[str, Function]:
    """The functions that a header declares."""
    typedefs, text = c_typedefs(header), _without_comments(header)
    text = re.sub(r"^(struct \w+ \{.*?\n\}|typedef [^;]+|struct \w+);", "", text, flags=re.S | re.M)
    found = {}
    for declaration in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(rf"(.+?)\b({NAME})\((.*)\)", declaration, re.DOTALL)
        if match is None:
            raise Unreadable(declaration)
        found[match[2]] = _c_function(match[1], match[3], typedefs)
    return found


def c_structs(header: str) -> dict[str, list[tuple[str, str]]]:
    """The fields, each a name and a kind, of the structs that a header defines."""
    found = re.findall(r"^struct (\w+) \{(.*?)^\};", _without_comments(header), re.DOTALL | re.M)
    return {
        name: [c_variable(field, {}) for field in fields.split(";") if field.strip()]
        for name, fields in found
    }


def trace_functions(header: str) -> dict[str, Function]:
    """The functions by which Rust reports the trace events that a header defines."""
    events = re.findall(
        r"^(?:TRACE_EVENT_FN\(|DEFINE_EVENT_FN\(\w+, )(\w+),\s*TP_PROTO\((.*?)\),\s*TP_ARGS",
        header,
        re.DOTALL | re.MULTILINE,
    )
    return {f"rust_do_trace_{name}": _c_function("void", takes, {}) for name, takes in events}


@dataclass(frozen=True)
class Rust:
    """The text of a Rust file, and what its names for C structs and its aliases stand for."""

    text: str
    names: dict[str, str]

    @classmethod
    def of(cls, text: str, others: dict[str, str]) -> Rust:
        """The declarations of a file that also uses the structs `others`."""
        code = re.sub(r"^\s*//(?!/).*$", "", text, flags=re.MULTILINE)
        aliases = dict(re.findall(rf"^type ({NAME}) = ([^;]+);", code, re.MULTILINE))
        return cls(code, others | aliases)

    def kind(self, text: str) -> str:
        """The kind of a Rust type."""
        text = " ".join(text.split()).strip(" ,")
        if match := re.fullmatch(r"Option<(.*)>", text):
            return self.kind(match[1])
        if match := re.fullmatch(r'(?:unsafe )?extern "C" fn\((.*)\)(?: -> (.*))?', text):
            takes = ", ".join(self.kind(part) for part in _split(match[1]))
            return f"fn({takes}) -> {self.kind(match[2] or '()')}"
        if match := re.fullmatch(r"\*(mut|const) (.*)", text):
            return f"*{match[1]} {self.kind(match[2])}"
        if text in self.names:
            named = self.names[text]
            return named if re.fullmatch(NAME, named) else self.kind(named)
        if match := re.fullmatch(rf"bindings::({NAME})", text):
            return match[1]
        text = text.removeprefix("kernel::ffi::").removeprefix("c_")
        return "void" if text == "()" else _scalar(text)

    def _function(self, takes: str, returns: str) -> Function:
        kinds = [part.split(":", 1)[1] for part in _split(takes)]
        return Function(tuple(self.kind(kind) for kind in kinds), self.kind(returns or "()"))

    def imports(self) -> dict[str, Function]:
        """The functions of C that the file declares."""
        found = {}
        for _, block in re.findall(r'^( *)extern "C" \{\n(.*?)^\1\}', self.text, re.DOTALL | re.M):
            block = re.sub(r"^\s*//.*$", "", block, flags=re.MULTILINE)
            for declaration in block.split(";"):
                match = re.search(
                    rf"\bfn ({NAME})\((.*)\)(?:\s*->([^()]*))?$", declaration, re.DOTALL
                )
                if match is not None:
                    found[match[1]] = self._function(match[2], match[3])
        return found

    def exports(self) -> dict[str, Function]:
        """The functions that the file defines for C."""
        return {
            name: self._function(takes, returns)
            for name, takes, returns in re.findall(
                rf'#\[no_mangle\]\n(?:unsafe )?extern "C" fn ({NAME})\((.*?)\)(?: -> (.+?))? \{{',
                self.text,
            )
        }

    def structs(self) -> dict[str, list[tuple[str, str]]]:
        """The fields of the structs that the file lays out as C does, by their names in C."""
        found = {}
        for name, fields in re.findall(
            rf"#\[repr\(C\)\].*?struct ({NAME}) \{{(.*?)^ *\}}", self.text, re.DOTALL | re.M
        ):
            # A type that C alone looks into has no bytes here.
            if name in self.names and "[u8; 0]" not in fields:
                fields = re.sub(r"^\s*///.*$|\bpub\(crate\) ", "", fields, flags=re.MULTILINE)
                pairs = [field.split(":", 1) for field in _split(fields)]
                found[self.names[name]] = [(key, self.kind(kind)) for key, kind in pairs]
        return found


def struct_names(text: str) -> dict[str, str]:
    """The C names of the structs that a Rust file says to be `struct name` of a header."""
    return dict(
        (rust, c)
        for c, rust in re.findall(
            rf"^ *///[^\n]*`struct (ktcp_\w+)`[^\n]*\n(?: *(?:///|#\[)[^\n]*\n)*[^\n]*struct ({NAME}) ",
            text,
            re.MULTILINE,
        )
    )


def agree(rust: str, c: str) -> bool:
    """Whether two kinds are one, but that Rust may take any pointer for one to void."""
    if rust == c:
        return True
    opaque = re.fullmatch(r"(\*(?:mut|const)) void", rust)
    return opaque is not None and c.startswith(f"{opaque[1]} ")


def compare(rust: Function, c: Function) -> bool:
    """Whether a declaration in Rust is one of what C declares."""
    pairs = [*zip(rust.takes, c.takes, strict=False), (rust.returns, c.returns)]
    return len(rust.takes) == len(c.takes) and all(agree(*pair) for pair in pairs)
