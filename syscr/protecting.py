"""What must not be deleted whatever a rule says: found out from Slurm and from the records of the jobs.

``retention.py`` decides; this says which jobs have not ended and which images they are to continue from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syscr.errors import JobNotFoundError
from syscr.model import Image, Job, JobId
from syscr.ports import Scheduler, Store, StoreKey
from syscr.selection import CURRENT, decision_name, home_dir, read_decision


@dataclass(frozen=True, slots=True)
class Protection:
    """What retention needs to know of the world.

    Attributes:
        unfinished: Lines of jobs of which one is not known to have ended.
        in_use: Ids of images that the life of such a job continues from.
    """

    unfinished: frozenset[str]
    in_use: frozenset[str]


def find_protection(
    images: Sequence[Image], scheduler: Scheduler, open_store: Callable[[str], Store]
) -> Protection:
    """Ask Slurm for the jobs of the images, and for those that continue them."""
    newest = {image.manifest.lineage: image for image in images}
    jobs = {lineage: _find_jobs(image, open_store) for lineage, image in newest.items()}
    known = scheduler.get_jobs(tuple(dict.fromkeys(one for ids in jobs.values() for one in ids)))
    unfinished: set[str] = set()
    in_use: set[str] = set()
    for lineage, ids in jobs.items():
        alive = [known[one] for one in ids if one in known and not known[one].state.is_final]
        if not alive:
            continue
        unfinished.add(lineage)
        home = open_store(home_dir(newest[lineage]))
        steps = {image.manifest.step for image in images if image.manifest.lineage == lineage}
        for job in alive:
            in_use |= _find_decided(job, lineage, steps, scheduler, home)
    return Protection(frozenset(unfinished), frozenset(in_use))


def _find_jobs(image: Image, open_store: Callable[[str], Store]) -> tuple[JobId, ...]:
    """Return the job that wrote the image and the one that continues the line now."""
    record = open_store(home_dir(image)).read_record(StoreKey(image.manifest.lineage), CURRENT)
    number = record.get("number") if record else None
    own = JobId.parse(image.manifest.job_id)
    return (own, JobId(int(str(number)))) if number else (own,)


def _find_decided(
    job: Job, lineage: str, steps: set[str], scheduler: Scheduler, home: Store
) -> set[str]:
    """Return the images that the present life of a job continues from."""
    try:
        restart_count = scheduler.get_job_details(job.job_id).restart_count
    except JobNotFoundError:
        return set()  # it has just ended
    name = decision_name(job.number, restart_count)
    records = (home.read_record(StoreKey(lineage, step), name) for step in sorted(steps))
    decided = (read_decision(record)[0] for record in records if record is not None)
    return {image_id for image_id in decided if image_id is not None}
