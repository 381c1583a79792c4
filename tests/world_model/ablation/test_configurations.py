"""Every ablation of the repository parses, and its variants are the models that they say they are."""

from pathlib import Path

import pytest

from k4d_world_model.ablation.config import read_ablation
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.parameters import count_parameters
from k4d_world_model.wan.transformer import build_transformer

PATHS = sorted((Path(__file__).parents[3] / "config" / "ablations").glob("*.yaml"))
REPRESENTATIONS = {
    "pointmap", "text", "binary", "joints", "rgb", "rgb_and_pointmap", "depth", "environment",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_variant_builds_its_model(path: Path) -> None:
    ablation = read_ablation(path)
    built = {}
    for variant in ablation.config.variants:
        architecture = ablation.training(variant, 3).architecture
        if architecture not in built:
            built[architecture] = build_transformer(architecture, head_channels(architecture))
        numbers = sum(parameter.numel() for parameter in built[architecture].parameters())
        assert numbers == count_parameters(architecture).total, variant.name


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_all_variants_have_one_budget(path: Path) -> None:
    ablation = read_ablation(path)
    presets = [ablation.training(variant, seed) for variant in ablation.config.variants for seed in (0, 2)]
    assert [preset.seed for preset in presets] == [0, 2] * len(ablation.config.variants)
    for name in ("budget", "batch_size", "accumulation", "schedule", "optimiser", "stages", "sampling"):
        assert len({str(getattr(preset, name)) for preset in presets}) == 1, name
    sizes = {(a.frames, a.height, a.width, a.transformer, a.codec) for a in (p.architecture for p in presets)}
    assert len(sizes) == 1


def test_the_papers_representations_are_there_and_differ_in_what_is_told() -> None:
    ablation = read_ablation(next(path for path in PATHS if path.stem == "representations"))
    presets = {variant.name: ablation.training(variant, 0) for variant in ablation.config.variants}
    assert presets.keys() >= REPRESENTATIONS
    told = {(a.condition, a.first_frame_geometry) for a in (preset.architecture for preset in presets.values())}
    assert len(told) == len(presets)
    for preset in presets.values():
        architecture = preset.architecture
        assert architecture.prior == "still"  # which tells of no robot, as hints and shades would
        assert not any((architecture.light_grid, architecture.continues_surfaces, architecture.moves_objects))
        assert architecture.normalization == "fixed"
        assert architecture.robot_in_both_halves


def test_learning_from_one_domain_is_judged_on_that_domain() -> None:
    config = read_ablation(next(path for path in PATHS if path.stem == "data")).config
    assert config.judged_on == config.variant("single").data == ("easy",)
