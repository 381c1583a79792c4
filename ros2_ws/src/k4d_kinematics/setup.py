from setuptools import find_packages, setup

NAME = "k4d_kinematics"

setup(
    name=NAME,
    version="0.1.0",
    description="Exact robot pointmap streams from joint states, plans, velocities or tool poses",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    python_requires=">=3.11",
    zip_safe=False,
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "k4d_pointmap_node = k4d_kinematics.ros.pointmap_node:main",
            "k4d_overlay_node = k4d_kinematics.ros.overlay_node:main",
            "k4d-robot-description = k4d_kinematics.cli.robot_description:main",
            "k4d-align-robot = k4d_kinematics.cli.align_robot:main",
            "k4d-pointmaps = k4d_kinematics.cli.pointmaps:main",
        ],
    },
)
