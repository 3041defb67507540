"""All settings of one call, and one setting by its name; pure. They are declared in ``declared.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from syscr.declared import BY_NAME
from syscr.errors import ConfigError
from syscr.values import Setting, Value


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
