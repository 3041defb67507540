"""Building the SPANK plugin for this cluster's Slurm; its sources are in ``csrc/spank``.

A plugin fits one yy.mm of Slurm, so each site builds its own, with a C compiler and Slurm's headers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syscr.errors import SchedulerUnavailableError, ToolUnsupportedError
from syscr.ports import CommandTimeout, Runner

SOURCES_DIR = Path(__file__).with_name("csrc") / "spank"
SOURCES = ("plugin.c", "client.c", "task.c", "command.c", "interval.c")
STARTER_SOURCES = ("start.c", "handed.c", "command.c")
PLUGIN_NAME = "syscr_spank.so"
STARTER_NAME = "syscr-start"
_FLAGS = (
    *("-O2", "-std=gnu11", "-fstack-protector-strong"),
    *(
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Wformat=2",
        "-Wpointer-arith",
        "-Wstrict-prototypes",
        "-Werror",
    ),
)
_PLAIN_PATH = re.compile(r"/[\w.,:@%+=~/-]*", re.ASCII)
_COMPILE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class BuiltPlugin:
    """A plugin that was built.

    Attributes:
        path: The file.
        slurm_version: Version of Slurm whose headers it was built with, as ``24.11``.
        plugstack_line: Line of plugstack.conf that loads it.
    """

    path: str
    slurm_version: str
    plugstack_line: str


@dataclass(frozen=True, slots=True)
class PluginBuilder:
    """Builds the plugin.

    Attributes:
        runner: Runs the compiler.
        syscr: Path of ``syscr``, the same on all nodes.
    """

    runner: Runner
    syscr: str

    def build(self, directory: str, *, include_dir: str, compiler: str) -> BuiltPlugin:
        """Build ``syscr_spank.so`` and ``syscr-start`` in a directory; older ones are replaced in one step each.

        Raises:
            ToolUnsupportedError: No headers, those of another Slurm than the one here, a path that
                plugstack.conf cannot hold, a compiler that fails, or a directory that cannot be written.
            ToolMissingError: No such compiler.
        """
        path = os.path.join(os.path.abspath(directory), PLUGIN_NAME)
        for word in (path, self.syscr):
            check_plain(word)
        version = read_header_version(include_dir)
        self._compare(version)
        starter = os.path.join(os.path.dirname(path), STARTER_NAME)
        commands = {
            starter: build_compile_starter(compiler, _aside(starter)),
            path: build_compile(compiler, include_dir, self.syscr, _aside(path)),
        }
        try:
            for argv in commands.values():
                self._compile(argv)
            for name in commands:  # the plugin needs the other one
                os.replace(_aside(name), name)
        except OSError as error:
            raise ToolUnsupportedError(
                f"cannot put '{path}' in place: {error.strerror}",
                hint="name a directory where you may write",
            ) from error
        finally:
            for name in commands:
                Path(_aside(name)).unlink(missing_ok=True)
        return BuiltPlugin(path, version, f"optional {path} syscr={self.syscr}")

    def _compile(self, argv: Sequence[str]) -> None:
        try:
            done = self.runner.run(argv, timeout_seconds=_COMPILE_SECONDS)
        except CommandTimeout as timeout:
            raise ToolUnsupportedError(
                f"cannot build the SPANK plugin: '{argv[0]}' took longer than {_COMPILE_SECONDS:g} s"
            ) from timeout
        if not done.is_ok:
            words = "\n".join(f"| {line}" for line in done.stderr.splitlines()[-20:])
            raise ToolUnsupportedError(
                f"cannot build the SPANK plugin: '{argv[0]}' failed\n{words}",
                hint="is it a C compiler, and does the directory exist where you may write?",
            )

    def _compare(self, version: str) -> None:
        """Slurm would not load a plugin that was built for another yy.mm."""
        try:
            reply = self.runner.run(("sinfo", "--version"))
        except CommandTimeout as timeout:
            raise SchedulerUnavailableError("'sinfo --version' gave no answer") from timeout
        found = re.search(r"\b(\d+\.\d+)\.\d", reply.stdout)
        if found and found[1] != version:
            raise ToolUnsupportedError(
                f"the headers are those of Slurm {version}, but Slurm {found[1]} runs here: it would not "
                "load the plugin",
                hint="name the directory with the right ones: --include DIR",
            )


def build_compile(compiler: str, include_dir: str, syscr: str, path: str) -> tuple[str, ...]:
    """Return the command that compiles the plugin."""
    return (
        *(
            compiler,
            *_FLAGS,
            "-fPIC",
            "-shared",
            f'-DSYSCR_COMMAND="{syscr}"',
            "-isystem",
            include_dir,
        ),
        *("-o", path, *(str(SOURCES_DIR / source) for source in SOURCES), "-ldl"),
    )


def build_compile_starter(compiler: str, path: str) -> tuple[str, ...]:
    """Return the command that compiles the program that starts syscr."""
    sources = (str(SOURCES_DIR / source) for source in STARTER_SOURCES)
    return (compiler, *_FLAGS, "-o", path, *sources)


def _aside(path: str) -> str:
    return f"{path}.{os.getpid()}"


def check_plain(path: str) -> None:
    """Refuse a path that a line of plugstack.conf cannot hold.

    Source: Slurm ``src/common/spank.c``, _plugin_stack_parse_line: words are separated by blanks.

    Raises:
        ToolUnsupportedError: It is not absolute, or has blanks or quotes.
    """
    if not _PLAIN_PATH.fullmatch(path):
        raise ToolUnsupportedError(
            f"plugstack.conf cannot hold the path '{path}'",
            hint="use an absolute path without blanks and quotes",
        )


def read_header_version(include_dir: str) -> str:
    """Return the version of Slurm whose headers these are, as ``24.11``.

    Source: SLURM_VERSION_NUMBER is three bytes; in ``slurm/slurm_version.h`` from 21.08 on, before in
    ``slurm/slurm.h``. Seen in 20.11.4, 22.05.8, 24.11.5 and 26.05.5.

    Raises:
        ToolUnsupportedError: They are not there.
    """
    if not Path(include_dir, "slurm", "spank.h").exists():
        raise ToolUnsupportedError(
            f"there is no 'slurm/spank.h' below '{include_dir}'",
            hint="install Slurm's headers (libslurm-dev, slurm-devel or slurm-smd-dev), or name their "
            "directory: --include DIR",
        )
    for name in ("slurm_version.h", "slurm.h"):
        header = Path(include_dir, "slurm", name)
        text = header.read_text(errors="replace") if header.exists() else ""
        found = re.search(
            r"^#define\s+SLURM_VERSION_NUMBER\s+0x(\w{2})(\w{2})\w{2}$", text, re.MULTILINE
        )
        if found:
            return f"{int(found[1], 16)}.{int(found[2], 16):02}"
    raise ToolUnsupportedError(f"the headers below '{include_dir}' do not tell Slurm's version")
