"""The command line: ``main.py`` is the entrance, each command family has a file of its own.

Commands turn text into requests, call the manager and hand its results to ``text.py`` (for people) or
``encode.py`` (JSON). Nothing here knows how a checkpoint is made.
"""
