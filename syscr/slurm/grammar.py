"""The option grammar of sbatch, srun and salloc as data; pure.

Slurm's options pass through untouched; to find where the program begins one has to know which of them
take an argument. The tables are the union over 20.11 to 26.05: no option ever changed between "none" and
"required", and "optional" accepts what "none" accepts.

Source: Slurm ``src/common/slurm_opt.c``, branches slurm-20.11 to slurm-26.05 (struct slurm_cli_opt_t:
name, has_arg, val and the set_func of each tool); the option string begins with "+", so parsing stops
at the first word that is no option. ``tests/data/slurm/options.json`` is what that file says. Checked
2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum


class Arity(Enum):
    """Whether an option takes an argument; an optional one only within the same word."""

    NONE = "no"
    REQUIRED = "required"
    OPTIONAL = "optional"


# name[:short]
_COMMON = {
    Arity.NONE: """consolidate-segments contiguous help:h hold:H overcommit:O oversubscribe:s quiet:Q
        reboot spread-job spread-segments stepmgr usage use-min-nodes verbose:v version:V""",
    Arity.REQUIRED: """account:A acctg-freq autocomplete bb bbf begin:b chdir:D cluster
        cluster-constraint clusters:M comment constraint:C container container-id container-type
        context core-spec:S cores-per-socket cpu-freq cpus-per-gpu cpus-per-task:c deadline delay-boot
        dependency:d distribution:m exclude:x extra extra-node-info:B gid gpu-bind gpu-freq gpus:G
        gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint job-name:J licenses:L
        mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mem-update mincpus network
        nodefile:F nodelist:w nodes:N ntasks:n ntasks-per-core ntasks-per-gpu ntasks-per-node
        ntasks-per-socket ntasks-per-tres partition:p power prefer priority profile qos:q reservation
        resources segment signal sockets-per-node switches tasks-per-node thread-spec threads-per-core
        time:t time-min tmp tres-bind tres-per-task uid wckey""",
    Arity.OPTIONAL: "exclusive nice no-kill:k oom-kill-step resv-ports",
}
_OWN_TABLES: Mapping[str, Mapping[Arity, str]] = {
    "sbatch": {
        Arity.NONE: "external ignore-pbs no-requeue parsable test-only wait:W",
        Arity.REQUIRED: """array:a batch error:e export export-file input:i kill-on-invalid-dep
            open-mode output:o wait-all-nodes wrap""",
        Arity.OPTIONAL: "get-user-env propagate requeue",
    },
    "srun": {
        Arity.NONE: """async debugger-test disable-status:X exact interactive label:l multi-prog
            no-allocate:Z parsable preserve-env:E quit-on-interrupt test-only unbuffered:u
            wait-for-children whole""",
        Arity.REQUIRED: """accel-bind bcast-exclude cpu-bind cpu_bind epilog error:e export het-group
            ignore-signals input:i jobid mpi msg-timeout open-mode output:o pack-group prolog
            relative:r slurmd-debug task-epilog task-prolog threads:T treewidth wait:W""",
        Arity.OPTIONAL: """bcast compress external-launcher immediate:I kill-on-bad-exit:K overlap
            propagate pty send-libs x11""",
    },
    "salloc": {
        Arity.NONE: "bell no-bell no-shell",
        Arity.REQUIRED: "wait-all-nodes",
        Arity.OPTIONAL: "get-user-env immediate:I kill-command:K x11",
    },
}
# Ours; they are never abbreviated, so that no abbreviation of Slurm's becomes ambiguous.
OURS = ("checkpoint", "checkpoint-dir", "restart-dir", "backend", "total-time", "on-bad-image")
_HELP_OPTION = re.compile(r"^\s+(?:-\w,\s+)?--([a-z0-9][\w-]*)(\[=|=)?", re.MULTILINE)


def get_table(tool: str) -> tuple[dict[str, Arity], dict[str, str]]:
    """Return long name -> arity, and short letter -> long name, for one tool; ours included."""
    longs = dict.fromkeys(OURS, Arity.REQUIRED)
    shorts: dict[str, str] = {}
    for table in (_COMMON, _OWN_TABLES[tool]):
        for arity, text in table.items():
            for entry in text.split():
                name, _, letter = entry.partition(":")
                longs[name] = arity
                if letter:
                    shorts[letter] = name
    return longs, shorts


def parse_help(text: str) -> dict[str, Arity]:
    """Read the long options from the ``--help`` of a Slurm command, those of plugins included.

    The help does not mark each argument of Slurm's own options; use it for unknown ones only.
    """
    arities = {"": Arity.NONE, "=": Arity.REQUIRED, "[=": Arity.OPTIONAL}
    return {name: arities[sign] for name, sign in _HELP_OPTION.findall(text)}
