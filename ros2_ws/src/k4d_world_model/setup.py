from setuptools import find_packages, setup

NAME = "k4d_world_model"

setup(
    name=NAME,
    version="0.1.0",
    description="Data sets of robot episodes for world models of RGB and pointmaps",
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
            "k4d-build-dataset = k4d_world_model.cli.build_dataset:main",
            "k4d-dataset = k4d_world_model.cli.dataset:main",
            "k4d-annotate = k4d_world_model.cli.annotate:main",
        ],
    },
)
