"""Every setting, declared once as data; pure.

Validation, ``syscr config show``, the sample file and docs/reference/config.md come from ``SETTINGS``.
How text becomes a value is in ``values.py``, where values are collected from in ``config.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from syscr.errors import ConfigError

Kind = Literal["path", "program", "choice", "names", "seconds", "count"]
Value = str | float | int | tuple[str, ...]

BACKENDS = ("criu", "dmtcp")


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: ``section.key`` of the file, ``backends.<backend>.<key>`` for a backend's.
        attribute: Attribute of ``Settings``.
        kind: ``path`` (absolute, ``~`` and ``{user}`` are filled in), ``program`` (name or absolute
            path), ``choice``, ``names`` (list or comma-separated), ``seconds``, ``count``.
        default: Value where nobody says anything, as it would be written.
        help: One sentence.
        variables: Environment variables; the first wins.
        option: Command-line option and the verbs that have it; empty if none.
        choices: Allowed values of ``choice`` and ``names``.
        minimum: Smallest allowed number, itself included.
        may_be_empty: Whether an empty text is a value.
        example: Another sensible value, as it is written in the file.
        since: First version that has it.
    """

    name: str
    attribute: str
    kind: Kind
    default: str | float | int | tuple[str, ...]
    help: str
    variables: tuple[str, ...]
    option: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = 0
    may_be_empty: bool = False
    example: str = ""
    since: str = "0.1"

    @property
    def section(self) -> str:
        """Return the table of the file, ``store`` or ``backends.criu``."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Return the key inside its table."""
        return self.name.rpartition(".")[2]


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store.checkpoint_dir",
        "checkpoint_dir",
        "path",
        "~/.syscr/checkpoints",
        "Directory for the images, on storage that all nodes share; {user} is the user's name.",
        ("SYSCR_CHECKPOINT_DIR",),
        option="--checkpoint-dir DIR (sbatch, srun, salloc, run)",
        example='"/scratch/{user}/checkpoints"',
    ),
    Setting(
        "store.digest",
        "digest",
        "choice",
        "blake3",
        "Algorithm of the digests in new images.",
        ("SYSCR_DIGEST",),
        choices=("blake3", "sha256"),
        example='"sha256"',
    ),
    Setting(
        "checkpoint.backend",
        "backend",
        "choice",
        "auto",
        "Backend that starts new tasks; auto takes the first of the order that works on the node.",
        ("SYSCR_BACKEND",),
        option="--backend NAME (sbatch, srun, salloc, run)",
        choices=("auto", *BACKENDS),
        example='"dmtcp"',
    ),
    Setting(
        "checkpoint.order",
        "order",
        "names",
        BACKENDS,
        "Order in which auto tries the backends; one that is left out is never taken.",
        ("SYSCR_ORDER",),
        choices=BACKENDS,
        example='["dmtcp", "criu"]',
    ),
    Setting(
        "checkpoint.max_wait",
        "max_wait_seconds",
        "seconds",
        600.0,
        "Limit for dump, digest and publishing together, in seconds.",
        ("SYSCR_MAX_WAIT",),
        option="--max-wait SECONDS (checkpoint, vacate, requeue)",
        minimum=1,
        example="1800",
    ),
    Setting(
        "retention.keep_last",
        "keep_last",
        "count",
        0,
        "Newest images that stay when a checkpoint has succeeded; 0: none is deleted by itself.",
        ("SYSCR_KEEP_LAST",),
        example="3",
    ),
    Setting(
        "retention.keep_periodic",
        "keep_periodic",
        "count",
        2,
        "Newest images of periodic checkpoints that stay; 0: none is deleted by itself.",
        ("SYSCR_KEEP_PERIODIC",),
        example="4",
    ),
    Setting(
        "agent.at_stop",
        "agent_at_stop",
        "choice",
        "requeue",
        "What a job with --checkpoint does when Slurm stops it (time limit, preemption): requeue, after a last"
        " image; the same, but it is held (hold); or only the image (checkpoint): it then ends.",
        ("SYSCR_AGENT_AT_STOP",),
        choices=("requeue", "hold", "checkpoint"),
        example='"checkpoint"',
    ),
    Setting(
        "agent.on_drain",
        "agent_on_drain",
        "choice",
        "checkpoint",
        "What a job with --checkpoint does when its node is to be drained: an image, a requeue, or nothing.",
        ("SYSCR_AGENT_ON_DRAIN",),
        choices=("checkpoint", "requeue", "ignore"),
        example='"requeue"',
    ),
    Setting(
        "agent.poll",
        "agent_poll_seconds",
        "seconds",
        120.0,
        "How often a job with --checkpoint asks Slurm what it has in mind, in seconds; 0: only at the limit.",
        ("SYSCR_AGENT_POLL",),
        example="300",
    ),
    Setting(
        "agent.signal",
        "agent_signal",
        "choice",
        "none",
        "A signal by which Slurm asks a job with --checkpoint for an image (sbatch --signal=B:USR1@300); the program"
        " does not get it then.",
        ("SYSCR_AGENT_SIGNAL",),
        choices=("none", "USR1", "USR2"),
        example='"USR1"',
    ),
    Setting(
        "agent.mtbf",
        "agent_mtbf_seconds",
        "seconds",
        86400.0,
        "Mean running time between two failures or preemptions, in seconds; --checkpoint=auto goes by it, and by"
        " the history of your jobs.",
        ("SYSCR_AGENT_MTBF",),
        minimum=60,
        example="604800",
    ),
    Setting(
        "agent.fence",
        "agent_fence_seconds",
        "seconds",
        15.0,
        "How often a job with --checkpoint looks whether it lives a second time elsewhere, in seconds.",
        ("SYSCR_AGENT_FENCE",),
        minimum=1,
        example="60",
    ),
    Setting(
        "restart.wait",
        "restart_wait_seconds",
        "seconds",
        300.0,
        "How long restart waits until the job runs again, in seconds; 0: not at all.",
        ("SYSCR_RESTART_WAIT",),
        option="--wait SECONDS (restart)",
        example="60",
    ),
    Setting(
        "restart.verify",
        "restart_verify",
        "choice",
        "digests",
        "What is compared before an image is trusted: sizes (fast) or digests (reads everything).",
        ("SYSCR_RESTART_VERIFY",),
        choices=("sizes", "digests"),
        example='"sizes"',
    ),
    Setting(
        "restart.on_bad_image",
        "restart_on_bad_image",
        "choice",
        "fresh",
        "What a job that Slurm starts again does where it has images and none of them verifies: begin afresh"
        " (fresh), with a line in its output, or end with an error (fail).",
        ("SYSCR_RESTART_ON_BAD_IMAGE",),
        option="--on-bad-image (sbatch, srun, run)",
        choices=("fresh", "fail"),
        example='"fail"',
    ),
    Setting(
        "restart.changed_inputs",
        "restart_changed_inputs",
        "choice",
        "refuse",
        "What happens at a restart where a file that the program had open for reading was changed since"
        " the image, its size being the same: refuse, or warn in the job's output and go on.",
        ("SYSCR_RESTART_CHANGED_INPUTS",),
        choices=("refuse", "warn"),
        example='"warn"',
    ),
    Setting(
        "slurm.client",
        "slurm_client",
        "choice",
        "cli",
        "How Slurm is asked; cli: its command-line tools; pyslurm: the Python library where it can.",
        ("SYSCR_SLURM_CLIENT",),
        choices=("cli", "pyslurm"),
        example='"pyslurm"',
    ),
    Setting(
        "slurm.timeout",
        "slurm_timeout_seconds",
        "seconds",
        30.0,
        "Limit for one Slurm command, in seconds.",
        ("SYSCR_SLURM_TIMEOUT",),
        minimum=1,
        example="60",
    ),
    Setting(
        "launcher.path",
        "launcher_path",
        "program",
        "",
        "The launcher of the tasks; empty: the one that was installed with syscr.",
        ("SYSCR_LAUNCHER",),
        may_be_empty=True,
        example='"/usr/local/libexec/syscr-launcher"',
    ),
    Setting(
        "backends.criu.path",
        "criu_path",
        "program",
        "criu",
        "CRIU's executable: a name that is looked up in PATH, or an absolute path.",
        ("SYSCR_CRIU__PATH",),
        example='"/opt/criu/sbin/criu"',
    ),
    Setting(
        "backends.dmtcp.prefix",
        "dmtcp_prefix",
        "path",
        "/opt/dmtcp",
        "Directory below which DMTCP was installed (its bin/dmtcp_launch).",
        ("SYSCR_DMTCP__PREFIX", "SYSCR_DMTCP_PREFIX"),
        example='"/usr/local"',
    ),
    Setting(
        "backends.native.use",
        "native_use",
        "choice",
        "auto",
        "Whether Slurm itself dumps jobs that syscr has not started, where it can (19.05 and before).",
        ("SYSCR_NATIVE__USE",),
        choices=("auto", "never"),
        example='"never"',
    ),
    Setting(
        "log.level",
        "log_level",
        "choice",
        "warning",
        "Least weight of what is logged; -v, -vv and -q go before it.",
        ("SYSCR_LOG_LEVEL",),
        option="-v, -vv, -q",
        choices=("debug", "info", "warning", "error"),
        example='"info"',
    ),
    Setting(
        "log.file",
        "log_file",
        "path",
        "",
        "File that gets the log as well, appended; empty: standard error only.",
        ("SYSCR_LOG_FILE",),
        may_be_empty=True,
        example='"~/.syscr/log"',
    ),
    Setting(
        "log.format",
        "log_format",
        "choice",
        "text",
        "Form of the log: text for people, json for one JSON object per line.",
        ("SYSCR_LOG_FORMAT",),
        option="--log-format text|json",
        choices=("text", "json"),
        example='"json"',
    ),
)
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


