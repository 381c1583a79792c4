"""Runs every benchmark and prints one table of all figures.

python bench/run.py --out out/bench
"""

import json
import subprocess
import sys
from pathlib import Path

import tyro

HERE = Path(__file__).resolve().parent
# The GPU's needs one, and has a target of its own.
NOT_BENCHMARKS = {"run", "records", "bench_gpu"}


def main(out: Path = Path("out/bench")) -> int:
    """Runs bench/*.py one after the other, each in a process of its own, and prints what all of them wrote to ``out``.

    Args:
        out: Folder of the JSON files.
    """
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in sorted(HERE.glob("*.py")):
        if script.stem not in NOT_BENCHMARKS:
            print(f"bench: {script.stem} ...", flush=True)
            if subprocess.run([sys.executable, script, "--out", out], check=False).returncode != 0:
                failed.append(script.stem)
    print(table(out))
    for name in failed:
        print(f"bench: {name} failed", file=sys.stderr)
    return 1 if failed else 0


def table(out: Path) -> str:
    """All records below ``out`` as a table, conditions underneath."""
    records = [record for path in sorted(out.glob("*.json")) for record in json.loads(path.read_text())]
    lines = [f"{'name':<24}{'value':>12} {'unit':<14}{'baseline':>12}{'ratio':>9}"]
    for record in records:
        figures = [figure(record[key]) for key in ("value", "baseline", "ratio")]
        lines.append(f"{record['name']:<24}{figures[0]:>12} {record['unit']:<14}{figures[1]:>12}{figures[2]:>9}")
    return "\n".join([*lines, "", *(f"{record['name']}: {record['conditions']}" for record in records)])


def figure(value: float | None) -> str:
    """A number with four significant digits, a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
