"""A function that is submitted with submitit's stock executor: plain_function.py submit|result|here FOLDER SECONDS [JOB].

``submit`` prints the job's id, ``result`` what the function returned, ``here`` what it returns without a job.
"""

import hashlib
import sys
import time


def work(seconds: float, pace: float) -> str:
    """Compute something that depends on every step."""
    state = b""
    for step in range(int(seconds * 10)):
        state = hashlib.sha256(state + str(step).encode()).digest()
        time.sleep(pace)
    return state.hex()


if __name__ == "__main__":
    verb, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if verb == "here":
        print(work(seconds, 0))
        sys.exit()
    sys.path.insert(0, f"{folder}/site")
    import submitit

    if verb == "result":
        print(submitit.SlurmJob(f"{folder}/log", sys.argv[4]).result())
        sys.exit()
    import plain_function

    executor = submitit.AutoExecutor(folder=f"{folder}/log", cluster="slurm")
    executor.update_parameters(
        timeout_min=1,
        slurm_use_srun=False,
        slurm_additional_parameters={"checkpoint": "0:30", "checkpoint-dir": f"{folder}/images"},
    )
    print(executor.submit(plain_function.work, seconds, 0.1).job_id)
