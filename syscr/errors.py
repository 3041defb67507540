"""Every error that syscr raises: one class for each reaction a caller can have.

The table of docs/reference/errors.md is generated from this module (``error_table``). Exit codes are
unique among the classes that are raised; ``cli.main`` alone turns an exception into an exit status.
Read ``model/`` next.

SyscrError                        root; catch this to catch everything
  RequestError                 2  the request contradicts itself
  ConfigError                  3  file, key or value wrong
  PartialError                 4  some targets failed
  PreflightError               5  refused before the job was touched
  SchedulerError                  anything about Slurm
    SchedulerUnavailableError 10T JobNotFoundError 11 JobStateError 12 SchedulerDeniedError 13
    SchedulerReplyError       14
  BackendError                    anything about a backend or its tool
    BackendUnknownError       20  ToolMissingError 21 ToolUnsupportedError 22
    OperationUnsupportedError 23  ToolReplyError 24 CoordinatorError 25T
  CheckpointError             30  failed; the message says what became of the job
    CheckpointTimeoutError    31
  RestartError                40
    RestartTimeoutError       41  ImageIncompatibleError 42
  StoreError                      anything about the store
    StoreAccessError          50  StoreNotFoundError 51 ImageNotFoundError 52 ImageCorruptError 53
    ImageExistsError          54  ManifestError 55 StoreFullError 56 StoreLockedError 57T
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar


class SyscrError(Exception):
    """Root of all errors of syscr.

    Attributes:
        code: Stable identifier for machines, snake case without "Error".
        exit_code: Exit status of the command line; 0 marks a group that is never raised itself.
        transient: True where the same call may succeed later without any change.
        hint: What the user can do next; an instance may replace it.
        details: Typed facts (JSON-serialisable) that go into ``to_dict``.
    """

    code: ClassVar[str] = "syscr"
    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Derive ``code`` from the class name."""
        name = cls.__name__.removesuffix("Error")
        cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

    def __init__(self, message: str, *, hint: str | None = None, **details: object) -> None:
        """Keep message, hint and facts.

        Args:
            message: ``<what we could not do> <which object>: <cause>``, lower case, no full stop.
            hint: One action; None means the class's own.
            details: Facts for machines, JSON-serialisable.
        """
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.details: Mapping[str, object] = details

    def to_dict(self) -> dict[str, object]:
        """Return the error as the JSON object of docs/reference/json.md."""
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "hint": self.hint or None,
            "transient": self.transient,
            "details": dict(self.details),
        }


class RequestError(SyscrError):
    """The request contradicts itself or names something that is no such thing."""

    exit_code = 2


class ConfigError(SyscrError):
    """A configuration file, key or value is wrong."""

    exit_code = 3
    default_hint = "see the allowed keys with 'syscr config show --origin'"


class PartialError(SyscrError):
    """Some targets succeeded and some failed; ``details['results']`` has each of them."""

    exit_code = 4


class PreflightError(SyscrError):
    """Refused before the job was touched; ``findings`` (and ``details``) have the reasons."""

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        findings: Sequence[Any] = (),
        **details: object,
    ) -> None:
        """Keep the findings: ``model.Finding``, or the objects that they are in JSON."""
        rows = [one.to_dict() if hasattr(one, "to_dict") else one for one in findings]
        listed = {"findings": rows} if rows else {}
        super().__init__(message, hint=hint, **listed, **details)
        self.findings = tuple(one for one in findings if hasattr(one, "to_dict"))


class SchedulerError(SyscrError):
    """Group: anything about Slurm."""

    exit_code = 0


class SchedulerUnavailableError(SchedulerError):
    """The controller does not answer; nothing is known about the job."""

    exit_code = 10
    transient = True
    default_hint = "check the controller with 'scontrol ping' and try again"


class JobNotFoundError(SchedulerError):
    """Slurm answers, and knows no such job."""

    exit_code = 11
    default_hint = "list your jobs with 'squeue --me'; images of past jobs: 'syscr image list'"


