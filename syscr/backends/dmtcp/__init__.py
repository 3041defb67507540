"""DMTCP: the program is started under it; no privilege on the node."""
