"""The real classes of SAM 2 and SAM 3 with random weights, end to end, offline; pictures and prompts by definition."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from k4d_world_model.dataset.annotation.applying import apply_annotations
from k4d_world_model.dataset.annotation.sam import SamAnnotator, _at_size
from k4d_world_model.dataset.annotation.sam_prompt import SamPrompt, prompt_of_mask
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small only lose time on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


def is_sam3(folder: Path) -> bool:
    return "sam3" in folder.parent.name


PROMPTS = {
    "point": SamPrompt(((6.0, 5.0),)),
    "points and background": SamPrompt(((6.0, 5.0), (8.0, 4.0)), ((0.0, 11.0),)),
    "box": SamPrompt(box=(3.0, 2.0, 10.0, 8.0)),
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_it_runs_end_to_end_and_depends_on_its_input(episode: Episode, sam_folder: Path, kind: str) -> None:
    annotator = SamAnnotator(sam_folder, PROMPTS[kind])
    found = annotator.annotate(episode)
    assert found.robot_mask.shape == (5, 12, 18)
    assert found.tool.startswith("SAM 3 tiny from" if is_sam3(sam_folder) else "SAM 2 tiny from")
    np.testing.assert_array_equal(annotator.annotate(episode).robot_mask, found.robot_mask)
    other = replace(episode, rgb=255 - episode.rgb)
    assert (annotator.annotate(other).robot_mask != found.robot_mask).any()
    elsewhere = SamAnnotator(sam_folder, SamPrompt(((17.0, 0.0),)))
    assert (elsewhere.annotate(episode).robot_mask != found.robot_mask).any()


def test_the_robot_mask_of_the_first_picture_shows_where_to_look(
    episode: Episode, mask: np.ndarray, sam2_folder: Path
) -> None:
    robot_points = np.where(np.stack([mask] * 3, axis=-1), np.float32(1.5), np.float32(np.nan))
    rendered = replace(episode, robot_points=robot_points, robot_mask=mask)
    found = SamAnnotator(sam2_folder).annotate(rendered)
    by_hand = SamAnnotator(sam2_folder, prompt_of_mask(mask[0])).annotate(episode)
    np.testing.assert_array_equal(found.robot_mask, by_hand.robot_mask)
    replaced = apply_annotations(rendered, found, replace_robot=True)
    np.testing.assert_array_equal(replaced.robot_mask, found.robot_mask)
    with pytest.raises(AnnotationError, match="needs points or a box"):
        SamAnnotator(sam2_folder).annotate(episode)
    hidden = mask.copy()
    hidden[0] = False
    with pytest.raises(AnnotationError, match="empty in the first picture"):
        SamAnnotator(sam2_folder).annotate(replace(episode, robot_mask=hidden))


def test_pictures_are_squeezed_and_normalised_as_each_generation_does(
    episode: Episode, sam_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator = SamAnnotator(sam_folder, PROMPTS["point"])
    encoder, seen = annotator._model.vision_encoder, []

    def watched(pictures: torch.Tensor, forward: Any = encoder.forward, **options: Any) -> Any:
        seen.append(pictures.numpy())
        return forward(pictures, **options)

    monkeypatch.setattr(encoder, "forward", watched)
    annotator.annotate(episode)
    prepared = np.concatenate(seen)
    assert prepared.shape == (5, 3, 64, 64)
    # Pillow's bilinear filter is the antialiased one that torchvision names as its equal.
    squeezed = np.stack(
        [np.asarray(Image.fromarray(p).resize((64, 64), Image.Resampling.BILINEAR)) for p in episode.rgb]
    )
    half = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])  # facebookresearch/sam3
    mean, std = half if is_sam3(sam_folder) else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    expected = (squeezed / 255.0 - mean) / std
    np.testing.assert_allclose(prepared, expected.transpose(0, 3, 1, 2), atol=1.1 / 255 / 0.22)  # it rounds twice


def test_prompts_land_on_the_same_place_in_the_squeezed_picture() -> None:
    height, width, side = 12, 18, 64
    prompt = SamPrompt(((4.0, 7.0),), ((17.0, 0.0),), (3.0, 2.0, 10.0, 8.0))
    coordinates, labels = prompt.coordinates(height, width, side)
    assert labels.tolist() == [2, 3, 1, 0]
    for (u, v), (x, y) in zip([(3, 2), (10, 8), (4, 7), (17, 0)], coordinates, strict=True):
        np.testing.assert_allclose(
            [(x + 0.5) / side, (y + 0.5) / side], [(u + 0.5) / width, (v + 0.5) / height], rtol=1e-6
        )
    with pytest.raises(AnnotationError, match="12 rows x 18 columns"):
        SamPrompt(((18.0, 3.0),)).coordinates(height, width, side)
    with pytest.raises(AnnotationError, match="12 rows x 18 columns"):
        SamPrompt(((np.nan, 3.0),)).coordinates(height, width, side)
    with pytest.raises(AnnotationError, match="got neither"):
        SamPrompt(background=((1.0, 1.0),))
    with pytest.raises(AnnotationError, match="upper left and lower right"):
        SamPrompt(box=(5.0, 2.0, 5.0, 8.0))


def test_points_lie_deep_in_every_part_of_a_mask() -> None:
    mask = np.zeros((30, 44), bool)
    mask[2:13, 3:14] = True  # centre (8, 7)
    mask[18:25, 30:37] = True  # centre (33, 21)
    points = prompt_of_mask(mask, count=2).points
    assert points == ((8.0, 7.0), (33.0, 21.0))
    many = prompt_of_mask(mask, count=50).points
    assert len(set(many)) == len(many) > 2
    assert all(mask[int(v), int(u)] for u, v in many)
    to_the_edge = np.ones((5, 9), bool)
    assert prompt_of_mask(to_the_edge, count=1).points[0][1] == 2.0, "the picture's edge counts as the mask's"


def test_logits_are_enlarged_as_pictures_are() -> None:
    logits = np.random.default_rng(4).normal(size=(5, 4)).astype(np.float32)
    expected = cv2.resize(logits, (18, 12), interpolation=cv2.INTER_LINEAR) > 0
    np.testing.assert_array_equal(_at_size(torch.from_numpy(logits)[None, None], 12, 18), expected)


def damage(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_folders_that_are_no_model_are_refused(episode: Episode, sam_folder: Path, tmp_path: Path) -> None:
    prompt, prefix = PROMPTS["point"], "tracker_model." if is_sam3(sam_folder) else ""
    with pytest.raises(AnnotationError, match=r"config\.json and safetensors"):
        SamAnnotator(tmp_path / "nowhere", prompt)
    shutil.copytree(sam_folder, tmp_path / "gap")
    damage(tmp_path / "gap", lambda weights: weights.pop(prefix + "mask_decoder.iou_token.weight"))
    with pytest.raises(AnnotationError, match=r"lacks 1 weights.*iou_token"):
        SamAnnotator(tmp_path / "gap", prompt).annotate(episode)
    shutil.copytree(sam_folder, tmp_path / "cut")
    weights = (tmp_path / "cut" / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(AnnotationError, match="holds no video model of SAM"):
        SamAnnotator(tmp_path / "cut", prompt).annotate(episode)
    shutil.copytree(sam_folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(AnnotationError, match="holds no video model of SAM"):
        SamAnnotator(tmp_path / "pickled", prompt).annotate(episode)
    shutil.copytree(sam_folder, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(
        json.dumps(config | {"image_size": "large", "tracker_config": "small"})
    )
    with pytest.raises(AnnotationError, match="holds no video model of SAM"):
        SamAnnotator(tmp_path / "other", prompt).annotate(episode)
    with pytest.raises(AnnotationError, match="device 'cuda:7' cannot be used"):
        SamAnnotator(sam_folder, prompt, "cuda:7").annotate(episode)
    for model_type in ("sam2", None):
        (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": model_type}))
        with pytest.raises(AnnotationError, match="one of sam2_video, sam3_tracker_video, sam3_video, got"):
            SamAnnotator(tmp_path / "other", prompt)