class JobStateError(SchedulerError):
    """The job is in a state in which this cannot be done."""

    exit_code = 12


class SchedulerDeniedError(SchedulerError):
    """Slurm refuses: permission or limits."""

    exit_code = 13


class SchedulerReplyError(SchedulerError):
    """A reply of a Slurm command was not understood."""

    exit_code = 14
    default_hint = "report this with the output of 'syscr doctor' and 'sinfo -V'"


class BackendError(SyscrError):
    """Group: anything about a backend or its tool."""

    exit_code = 0


class BackendUnknownError(BackendError):
    """There is no backend of this name."""

    exit_code = 20


class ToolMissingError(BackendError):
    """An executable was not found on the node."""

    exit_code = 21
    default_hint = "run 'syscr doctor --node NODE' to see what a node has"


class ToolUnsupportedError(BackendError):
    """Version, kernel or privilege is not sufficient."""

    exit_code = 22
    default_hint = "run 'syscr doctor --node NODE' to see what is missing"


class OperationUnsupportedError(BackendError):
    """This backend cannot do this operation."""

    exit_code = 23


class ToolReplyError(BackendError):
    """The output of a tool was not understood."""

    exit_code = 24


class CoordinatorError(BackendError):
    """The DMTCP coordinator of a task is not reachable."""

    exit_code = 25
    transient = True


class CheckpointError(SyscrError):
    """The checkpoint failed; the message says what became of the job."""

    exit_code = 30


class CheckpointTimeoutError(CheckpointError):
    """``--max-wait`` passed before the image was complete."""

    exit_code = 31
    default_hint = "give it longer with --max-wait SECONDS"


class RestartError(SyscrError):
    """The job could not be brought back."""

    exit_code = 40


class RestartTimeoutError(RestartError):
    """The job was not running again in time; it may still start."""

    exit_code = 41


class ImageIncompatibleError(RestartError):
    """Architecture, CPU, kernel, tool or node count of the image do not fit here."""

    exit_code = 42


class StoreError(SyscrError):
    """Group: anything about the store."""

    exit_code = 0


class StoreAccessError(StoreError):
    """Permission or I/O failure in a checkpoint directory."""

    exit_code = 50


class StoreNotFoundError(StoreError):
    """No such checkpoint directory, or nothing of this job in it."""

    exit_code = 51
    default_hint = "name it with --image-dir DIR, or list what is there with 'syscr image list'"


class ImageNotFoundError(StoreError):
    """Unknown image id, or a prefix that fits several."""

    exit_code = 52
    default_hint = "list the images with 'syscr image list'"


class ImageCorruptError(StoreError):
    """Size, digest or file list of an image differ from its manifest."""

    exit_code = 53


class ImageExistsError(StoreError):
    """An image of this id is already there."""

    exit_code = 54


class ManifestError(StoreError):
    """A manifest or record cannot be read or has an unknown schema."""

    exit_code = 55


class StoreFullError(StoreError):
    """Space or quota do not suffice; the job was not touched."""

    exit_code = 56
    default_hint = "free space with 'syscr image prune', or use another --image-dir"


class StoreLockedError(StoreError):
    """Another process is at work on the same job."""

    exit_code = 57
    transient = True


def iter_errors(root: type[SyscrError] = SyscrError) -> Iterator[type[SyscrError]]:
    """Yield ``root`` and all classes below it, in the order of declaration."""
    yield root
    for child in root.__subclasses__():
        yield from iter_errors(child)


def error_table() -> tuple[tuple[int, str, bool, str], ...]:
    """Return (exit code, code, transient, meaning) of each class that is raised, by exit code."""
    rows = [
        (cls.exit_code, cls.code, cls.transient, (cls.__doc__ or "").split("\n", 1)[0])
        for cls in iter_errors()
        if cls.exit_code
    ]
    return tuple(sorted(rows))
