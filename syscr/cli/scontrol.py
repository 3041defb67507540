"""``syscr scontrol``: scontrol with the ``checkpoint`` keyword back; all else is handed to the real one.

What the words mean is in ``syscr/scontrol/``; here is what is printed, and when.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import click

from syscr.cli import output
from syscr.cli.app import App
from syscr.cli.command import PassThrough, pass_app
from syscr.cli.help import About
from syscr.config import export_config_file
from syscr.errors import RequestError
from syscr.scontrol.grammar import Request, parse_request
from syscr.scontrol.options import Invocation, is_keyword, split_options
from syscr.scontrol.prompt import PROMPT, Prompt
from syscr.scontrol.texts import Answer

INSTALL = "--install-shim"

_OPERATIONS = (
    ("able JOB[.STEP]", "'Yes', 'No', or 'Began at TIME' while a checkpoint is going on."),
    ("create JOB[.STEP]", "Write an image; returns when it is complete."),
    ("vacate JOB[.STEP]", "Write an image, then end the job or step."),
    ("requeue JOB", "Write an image, then put the job back into the queue."),
    ("restart JOB[.STEP]", "Bring a job back from its newest image."),
    ("disable, enable JOB[.STEP]", "Refuse checkpoints, by syscr too, until enabled as often."),
    ("error JOB[.STEP]", "How the last checkpoint ended: 'error(0): ' if well."),
)
_KEYS = (
    ("MaxWait=SECONDS", "create, vacate, requeue: give up then, the job running on."),
    ("ImageDir=DIR", "Checkpoint directory instead of the job's own."),
    ("StickToNodes", "restart: only on the nodes it ran on."),
)
_OURS = (
    (
        f"{INSTALL} DIR",
        "Write a small 'scontrol' into DIR, to be put ahead of Slurm's in PATH.",
    ),
)


@click.command(
    "scontrol",
    cls=PassThrough,
    about=About(
        summary="Run scontrol with the checkpoint keyword of Slurm 19.05 back",
        effect="Words, abbreviations, answers and exit codes of 'scontrol checkpoint' are the old ones;"
        " docs/reference/compatibility.md lists the differences. Every other command is run by the real"
        " scontrol; without a command there is scontrol's prompt, at which 'checkpoint' works, too.",
        extra=(
            ("Checkpoint operations", _OPERATIONS),
            ("Keys", _KEYS),
            ("Options of syscr", _OURS),
        ),
        examples=(
            ("syscr scontrol checkpoint create 4711 MaxWait=60", "as on Slurm 19.05"),
            (
                f"syscr scontrol {INSTALL} ~/bin",
                "with ~/bin first in PATH, old scripts run unchanged",
            ),
        ),
        exit_note="Those of scontrol: 1 for a request that failed; 0 also for an id or an operation that"
        " cannot be read, as ever.",
    ),
    metavar="[SCONTROL OPTIONS] [COMMAND [ARGS]...]",
)
@click.pass_context
@pass_app
def scontrol(app: App, ctx: click.Context) -> int:
    """Answer a ``checkpoint`` command, open the prompt, or become the real scontrol."""
    from syscr.wiring.handover import become_scontrol

    argv = list(ctx.args)
    if argv[:1] == [INSTALL]:
        return _install(argv[1:])
    if argv[:1] == ["--"]:  # from the shim, whose --help is scontrol's
        argv = argv[1:]
    invocation = split_options(argv, permute="POSIXLY_CORRECT" not in os.environ)
    if invocation.is_plain and not invocation.words:
        return _open_prompt(app, invocation)
    if not invocation.is_plain or not is_keyword(invocation.words[0]):
        become_scontrol(argv)
    return _answer(app, invocation, app.args)


def _install(words: Sequence[str]) -> int:
    from syscr.wiring.scontrol import install_shim

    if len(words) != 1:
        raise RequestError(f"{INSTALL} needs one directory", hint=f"syscr scontrol {INSTALL} DIR")
    path = install_shim(os.path.abspath(words[0]))
    click.echo(f"wrote {path}; put its directory ahead of Slurm's in PATH")
    return 0


def _answer(app: App, invocation: Invocation, again: Sequence[str] = ()) -> int:
    """Answer one ``checkpoint`` command; ``again`` is a command line that says the same."""
    from syscr.wiring.handover import call_scontrol
    from syscr.wiring.manager import build_manager
    from syscr.wiring.scontrol import build_scontrol, is_native

    if app.flags.config_file:
        export_config_file(app.flags.config_file)
    app.start_log()
    request = parse_request(invocation.words)
    manager = build_manager(app.settings)
    if isinstance(request, Request) and request.target is not None:
        if is_native(manager, request.target):
            return call_scontrol([*invocation.options, *invocation.words])
        app.act_for([request.target])
    command = build_scontrol(app.settings, manager, invocation.cluster, again)
    answer = command.run(invocation.words, quiet=invocation.is_quiet)
    _print(answer)
    return answer.exit_code


def _print(answer: Answer) -> None:
    for lines, to_error in ((answer.out, False), (answer.err, True)):
        for line in lines:
            click.echo(output.printable(line), err=to_error)


def _open_prompt(app: App, invocation: Invocation) -> int:
    from syscr.wiring.handover import call_own, call_scontrol

    def answer(words: Sequence[str], is_quiet: bool) -> int:
        if app.is_root():  # it will become the job's owner, and the prompt must stay
            return call_own(["scontrol", *(["-Q"] if is_quiet else []), *words])
        return _answer(app, replace(invocation, words=tuple(words), is_quiet=is_quiet))

    prompt = Prompt(
        _read_from_terminal if sys.stdin.isatty() and sys.stdout.isatty() else _read_from_file,
        call_scontrol,
        answer,
        lambda line: click.echo(line, err=True),
        options=invocation.options,
        is_quiet=invocation.is_quiet,
    )
    try:
        return prompt.run()
    except KeyboardInterrupt:
        return 130


def _read_from_terminal() -> str | None:
    import readline  # noqa: F401 - gives input() editing and history

    try:
        return input(PROMPT)
    except EOFError:
        click.echo()
        return None


def _read_from_file() -> str | None:
    """Return the next line and echo it, as scontrol does where nobody types."""
    line = sys.stdin.buffer.readline()
    click.echo(PROMPT.encode() + line.rstrip(b"\n"))
    return os.fsdecode(line.rstrip(b"\n")) if line else None
