"""The image store: ``directory.DirectoryStore`` is the Store port; start with ``layout.py``."""
