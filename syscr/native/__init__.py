"""Checkpoints by Slurm itself, where it still can (19.05 and before): made synchronous and truthful.

``dumping.py`` writes images, ``restarting.py`` brings jobs back; they stand in for ``syscr/dumping.py`` and
``syscr/restarting.py`` where ``choice.py`` says so. How Slurm is asked is in ``backends/native/``.
"""
