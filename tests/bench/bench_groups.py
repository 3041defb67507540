"""What is measured, one function per group; each returns lines of the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench_figures import Comparison, Kind, Series, find_resumed
from bench_site import NODE, PYTHON, BenchError, Site, list_values, say, turn
from cluster_support import BACKENDS, Backend

CRIU, DMTCP = BACKENDS[0], BACKENDS[1]
LAUNCHES = 50
IMAGES = 10_000
_CACHES = Path("/proc/sys/vm/drop_caches")

Found = list[dict[str, Any]]


def _checkpoint(site: Site, name: str, job_id: str) -> dict[str, Any]:
    """Time one ``syscr checkpoint``; adds the frozen time by the tool and by the program, in seconds."""
    found = site.time("syscr", "--json", "checkpoint", job_id)
    image = json.loads(found["output"])["data"]["results"][0]["result"]["image"]
    frozen = image["timings"]["frozen_us"]
    return {**found, "image": image, "frozen": frozen / 1e6, "gap": site.read_gap(name, found)}


def measure_dump(site: Site, backend: Backend) -> list[Comparison]:
    """Checkpoint of the large program: against the bare tool, and against dd of the same bytes."""
    name, ours, bare, copies = f"big-{backend.name}", [], [], []
    with site.program(name, site.megabytes, backend) as job_id:
        folder = f"{site.work.path}/{name}.bare"
        dump = [backend.name, job_id, folder, *(["plain"] if backend is CRIU else [])]

        def take_ours() -> None:
            ours.append(_checkpoint(site, name, job_id))
            site.remove_images(job_id)

        def take_bare() -> None:
            found = site.on_node(job_id, *dump)
            bare.append({**found, "gap": site.read_gap(name, found)})
            site.run("rm", "-rf", folder)

        def take_copy() -> None:
            copies.append(site.on_node(job_id, "copy", f"{name}.bytes", f"{name}.copy"))

        site.on_node(job_id, "touch", str(3 * (site.megabytes << 20)))
        site.on_node(job_id, *dump)
        site.run(PYTHON, "bare.py", "join", folder, f"{name}.bytes")
        site.run("rm", "-rf", folder)
        for number in range(site.rounds):
            say(f"checkpoint with {backend.name}, round {number + 1} of {site.rounds}")
            turn(number, take_ours, take_bare, take_copy)
        site.run("rm", f"{name}.bytes")
    return _compare_dumps(backend, ours, bare, copies)


def _compare_dumps(backend: Backend, ours: Found, bare: Found, copies: Found) -> list[Comparison]:
    tool = {"criu": "`criu dump`", "dmtcp": "`dmtcp_command`"}[backend.name]

    def compare(what: str, key: str, other: Found, beside: str, limit: float | None) -> Comparison:
        figures, theirs = Series(list_values(ours, key)), Series(list_values(other, key))
        subject = f"{backend.name}: {what}"
        return Comparison(subject, figures, theirs, limit=limit, beside=beside)

    lines = [
        compare("frozen, by the program's clock", "gap", bare, tool, 1.05),
        compare("whole checkpoint", "seconds", copies, "`dd conv=fsync`", 1.5),
        compare("whole checkpoint", "seconds", bare, f"{tool}, no sync", None),
    ]
    if backend is CRIU:  # DMTCP does not say how long
        lines.insert(0, compare("frozen, by CRIU's clock", "frozen", bare, tool, 1.05))
    return lines


def measure_restart(site: Site) -> list[Comparison]:
    """Restart of the large program with CRIU, from the start of ``syscr run`` to the next round of its loop."""
    name, ours, bare, whole = "restart", [], [], []
    with site.program(name, site.megabytes, CRIU) as job_id:
        image_id = _checkpoint(site, name, job_id)["image"]["image_id"]
        site.work.cancel(job_id)

        def take_ours() -> None:
            whole.append(site.time("syscr", "--json", "restart", job_id, "--stick-to-nodes"))
            started = site.on_node(job_id, "started", job_id)["started"]
            ours.append({"seconds": _wait_until_resumed(site, name, started) - started})
            site.work.cancel(job_id)

        def take_bare() -> None:
            words = f"{PYTHON} bare.py restore {site.work.images} {image_id} {name}.gaps"
            script = f"#!/bin/sh\nexec {words}\n"
            site.run("sbatch", "--wait", "-w", NODE, "--output=bare.out", stdin=script)
            bare.append(json.loads(site.work.read("bare.out").splitlines()[-1]))

        for number in range(site.rounds):
            say(f"restart, round {number + 1} of {site.rounds}")
            turn(number, take_ours, take_bare)
        verify = [site.time("syscr", "image", "verify", image_id) for _ in range(site.rounds)]
    tool = "`criu restore`"
    in_task, theirs = Series(list_values(ours)), Series(list_values(bare))
    return [
        Comparison("criu: restart, in the task", in_task, theirs, beside=tool),
        Comparison("criu: `syscr restart`, with Slurm", Series(list_values(whole))),
        Comparison("criu: `syscr image verify`", Series(list_values(verify))),
    ]


def _wait_until_resumed(site: Site, name: str, started: float) -> float:
    """Return when the program went on; it had stood still since before ``started``."""

    def find() -> float | None:
        return find_resumed(site.work.read(f"{name}.gaps").splitlines(), started)

    found = site.work.cluster.wait_for(find, "the program goes on")
    assert found is not None
    return found


def measure_launch(site: Site) -> list[Comparison]:
    """Start of a step in an allocation, with and without ``syscr run``; in turns."""
    say(f"launch, {LAUNCHES} times each")
    step = ["srun", "--ntasks=1", "--overlap"]
    task = ["/usr/local/bin/syscr", "run", "--checkpoint-dir", site.work.images, "--", "true"]
    request = {"commands": [[*step, "true"], [*step, *task]], "rounds": LAUNCHES + 1}
    plain, ours = _time_in_job(site, request)
    subject, beside = "`srun syscr run -- true`", "`srun true`"
    return [Comparison(subject, ours, plain, Kind.DIFFERENCE, 0.05, beside)]


def measure_spank(site: Site) -> list[Comparison]:
    """A step with the SPANK plugin installed and unused, and with ``--checkpoint``, against one without it.

    Slurm reads plugstack.conf for each step, so it is changed between them.
    """
    say(f"SPANK plugin, {LAUNCHES} times each")
    conf = "/etc/slurm/plugstack.conf"
    line = site.work.cluster.run("root", NODE, ["cat", conf]).stdout
    if "syscr_spank.so" not in line:
        raise BenchError("the SPANK plugin is switched off on this cluster")
    site.work.write("on.conf", line)
    site.work.write("off.conf", "")
    step = ["srun", "--ntasks=1", "--overlap"]
    asking = [*step, "--checkpoint=0", f"--checkpoint-dir={site.work.images}", "true"]
    request = {
        "commands": [[*step, "true"], [*step, "true"], asking],
        "before": [["cp", f"{name}.conf", conf] for name in ("off", "on", "on")],
        "rounds": LAUNCHES + 1,
    }
    site.work.cluster.run("root", NODE, ["chmod", "666", conf], check=True)
    try:
        without, unused, asked = _time_in_job(site, request)
    finally:
        restore = ["sh", "-c", f"chmod 644 {conf}; cp {site.work.path}/on.conf {conf}"]
        site.work.cluster.run("root", NODE, restore, check=True)
    beside = "`srun true` without it"
    return [
        Comparison("plugin there, `srun true`", unused, without, Kind.DIFFERENCE, 0.005, beside),
        Comparison("`srun --checkpoint=0 true`", asked, without, Kind.DIFFERENCE, 0.05, beside),
    ]


def _time_in_job(site: Site, request: Mapping[str, object]) -> list[Series]:
    """Time commands in turns inside of an allocation; returns the figures of each."""
    site.work.write("launch.json", json.dumps(request))
    script = f"#!/bin/sh\nexec {PYTHON} timed.py <launch.json\n"
    site.run("sbatch", "--wait", "-w", NODE, "--output=launch.out", stdin=script)
    rounds = json.loads(site.work.read("launch.out").splitlines()[-1])[1:]  # the first one warms up
    failed = [one for turns in rounds for one in turns if one["status"]]
    if failed:
        raise BenchError(f"srun ended with {failed[0]['status']}: {failed[0]['errors']}")
    return [Series(list_values(list(figures))) for figures in zip(*rounds, strict=True)]


def measure_list(site: Site) -> list[Comparison]:
    """``syscr image list`` of a directory full of images, with and without them in memory."""
    say(f"list of {IMAGES} images")
    folder = f"{site.work.path}/many"
    code = f"from syscr.testing.images import write_images; write_images({folder!r}, {IMAGES})"
    site.run(PYTHON, "-c", code)
    command = ("syscr", "image", "list", "--image-dir", folder)
    lines = site.run(*command).count("\n")
    if lines != IMAGES + 1:
        raise BenchError(f"'syscr image list' wrote {lines} lines for {IMAGES} images")
    warm = [site.time(*command) for _ in range(max(site.rounds, 5))]
    subject = f"`syscr image list`, {IMAGES} images"
    found = [Comparison(f"{subject}, in memory", Series(list_values(warm)), limit=0.5)]
    cold = [site.time(*command) for _ in range(2) if _drop_caches(site)]
    if cold:
        found.append(Comparison(f"{subject}, only on disk", Series(list_values(cold))))
    site.run("rm", "-rf", folder)
    return found


def _drop_caches(site: Site) -> bool:
    """Let the kernel forget what is on disk, of everybody; False where this user may not."""
    site.run("sync")
    try:
        _CACHES.write_text("3")
    except OSError as error:
        say(f"no cold list: {error}")
        return False
    return True


def measure_tiny(site: Site) -> list[Comparison]:
    """Checkpoint of a small program: what syscr itself takes."""
    ours: Found = []
    bare: Found = []
    with site.program("tiny", 0, CRIU) as job_id:
        folder = f"{site.work.path}/tiny.bare"

        def take_ours() -> None:
            ours.append(_checkpoint(site, "tiny", job_id))

        def take_bare() -> None:
            bare.append(site.on_node(job_id, "criu", job_id, folder, "plain"))
            site.run("rm", "-rf", folder)

        say("checkpoint of a tiny program")
        for number in range(max(site.rounds, 5)):
            turn(number, take_ours, take_bare)
    whole, theirs = Series(list_values(ours)), Series(list_values(bare))
    subject, beside = "checkpoint of a tiny program", "`criu dump`"
    return [Comparison(subject, whole, theirs, Kind.DIFFERENCE, beside=beside)]


GROUPS: Mapping[str, Callable[[Site], list[Comparison]]] = {
    "criu": lambda site: measure_dump(site, CRIU),
    "dmtcp": lambda site: measure_dump(site, DMTCP),
    "restart": measure_restart,
    "launch": measure_launch,
    "spank": measure_spank,
    "list": measure_list,
    "tiny": measure_tiny,
}
