"""Whether an image can run on another node: architecture, CPU features, C library; pure.

CRIU restores without looking, and the program dies of an illegal instruction later (facts: the CPU is
checked only with --cpu-cap, the kernel not at all).
"""

from __future__ import annotations

from syscr.errors import ImageIncompatibleError
from syscr.model import HostFacts, Image

# Flags that the kernel or firmware reports about itself; no program's instructions depend on them.
_NOT_INSTRUCTIONS = frozenset(
    [
        "aperfmperf",
        "arat",
        "arch_perfmon",
        "art",
        "bts",
        "constant_tsc",
        "cpuid",
        "cpuid_fault",
        "dtherm",
        "dts",
        "epb",
        "ept",
        "ept_ad",
        "est",
        "flexpriority",
        "hfi",
        "hwp",
        "hwp_act_window",
        "hwp_epp",
        "hwp_notify",
        "hwp_pkg_req",
        "hypervisor",
        "ibpb",
        "ibrs",
        "ibrs_enhanced",
        "ida",
        "intel_ppin",
        "intel_pt",
        "invpcid_single",
        "md_clear",
        "monitor",
        "nonstop_tsc",
        "nopl",
        "pdcm",
        "pebs",
        "pln",
        "pts",
        "rep_good",
        "retbleed",
        "spec_ctrl",
        "ssbd",
        "stibp",
        "tpr_shadow",
        "tm",
        "tm2",
        "tsc_adjust",
        "tsc_deadline_timer",
        "tsc_known_freq",
        "vme",
        "vmx",
        "vnmi",
        "vpid",
        "xtopology",
        "xtpr",
        "flush_l1d",
        "arch_capabilities",
        "overflow_recov",
        "succor",
        "smca",
        "svm",
        "npt",
        "lbrv",
        "nrip_save",
    ]
)


def check_host(image: Image, rank_node: str, here: HostFacts) -> tuple[str, ...]:
    """Compare the node an image was taken on with the one that shall restore it.

    Args:
        image: The image.
        rank_node: Node of the task inside the image.
        here: This node.

    Returns:
        Remarks about differences that matter to nobody for certain (another C library, kernel).

    Raises:
        ImageIncompatibleError: Another architecture, or CPU features are missing here.
    """
    there = next((host for host in image.manifest.hosts if host.node == rank_node), None)
    if there is None:
        return (f"image '{image.image_id}' does not say what node '{rank_node}' was like",)
    if there.architecture != here.architecture:
        raise _incompatible(image, there, here, f"{there.architecture} against {here.architecture}")
    missing = sorted(set(there.cpu_flags) - set(here.cpu_flags) - _NOT_INSTRUCTIONS)
    if missing and here.cpu_flags:
        shown = ", ".join(missing[:8]) + (" ..." if len(missing) > 8 else "")
        raise _incompatible(image, there, here, f"this CPU lacks {shown}")
    remarks = []
    if there.libc != here.libc:
        remarks.append(f"the C library differs: {there.libc} then, {here.libc} now")
    if there.kernel != here.kernel:
        remarks.append(f"the kernel differs: {there.kernel} then, {here.kernel} now")
    return tuple(remarks)


def _incompatible(
    image: Image, there: HostFacts, here: HostFacts, cause: str
) -> ImageIncompatibleError:
    return ImageIncompatibleError(
        f"cannot restore image '{image.image_id}' of node '{there.node}' on node '{here.node}': {cause}",
        hint="restart it on a node like the one it came from: "
        "'syscr restart --stick-to-nodes', or name a constraint at submission (-C)",
        image={"cpu_model": there.cpu_model, "architecture": there.architecture},
        node={"cpu_model": here.cpu_model, "architecture": here.architecture},
    )
