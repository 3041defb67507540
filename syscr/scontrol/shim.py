"""The small ``scontrol`` that stands in PATH ahead of Slurm's, and how the real one is found behind it.

It is a shell script, so that an ordinary ``scontrol show ...`` costs a millisecond and no Python. Only a
command line that may hold the keyword, or none at all (the prompt), goes to ``syscr scontrol``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from syscr.errors import RequestError, StoreAccessError, ToolMissingError

NAME = "scontrol"
_MARK = "# shim of 'syscr scontrol --install-shim'"
_HEAD_BYTES = 256

_SCRIPT = """\
#!/bin/sh
{mark}
# scontrol with the 'checkpoint' keyword back. Everything else goes to the real scontrol, the next one in
# PATH after this file; all of it does so if syscr is not there any more.
syscr={syscr}
ours=prompt
argument=
for word do
    if [ -n "$argument" ]; then
        argument=
        continue
    fi
    case $word in
    -M | -u | --cluster | --clusters | --uid) argument=follows ;;
    -h | -V | --help | --usage | --version) ours=no ;;
    -*) ;;
    [Cc][Hh]*) ours=yes ;;
    *) [ "$ours" = yes ] || ours=no ;;
    esac
done
if [ "$ours" != no ] && [ -x "$syscr" ]; then
    exec "$syscr" scontrol -- "$@"
fi
real=
first=
rest=$PATH:
while [ -n "$rest" ]; do
    folder=${{rest%%:*}}
    rest=${{rest#*:}}
    file=${{folder:-.}}/scontrol
    if [ "$file" -ef "$0" ]; then
        real=
    elif [ -f "$file" ] && [ -x "$file" ]; then
        real=${{real:-$file}}
        first=${{first:-$file}}
    fi
done
if [ -z "$real" ] && [ -z "$_SCONTROL_SHIM" ]; then
    real=$first # nothing follows us: what stands before us, but only once
    export _SCONTROL_SHIM=passed
fi
if [ -z "$real" ]; then
    echo "scontrol: there is no scontrol of Slurm's in PATH" >&2
    exit 127
fi
[ -z "$BASH_VERSION" ] || exec -a scontrol "$real" "$@"
exec "$real" "$@"
"""


def build_script(syscr: str) -> str:
    """Return the text of the shim.

    Args:
        syscr: Absolute path of ``syscr``.
    """
    return _SCRIPT.format(mark=_MARK, syscr=shlex.quote(syscr))


def install(folder: str, syscr: str) -> str:
    """Write the shim into a folder, made if it is missing; returns its path.

    Contract: replaces an older shim in one step, and nothing else: a real scontrol stays as it is.

    Raises:
        RequestError: There is a ``scontrol`` that is not ours.
        StoreAccessError: It cannot be written.
    """
    path = Path(folder, NAME)
    aside = Path(folder, f".{NAME}.{os.getpid()}")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not is_shim(str(path))):
            raise RequestError(
                f"cannot install the shim as '{path}': another scontrol is there",
                hint="choose a directory of its own and put it ahead of Slurm's in PATH",
            )
        aside.write_text(build_script(syscr), encoding="utf-8", errors="surrogateescape")
        aside.chmod(0o755)
        aside.rename(path)
    except OSError as error:
        raise StoreAccessError(
            f"cannot install the shim as '{path}': {error.strerror}",
            path=str(path),
            errno=error.errno,
        ) from error
    return str(path)


def is_shim(path: str) -> bool:
    """Whether a file is a shim of ours; False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return _MARK.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def find_real(search_path: str) -> str:
    """Return the path of the real scontrol, past all shims.

    Raises:
        ToolMissingError: There is none in PATH.
    """
    for path in _iter_candidates(search_path):
        if not is_shim(path):
            return path
    raise ToolMissingError(
        "cannot run 'scontrol': there is none of Slurm's in PATH",
        hint="put the folder of Slurm's commands into PATH",
        tool=NAME,
    )


def _iter_candidates(search_path: str) -> Iterator[str]:
    for folder in search_path.split(":"):
        path = os.path.join(folder or ".", NAME)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield path
