"""Facts of this node that a restore depends on: CPU, kernel, C library, distribution."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from syscr.model import HostFacts


def read_host_facts(node: str = "") -> HostFacts:
    """Return the facts of this machine.

    Args:
        node: Its name in Slurm; empty: the host name up to its first dot.
    """
    machine = os.uname()
    cpu_model, cpu_flags = parse_cpuinfo(_read(Path("/proc/cpuinfo")))
    return HostFacts(
        node=node or machine.nodename.partition(".")[0],
        architecture=machine.machine,
        kernel=machine.release,
        cpu_model=cpu_model,
        cpu_flags=cpu_flags,
        libc=_read_libc(),
        distribution=_read_distribution(),
        cgroup_version=_read_cgroup_version(),
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return (model name, sorted feature flags) of the first CPU; pure.

    Source: Linux, arch/x86/kernel/cpu/proc.c (``model name``, ``flags``) and
    arch/arm64/kernel/cpuinfo.c (``Features``, no model name), 6.18; checked 2026-11.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", ""))
    model = fields.get("model name", fields.get("CPU part", ""))
    return model, tuple(sorted(set(flags.split())))


def _read_libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return " ".join(platform.libc_ver()).strip()


def _read_distribution() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    return release.get("PRETTY_NAME", "")


def _read_cgroup_version() -> int:
    """Return 2 where /sys/fs/cgroup is the unified hierarchy, 1 where it has others, 0 for none."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return 2
    try:
        return 1 if any(root.iterdir()) else 0
    except OSError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
