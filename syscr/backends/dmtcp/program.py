"""What kind of program a file is: DMTCP can take dynamic programs only, and some need a cure.

A program of ELF type EXEC (Debian's python3 is one) has its heap at a random place near its fixed
addresses; so has DMTCP's restart program. Where the restart's heap begins above the saved one, glibc
later grows the program's heap onto memory that is not there, and it crashes. Two cures, measured on 4.2.0
and main 2bef5cf8: no address randomisation at the restart (24 of 24), or, from the launch on, a heap so
much bigger that its end is above any random start (36 of 36; it adds 0.2 s to each checkpoint and needs
1 GiB of address space). Without them 35 of 80 restarts ended well.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_ELF = b"\x7fELF"
_ET_EXEC = 2
_PT_INTERP = 3
_HEAD_BYTES = 4096
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh", "csh", "tcsh", "env"})

# Source: Linux, include/uapi/linux/personality.h, 6.18.
_ADDR_NO_RANDOMIZE = 0x0040000
_QUERY = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Program:
    """One executable file.

    Attributes:
        path: Absolute path; empty if nothing was found.
        is_fixed: ELF type EXEC: loaded at fixed addresses, not position independent.
        is_static: Without a dynamic loader: DMTCP cannot get into it.
        is_privileged: The set-user-id or set-group-id bit is set.
        interpreter: Program named on a ``#!`` line; empty for none.
    """

    path: str
    is_fixed: bool = False
    is_static: bool = False
    is_privileged: bool = False
    interpreter: str = ""


def read_program(path: str) -> Program:
    """Look at one file; a file that cannot be read is an ordinary program."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            mode = os.fstat(file.fileno()).st_mode
    except OSError:
        return Program(path)
    privileged = bool(mode & (stat.S_ISUID | stat.S_ISGID)) and stat.S_ISREG(mode)
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        interpreter = os.fsdecode(words[0]) if words else ""
        return Program(path, is_privileged=privileged, interpreter=interpreter)
    fixed, static = parse_elf(head)
    return Program(path, fixed, static, privileged)


def parse_elf(head: bytes) -> tuple[bool, bool]:
    """Return (type EXEC, without dynamic loader) from the first bytes of a 64-bit ELF file; pure.

    Source: ELF-64 Object File Format, 1.5: e_type at 16, e_phoff at 32, e_phentsize at 54.
    """
    if not head.startswith(_ELF) or len(head) < 64 or head[4] != 2 or head[5] != 1:
        return False, False
    kind = struct.unpack_from("<H", head, 16)[0]
    offset = struct.unpack_from("<Q", head, 32)[0]
    size, count = struct.unpack_from("<HH", head, 54)
    types = set()
    for number in range(count):
        place = offset + number * size
        if place + 4 > len(head):
            return kind == _ET_EXEC, False  # the headers lie elsewhere: unusual, say nothing
        types.add(struct.unpack_from("<I", head, place)[0])
    return kind == _ET_EXEC, _PT_INTERP not in types


def may_be_fixed(argv0: str, environ: Mapping[str, str]) -> bool:
    """Whether a command is, or may start, a program of type EXEC: it is one, or a shell."""
    import shutil  # slow, and rarely needed

    found = shutil.which(argv0, path=environ.get("PATH"))
    if found is None:
        return False
    program = read_program(found)
    if program.interpreter:
        program = read_program(program.interpreter)
    return program.is_fixed or Path(program.path).name in _SHELLS


@lru_cache(maxsize=1)
def can_fix_addresses() -> bool:
    """Whether this process may switch address randomisation off, as a restart should.

    Docker's default seccomp filter refuses it. The personality of the process is the same afterwards.
    """
    import ctypes  # slow

    personality = ctypes.CDLL(None, use_errno=True).personality
    old = personality(ctypes.c_ulong(_QUERY))
    if old == -1 or personality(ctypes.c_ulong(old | _ADDR_NO_RANDOMIZE)) == -1:
        return False
    return bool(personality(ctypes.c_ulong(old)) != -1)
