"""The one place that starts processes; the linter allows subprocess, fork and exec nowhere else.

``runner`` runs a command to its end (the Runner port), ``attached`` is the pass-through form for
Slurm's own commands, ``replace`` turns this process into another one: that is how ``syscr run`` leaves
nothing of itself behind.
"""
