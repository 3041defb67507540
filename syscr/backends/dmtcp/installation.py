"""The DMTCP that is installed on this node: where, which version, what it can do.

Looking at files is done at once, since every task that starts asks; programs are run only when their
answer is needed.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from syscr.backends.dmtcp import commands
from syscr.backends.dmtcp.commands import OWN_DESCRIPTORS
from syscr.errors import ToolMissingError
from syscr.ports import Runner
from syscr.units import parse_version_numbers

_PROBE_SECONDS = 10.0
_PROGRAMS = ("dmtcp_launch", "dmtcp_restart", "dmtcp_coordinator", "dmtcp_command", "mtcp_restart")
_UNIQUE_PLUGIN = "lib/dmtcp/libdmtcp_unique-ckpt.so"
_TASK_LIBRARY = "libsyscr-dmtcp-task.so"
_GUARD = "libsyscr-dmtcp-coordinator.so"
# From these on the guard page of a thread's stack looks readable and is not (MADV_GUARD_INSTALL). DMTCP's own
# thread has one, writing it fails, and DMTCP ends the program: exit 99, "writeAll failed during ckpt". Seen with
# DMTCP 4.2.0 and 5.0 (main of 2026) on glibc 2.43, Linux 6.18; dmtcp pull requests 1271, 1294. Checked 2026-11.
_GUARD_PAGES_GLIBC = (2, 42)
_GUARD_PAGES_KERNEL = (6, 13)


def read_library_version() -> str:
    """Return the C library of this node, ``glibc 2.41``; empty where it does not say."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # no glibc
        return ""


def find_unreadable_stack(library: str, kernel: str) -> str:
    """Return why a checkpoint would end the program on this C library and kernel; empty if it would not."""
    glibc = parse_version_numbers(library.removeprefix("glibc "))
    linux = parse_version_numbers(kernel)
    if not library.startswith("glibc ") or glibc is None or glibc < _GUARD_PAGES_GLIBC:
        return ""
    if linux is None or linux < _GUARD_PAGES_KERNEL:
        return ""
    return (
        f"DMTCP ends a program at its first checkpoint on {library} with Linux {kernel}: it cannot write the "
        "guard pages of thread stacks"
    )


class Installation:
    """One installation of DMTCP, and our own libraries for it."""

    def __init__(
        self, runner: Runner, *, prefix: str | None, environ: Mapping[str, str], library_dir: str
    ) -> None:
        """Keep where to look.

        Args:
            runner: Runs DMTCP's programs.
            prefix: Directory below which DMTCP is installed; where it is not there, PATH is searched.
            environ: Environment with PATH.
            library_dir: Directory of our own libraries.
        """
        self._runner = runner
        self._prefix = prefix
        self._environ = environ
        self._library_dir = library_dir
        self._json: bool | None = None

    def find_obstacle(self) -> str:
        """Return why DMTCP cannot be used here, empty if it can; starts no process."""
        bin_dir = self._find_bin_dir()
        if not bin_dir:
            below = f"below '{self._prefix}' or " if self._prefix else ""
            return f"no dmtcp_launch {below}in PATH"
        missing = [name for name in _PROGRAMS if not os.access(Path(bin_dir, name), os.X_OK)]
        if missing:
            return f"'{bin_dir}' lacks {', '.join(missing)}"
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and limit < OWN_DESCRIPTORS.stop:
            return (
                f"DMTCP needs {OWN_DESCRIPTORS.stop} open files, the limit is {limit} (ulimit -n)"
            )
        return find_unreadable_stack(read_library_version(), os.uname().release)

    def get_tool(self) -> commands.Tool:
        """Return what its files tell; starts no process.

        Raises:
            ToolMissingError: It is not there, or parts of it are missing.
        """
        obstacle = self.find_obstacle()
        if obstacle:
            raise ToolMissingError(f"cannot use DMTCP: {obstacle}", tool="dmtcp_launch")
        bin_dir = self._find_bin_dir()
        plugin = Path(bin_dir).parent / _UNIQUE_PLUGIN
        libraries = [str(Path(self._library_dir, name)) for name in (_TASK_LIBRARY, _GUARD)]
        fix, guard = (path if os.access(path, os.R_OK) else "" for path in libraries)
        return commands.Tool(bin_dir, str(plugin) if plugin.exists() else "", fix, guard)

    def get_probed_tool(self) -> commands.Tool:
        """Return the same after asking for ``--json``; raises as ``get_tool``."""
        tool = self.get_tool()
        if self._json is None:
            argv = commands.build_json_probe(tool)
            self._json = self._runner.run(argv, timeout_seconds=_PROBE_SECONDS).is_ok
        return replace(tool, json=self._json)

    def get_version(self) -> str:
        """Return the version, ``4.2.0``.

        Raises:
            ToolMissingError: As ``get_tool``.
            ToolReplyError: Its answer was not understood.
        """
        from syscr.backends.dmtcp import parse  # with json, which nobody else needs at a start

        argv = commands.build_version(self.get_tool())
        return parse.parse_version(self._runner.run(argv, timeout_seconds=_PROBE_SECONDS))

    def _find_bin_dir(self) -> str:
        if self._prefix:
            for candidate in (Path(self._prefix, "bin"), Path(self._prefix)):
                if (candidate / _PROGRAMS[0]).exists():
                    return str(candidate)
        import shutil  # slow, and rarely needed

        found = shutil.which(_PROGRAMS[0], path=self._environ.get("PATH"))
        return str(Path(found).resolve().parent) if found else ""
