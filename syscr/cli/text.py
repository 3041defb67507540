"""Results -> text for people: what happened to the job, and what to do next; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from syscr.cli import encode
from syscr.cli.lives import list_lives, summarize_lives
from syscr.cli.output import align, finding_lines, printable
from syscr.model import Finding, Image, JobId, JobState, Severity, Target, Timings
from syscr.result import (
    CheckpointResult,
    JobStatus,
    NodeHealth,
    PruneResult,
    RestartResult,
)
from syscr.units import format_duration, format_size

_NOTHING = "-"
_FATES = {
    "running": "the {what} keeps running",
    "ended": "the {what} has ended",
    "requeued": "the {what} is back in the queue",
    "pending": "the {what} waits in the queue",
}


def name_of(target: Target) -> str:
    """Return ``job 4711`` or ``step 4711.0``; the batch step is the job itself."""
    if target.step is None or target.step == "batch":
        return f"job {target.job_id}"
    return f"step {target}"


def plain(target: Target) -> str:
    """Return how to name a target on the command line, as short as possible."""
    return str(target.job_id) if target.step in (None, "batch") else str(target)


def render_checkpoint(result: CheckpointResult, *, image_dir: str | None) -> str:
    """Return the answer of checkpoint, vacate and requeue."""
    what = name_of(result.target)
    kind = what.partition(" ")[0]
    if result.image is None:
        lines = [f"{what} can be checkpointed; nothing was done (dry run)"]
        return "\n".join(lines + render_findings(result.findings))
    image = result.image
    fate = _FATES.get(result.job_state, f"the {kind} is {result.job_state}").format(what=kind)
    rows = [
        ("image", image.image_id),
        ("size", _size_of(image)),
        *_time_rows(image.manifest.timings),
    ]
    lines = [f"{what}: image written, {fate}", align(rows, indent="  ")]
    lines += render_findings(result.findings)
    suffix = f" --image-dir {_quote(image_dir)}" if image_dir else ""
    verb = "it continues from this image when Slurm starts it; watch it with: syscr status"
    if result.job_state in ("requeued", "pending"):
        lines.append(f"{verb} {plain(result.target)}")
    else:
        lines.append(f"restart with: syscr restart {plain(result.target)}{suffix}")
    return "\n".join(lines)


def _size_of(image: Image) -> str:
    count = len(image.manifest.files)
    return (
        f"{format_size(image.manifest.size_bytes)} in {count} {'file' if count == 1 else 'files'}"
    )


def _time_rows(timings: Timings) -> list[tuple[str, str]]:
    parts = timings.dump_seconds + timings.digest_seconds + (timings.publish_seconds or 0.0)
    total = timings.total_seconds or parts
    frozen = _NOTHING if timings.frozen_us is None else format_duration(timings.frozen_us / 1e6)
    return [("frozen", frozen), ("total", format_duration(total))]


def _quote(text: str) -> str:
    import shlex

    return shlex.quote(text)


def render_findings(findings: Iterable[Finding]) -> list[str]:
    """Return the lines of findings."""
    return [line for finding in findings for line in finding_lines(encode.to_json(finding))]


_METHODS = {
    "submit": "submitted as a new job",
    "requeue": "requeued under the same job id",
    "native": "restarted by Slurm itself under the same job id",
}


def render_restart(result: RestartResult, old: Target | None) -> str:
    """Return the answer of restart."""
    manifest = result.image.manifest
    new = _NOTHING if result.job_id is None else str(result.job_id)
    is_new = result.method == "submit"
    how = "a new job" if is_new else f"job {new}"
    nodes = ",".join(result.nodes)
    rows = [
        ("image", f"{result.image.image_id}, {manifest.backend}, {_size_of(result.image)}"),
        ("method", _METHODS.get(result.method, result.method)),
        ("nodes", nodes or "as Slurm chooses"),
    ]
    if result.job_state == "planned":
        first = (
            f"would restart {how} from image {result.image.image_id}; nothing was done (dry run)"
        )
        return "\n".join([first, align(rows, indent="  ")])
    origin = f" (continues job {old.job_id})" if is_new and old is not None else ""
    if result.job_state == "running":
        rows.append(("took", format_duration(result.wait_seconds)))
        first = f"job {new} runs again{f' on {nodes}' if nodes else ''}{origin}"
    else:
        first = f"job {new} waits in the queue{origin}; it continues when Slurm starts it"
    return "\n".join([first, align(rows, indent="  "), f"watch it with: syscr status {new}"])


def render_status(statuses: Sequence[JobStatus], now: datetime) -> str:
    """Return the answer of status for jobs that were named: one block each."""
    return "\n\n".join(_status_block(status, now) for status in statuses)


def render_status_table(statuses: Sequence[JobStatus], now: datetime) -> str:
    """Return the answer of status for all of a user's jobs: one line each."""
    if not statuses:
        return "you have no jobs in the queue; images of past jobs: syscr image list"
    head = ("JOB", "STATE", "NODES", "CHECKPOINT", "IMAGES", "NEWEST")
    rows = [head, *(_status_row(status, now) for status in statuses)]
    return align(rows)


