"""One generation of DMTCP image files on disk: seen as it grows, and taken away when it is complete.

DMTCP writes ``RUN_DIR/ckpt_ID_00001/X.dmtcp.temp`` for each process, waits until all are written, then
each process renames its own and goes on, and the coordinator writes
``RUN_DIR/dmtcp_restart_script_ID_00001.sh``. So:

* the directory appears after all threads of all processes were stopped (barrier ``DMT:CHECKPOINT``);
* until the first final name appears every process stands still (barrier ``DMT:WriteCkpt``);
* the script is written after all final names are there.

Source: dmtcp ``src/threadlist.cpp``, ``src/dmtcpworker.cpp``, ``src/ckptserializer.cpp``, 4.2.0 and
2bef5cf8; checked 2026-11.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from syscr.backends.dmtcp.parse import Script, parse_script

IMAGE_SUFFIX = ".dmtcp"
FILES_SUFFIX = "_files"
_TEMP_SUFFIX = ".dmtcp.temp"
_DIRECTORY = re.compile(r"ckpt_.+_\d{5,}")
_SCRIPT_LINK = "dmtcp_restart_script.sh"
_SCRIPT = re.compile(r"dmtcp_restart_script_(.+)\.sh")


@dataclass(frozen=True, slots=True)
class Generation:
    """What is on disk of one generation.

    Attributes:
        name: Its identifier, ``<computation id>_00001``.
        path: Its directory.
        images: Names of finished image files, sorted.
        unfinished: Names of image files that are being written, sorted.
        size_bytes: Size of all of them.
        script: Its restart script; None while that is not complete.
    """

    name: str
    path: str
    images: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    size_bytes: int = 0
    script: Script | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether all processes certainly stood still when this was read."""
        return not self.images and self.script is None


def list_generations(run_dir: str) -> tuple[str, ...]:
    """Return the names of the generations in a run directory, sorted."""
    return tuple(
        sorted(
            name.removeprefix("ckpt_")
            for name in _list(run_dir)
            if _DIRECTORY.fullmatch(name) and Path(run_dir, name).is_dir()
        )
    )


def read_generation(run_dir: str, name: str) -> Generation:
    """Return what is there of one generation; the script is read before the directory is.

    A script seen complete means that the image files read afterwards have their final names.
    """
    script = None
    try:
        text = Path(run_dir, f"dmtcp_restart_script_{name}.sh").read_text(errors="surrogateescape")
        script = parse_script(text)
    except FileNotFoundError:
        pass
    path = str(Path(run_dir, f"ckpt_{name}"))
    images: list[str] = []
    unfinished: list[str] = []
    size = 0
    for entry in _list(path):
        kind = images if entry.endswith(IMAGE_SUFFIX) else unfinished
        if not entry.endswith((IMAGE_SUFFIX, _TEMP_SUFFIX)):
            continue
        try:
            size += os.stat(Path(path, entry)).st_size
        except FileNotFoundError:
            continue  # it is just being renamed
        kind.append(entry)
    return Generation(name, path, tuple(sorted(images)), tuple(sorted(unfinished)), size, script)


def take_generation(generation: Generation, data_dir: str) -> tuple[str, ...]:
    """Move the files of a complete generation into ``data_dir`` and remove what is left of it.

    Returns:
        Names of the image files there, sorted.

    A move is a rename where both are on one file system, else a copy.
    """
    try:
        for name in _list(generation.path):
            _move(Path(generation.path, name), Path(data_dir, name))
    finally:
        discard_generation(str(Path(generation.path).parent), generation.name)
    return generation.images


def discard_generation(run_dir: str, name: str) -> None:
    """Remove a generation that nobody will use."""
    path = Path(run_dir, f"ckpt_{name}")
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)
    for script in _list(run_dir):
        match = _SCRIPT.fullmatch(script)
        if match is not None and match[1] == name:
            Path(run_dir, script).unlink(missing_ok=True)
    Path(run_dir, _SCRIPT_LINK).unlink(missing_ok=True)


def link_saved_files(data_dir: str, generation_dir: str) -> None:
    """Let DMTCP find its copies of deleted and mapped files where it left them.

    It records the absolute path of each copy in the image (``FileConnection::_savedFilePath``), not a
    path relative to the image, and ends with 99 where that is missing. Measured on both versions.
    """
    folders = [name for name in _list(data_dir) if name.endswith(FILES_SUFFIX)]
    if not folders:
        return
    os.makedirs(generation_dir, mode=0o700, exist_ok=True)
    for name in folders:
        link = Path(generation_dir, name)
        if link.is_symlink():
            link.unlink()
        if not link.exists():
            link.symlink_to(Path(data_dir, name))


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:  # another file system
        if not source.is_dir():
            shutil.move(source, target)  # keeps mode and times
            return
        target.mkdir(mode=0o700)
        for name in _list(str(source)):
            _move(source / name, target / name)
        source.rmdir()


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
