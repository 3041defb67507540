"""Images that have come to harm are never restored; the newest one that is whole is, with a word about it."""

from __future__ import annotations

from cluster_support import Work
from faults_support import CRIU, start_patient


def test_damaged_images_are_passed_over_and_named(work: Work) -> None:
    work.backend = CRIU
    patient = start_patient(work, megabytes=10)
    job_id = patient.job_id
    for _ in range(5):
        patient.check_alive(steps=1)
        patient.checkpoint()
    whole, manifest, missing, short, flipped = patient.list_images()
    work.cancel(job_id)
    folder = f"{work.images}/{job_id}.ckpt"

    def damage(script: str, image_id: str) -> None:
        work.run("sh", "-c", script, f"{folder}/{image_id}")

    damage("printf X | dd of=$0/data/0/pages-2.img bs=1 seek=70001 conv=notrunc 2>&1", flipped)
    damage("truncate -s 1000 $0/data/0/pages-2.img", short)
    damage("rm $0/data/0/core-2.img", missing)
    damage("echo nonsense >$0/manifest.json", manifest)

    for image_id, code, word in (
        (flipped, 53, "digest differs"),
        (short, 53, "1000 bytes, manifest says"),
        (missing, 53, "missing"),
        (manifest, 55, "manifest.json"),
    ):
        answer = work.syscr("image", "verify", image_id, check=False)
        assert answer.exit_code == code, str(answer)
        assert word in answer.error["message"], str(answer)
        answer = work.syscr("restart", "--image", image_id, job_id, check=False)
        assert answer.exit_code == code, str(answer)
    assert work.cluster.job(job_id).state == "CANCELLED"

    result = work.restart(job_id)
    assert result["image"]["image_id"] == whole
    assert [skipped["image_id"] for skipped in result["skipped"]] == [flipped, short, missing]
    assert manifest in " ".join(result["warnings"])
    patient.finish()

    damage("printf X | dd of=$0/data/0/core-2.img bs=1 seek=40 conv=notrunc 2>&1", whole)
    answer = work.syscr("restart", job_id, check=False)
    assert answer.exit_code == 53, str(answer)
    for image_id in (whole, manifest, missing, short, flipped):
        assert image_id in answer.error["message"]
