"""``syscr sbatch``, ``srun``, ``salloc`` and ``run``: what follows the verb is not ours to read.

The work is in ``submit.py`` and ``job/run.py``; here are help and hand-over.
"""

from __future__ import annotations

import click

from syscr.cli.app import App
from syscr.cli.command import PassThrough, pass_app
from syscr.cli.help import About
from syscr.config import export_config_file

_STATUS = "The status of the command that was run; before it has started, those of 'syscr checkpoint --help'."
_OURS = (
    (
        "--checkpoint-dir DIR",
        "Directory for the images, on storage that all nodes share; the configured one otherwise"
        " (SYSCR_CHECKPOINT_DIR).",
    ),
    (
        "--backend NAME",
        "auto, criu or dmtcp; the configured one otherwise (SYSCR_BACKEND).",
    ),
)
_INTERVAL = (
    "--checkpoint INTERVAL",
    "Time between two checkpoints that the job takes by itself, in Slurm's time format: a bare number"
    " is minutes; auto: as is best for it; none otherwise.",
)
_STARTING = (
    (
        "--on-bad-image WHAT",
        "fresh or fail: what the job does where Slurm starts it again and none of its images is intact; the"
        " configured one otherwise.",
    ),
    (
        "--restart-dir DIR",
        "Continue from this image, or from the newest good one of this .ckpt folder, instead of from the"
        " beginning.",
    ),
)
_BATCH = (
    *_OURS,
    _INTERVAL,
    (
        "--total-time TIME",
        "Running time of all lives of the job together, in Slurm's time format; then it ends, with a last image."
        " No limit otherwise.",
    ),
    *_STARTING,
)
_STEP = (
    *_OURS,
    _INTERVAL,
    (
        "--total-time TIME",
        "Running time of all lives of the step together, in Slurm's time format; then it takes an image, and runs"
        " on. No limit otherwise.",
    ),
    *_STARTING,
)
_METAVAR = "[SLURM OPTIONS] [OPTIONS] {}"


def _pass(verb: str, about: About, metavar: str) -> PassThrough:
    @click.command(verb, cls=PassThrough, about=about, metavar=metavar)
    @click.pass_context
    @pass_app
    def act(app: App, ctx: click.Context) -> int:
        return app.pass_through(verb, tuple(ctx.args), app.settings)

    found: PassThrough = act
    return found


sbatch = _pass(
    "sbatch",
    About(
        summary="Submit a batch script so that it can be checkpointed",
        effect="The script is submitted unchanged, #SBATCH lines included, and runs under the launcher of"
        " syscr. With --checkpoint or --total-time it goes back into the queue, with a last image, when Slurm stops"
        " it (agent.at_stop). All of Slurm's options keep their meaning; global options of syscr stand before"
        " 'sbatch'.",
        extra=(("Options of syscr", _BATCH),),
        examples=(
            ("syscr sbatch --checkpoint-dir=/scratch/ckpt -n1 job.sh", "submit job.sh"),
            (
                "syscr sbatch --parsable --time=1:00:00 job.sh arg",
                "prints only the job id, as sbatch does",
            ),
        ),
        exit_note=_STATUS,
    ),
    _METAVAR.format("SCRIPT [ARGS]..."),
)
srun = _pass(
    "srun",
    About(
        summary="Start a job step so that it can be checkpointed",
        effect="Each task of the step runs under the launcher of syscr. All of Slurm's options keep their"
        " meaning; global options of syscr stand before 'srun'.",
        extra=(("Options of syscr", _STEP),),
        examples=(
            ("syscr srun -N2 -n4 ./solver input", "a step of four tasks on two nodes"),
            ("syscr checkpoint 4711.0", "later, from anywhere: write an image of that step"),
        ),
        exit_note=_STATUS,
    ),
    _METAVAR.format("PROGRAM [ARGS]..."),
)
salloc = _pass(
    "salloc",
    About(
        summary="Get an allocation whose steps can be checkpointed",
        effect="Runs Slurm's salloc; inside, start steps with 'syscr srun'. The options of syscr become"
        " the defaults of those steps.",
        extra=(("Options of syscr", _OURS),),
        examples=(
            ("syscr salloc -N1 --checkpoint-dir=/scratch/ckpt", "an interactive allocation"),
            ("syscr srun ./solver input", "in it: a step that can be checkpointed"),
        ),
        exit_note=_STATUS,
    ),
    _METAVAR.format("[COMMAND [ARGS]...]"),
)


@click.command(
    "run",
    cls=PassThrough,
    about=About(
        summary="Start one task of a job so that it can be checkpointed",
        effect="Runs inside a job, in a batch script or under srun: starts the command under the launcher,"
        " or brings it back where a restart was asked for. 'syscr sbatch' and 'syscr srun' put this in"
        " front of the program.",
        extra=(("Options", _OURS),),
        examples=(
            ("exec syscr run -- ./solver input", "last line of a batch script"),
            ("srun syscr run --checkpoint-dir=/scratch/ckpt -- ./solver", "each task of a step"),
        ),
        exit_note="The status of the command; before it has started, those of 'syscr checkpoint --help'.",
    ),
    metavar="[OPTIONS] -- COMMAND [ARGS]...",
)
@click.pass_context
@pass_app
def run(app: App, ctx: click.Context) -> int:
    """Hand over to the job's side, which reads its own options."""
    from syscr.wiring.task import run_task

    if app.flags.config_file:
        export_config_file(app.flags.config_file)
    return run_task(ctx.args)
