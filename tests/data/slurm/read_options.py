"""Read the options of sbatch, srun and salloc out of Slurm's source into options.json.

python3 tests/data/slurm/read_options.py /path/to/slurm.git (a clone with its release branches)
"""

import json
import re
import subprocess
import sys
from pathlib import Path

BRANCHES = [
    "20.11",
    "21.08",
    "22.05",
    "23.02",
    "23.11",
    "24.05",
    "24.11",
    "25.05",
    "25.11",
    "26.05",
]
TOOLS = ("sbatch", "srun", "salloc")
STRUCT = re.compile(r"static (?:const )?slurm_cli_opt_t slurm_opt_\w+ = \{(.*?)\n\};", re.DOTALL)
FIELD = re.compile(r"\.(\w+)\s*=\s*([^,]+?)(?:,|$)")


def main(repository: str) -> None:
    tools: dict[str, dict[str, list[str]]] = {tool: {} for tool in TOOLS}
    for branch in BRANCHES:
        where = f"slurm-{branch}:src/common/slurm_opt.c"
        text = subprocess.run(
            ["git", "-C", repository, "show", where], capture_output=True, text=True, check=True
        ).stdout
        for body in STRUCT.findall(text):
            entry = dict(FIELD.findall(body))
            name = entry["name"].strip('"')
            if "WITH_SLURM_X11" in body:
                name = "x11"
            if name == "NULL" or not any(key.startswith("set_func") for key in entry):
                continue
            arity = entry["has_arg"].removesuffix("_argument")
            letter = entry["val"].strip("'") if entry["val"].startswith("'") else ""
            for tool in TOOLS:
                if "set_func" not in entry and f"set_func_{tool}" not in entry:
                    continue
                before = tools[tool].get(name, [arity])[0]
                if {before, arity} == {"no", "optional"}:
                    arity = "optional"
                elif before != arity:
                    raise SystemExit(f"{tool} --{name}: {before} and {arity}")
                tools[tool][name] = [arity, letter]
    lines = [
        f' "{tool}": {{\n'
        + ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(table.items())
        )
        + "\n }"
        for tool, table in tools.items()
    ]
    target = Path(__file__).with_name("options.json")
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
