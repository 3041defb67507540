"""Facts of this machine, and the reader of /proc/cpuinfo."""

from __future__ import annotations

import os

from syscr.procfs import host


def test_facts_of_this_machine_are_filled_in() -> None:
    facts = host.read_host_facts("c1")
    assert facts.node == "c1"
    assert facts.architecture == os.uname().machine
    assert facts.kernel == os.uname().release
    assert facts.cpu_flags == tuple(sorted(facts.cpu_flags))
    assert facts.cgroup_version in {0, 1, 2}


def test_x86_cpuinfo_takes_the_first_cpu() -> None:
    text = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: sse2 avx fpu\n\nprocessor\t: 1\nmodel name\t: B\n"
    assert host.parse_cpuinfo(text) == ("AMD EPYC", ("avx", "fpu", "sse2"))


def test_arm_cpuinfo_has_features() -> None:
    assert host.parse_cpuinfo("Features\t: fp asimd\nCPU part\t: 0xd0c\n") == (
        "0xd0c",
        ("asimd", "fp"),
    )


def test_empty_cpuinfo_gives_nothing() -> None:
    assert host.parse_cpuinfo("") == ("", ())
