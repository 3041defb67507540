"""Whether Slurm keeps a process by a cgroup, or by parent links (``proctrack/linuxproc``).

Part of the short way of ``syscr run``, so it imports nothing.

Source: proctrack/cgroup of Slurm puts each step into ``.../job_<number>/step_<id>/...``, of the freezer where
cgroup is version 1, and of the one hierarchy where it is version 2 (18.08 to 26.05; format: cgroups(7)).
"""


def is_kept_by_cgroup(text: str) -> bool:
    """Read /proc/PID/cgroup: whether Slurm signals, stops and counts this process by its cgroup.

    Args:
        text: Lines ``number:controllers:path``. With version 1 the freezer alone tells: memory and cpuset may
            be a job's under ``proctrack/linuxproc``, too (``task/cgroup``).
    """
    paths = {}
    for line in text.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        paths.update(dict.fromkeys(controllers.split(","), path))
    path = paths.get("freezer", paths.get("", ""))
    return any(part.startswith("job_") and part[4:].isdigit() for part in path.split("/"))


def is_own_process_kept_by_cgroup() -> bool:
    """The same for this process; True, the usual, where /proc does not say."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            return is_kept_by_cgroup(file.read())
    except OSError:
        return True
