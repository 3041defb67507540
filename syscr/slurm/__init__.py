"""Slurm through its command-line tools: the Scheduler and Workers ports, and the option grammar.

``commands`` and ``parse`` are pure; start reading with ``scheduler.py`` and ``workers.py``.
"""
