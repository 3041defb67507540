"""Whether an image fits a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syscr.compatibility import check_host
from syscr.errors import ImageIncompatibleError
from syscr.model import HostFacts, Image
from syscr.testing.images import sample_manifest

THERE = HostFacts("c1", "x86_64", "6.1.0", "Big CPU", ("avx", "avx512f", "ibrs"), "glibc 2.36")


def image() -> Image:
    return Image(sample_manifest(hosts=(THERE,), nodes=("c1",)), "/s/1.ckpt/x", "/s")


def test_same_node_needs_no_remark() -> None:
    assert check_host(image(), "c1", replace(THERE, node="c2")) == ()


def test_other_architecture_is_refused_and_names_both() -> None:
    with pytest.raises(ImageIncompatibleError, match="x86_64 against aarch64") as caught:
        check_host(image(), "c1", replace(THERE, node="c2", architecture="aarch64"))
    assert "'c2'" in caught.value.message
    assert "--stick-to-nodes" in caught.value.hint


def test_missing_cpu_feature_is_refused_by_name() -> None:
    here = replace(THERE, node="c2", cpu_flags=("avx", "ibrs"))
    with pytest.raises(ImageIncompatibleError, match="this CPU lacks avx512f"):
        check_host(image(), "c1", here)


def test_flag_that_no_instruction_depends_on_is_ignored() -> None:
    assert check_host(image(), "c1", replace(THERE, cpu_flags=("avx", "avx512f"))) == ()


def test_more_cpu_features_are_welcome() -> None:
    here = replace(THERE, cpu_flags=(*THERE.cpu_flags, "amx_tile"))
    assert check_host(image(), "c1", here) == ()


def test_other_kernel_and_libc_are_only_remarked() -> None:
    remarks = check_host(image(), "c1", replace(THERE, kernel="6.18", libc="glibc 2.41"))
    assert [remark.split(" differs")[0] for remark in remarks] == ["the C library", "the kernel"]


def test_image_without_facts_of_the_node_is_remarked() -> None:
    (remark,) = check_host(image(), "c9", THERE)
    assert "'c9'" in remark
