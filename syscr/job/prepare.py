"""What has to be true before a task is restored: the right rank, a fitting node, files as they were."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from syscr.compatibility import check_host
from syscr.errors import RestartError
from syscr.job import rollback
from syscr.job.ends import read_ends
from syscr.job.launcher import Launcher
from syscr.job.sharing import choose_part, find_shared, meet
from syscr.model import Image, TaskImage, TaskSpec
from syscr.ports import Clock
from syscr.procfs.host import read_host_facts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that may be restored now.

    Attributes:
        spec: Its new life, with the command it was started with.
        task: Its part of the image.
        data_dir: Absolute folder of its files.
    """

    spec: TaskSpec
    task: TaskImage
    data_dir: str


def prepare(
    spec: TaskSpec,
    image: Image,
    launcher: Launcher,
    clock: Clock,
    warn: Callable[[str], None] | None,
) -> Prepared:
    """Check what can be checked, bring files back and go to the working directory.

    Args:
        spec: The new life of the task.
        image: What it comes back from.
        launcher: The launcher on this node.
        clock: Time, to wait for tasks that share files with this one.
        warn: Told of input files that were changed; None: they refuse the restart.

    Raises:
        ImageIncompatibleError: Another CPU or architecture, or the launcher of the image is gone.
        RestartError: A file is gone, shorter than it was or changed, or the step has another size.
    """
    task = _find_task(image, spec)
    for remark in check_host(image, task.node, read_host_facts(spec.node)):
        log.info("%s", remark)
    launcher.check_image(image)
    run_dir = Path(spec.run_dir)  # <folder>/run/<life> -> <folder>/cut/<life>
    cut_dir = run_dir.parent.with_name("cut")
    since = image.manifest.created_at.timestamp()
    kept = read_ends(str(cut_dir), spec.rank, after=since)
    outputs = _current_outputs()
    shared = find_shared(image.manifest.tasks)
    part = choose_part(task, shared)
    plan = rollback.plan_rollback(part, outputs, rollback.file_size, kept)
    name = f"step {spec.number}.{spec.step} task {spec.rank}"
    if plan.problems:
        raise RestartError(
            f"cannot restore {name} from image '{image.image_id}': {'; '.join(plan.problems)}",
            hint="put the files back as they were, or restart from an older image with "
            "'syscr restart --image ID'",
            output_is_short=_is_short(task, outputs),
        )
    _check_inputs(part, name, image, warn)
    try:
        os.chdir(task.working_dir)
    except OSError as error:
        raise RestartError(
            f"cannot restore {name}: its working directory '{task.working_dir}' is not there: "
            f"{error.strerror}"
        ) from error
    data_dir = str(Path(image.path, task.data_dir))
    for remark in rollback.apply_rollback(plan, data_dir, str(cut_dir / run_dir.name)):
        log.info("%s", remark)
    if any(file.path in shared for file in task.open_files):
        meet(spec, clock)
    restored = replace(spec, restored_from=image.image_id, argv=task.argv)
    return Prepared(restored, task, data_dir)


def _check_inputs(
    task: TaskImage, name: str, image: Image, warn: Callable[[str], None] | None
) -> None:
    """Refuse input files that were changed in place, or tell of them."""
    files = (file for one in image.manifest.tasks for file in one.open_files)
    written = frozenset(file.path for file in files if file.writable)
    changed = rollback.find_changed(task, written, rollback.modified_ns)
    if changed and warn is None:
        raise RestartError(
            f"cannot restore {name} from image '{image.image_id}': {'; '.join(changed)}",
            hint="put the files back as they were (with 'cp -p' or 'touch -d'), or let the job go on "
            "with them as they are: 'changed_inputs = \"warn\"' under [restart] of the configuration",
        )
    for remark in changed:
        if warn is not None:
            warn(f"{name}: {remark}")


def _is_short(task: TaskImage, outputs: frozenset[str]) -> bool:
    """Whether the job's own output has lost something: a line of ours would then hide that.

    It would make the file longer, and in the end long enough for a restart that leaves a gap.
    """
    sizes = {file.path: file.size_bytes for file in task.open_files if file.path in outputs}
    return any((rollback.file_size(path) or 0) < size for path, size in sizes.items())


def _find_task(image: Image, spec: TaskSpec) -> TaskImage:
    """Return the rank's part of the image."""
    for task in image.manifest.tasks:
        if task.rank == spec.rank and image.manifest.task_count == spec.task_count:
            return task
    raise RestartError(
        f"cannot restore task {spec.rank} of {spec.task_count}: image '{image.image_id}' holds "
        f"{image.manifest.task_count} tasks",
        hint=f"start the step with {image.manifest.task_count} tasks (-n {image.manifest.task_count})",
    )


def _current_outputs() -> frozenset[str]:
    """Return the regular files that standard output and error of this task are."""
    return frozenset(
        os.readlink(f"/proc/self/fd/{number}")
        for number in (1, 2)
        if stat.S_ISREG(os.fstat(number).st_mode)
    )
