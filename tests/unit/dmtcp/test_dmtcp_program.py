"""What kind of program a file is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from syscr.backends.dmtcp import program


def build_elf(kind: int, *types: int) -> bytes:
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<H", head, 16, kind)
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(types))
    return bytes(head) + b"".join(struct.pack("<I52x", number) for number in types)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (build_elf(2, 1, 3), (True, False)),
        (build_elf(3, 6, 3, 1), (False, False)),
        (build_elf(2, 1, 1), (True, True)),
        (build_elf(3, 1), (False, True)),
        (b"\x7fELF", (False, False)),
        (b"#!/bin/sh\n", (False, False)),
        (build_elf(2, 1, 3)[:70] + b"", (True, False)),
    ],
)
def test_elf_type_and_loader_are_read(head: bytes, expected: tuple[bool, bool]) -> None:
    assert program.parse_elf(head) == expected


def test_script_is_judged_by_its_interpreter(tmp_path: Path) -> None:
    fixed = tmp_path / "interpreter"
    fixed.write_bytes(build_elf(2, 1, 3))
    script = tmp_path / "script"
    script.write_text(f"#!{fixed} -u\n")
    for path in (fixed, script):
        path.chmod(0o755)
    assert program.may_be_fixed(str(script), {})
    assert program.may_be_fixed("script", {"PATH": str(tmp_path)})


def test_shell_may_start_anything(tmp_path: Path) -> None:
    shell = tmp_path / "bash"
    shell.write_bytes(build_elf(3, 1, 3))
    shell.chmod(0o755)
    assert program.may_be_fixed("bash", {"PATH": str(tmp_path)})


def test_position_independent_or_missing_program_is_not_fixed(tmp_path: Path) -> None:
    plain = tmp_path / "prog"
    plain.write_bytes(build_elf(3, 1, 3))
    plain.chmod(0o755)
    assert not program.may_be_fixed("prog", {"PATH": str(tmp_path)})
    assert not program.may_be_fixed("missing", {"PATH": str(tmp_path)})


def test_set_user_id_bit_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "prog"
    path.write_bytes(build_elf(3, 1, 3))
    path.chmod(0o4755)
    assert program.read_program(str(path)).is_privileged
    assert program.read_program(str(tmp_path / "gone")) == program.Program(str(tmp_path / "gone"))


def test_asking_for_personality_changes_nothing() -> None:
    before = Path("/proc/self/personality").read_text()
    program.can_fix_addresses()
    assert Path("/proc/self/personality").read_text() == before