class Settings(NamedTuple):
    """All settings of one call, checked, each with its origin.

    Attributes:
        checkpoint_dir: Absolute checkpoint directory for new jobs.
        digest: ``blake3`` or ``sha256``.
        backend: ``auto`` or a backend's name.
        order: Backends in the order in which ``auto`` tries them.
        max_wait_seconds: Limit of a checkpoint.
        keep_last: Images kept after a checkpoint; 0: all.
        keep_periodic: Images kept of periodic checkpoints; 0: all.
        agent_at_stop: ``requeue``, ``hold`` or ``checkpoint``.
        agent_on_drain: ``checkpoint``, ``requeue`` or ``ignore``.
        agent_poll_seconds: How often Slurm is asked; 0: only at the limit.
        agent_signal: ``none``, ``USR1`` or ``USR2``.
        agent_mtbf_seconds: Mean running time between two failures.
        agent_fence_seconds: How often a life looks whether there is a newer one.
        restart_wait_seconds: How long a restart waits; 0: not at all.
        restart_verify: ``sizes`` or ``digests``.
        restart_on_bad_image: ``fresh`` or ``fail``.
        restart_changed_inputs: ``refuse`` or ``warn``.
        slurm_client: ``cli`` or ``pyslurm``.
        slurm_timeout_seconds: Limit of one Slurm command.
        launcher_path: Launcher; empty: the installed one.
        criu_path: Name or absolute path of CRIU.
        dmtcp_prefix: Where DMTCP lies.
        native_use: ``auto`` or ``never``.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        log_file: Absolute path; empty: none.
        log_format: ``text`` or ``json``.
        origins: Name of a setting -> where its value comes from, in words.
    """

    checkpoint_dir: str
    digest: str
    backend: str
    order: tuple[str, ...]
    max_wait_seconds: float
    keep_last: int
    keep_periodic: int
    agent_at_stop: str
    agent_on_drain: str
    agent_poll_seconds: float
    agent_signal: str
    agent_mtbf_seconds: float
    agent_fence_seconds: float
    restart_wait_seconds: float
    restart_verify: str
    restart_on_bad_image: str
    restart_changed_inputs: str
    slurm_client: str
    slurm_timeout_seconds: float
    launcher_path: str
    criu_path: str
    dmtcp_prefix: str
    native_use: str
    log_level: str
    log_file: str
    log_format: str
    origins: Mapping[str, str]

    def get(self, name: str) -> Value:
        """Return a value by the setting's full name; ConfigError if there is no such setting."""
        value: Value = getattr(self, get_setting(name).attribute)
        return value

    def origin(self, name: str) -> str:
        """Return where the value comes from: ``default``, a file, a variable, ``command line``."""
        return self.origins[get_setting(name).name]


def get_setting(name: str) -> Setting:
    """Return a setting by its full name.

    Raises:
        ConfigError: There is none; the hint names the nearest.
    """
    setting = BY_NAME.get(name)
    if setting is None:
        raise ConfigError(f"unknown setting '{name}'", hint=suggest(name), setting=name)
    return setting


def suggest(name: str) -> str:
    """Return a hint for a name that does not exist; pure."""
    import difflib  # only when something is wrong

    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.6)
    if not near:  # the right key in the wrong section
        key = name.rpartition(".")[2]
        near = [known for known in BY_NAME if known.rpartition(".")[2] == key][:1]
    return f"did you mean '{near[0]}'?" if near else ConfigError.default_hint
