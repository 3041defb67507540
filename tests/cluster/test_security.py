"""bob, on the same nodes and with the same shared directories, can do nothing to alice's jobs and images."""

from __future__ import annotations

import json

import pytest
from cluster_support import BACKENDS, Backend, Cluster, Result, Work
from faults_support import CRIU, EXIT_CODE, Patient, meanwhile, start_patient

# Every request that a launcher knows, and nonsense, to every abstract socket that listens on the node.
ASK_LAUNCHERS = r"""
import json, socket
rows = [line.split() for line in open("/proc/net/unix")]
names = {row[-1] for row in rows if row[-1].startswith("@") and row[5] == "01"}
requests = (b"state\n", b"kill\n", b"hold 60000\n", b"resume\n", b"run 1000 0 5\ntrue\0", b"x" * 99999)
answers = []
for name in names:
    for request in requests:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(5)
            try:
                link.connect("\0" + name[1:])
                link.sendall(request)
                answers.append(link.recv(100).decode())
            except OSError:
                answers.append("")
print(json.dumps({"sockets": len(names), "answers": "".join(answers)}))
"""
# Hundreds of connections that say nothing, for some seconds.
FLOOD = r"""
import socket, sys, time
rows = [line.split() for line in open("/proc/net/unix")]
where = [(socket.AF_UNIX, "\0" + row[-1][1:]) for row in rows if row[-1].startswith("@") and row[5] == "01"]
rows = [line.split() for line in open("/proc/net/tcp")][1:]
ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[1].startswith("0100007F")]
where += [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]
held, end = [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for family, address in where:
        link = socket.socket(family)
        link.setblocking(False)
        try:
            link.connect(address)
        except OSError:
            time.sleep(0.001)
        held.append(link)
    while len(held) > 400:
        held.pop(0).close()
"""
ASK_COORDINATORS = r"""
import random, socket, subprocess, sys
rows = [line.split() for line in open("/proc/net/tcp")][1:]
ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[1].startswith("0100007F")]
for port in ports:
    for word in ("-s", "-l", "-c", "-kc", "-k", "-q"):
        argv = [sys.argv[1], "--coord-host", "127.0.0.1", "--coord-port", str(port), word]
        subprocess.run(argv, capture_output=True, timeout=20)
    for number in range(50):
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(random.Random(number).randbytes(300))
print(len(ports))
"""


def _bob(cluster: Cluster, *argv: str, node: str = "login", stdin: str = "") -> Result:
    return cluster.run("bob", node, argv, stdin=stdin, cwd="/tmp", timeout=120)


@pytest.fixture
def patient(work: Work) -> Patient:
    """A job of alice's with an image, in a directory that all may enter."""
    work.run("chmod", "755", work.path)
    patient = start_patient(work, "--nodelist=c1", megabytes=20)
    patient.checkpoint()
    return patient


@pytest.mark.parametrize("backend", BACKENDS[:2], indirect=True, ids=lambda backend: backend.label)
def test_stranger_on_the_node_cannot_touch_a_job(
    cluster: Cluster, backend: Backend, patient: Patient
) -> None:
    answer = _bob(cluster, "python3", "-", node="c1", stdin=ASK_LAUNCHERS)
    found = json.loads(answer.stdout)
    assert found["sockets"] >= 1, str(answer)
    assert found["answers"] == "", "a launcher answered a stranger"
    script = (
        "for p in $(pgrep -u alice); do kill -9 $p; kill -CONT $p; cat /proc/$p/environ; done; "
    )
    script += "nsenter -t $(pgrep -u alice -x syscr-init) -U -m -p id"
    answer = _bob(cluster, "sh", "-c", f"({script}) 2>/dev/null", node="c1")
    assert answer.stdout == "", str(answer)
    if backend.name == "dmtcp":
        prefix = "/opt/dmtcp/bin/dmtcp_command"
        answer = _bob(cluster, "python3", "-", prefix, node="c1", stdin=ASK_COORDINATORS)
        assert int(answer.stdout) >= 1, str(answer)
    patient.check_alive()
    with meanwhile(lambda: _bob(cluster, "python3", "-", "4", node="c1", stdin=FLOOD)):
        patient.check_alive(steps=10)
        patient.checkpoint()
    assert len(patient.list_images()) == 2
    patient.finish()


