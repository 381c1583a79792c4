from pathlib import Path

from setuptools import find_packages, setup

NAME = "k4d_bringup"
ROOT = "../../.."  # launch/, config/ and models/ lie at the top of the repository


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below a top folder of the repository with the place it is installed to."""
    here = Path(__file__).resolve().parent
    files = sorted(path for path in (here / ROOT / folder).rglob("*") if path.is_file())
    return [
        (
            f"share/{NAME}/{path.relative_to((here / ROOT).resolve()).parent}",
            [str(Path(ROOT) / path.relative_to((here / ROOT).resolve()))],
        )
        for path in (file.resolve() for file in files)
    ]


setup(
    name=NAME,
    version="0.1.0",
    description="Launch files, configuration, bag replay and the demonstration of k4d",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
        *shared("models/tiny"),  # beside them may lie downloaded weights of many gigabytes
        *shared("models/diffusion_policy"),
    ],
    python_requires=">=3.11",
    zip_safe=False,
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "k4d_bag_player_node = k4d_bringup.ros.bag_player_node:main",
            "k4d_bag_recorder_node = k4d_bringup.ros.bag_recorder_node:main",
            "k4d-demo = k4d_bringup.cli.demo:main",
            "k4d-health = k4d_bringup.cli.health:main",
        ],
    },
)
