"""From settings to ready objects: the only modules that know all adapters.

One for each of our processes (``task``, ``worker``, ``agent``) and for what the command line does.
Imports are made where they are needed: a task that starts must not pay for what a checkpoint needs.
"""
