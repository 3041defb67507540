"""Trees, names and arguments, against real processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from syscr.procfs import tree

PARENT = (
    "import os, sys, time\n"
    "child = os.fork()\n"
    "if child == 0:\n"
    "    os.execvp('sleep', ['sleep', '60'])\n"
    "print(child, flush=True)\n"
    "sys.stdin.read()\n"
    "os.kill(child, 9)\n"
)


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """Give (parent, child), both alive."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.communicate("")


def test_tree_of_parent_and_child_lists_parent_first(family: tuple[int, int]) -> None:
    found = tree.list_tree(family[0])
    assert tuple(process.pid for process in found) == family
    parent, child = found
    assert child.ppid == parent.pid
    assert parent.uid == os.getuid()
    assert parent.resident_bytes > 1 << 20
    assert parent.start_ticks <= child.start_ticks
    assert parent.pid_namespace == tree.read_namespace(os.getpid(), "pid") != 0
    assert parent.exe == os.readlink("/proc/self/exe")


def test_tree_of_vanished_root_is_empty() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert tree.list_tree(process.pid) == ()
    assert tree.find_process(process.pid) is None
    assert tree.read_arguments(process.pid) == ()
    assert tree.read_namespace(process.pid, "pid") == 0


def test_name_with_blanks_and_brackets_is_found() -> None:
    code = "import sys\nopen('/proc/self/comm', 'w').write('a) (b ) S 1')\nprint(1, flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = tree.find_processes("a) (b ) S 1", os.getuid())
        assert [entry.pid for entry in found] == [process.pid]
        assert tree.find_processes("a) (b ) S 1", os.getuid() + 1) == ()
        assert tree.read_arguments(process.pid) == (sys.executable, "-c", code)
        process.communicate("")


def test_zombie_is_listed_as_such() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    (found,) = tree.list_tree(process.pid)
    assert found.is_zombie
    process.wait()