def _status_row(status: JobStatus, now: datetime) -> tuple[str, ...]:
    job = status.job
    newest = status.images[-1] if status.images else None
    return (
        str(status.target),
        job.raw_state if job else "unknown to Slurm",
        (job.node_list if job else "") or _NOTHING,
        _ability(status),
        str(len(status.images)),
        f"{newest.image_id}, {_age(newest, now)}" if newest else _NOTHING,
    )


def _ability(status: JobStatus) -> str:
    if status.busy:
        return "being written"
    if any(finding.severity is Severity.ERROR for finding in status.findings):
        return "refused"
    return "possible" if status.tasks else "not possible"


def _status_block(status: JobStatus, now: datetime) -> str:
    job = status.job
    if job is None:
        lines = [f"job {status.target}: Slurm does not know it any more"]
    else:
        where = f" on {job.node_list}" if job.node_list else ""
        reason = f" ({job.reason})" if job.state.is_waiting and job.reason != "None" else ""
        lines = [
            f"job {status.target}: {printable(job.raw_state)}{where}{reason}, of {job.user_name}"
        ]
    rows = [("checkpoint", _ability_in_words(status))]
    if status.busy:
        rows.append(("busy", status.busy))
    if status.images:
        newest = status.images[-1]
        rows.append(("newest", f"{newest.image_id}, {_age(newest, now)}, {_size_of(newest)}"))
    count = len(status.images)
    rows.append(("images", str(count) if count else "none"))
    rows += summarize_lives(status, now)
    lines += [align(rows, indent="  "), *list_lives(status, now)]
    lines += render_findings(status.findings)
    advice = _advice(status)
    return "\n".join([*lines, advice] if advice else lines)


def _ability_in_words(status: JobStatus) -> str:
    steps = sorted({task.step for task in status.tasks})
    backends = sorted({task.backend for task in status.tasks})
    count = len(status.tasks)
    tasks = f"{count} {'task' if count == 1 else 'tasks'} of step {', '.join(steps)}, {', '.join(backends)}"
    return f"{_ability(status)} ({tasks})" if status.tasks else _ability(status)


def _advice(status: JobStatus) -> str:
    runs = (
        status.job is not None and not status.job.state.is_final and not status.job.state.is_waiting
    )
    if runs and status.tasks and _ability(status) == "possible":
        return f"write an image with: syscr checkpoint {status.target}"
    if status.job is not None and status.job.state is JobState.SUSPENDED:
        return f"resume it before a checkpoint: scontrol resume {status.target}"
    is_running = status.job is not None and status.job.state is JobState.RUNNING
    if is_running and not (status.tasks or status.findings or status.warnings):
        return "it was not started through syscr; start the next one with: syscr sbatch SCRIPT"
    is_waiting = status.job is not None and status.job.state.is_waiting
    if status.job is not None and status.job.is_held:
        return f"it is held; let it go with: scontrol release {status.target.job_id}"
    if status.job is not None and is_waiting and status.job.reason == "BeginTime" and status.lives:
        return (
            "Slurm lets a requeued job wait two minutes; to start it at once: "
            f"scontrol update JobId={status.target.job_id} StartTime=now"
        )
    if not runs and status.images and (status.job is None or status.job.state.is_final):
        return f"bring it back with: syscr restart {status.target}"
    return ""


def _age(image: Image, now: datetime) -> str:
    seconds = max(0.0, (now - image.manifest.created_at).total_seconds())
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit:.0f} {name} ago"
    return f"{seconds // 86400:.0f} d ago"


