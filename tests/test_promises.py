"""Everything that the repository promises exists: public names, commands and their help, configuration, the README."""

import configparser
import importlib
import importlib.metadata
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import yaml

from k4d_kinematics.configuration import CameraConfig, RobotConfig, read_configuration
from k4d_kinematics.robot_configuration import configured_robot
from k4d_kinematics.ros.overlay_config import OverlayNodeConfig
from k4d_kinematics.ros.pointmap_config import PointmapNodeConfig
from k4d_simulation import SceneConfig
from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.dataset.sources.opening import open_source
from k4d_world_model.policy_evaluation.diffusion.training import PolicyTrainingConfig
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicyConfig
from k4d_world_model.policy_evaluation.metaworld.study import StudyConfig
from k4d_world_model.policy_evaluation.remote_policy import RemotePolicyConfig
from k4d_world_model.policy_evaluation.set_up import read_set_up
from k4d_world_model.ros.compare_config import CompareNodeConfig
from k4d_world_model.ros.plan_gate_config import PlanGateNodeConfig
from k4d_world_model.ros.playback_config import PlaybackNodeConfig
from k4d_world_model.ros.prediction_config import PredictionNodeConfig
from k4d_world_model.training.config import TrainingConfig
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.world_model_config import WorldModelConfig

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.prefix) / "bin"
PACKAGES = ("k4d_kinematics", "k4d_simulation", "k4d_world_model", "k4d_bringup", "k4d_embedded")
SCRIPTS = sorted(
    script.name
    for package in PACKAGES
    for script in importlib.metadata.distribution(package).entry_points
    if script.group == "console_scripts"
)
# Nodes without a wheel that launch files may start on a lab machine.
LAB_ONLY = {("rviz2", "rviz2"), ("tf2_ros", "static_transform_publisher")}
NODE_PARAMETERS = {
    "k4d_compare_node": CompareNodeConfig,
    "k4d_overlay_node": OverlayNodeConfig,
    "k4d_plan_gate_node": PlanGateNodeConfig,
    "k4d_playback_node": PlaybackNodeConfig,
    "k4d_pointmap_node": PointmapNodeConfig,
    "k4d_prediction_node": PredictionNodeConfig,
}
COMMAND_BLOCK = re.compile(r"^```bash( lab)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def walk(package: str) -> list[ModuleType]:
    root = importlib.import_module(package)
    names = [item.name for item in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [root, *(importlib.import_module(name) for name in names if ".standins" not in name)]


def readme_blocks(*, lab: bool) -> list[list[str]]:
    """The commands of each block, in order."""
    blocks = [block for kind, block in COMMAND_BLOCK.findall((ROOT / "README.md").read_text()) if bool(kind) == lab]
    lines = [[line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines()] for block in blocks]
    return [[line for line in block if line] for block in lines]


def readme_commands(*, lab: bool) -> list[str]:
    return [command for block in readme_blocks(lab=lab) for command in block]


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_come_from_this_checkout_and_keep_their_lists(package: str) -> None:
    for module in walk(package):
        assert Path(str(module.__file__)).resolve().is_relative_to(ROOT), f"{module.__name__}: {module.__file__}"
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{module.__name__}.__all__ lists {name}, which it lacks"


def test_packages_list_their_public_names() -> None:
    for package in ("k4d_kinematics", "k4d_simulation"):
        assert importlib.import_module(package).__all__


@pytest.fixture(scope="session")
def helps() -> dict[str, subprocess.CompletedProcess[str]]:
    """What each command prints of itself, two at a time: each takes seconds to load what it is about."""

    def ask(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([BIN / script, "--help"], capture_output=True, text=True, timeout=240, check=False)

    with ThreadPoolExecutor(2) as asking:
        return dict(zip(SCRIPTS, asking.map(ask, SCRIPTS), strict=True))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_explains_itself_with_an_example(
    script: str, helps: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    shown = helps[script]
    assert shown.returncode == 0, shown.stderr
    assert "Example" in shown.stdout, shown.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_valid(path: Path, tmp_path: Path) -> None:
    kind = path.parent.name
    if kind == "robots":
        configured = configured_robot(path, tmp_path)
        assert configured.surface.triangle_count > 0
        assert set(read_configuration(path, RobotConfig).home) == set(configured.robot.joint_names)
    elif kind == "cameras":
        config = read_configuration(path, CameraConfig)
        assert config.camera().frame_id == config.frame_id
        assert config.T_parent_cam().shape == (4, 4)
    elif kind == "policies":
        schemas = {"train": PolicyTrainingConfig, "remote": RemotePolicyConfig, "diffusion": DiffusionPolicyConfig}
        policy = read_configuration(path, schemas[path.stem.split("_")[0]])
        assert (path.parent / getattr(policy, "robot", "")).exists(), path.name
    elif kind == "metaworld":
        assert read_configuration(path, StudyConfig)
    elif kind == "scenes":
        assert read_configuration(path, SceneConfig)
    elif kind == "set_ups":
        set_up = read_set_up(path)
        assert (set_up.name, set_up.rendering.samples) == (path.stem, 0)
        assert all((path.parent / name).exists() for name in (set_up.robot, set_up.scene))
    elif kind == "world_models":
        config = read_configuration(path, WorldModelConfig)
        for name in filter(None, (config.checkpoint, config.architecture)):
            assert (path.parent / name).exists(), f"{path.name} names {name}"
    elif kind == "architectures":
        assert read_configuration(path, Architecture)
    elif kind == "training":
        assert read_configuration(path, TrainingConfig)
    elif kind == "ablations":
        assert read_ablation(path).config.name == path.stem
    elif kind == "parameters":
        for name, given in yaml.safe_load(path.read_text()).items():
            schema = NODE_PARAMETERS[name.rsplit("/", 1)[1]]
            assert schema(**given["ros__parameters"])
    elif kind == "sources":
        recorded = yaml.safe_load(path.read_text())["source"] != "simulation"
        assert open_source(path, root=tmp_path if recorded else None, cache_dir=tmp_path)
    else:
        pytest.fail(f"no schema is known for config/{kind}/{path.name}")


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.xml")), ids=lambda path: path.stem)
def test_every_xml_configuration_is_well_formed(path: Path) -> None:
    ElementTree.parse(path)


def test_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(readme_commands(lab=False))


@pytest.mark.parametrize("block", readme_blocks(lab=False), ids=lambda block: block[-1].split()[0])
def test_readme_commands_work(block: list[str], tmp_path: Path) -> None:
    for command in block:
        check_command(shlex.split(command.replace("out/", f"{tmp_path}/")))


def check_command(words: list[str]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    assert words[0] in ("source", *SCRIPTS, *(f".venv/bin/{script}" for script in SCRIPTS)), f"not one of ours: {words}"
    if words[0] == "source":
        assert words[1] == ".venv/bin/activate"
        return
    if words[0] == "k4d-launch":
        words.append("--show-args")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_python_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    check = "assert sequence.points_cam.shape == (49, 480, 720, 3) and sequence.mask.any()"
    words = [sys.executable, "-c", program.replace("out/", f"{tmp_path}/") + check]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def test_tracked_files_are_small_and_hold_no_pickles() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = [path for path in map(Path, listing.split("\0")[:-1]) if (ROOT / path).is_file()]
    assert Path("README.md") in tracked
    assert not [path for path in tracked if path.suffix in (".pkl", ".pickle", ".pt")]
    limits = {"examples": 5_000_000, "models": 25_000_000, "tests/world_model/wan/parity": 2_100_000}
    for path in tracked:
        limit = next((limit for folder, limit in limits.items() if path.is_relative_to(folder)), 1_000_000)
        assert (ROOT / path).stat().st_size <= limit, path


def test_colcon_starts_commands_with_the_python_of_the_environment() -> None:
    for path in (ROOT / "ros2_ws" / "src").glob("*/setup.cfg"):
        settings = configparser.ConfigParser()
        settings.read(path)
        assert settings["build_scripts"]["executable"] == "/usr/bin/env python3", path


def test_locks_pin_everything() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        for line in lock.read_text().splitlines():
            assert re.match(r"^[\w.-]+==[\w.]+( ;.*)?$", line), f"{lock.name}: {line}"


def test_launch_files_start_what_is_installed() -> None:
    for path in (ROOT / "launch").glob("*.launch.xml"):
        for node in ElementTree.parse(path).iter("node"):
            package, executable = node.get("pkg"), node.get("exec")
            ours = executable in SCRIPTS
            known = package == "robot_state_publisher" or (package, executable) in LAB_ONLY
            assert ours or known, f"{path.name}: {package} {executable}"


def test_no_key_is_written_twice_in_yaml() -> None:
    for path in (ROOT / "config").rglob("*.yaml"):
        keys = [str(key.value) for key, _ in yaml.compose(path.read_text()).value]
        assert len(keys) == len(set(keys)), path
