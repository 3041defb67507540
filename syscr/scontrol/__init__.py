"""``syscr scontrol``: scontrol with the ``checkpoint`` keyword of 19.05 and before.

``options`` finds the keyword as scontrol's own option parser would, ``grammar`` reads what follows it,
``texts`` has the old answers, ``command`` does what was asked (with ``judging``, ``writing`` and
``places``; ``inside`` for a job that asks for itself). ``prompt`` is the interactive mode, ``shim`` the
small script that stands in for ``scontrol`` in PATH. The contract is docs/reference/compatibility.md.
"""
