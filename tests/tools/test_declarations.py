# SPDX-License-Identifier: GPL-2.0
"""What C and Rust both declare is the same in both, and each constant is written down once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import declarations
from .declarations import Function, Rust

SHIM = Path("lib/shim/shim.h").read_text()
KUNIT = Path("kunit/kunit.h").read_text()
CONSTANTS = Path("lib/shim/constants.c").read_text()
SOURCES = {
    path: path.read_text() for folder in ("lib", "kunit") for path in Path(folder).rglob("*.rs")
}
STRUCTS = {
    rust: c for text in SOURCES.values() for rust, c in declarations.struct_names(text).items()
}
IN_C = {
    **declarations.c_functions(SHIM),
    **declarations.c_functions(KUNIT),
    **declarations.trace_functions(Path("lib/shim/trace.h").read_text()),
}

HEADER = """
/* int ktcp_comment(void); */
#include <linux/types.h>
struct file;
typedef bool (*ktcp_entry)(void *data, int len);
struct ktcp_pair {
	void (*first)(struct sock *sk);
	/* In bytes; not in pages. */
	size_t second;
};
struct file *ktcp_open(const char *name, u32 mode,
		       ktcp_entry entry);
void ktcp_close(void);
"""

RUST = """
/// `struct ktcp_pair` of `pair.h`.
#[repr(C)]
struct Pair {
    /// Called first.
    first: Callback,
    second: usize,
}

type Callback = Option<unsafe extern "C" fn(*mut bindings::sock)>;

extern "C" {
    // Opens a file.
    fn ktcp_open(
        name: *const c_char,
        mode: u32,
        entry: unsafe extern "C" fn(*mut c_void, c_int) -> bool,
    ) -> *mut bindings::file;
    pub(crate) fn ktcp_close();
}

#[no_mangle]
unsafe extern "C" fn ktcp_init(pair: *mut Pair) -> c_int {
    0
}
"""


def _rust(text: str) -> Rust:
    return Rust.of(text, declarations.struct_names(text))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_functions_are_declared_in_rust_as_in_c(path: Path) -> None:
    source = Rust.of(SOURCES[path], STRUCTS)
    for name, function in {**source.imports(), **source.exports()}.items():
        if path.parts[0] == "lib":
            assert function == IN_C.get(name), name
        else:
            assert declarations.compare(function, IN_C[name]), (name, function, IN_C[name])


def test_the_declarations_are_found() -> None:
    found = {
        name for text in SOURCES.values() for name in _rust_names(Rust.of(text, STRUCTS), text)
    }
    # Each one that is called, and each one that the headers have for Rust.
    assert len(found) > 80
    assert {"ktcp_watch", "ktcp_library_init", "ktcp_module_going", "ktcp_kunit_claim"} < found
    assert {"rust_do_trace_ktcp_close", "sk_net_refcnt_upgrade"} < found


def _rust_names(source: Rust, text: str) -> set[str]:
    declared = set(source.imports()) | set(source.exports())
    # No `fn` of an `extern` block or for C has escaped the reader.
    assert len(
        re.findall(r"^ *(?:pub\(\w+\) )?fn (?:rust_do_trace_|ktcp_|sk_|sock_)", text, re.M)
    ) == len(source.imports())
    assert text.count("#[no_mangle]") == len(source.exports())
    return declared


def test_structs_are_declared_in_rust_as_in_c() -> None:
    in_c = {**declarations.c_structs(SHIM), **declarations.c_structs(KUNIT)}
    found = set()
    for text in SOURCES.values():
        for name, fields in Rust.of(text, STRUCTS).structs().items():
            if name in in_c:
                assert fields == in_c[name]
                found.add(name)
    assert found == set(in_c)


def test_the_compilers_compare_the_layout_of_every_struct_of_the_library() -> None:
    asserted = {
        name: re.findall(r"\w+", fields)
        for text in SOURCES.values()
        for name, fields in re.findall(
            r"^assert_layout!\(\s*\w+,\s*(\w+),\s*\[(.*?)\]", text, re.DOTALL | re.M
        )
    }
    for name, fields in declarations.c_structs(SHIM).items():
        assert asserted[name] == [field for field, _ in fields]
    for name, fields in asserted.items():
        assert f"SIZE({name});" in CONSTANTS
        assert not [field for field in fields if f"FIELD({name}, {field});" not in CONSTANTS]


def test_constants_of_c_are_written_down_once() -> None:
    names = re.findall(r"CONSTANT\(\w+, (\w+)\);", CONSTANTS)
    assert len(names) > 8
    for name in names:
        again = re.compile(rf"\bconst {name}:")
        assert not [path for path, text in SOURCES.items() if again.search(text)], name
        assert any(re.search(rf"\b{name}\b", text) for text in SOURCES.values()), name


def test_a_header_is_read() -> None:
    entry = "fn(*mut void, int) -> bool"
    assert declarations.c_functions(HEADER) == {
        "ktcp_open": Function(("*const char", "u32", entry), "*mut file"),
        "ktcp_close": Function((), "void"),
    }
    assert declarations.c_structs(HEADER) == {
        "ktcp_pair": [("first", "fn(*mut sock) -> void"), ("second", "usize")]
    }


def test_a_rust_file_is_read() -> None:
    source = _rust(RUST)
    assert source.imports() == declarations.c_functions(HEADER)
    assert source.structs() == declarations.c_structs(HEADER)
    assert source.exports() == {"ktcp_init": Function(("*mut ktcp_pair",), "int")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mode: u32,", "mode: u64,"),
        ("mode: u32,", "mode: i32,"),
        ("mode: u32,", ""),
        ("name: *const c_char", "name: *mut c_char"),
        ("-> *mut bindings::file", "-> *mut bindings::sock"),
        ("-> *mut bindings::file", ""),
        ("c_int) -> bool", "c_int)"),
        ("fn ktcp_close()", "fn ktcp_close() -> c_int"),
        ("fn ktcp_close()", "fn ktcp_closed()"),
    ],
)
def test_a_declaration_that_differs_is_noticed(old: str, new: str) -> None:
    assert RUST.count(old) == 1
    assert _rust(RUST.replace(old, new)).imports() != declarations.c_functions(HEADER)


def test_fields_in_another_order_are_noticed() -> None:
    swapped = RUST.replace("first:", "third:").replace("second:", "first:")
    assert _rust(swapped).structs() != declarations.c_structs(HEADER)


def test_a_pointer_to_void_stands_for_another_one() -> None:
    in_c = Function(("*mut file", "*const file"), "void")
    assert declarations.compare(Function(("*mut void", "*const void"), "void"), in_c)
    assert not declarations.compare(Function(("*const void", "*const void"), "void"), in_c)
    assert not declarations.compare(Function(("*mut void",), "void"), in_c)


@pytest.mark.parametrize("text", ["int ktcp_macro(int", "enum state ktcp_state(void);", "a b;"])
def test_a_form_that_is_not_understood_is_not_passed_over(text: str) -> None:
    with pytest.raises(declarations.Unreadable):
        declarations.c_functions(text)