@pytest.mark.matrix
def test_images_are_closed_to_others(cluster: Cluster, work: Work) -> None:
    work.backend = CRIU
    work.run("sh", "-c", f"chmod 755 {work.path}; mkdir -m 1777 {work.path}/images")
    patient = start_patient(work, megabytes=20)
    patient.checkpoint()
    image_id = patient.list_images()[0]
    modes = work.run(
        "sh", "-c", f"find {work.images} -mindepth 1 -perm /077 ! -type l -printf '%p %m\\n'"
    )
    inside = [
        line for line in modes.stdout.splitlines() if ".ckpt/" not in line and ".syscr-" not in line
    ]
    assert inside == [], "folders that others may enter"
    look = f"ls {work.images}/*.ckpt/ {work.images}/.syscr-*/; cat {work.images}/*.ckpt/*/manifest.json"
    assert _bob(cluster, "sh", "-c", f"({look}) 2>/dev/null").stdout == ""
    place = ("--image-dir", work.images)
    for argv, codes in (
        (("image", "show", image_id), {50, 52}),
        (("image", "verify", image_id), {50, 52}),
        (("image", "delete", image_id), {50, 52}),
        (("restart", image_id), {50, 52}),
        (("restart", patient.job_id), {50, 51}),
    ):
        answer = _bob(cluster, "syscr", "--json", *argv, *place)
        assert answer.exit_code in codes, str(answer)
    answer = _bob(cluster, "syscr", "--json", "image", "list", *place)
    assert answer.data["images"] == []
    for verb in ("checkpoint", "vacate", "requeue"):
        answer = _bob(cluster, "syscr", "--json", verb, patient.job_id)
        assert answer.exit_code == 13, str(answer)
    assert patient.list_images() == [image_id]
    patient.finish()


@pytest.fixture
def open_dir(work: Work) -> str:
    """A checkpoint directory of all users, as on many scratch file systems."""
    work.backend = CRIU
    work.run("sh", "-c", f"chmod 755 {work.path}; mkdir -m 1777 {work.images}")
    return work.images


def test_folder_that_bob_made_for_alice_is_never_used(
    cluster: Cluster, work: Work, open_dir: str
) -> None:
    work.write("job.sh", "#!/bin/sh\ntrue\n")
    for trap in (
        "mkdir -m 777 $0/.syscr-1000",
        "mkdir -m 700 $0/.syscr-1000",
        "ln -s /tmp $0/.syscr-1000",
    ):
        assert _bob(cluster, "sh", "-c", trap, open_dir).exit_code == 0
        submit = ("syscr", "--json", "sbatch", f"--checkpoint-dir={open_dir}", "job.sh")
        answer = work.run(*submit, check=False)
        assert answer.exit_code == 50, str(answer)
        assert ".syscr-1000" in answer.stderr, str(answer)
        assert "nothing was submitted" in answer.stderr, str(answer)
        assert _bob(cluster, "sh", "-c", "rm -rf $0/.syscr-1000", open_dir).exit_code == 0


@pytest.mark.parametrize(
    "trap",
    [
        'mkdir -m 777 "$0" "$0/records"; echo "{\\"lineage\\": \\"1\\"}" >"$0/records/continues.json"',
        'ln -s "$1/victim" "$0"',
    ],
    ids=["folder", "link"],
)
def test_folder_that_bob_made_for_the_next_job_costs_checkpoints_only(
    cluster: Cluster, work: Work, open_dir: str, trap: str
) -> None:
    work.run("sh", "-c", "mkdir -m 777 victim && echo x >victim/kept")
    held = work.run("sbatch", "--parsable", "--hold", "--wrap=true").stdout.strip()
    work.run("scancel", held)
    following = str(int(held) + 1)
    made = _bob(cluster, "sh", "-c", trap, f"{open_dir}/{following}.ckpt", work.path)
    assert made.exit_code == 0, str(made)
    patient = start_patient(work, megabytes=4)
    assert patient.job_id == following, "another job came in between"
    answer = patient.checkpoint(check=False)
    assert answer.exit_code in {5, 50}, str(answer)
    assert "still running" in answer.error["message"], str(answer)
    assert work.run("ls", "victim").stdout == "kept\n"
    work.run("touch", "big.stop")
    facts = cluster.wait_for_end(patient.job_id)
    assert facts.exit_code == f"{EXIT_CODE}:0"


@pytest.mark.matrix
def test_job_name_cannot_forge_owner_or_state(cluster: Cluster, work: Work) -> None:
    name = "x UserId=alice(1000) JobState=RUNNING\n1|1|N/A|N/A|1000|alice|RUNNING|c1|c1|debug|1:00|0|None"
    argv = ["sbatch", "--parsable", f"--job-name={name}", "--output=/dev/null", "--wrap=sleep 60"]
    foreign = cluster.run("bob", "login", argv, check=True).stdout.strip()
    try:
        # asked of a field that the name is not in: scontrol's own answer is forged
        state = ["squeue", "-h", "-j", foreign, "-o", "%T"]
        cluster.wait_for(
            lambda: cluster.run("bob", "login", state).stdout == "RUNNING\n", f"job {foreign} runs"
        )
        for verb in ("checkpoint", "vacate", "requeue"):
            answer = work.syscr(verb, foreign, check=False)
            assert answer.exit_code == 13, str(answer)
            assert "belongs to 'bob'" in answer.error["message"], str(answer)
    finally:
        cluster.run("root", "login", ["scancel", foreign])
