"""Models that may predict differently have different identities, and each is judged by its own codec."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from k4d_world_model.errors import ArchitectureError
from k4d_world_model.evaluation import entrants, model_identity
from k4d_world_model.evaluation.entrants import open_entrants
from k4d_world_model.evaluation.evaluate import evaluate
from k4d_world_model.evaluation.latent_distances import LatentDistances
from k4d_world_model.evaluation.model_identity import LatentCodec
from k4d_world_model.evaluation.sheet import comparison_sheet
from k4d_world_model.evaluation.truth import Truth

from ..model.conftest import make_transformer, published_architecture, published_folder  # noqa: F401
from .conftest import FakeModel, Make, make_rollout


def configuration(folder: Path, checkpoint: str = "checkpoint", steps: int = 1) -> Path:
    path = folder / f"of_{checkpoint}_{steps}.yaml"
    settings = f"checkpoint: {checkpoint}\nsampling: {{steps: {steps}}}\nruntime: {{device: cpu, dtype: float32}}\n"
    path.write_text(f"name: small\n{settings}")
    return path


def identities(path: Path) -> tuple[str, str]:
    """Of the model, and of its codec."""
    model, baseline = open_entrants((path,), (), None, None)
    assert model.codec is not None
    assert baseline.codec is model.codec  # which has none of its own
    return model.identity("any"), model.codec.sha256


def changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_whatever_a_prediction_depends_on_changes_the_identity(
    published_folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(published_folder / "checkpoint", published_folder / "copy")
    before, codec = identities(configuration(published_folder))
    copy = configuration(published_folder, "copy")
    assert identities(copy) == (before, codec)
    steps, same_codec = identities(configuration(published_folder, steps=2))
    assert (steps == before, same_codec) == (False, codec)
    seen = {before, steps}
    files = published_folder / "copy"
    changed(files / "architecture.json", normalization_margin=2.0)
    margin, same_codec = identities(copy)
    assert (margin in seen, same_codec) == (False, codec)
    changed(files / "image_encoder" / "config.json", layer_norm_eps=1e-3)
    encoder, same_codec = identities(copy)
    assert (encoder in {*seen, margin}, same_codec) == (False, codec)
    changed(files / "vae" / "config.json", latents_mean=[0.1] * 16)
    vae, other_codec = identities(copy)
    assert vae not in {*seen, margin, encoder}
    assert other_codec != codec
    monkeypatch.setattr(model_identity, "installed_versions", lambda: (("diffusers", "0.0.1"),))
    assert identities(copy)[0] not in {*seen, margin, encoder, vae}


class FakeCodec:
    """Latents that are the levels times something; it counts what it encodes."""

    def __init__(self, factor: float) -> None:
        self.factor, self.encoded = factor, 0

    def __call__(self, rgb: NDArray[np.uint8]) -> Tensor:
        """The latents of pictures whose height is even."""
        self.encoded += 1
        if rgb.shape[1] % 2:
            raise ArchitectureError("sides must divide")
        return torch.from_numpy(self.factor * rgb.astype(np.float32))


def test_a_codec_encodes_the_truth_once() -> None:
    truth = np.random.default_rng(1).integers(0, 200, (5, 4, 7, 3)).astype(np.uint8)
    encode = FakeCodec(2.0)
    latents, codec = LatentDistances(truth), LatentCodec("pixels", "5e", encode)
    (first,), (second,) = latents.figures(codec, truth + np.uint8(3)), latents.figures(codec, truth)
    assert (first.name, first.figure.value, second.figure.value) == ("latent_l2_pixels", pytest.approx(36.0), 0.0)
    assert encode.encoded == 3
    (odd,) = LatentDistances(truth[:, :3]).figures(codec, truth[:, :3])
    assert odd.figure.reason == "sides must divide"
    assert latents.figures(None, truth) == []


def test_each_model_is_judged_by_its_own_codec_whoever_takes_part(
    models: dict[str, FakeModel], settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    codecs = {
        name: LatentCodec("pixels", name, FakeCodec(factor)) for name, factor in (("better", 1.0), ("worse", 3.0))
    }

    def codec_of(model: FakeModel, folder: Path) -> LatentCodec:
        return codecs[model.name]

    monkeypatch.setattr(entrants, "codec_of", codec_of)
    alone = evaluate(settings("worse.yaml", out="alone")).records["worse"][0]
    together = evaluate(settings("better.yaml", "worse.yaml"))
    better, worse, frozen = (together.records[name][0] for name in together.entrants)
    assert worse == alone
    assert (better.codec_sha256, worse.codec_sha256, frozen.codec_sha256) == ("better", "worse", "better")
    assert worse.figure("latent_l2_pixels").number == pytest.approx(9 * 20**2, rel=0.1)
    # Another codec is lent: those who have none are scored anew, the others are kept.
    (outcome,) = evaluate(settings("worse.yaml", "better.yaml")).outcomes
    assert outcome.kind == "written"
    assert (models["better"].predicted, models["worse"].predicted) == (1, 2)


def test_sheets_say_whose_their_rows_are(truth: Truth) -> None:
    rollout = make_rollout(truth.rgb, truth.points)
    plain, one, other = (comparison_sheet(truth, [rollout], names=names) for names in ([], ["one"], ["another"]))
    assert plain.shape == one.shape

    def rows_that_differ(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> list[bool]:
        return [bool((part != same).any()) for part, same in zip(np.split(a, 4), np.split(b, 4), strict=True)]

    assert rows_that_differ(one, other) == [False, True, False, True]
    assert rows_that_differ(plain, one) == [True] * 4
