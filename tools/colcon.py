"""Builds and tests the packages of ros2_ws/src with colcon, as a lab machine does, beside what `.venv` holds.

    .venv/bin/python tools/colcon.py            # all packages
    .venv/bin/python tools/colcon.py k4d_msgs   # some

Build, install and log folders are below out/colcon. Each package runs its part of tests/ (the testpaths of its
pytest.ini) against what colcon installed; a package that runs no test has failed.
"""

import os
import subprocess
import sys
from pathlib import Path

from defusedxml import ElementTree

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "colcon"


def main(packages: list[str]) -> int:
    """Builds, tests and prints what each package ran; 1 where anything failed or nothing ran."""
    environment = dict(os.environ)
    for name in ("CMAKE_PREFIX_PATH", "AMENT_PREFIX_PATH"):
        environment[name] = os.pathsep.join(filter(None, [sys.prefix, environment.get(name, "")]))
    folders = ["--build-base", str(OUT / "build"), "--install-base", str(OUT / "install")]
    chosen = ["--packages-select", *packages] if packages else []
    colcon = [str(Path(sys.prefix) / "bin" / "colcon"), "--log-base", str(OUT / "log")]
    tests = ["--event-handlers", "console_cohesion+", "--return-code-on-test-failure"]
    for verb, words in (("build", []), ("test", tests)):
        command = [*colcon, verb, *folders, "--executor", "sequential", *words, *chosen]
        if subprocess.run(command, cwd=ROOT / "ros2_ws", env=environment, check=False).returncode != 0:
            print(f"colcon {verb} failed", file=sys.stderr)
            return 1
    found = packages or sorted(path.parent.name for path in (ROOT / "ros2_ws/src").glob("*/package.xml"))
    counts = {package: tests_run(package) for package in found}
    for package, count in counts.items():
        print(f"{package}: {count} tests")
    return 0 if all(counts.values()) else 1


def tests_run(package: str) -> int:
    """How many tests of a package have run."""
    results = (OUT / "build" / package).rglob("*.xml")
    suites = [suite for path in results for suite in ElementTree.parse(path).iter("testsuite")]
    return sum(int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) for suite in suites)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
