"""Whether a task has to leave the tree of processes that Slurm signals; see ``csrc/launcher/stub.c``.

Part of the short way of ``syscr run``, so it imports next to nothing and starts no process.
"""

from __future__ import annotations

from collections.abc import Mapping

from syscr.procfs.cgroup import is_own_process_kept_by_cgroup

# Source: slurm.conf manual and "Configless Slurm", 24.11; what they include is not read.
CONFIGURATIONS = ["/etc/slurm/slurm.conf", "/run/slurm/conf/slurm.conf"]


def must_leave_tree(environ: Mapping[str, str]) -> bool:
    """Whether Slurm knows the processes of this task by their parent links.

    No cgroup of the job says so; but with cgroup version 2 ``task/cgroup`` makes one under
    ``proctrack/linuxproc``, too, and there it takes a look into Slurm's configuration. To leave the tree without
    need does no harm.
    """
    return not is_own_process_kept_by_cgroup() or _is_configured(environ)


def names_linuxproc(text: str) -> bool:
    """Read ``slurm.conf``: whether it has ``ProctrackType=proctrack/linuxproc``."""
    lines = (line.partition("#")[0] for line in text.lower().splitlines())
    return any("".join(line.split()) == "proctracktype=proctrack/linuxproc" for line in lines)


def _is_configured(environ: Mapping[str, str]) -> bool:
    """Look into the first configuration that can be read."""
    for path in (environ.get("SLURM_CONF", ""), *CONFIGURATIONS):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return names_linuxproc(file.read())
        except OSError:
            continue
    return False
