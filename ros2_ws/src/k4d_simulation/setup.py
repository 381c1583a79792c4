from setuptools import find_packages, setup

NAME = "k4d_simulation"

setup(
    name=NAME,
    version="0.1.0",
    description="A MuJoCo tabletop that makes labelled robot episodes, and the same scene live in ROS 2",
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
            "k4d_simulated_robot_node = k4d_simulation.ros.simulated_robot_node:main",
        ],
    },
)
