"""Argument lists for CRIU in ROOTLESS mode; pure.

CRIU runs inside the user, PID and mount namespace of the task, where the dump root is always PID 2,
and has no right that the job's owner does not have. What it prints is read in ``parse.py``.

Source: CRIU 4.2, Documentation/criu.txt and criu/{files,files-reg,action-scripts}.c; options and
order as measured with 4.2.1 on Linux 6.18 (tests/cluster/criu_cases.py). Checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence

from syscr.ports import LaunchPlan

ROOT_PID = 2  # PID 1 is the launcher's, init (session leader, subreaper) comes next
DUMP_LOG = "dump.log"
RESTORE_LOG = "restore.log"
OPEN_FILES = "open-files"
STATS = "stats-dump"

# Numbers under which the launcher hands 0, 1 and 2 of the new task to CRIU (csrc/launcher/launcher.h).
STDIO_BASE = 200
STDIO_OTHER = 210

_VERBOSITY = "-v2"  # errors and warnings; more costs time while the task stands still
_COMMON = ("--ext-unix-sk", "--file-locks", "--manage-cgroups=ignore")
_GHOST_LIMIT = "1G"
_UNSHARED = ("", "/dev/null")


def build_version(criu: str) -> tuple[str, ...]:
    """Return the command that prints the version."""
    return (criu, "--version")


def build_probe(launcher: str, criu: str) -> tuple[str, ...]:
    """Return a command that makes the namespaces of a task and starts CRIU in them.

    ``criu check`` would refuse there: the launcher leaves a program none of the namespace's capabilities,
    which it gives to the CRIU of a dump.
    """
    return (launcher, "run", "--namespaces", "--task", "{}", "--", criu, "--version")


def build_dump(
    criu: str, data_dir: str, *, launcher: str, stdio_files: Sequence[str] = (), hold: bool = False
) -> tuple[str, ...]:
    """Return the dump of one task, to be run inside its namespaces.

    Args:
        criu: Executable.
        data_dir: Where the images and the log go.
        launcher: The launcher: CRIU runs it without arguments as its action script, by exec.
        stdio_files: Keys (``build_file_key``) of files that the task got from outside.
        hold: Leave the task stopped.
    """
    externals = [word for key in _distinct(stdio_files) for word in ("--external", key)]
    return (
        criu,
        "dump",
        "--unprivileged",
        "-t",
        str(ROOT_PID),
        "-D",
        data_dir,
        "-o",
        DUMP_LOG,
        _VERBOSITY,
        "--leave-stopped" if hold else "--leave-running",
        *_COMMON,
        "--ghost-limit",
        _GHOST_LIMIT,
        *externals,
        "--action-script",
        launcher,
    )


def build_restore(
    criu: str,
    data_dir: str,
    run_dir: str,
    *,
    stdio: Sequence[str],
    stdio_files: Sequence[str] = (),
) -> LaunchPlan:
    """Return the restore of one task, to be run by PID 1 of a fresh namespace.

    Args:
        criu: Executable.
        data_dir: Images; only read.
        run_dir: Directory of the new life, for the log.
        stdio: What 0, 1 and 2 of the old launcher were.
        stdio_files: Their keys, empty for what is no file.
    """
    inherited = [
        word for key in build_inherited(stdio, stdio_files) for word in ("--inherit-fd", key)
    ]
    argv = (
        criu,
        "restore",
        "--unprivileged",
        "-D",
        data_dir,
        "-W",
        run_dir,
        "-o",
        RESTORE_LOG,
        _VERBOSITY,
        "-d",
        "--restore-sibling",
        *_COMMON,
        "--skip-file-rwx-check",
        *inherited,
    )
    return LaunchPlan(
        argv=argv, namespaces=True, restores_sibling=True, log_path=f"{run_dir}/{RESTORE_LOG}"
    )


def build_file_key(mount_id: int, inode: int) -> str:
    """Return CRIU's name of a file on a mount that the task's namespace does not have.

    Source: CRIU 4.2, criu/files-reg.c, ``dump_one_reg_file``: ``file[%x:%x]``, both hexadecimal.
    """
    return f"file[{mount_id:x}:{inode:x}]"


def build_inherited(stdio: Sequence[str], stdio_files: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the values of ``--inherit-fd``: which of the old streams becomes which of the new ones.

    Contract: each old object is named once, by its first descriptor; CRIU gives every descriptor of the
    tree that refers to it the new one. The name is all that follows the first colon, so it needs no
    quoting. A regular file on standard input is opened again by CRIU, at its position, except where it
    lies on a mount that only its key can name; so is /dev/null.

    Source: CRIU 4.2, criu/files.c, ``inherit_fd_parse``, and criu/files-reg.c, ``open_path``.

    Example:
        >>> build_inherited(("/dev/null", "/shared/a b.out", "/shared/a b.out"))
        ('fd[201]:shared/a b.out',)
        >>> build_inherited(("pipe:[5]", "pipe:[6]", "pipe:[7]"))
        ('fd[200]:pipe:[5]', 'fd[201]:pipe:[6]', 'fd[202]:pipe:[7]')
    """
    found: dict[str, str] = {}
    for number, target in enumerate(stdio):
        if target in _UNSHARED or (number == 0 and target.startswith("/")):
            continue
        found.setdefault(target.removeprefix("/"), f"fd[{STDIO_BASE + number}]")
    for number, key in enumerate(stdio_files):
        if key:
            found.setdefault(key, f"fd[{STDIO_OTHER + number}]")
    return tuple(f"{descriptor}:{name}" for name, descriptor in found.items())


def _distinct(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in keys if key))
