"""The Python functions: thin over ``wiring/manager.py``, one for each thing the command line can do.

Each takes ``settings=`` (from ``load_settings``); without it files and environment are read at each
call, as the command line does. All raise ``SyscrError`` with ``code``, ``exit_code``, ``transient`` and
``hint`` (docs/reference/errors.md); a checkpoint that fails leaves the job running.

``progress=`` is called, in the caller's thread, with mappings: ``type`` (``phase``, ``progress`` or
``node``), ``phase`` (preflight freeze dump thaw digest publish / locate verify submit start), ``node``,
``bytes_done``, ``bytes_total`` and ``message``; each may be absent.

A target is a ``Target``, a job number, or what one writes on the command line: ``4711``, ``"4711_3"``,
``"4711.0"``.
"""
