from setuptools import find_packages, setup

NAME = "k4d_embedded"

setup(
    name=NAME,
    version="0.1.0",
    description="Stand-ins, a robot state publisher and a launcher for machines without a ROS installation",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    python_requires=">=3.11",
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "k4d-launch = k4d_embedded.cli.launch:main",
            "k4d_robot_state_publisher = k4d_embedded.robot_state_publisher:main",
        ],
    },
)