def render_images(
    images: Sequence[Image], target: Target | None = None, *, deleted: bool = False
) -> str:
    """Return the table of ``image list``, of one job or of all."""
    if not images and deleted:
        return f"no deleted images{f' of {target}' if target else ''}"
    if not images and target is not None:
        return f"no images of {target}; all that are there: syscr image list"
    if not images:
        return "no images; write one with: syscr checkpoint JOB"
    head = ("IMAGE", "JOB", "STEP", "BACKEND", "TASKS", "SIZE", "NODES", "NAME", "TAGS")
    rows = [head]
    for image in images:
        manifest = image.manifest
        rows.append(
            (
                image.image_id,
                manifest.job_id,
                manifest.step,
                manifest.backend,
                str(manifest.task_count),
                format_size(manifest.size_bytes),
                ",".join(manifest.nodes) or _NOTHING,
                manifest.job_name or _NOTHING,
                ",".join(manifest.tags) or _NOTHING,
            )
        )
    return align(rows)


def render_image(image: Image, *, with_files: bool) -> str:
    """Return the answer of ``image show``."""
    manifest = image.manifest
    state = " (deleted)" if image.is_deleted else ""
    rows = [
        ("job", f"{manifest.job_id}, step {manifest.step}"),
        ("name", manifest.job_name or _NOTHING),
        ("owner", manifest.user_name or _NOTHING),
        ("created", _seconds(manifest.created_at)),
        ("backend", f"{manifest.backend} {manifest.tool_version}".strip()),
        ("nodes", ",".join(manifest.nodes) or _NOTHING),
        ("tasks", str(len(manifest.tasks) or manifest.task_count)),
        ("size", _size_of(image)),
        *_time_rows(manifest.timings),
        ("parent", manifest.parent_image_id or _NOTHING),
        ("tags", ", ".join(manifest.tags) or _NOTHING),
        ("slurm", manifest.slurm_version or _NOTHING),
        ("path", image.path),
    ]
    lines = [f"image {image.image_id}{state}", align(rows, indent="  ")]
    for task in manifest.tasks:
        command = " ".join(_quote(word) for word in task.argv)
        where = f" on {task.node}" if task.node else ""
        what = f": {printable(command)}" if command else ""
        lines.append(f"  task {task.rank}{where}{what}")
    lines += [f"  host {host.node}: {host.kernel}, {host.cpu_model}" for host in manifest.hosts]
    lines += [f"  note: {printable(note)}" for note in manifest.notes]
    if with_files and manifest.files:
        rows = [(file.path, format_size(file.size_bytes)) for file in manifest.files]
        lines += ["files", align(rows, indent="  ")]
    return "\n".join(lines)


def _seconds(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def render_prune(result: PruneResult, *, is_dry_run: bool) -> str:
    """Return the answer of prune: one line per image with the reason."""
    verbs = {True: "keep", False: "would delete" if is_dry_run else "deleted"}
    lines = []
    if result.decisions:
        lines.append(
            align(
                [
                    (verbs[decision.keep], decision.image.image_id, decision.image.manifest.job_id,
                     format_size(decision.image.manifest.size_bytes), decision.reason)
                    for decision in result.decisions
                ]
            )
        )  # fmt: skip
    lines += [f"removed for good: {image_id}" for image_id in result.expunged]
    gone = [decision.image for decision in result.decisions if not decision.keep]
    size = format_size(sum(image.manifest.size_bytes for image in gone))
    lines.append(
        f"{len(gone)} of {len(result.decisions)} images {'would be ' if is_dry_run else ''}deleted, {size}"
    )
    if gone and not is_dry_run:
        lines.append("bring one back with: syscr image undelete IMAGE")
    return "\n".join(lines)


def render_health(nodes: Sequence[NodeHealth]) -> str:
    """Return the answer of doctor: one block per node."""
    return "\n\n".join(_health_block(node) for node in nodes)


def _health_block(node: NodeHealth) -> str:
    if node.error:
        return f"node {node.node}: cannot be asked: {printable(node.error)}"
    lines = [f"node {node.node}"]
    if node.facts:
        lines.append(align(sorted(node.facts.items()), indent="  "))
    for backend in node.backends:
        version = f" {backend.tool_version}" if backend.tool_version else ""
        lines.append(
            f"  {backend.name}{version}: {'does not work' if backend.missing else 'works'}"
        )
        lines += [f"    {printable(reason)}" for reason in backend.missing]
        absent = sorted(name for name, found in backend.features.items() if not found)
        if absent and not backend.missing:
            lines.append(f"    without {', '.join(absent)}")
    return "\n".join(lines)


def summarize_skips(result: RestartResult) -> tuple[str, ...]:
    """Return a warning for each newer image that was passed over."""
    return tuple(
        f"image {skipped.image_id} was passed over: {'; '.join(skipped.reasons)}"
        for skipped in result.skipped
    )


def job_word(job_id: JobId | None) -> str:
    """Return a job id, or a dash."""
    return _NOTHING if job_id is None else str(job_id)
