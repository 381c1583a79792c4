"""The images, which cannot be built here: hadolint reads the Dockerfile, and everything that it names exists."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$")
DISTRIBUTIONS = ("jazzy", "kilted", "lyrical")
TARGETS = ("lab", "embedded")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, continued lines joined, comments gone."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    found = [INSTRUCTION.match(line) for line in joined]
    assert all(found), joined
    return [(match[1], match[2].strip()) for match in found if match]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage by its name, FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, words in instructions():
        if name == "FROM":
            found[words.split(" AS ")[1]] = []
        if found:
            found[list(found)[-1]].append((name, words))
    return found


def tracked() -> set[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(listing.splitlines())


def copied() -> list[str]:
    """Paths of the build context that are copied into an image."""
    plain = [words.split() for name, words in instructions() if name == "COPY" and not words.startswith("--from")]
    return [path for words in plain for path in words[:-1]]


def commands(stage: str) -> list[list[str]]:
    """What a stage starts: its command and its health check."""
    found = [words for name, words in stages()[stage] if name in ("CMD", "HEALTHCHECK")]
    return [json.loads(words[words.index("[") :]) for words in found]


def scripts() -> set[str]:
    """Console scripts that our packages declare."""
    setups = [*ROOT.glob("ros2_ws/src/*/setup.py"), *ROOT.glob("ros2_ws/embedded/*/setup.py")]
    return {name for path in setups for name in re.findall(r'"(\S+) = \w+(?:\.\w+)*:main"', path.read_text())}


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert program, "requirements/test.txt brings hadolint"
    done = subprocess.run([program, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_distribution_is_an_argument_and_jazzy_unless_told() -> None:
    assert instructions()[0] == ("ARG", "ROS_DISTRO=jazzy")
    assert stages()["lab-base"][0] == ("FROM", "ros:${ROS_DISTRO}-ros-base AS lab-base")
    assert stages()["embedded"][0][1].startswith("python:3.11-slim ")
    for distribution in DISTRIBUTIONS:
        assert (ROOT / "requirements" / f"lab_{distribution}.txt").exists()
    # An argument from before the first FROM is empty in every stage that does not ask for it.
    for stage in stages().values():
        uses = any("${ROS_DISTRO}" in words for name, words in stage if name != "FROM")
        assert uses <= (("ARG", "ROS_DISTRO") in stage)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_special_and_knows_whether_it_is_well(target: str) -> None:
    names = [name for name, _ in stages()[target]]
    users = [words for name, words in stages()[target] if name == "USER"]
    assert users == ["10001"]
    assert names.index("USER") < names.index("CMD")
    command, health = (words for words in commands(target)[::-1])
    assert "k4d-health" in health
    assert "k4d-health" in scripts()
    assert command[-2:] == ["k4d_bringup", "simulation.launch.xml"]
    assert (ROOT / "launch" / command[-1]).exists()


def test_what_is_copied_is_tracked_and_not_ignored() -> None:
    files, ignored = tracked(), ignored_paths()
    assert "ros2_ws/" in copied()
    for path in copied():
        inside = {file for file in files if file == path or (path.endswith("/") and file.startswith(path))}
        assert inside, f"git tracks nothing of {path}"
        assert path.strip("/") not in ignored, path


def test_compiled_kernels_are_kept_where_the_images_user_may_write() -> None:
    """numba looks for them only in a folder that it may write to, and every new container would compile them again."""
    kernels = re.search(r'^KERNELS = ROOT / "(.*)"$', (ROOT / "tools" / "set_up.py").read_text(), re.MULTILINE)
    assert kernels
    (made,) = (words for name, words in stages()["embedded"] if name == "RUN")
    assert made.index("tools/set_up.py") < made.index(f"chown -R 10001 {kernels[1]}/__pycache__")
    steps = [name if name == "USER" else words for name, words in stages()["lab"]]
    compiled = "k4d-entrypoint python3 -m k4d_kinematics.compilation"
    assert steps.index("USER") < steps.index(compiled)


def test_weights_and_what_a_checkout_grows_stay_outside() -> None:
    assert {".git", ".venv", "out", "models/*"} <= ignored_paths()
    # Everything below models/ that git tracks must come along.
    shipped = {f"!{Path(file).parent}" for file in tracked() if file.startswith("models/")}
    assert shipped == {"!models/tiny", "!models/diffusion_policy"}
    assert shipped <= set((ROOT / ".dockerignore").read_text().splitlines())


def ignored_paths() -> set[str]:
    return {line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#!"}


def test_the_packages_whose_dependencies_are_installed_are_all() -> None:
    ours = {str(path.relative_to(ROOT)) for path in ROOT.glob("ros2_ws/src/*/package.xml")}
    assert {path for path in copied() if path.endswith("package.xml")} == ours


def test_the_composition_builds_these_targets_and_leaves_room_for_shared_memory() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {service["build"]["target"] for service in services.values()} == set(TARGETS)
    for service in services.values():
        package, file = service["command"][-2:]
        assert (ROOT / "ros2_ws" / "src" / package).is_dir()
        assert (ROOT / "launch" / file).exists()
        assert service["shm_size"] == "1gb"
        assert not {"ports", "network_mode", "privileged"} & set(service)


def test_entrypoint_is_a_script_of_bash(tmp_path: Path) -> None:
    entry = ROOT / "docker" / "lab_entrypoint.sh"
    assert os.access(entry, os.X_OK)
    assert subprocess.run(["bash", "-n", entry], check=False).returncode == 0
    for profile in re.findall(r"/k4d/(config/\S+)", entry.read_text()):
        assert (ROOT / profile).exists(), profile


@pytest.mark.parametrize(("distribution", "numpy"), [("jazzy", "1.26.4"), ("kilted", "1.26.4"), ("lyrical", "2.")])
def test_pip_keeps_the_numpy_that_cv_bridge_is_compiled_against(distribution: str, numpy: str) -> None:
    pins = dict(line.split("==") for line in lock(f"lab_{distribution}.txt"))
    assert pins["numpy"].startswith(numpy)
    assert int(pins["setuptools"].split(".")[0]) < 80
    assert not [name for name in pins if name.startswith(("opencv", "ros-", "cv-bridge"))]
    wanted = [line.split(";")[0] for line in (ROOT / "requirements" / "lab.in").read_text().splitlines()]
    names = {re.split(r"[=<]", line)[0].strip().replace(".", "-") for line in wanted if line and line[0] != "#"}
    late = {"backports-zstd"} if distribution == "lyrical" else set()  # Python 3.14 has it itself
    assert names - late <= set(pins)


def lock(name: str) -> list[str]:
    return [line.split(" ;")[0] for line in (ROOT / "requirements" / name).read_text().splitlines()]
