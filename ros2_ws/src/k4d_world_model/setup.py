from setuptools import find_packages, setup

NAME = "k4d_world_model"

setup(
    name=NAME,
    version="0.1.0",
    description="World models of RGB and pointmaps: prediction, training, evaluation, data sets",
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
            "k4d-build-dataset = k4d_world_model.cli.build_dataset:main",
            "k4d-dataset = k4d_world_model.cli.dataset:main",
            "k4d-calibrate = k4d_world_model.cli.calibrate:main",
            "k4d-annotate = k4d_world_model.cli.annotate:main",
            "k4d-predict = k4d_world_model.cli.predict:main",
            "k4d-view = k4d_world_model.cli.view:main",
            "k4d-train = k4d_world_model.cli.train:main",
            "k4d-train-policy = k4d_world_model.cli.train_policy:main",
            "k4d-metaworld = k4d_world_model.cli.metaworld:main",
            "k4d-evaluate = k4d_world_model.cli.evaluate:main",
            "k4d-compare = k4d_world_model.cli.compare:main",
            "k4d-evaluate-policy = k4d_world_model.cli.evaluate_policy:main",
            "k4d-ablate = k4d_world_model.cli.ablate:main",
            "k4d_prediction_node = k4d_world_model.ros.prediction_node:main",
            "k4d_plan_gate_node = k4d_world_model.ros.plan_gate_node:main",
            "k4d_playback_node = k4d_world_model.ros.playback_node:main",
            "k4d_compare_node = k4d_world_model.ros.compare_node:main",
        ],
    },
)
