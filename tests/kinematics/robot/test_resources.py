import os
from pathlib import Path

import pytest
import trimesh

from k4d_kinematics import resources
from k4d_kinematics.errors import MeshError, RobotModelError
from k4d_kinematics.robot import Robot
from k4d_kinematics.robot_configuration import described_robot


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_PACKAGE_PATH", raising=False)


def make_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mesh")
    return path


def test_a_package_is_found_in_the_ament_index(tmp_path, monkeypatch):
    expected = make_file(tmp_path / "two/share/arm/meshes/a.stl")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert resources.resolve("package://arm/meshes/a.stl", None) == expected


def test_ros_package_path_holds_packages_or_is_one(tmp_path, monkeypatch):
    first, second = make_file(tmp_path / "src/arm/a.stl"), make_file(tmp_path / "elsewhere/hand/b.stl")
    monkeypatch.setenv("ROS_PACKAGE_PATH", f"{tmp_path / 'src'}:{tmp_path / 'elsewhere/hand'}::")
    assert resources.resolve("package://arm/a.stl", None) == first
    assert resources.resolve("package://hand/b.stl", None) == second


def test_package_paths_come_before_the_environment(tmp_path, monkeypatch):
    given = make_file(tmp_path / "given/arm/a.stl")
    make_file(tmp_path / "prefix/share/arm/a.stl")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    assert resources.resolve("package://arm/a.stl", None, [tmp_path / "given"]) == given
    assert resources.resolve("package://arm/a.stl", None, [tmp_path / "given/arm"]) == given


def test_the_ament_index_comes_before_ros_package_path(tmp_path, monkeypatch):
    expected = make_file(tmp_path / "prefix/share/arm/a.stl")
    make_file(tmp_path / "ros/arm/a.stl")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    monkeypatch.setenv("ROS_PACKAGE_PATH", str(tmp_path / "ros"))
    assert resources.resolve("package://arm/a.stl", None) == expected


def test_a_file_missing_in_one_place_is_looked_up_in_the_next(tmp_path):
    (tmp_path / "empty/arm").mkdir(parents=True)
    expected = make_file(tmp_path / "full/arm/a.stl")
    assert resources.resolve("package://arm/a.stl", None, [tmp_path / "empty", tmp_path / "full"]) == expected


def test_a_package_is_found_at_or_above_the_base_folder(tmp_path):
    expected = make_file(tmp_path / "ws/arm/meshes/a.stl")
    beside = make_file(tmp_path / "ws/hand/b.stl")
    urdf_folder = tmp_path / "ws/arm/robots/urdf"
    urdf_folder.mkdir(parents=True)
    assert resources.resolve("package://arm/meshes/a.stl", urdf_folder) == expected
    assert resources.resolve("package://hand/b.stl", urdf_folder) == beside


def test_wheels_on_the_path_are_searched(tmp_path, monkeypatch):
    expected = make_file(tmp_path / "cmeel.prefix/share/arm/a.stl")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert resources.resolve("package://arm/a.stl", None) == expected
    panda = Robot.from_file("package://example-robot-data/robots/panda_description/urdf/panda.urdf")
    assert (panda.name, panda.base_folder.name) == ("panda", "urdf")


def test_file_uris_and_plain_paths(tmp_path):
    expected = make_file(tmp_path / "my meshes/a#1.stl")
    base = tmp_path / "urdf"
    assert resources.resolve(f"file://{expected}", None) == expected
    assert resources.resolve(f"file://localhost{str(expected).replace(' ', '%20')}", None) == expected
    assert resources.resolve(str(expected), None) == expected
    base.mkdir()
    assert resources.resolve("../my meshes/a#1.stl", base).resolve() == expected
    assert resources.resolve("package://arm/a%20b.stl", None, [make_file(tmp_path / "arm/a b.stl").parent])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("package://arm/../secret.stl", "a path inside it"),
        ("package://arm/meshes/../../secret.stl", "a path inside it"),
        ("package://arm/%2e%2e/secret.stl", "a path inside it"),
        ("package://arm//etc/passwd", "a path inside it"),
        ("package://../secret.stl", "a path inside it"),
        ("package:///secret.stl", "a path inside it"),
        ("package://", "a path inside it"),
        ("package://arm", "names no existing file"),
        ("package://none/a.stl", "no folder of that package was found"),
        ("http://host/a.stl", "valid are package://NAME/PATH, file:///PATH"),
        ("ftp://host/a.stl", "valid are"),
        ("file://host/a.stl", "valid are"),
        ("://a.stl", "valid are"),
        ("a.stl", "relative paths where a base folder is given; it is None"),
        ("/" + "x" * 5000, "names no existing file"),
    ],
)
def test_what_cannot_be_looked_up_is_named(uri, message, tmp_path):
    make_file(tmp_path / "secret.stl")
    make_file(tmp_path / "arm/meshes/a.stl")
    with pytest.raises(RobotModelError, match=message):
        resources.resolve(uri, None, [tmp_path])


def test_every_place_searched_is_named(tmp_path, monkeypatch):
    places = [tmp_path / "given/arm", tmp_path / "prefix/share/arm", tmp_path / "ros/arm", tmp_path / "ws/arm"]
    for place in places:
        place.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    monkeypatch.setenv("ROS_PACKAGE_PATH", str(tmp_path / "ros"))
    with pytest.raises(RobotModelError) as caught:
        resources.resolve("package://arm/a.stl", tmp_path / "ws/urdf", [tmp_path / "given"])
    assert all(str(place / "a.stl") in str(caught.value) for place in places)


def test_a_strangers_description_reads_files_in_the_named_folders_only(tmp_path, monkeypatch):
    shapes = tmp_path / "shapes" / "cube.stl"
    shapes.parent.mkdir()
    trimesh.creation.box((0.1, 0.2, 0.3)).export(shapes)

    def described(uri: str, *folders: Path) -> int:
        text = f"""<robot name="one"><link name="base"><visual><geometry><mesh filename="{uri}"/></geometry></visual>
          </link></robot>"""
        options = {"tool_link": "", "geometry": "visual", "triangle_fraction": 1.0}
        return described_robot(text, mesh_folders=["", *map(str, folders)], **options).surface.triangle_count

    outside = tmp_path / "shapes" / ".." / "shapes" / "cube.stl"
    assert described(shapes.as_uri(), tmp_path / "shapes") == 12
    for uri, folders in (
        (shapes.as_uri(), ()),
        (str(shapes), (tmp_path / "other",)),
        (f"file://{tmp_path}/other/../shapes/cube.stl", (tmp_path / "other",)),
        (f"file://{outside}", (tmp_path / "shap",)),
    ):
        (tmp_path / "other").mkdir(exist_ok=True)
        with pytest.raises(MeshError, match="lies in none of the folders"):
            described(uri, *folders)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    make_file(tmp_path / "prefix/share/arm/cube.stl").write_bytes(shapes.read_bytes())
    assert described("package://arm/cube.stl") == 12
    assert described((tmp_path / "prefix/share/arm/cube.stl").as_uri()) == 12
