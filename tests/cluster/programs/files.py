"""A program with files of many kinds open: files.py STEPS LOG. What it prints at the end shows them all.

It does not end until there is a file ``finish`` in its directory.
"""

import hashlib
import mmap
import os
import sys
import tempfile
import time

steps, log_path = int(sys.argv[1]), sys.argv[2]
pace = float(sys.argv[3]) if len(sys.argv) > 3 else 0.1
name = f"files-{os.environ.get('NAME', 'reference')}"

log = open(log_path, "a")  # grows, by appending
record = open(log_path + ".record", "w+b")  # grows, and is read back and changed in the middle
lines = open(log_path + ".input")  # read on, line by line
memory_path = f"/dev/shm/{name}"
memory_fd = os.open(memory_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
os.ftruncate(memory_fd, 65536)
memory = mmap.mmap(memory_fd, 65536)  # shared memory, on this node only
local = open(f"/tmp/{name}", "w+")  # on this node only
if os.environ.get("HIDDEN") == "unlinked":
    hidden = open(f"/tmp/{name}-hidden", "w+")  # has no name any more
    os.unlink(hidden.name)
else:
    hidden = tempfile.TemporaryFile("w+")  # never had a name
reader, writer = os.pipe()  # holds bytes all the time
os.write(writer, b"start ")

for step in range(1, steps + 1):
    print("step", step, lines.readline().strip(), flush=True)
    print("log", step, file=log, flush=True)
    record.seek(0, os.SEEK_END)
    record.write(step.to_bytes(8, "big"))
    record.seek((step * 7919) % record.tell())
    record.write(b"!")
    record.flush()
    memory[step * 8 : step * 8 + 8] = step.to_bytes(8, "big")
    print("local", step, file=local, flush=True)
    print("hidden", step, file=hidden, flush=True)
    os.write(writer, os.read(reader, 3) + b"x")
    if pace and not os.path.exists("finish"):
        time.sleep(pace)
        while step == steps - 1 and not os.path.exists("finish"):
            time.sleep(pace)


def digest(data: bytes) -> str:
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()}"


record.seek(0), local.seek(0), hidden.seek(0)
print("record", digest(record.read()))
print("memory", digest(memory[:]))
print("local", digest(local.read().encode()))
print("hidden", digest(hidden.read().encode()))
print("pipe", digest(os.read(reader, 65536)))
os.unlink(memory_path)
os.unlink(local.name)
print("done", flush=True)
