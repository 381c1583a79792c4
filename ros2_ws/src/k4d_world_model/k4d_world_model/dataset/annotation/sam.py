"""Robot masks by the video segmentation of SAM 2 or SAM 3 with the user's weights."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.annotation.sam_prompt import SamPrompt, prompt_of_mask
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

if TYPE_CHECKING:
    import torch

_ROBOT = 1


@dataclass(frozen=True)
class _Generation:
    """What differs between generations of SAM: names of transformers' classes, and how pictures are normalised."""

    name: str
    model: str
    session: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# SAM 2 was trained with ImageNet's statistics (facebookresearch/sam2, utils/misc.py), SAM 3 with a half for each
# (transformers, Sam3ImageProcessor).
_SAM_2 = _Generation(
    "SAM 2", "Sam2VideoModel", "Sam2VideoInferenceSession", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
)
_SAM_3 = _Generation(
    "SAM 3", "Sam3TrackerVideoModel", "Sam3TrackerVideoInferenceSession", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
)
# By a folder's model_type. The published SAM 3 is a detector and a tracker in one, of which the tracker is taken.
_GENERATIONS = {"sam2_video": _SAM_2, "sam3_tracker_video": _SAM_3, "sam3_video": _SAM_3}


class SamAnnotator:
    """Follows the robot through an episode from where the first picture shows it.

    ``model_folder`` is a local folder as transformers saves it: config.json of a video model of SAM 2 or SAM 3 and its
    safetensors; nothing is downloaded. Without a ``prompt``, points inside the episode's own robot mask in the first
    picture are taken. ``device`` is one of torch's, such as "cpu" or "cuda:0".
    """

    def __init__(self, model_folder: Path, prompt: SamPrompt | None = None, device: str = "cpu") -> None:
        """Raises AnnotationError when there is no such model in the folder; its weights are read at first use."""
        self._generation = _generation(model_folder)
        self._model_folder, self._prompt, self._device = model_folder, prompt, device

    @property
    def tool(self) -> str:
        """The kind of model, its folder's name, and what it was shown."""
        shown = "the robot mask" if self._prompt is None else str(self._prompt)
        return f"{self._generation.name} {self._model_folder.resolve().name} from {shown}"

    def annotate(self, episode: Episode) -> Annotations:
        """The robot mask. Raises AnnotationError without a prompt or mask, and when the weights do not fit."""
        prompt = self._prompt
        if prompt is None:
            if episode.robot_mask is None:
                raise AnnotationError("SAM needs points or a box, since the episode has no robot mask to start from")
            prompt = prompt_of_mask(episode.robot_mask[0])
        return Annotations(self.tool, robot_mask=self.track(episode.rgb, prompt))

    def track(self, rgb: NDArray[np.uint8], prompt: SamPrompt) -> NDArray[np.bool_]:
        """The mask (T, H, W) of the object that ``prompt`` points at in the first of the pictures (T, H, W, 3).

        Raises AnnotationError when the weights do not fit or a prompt lies outside the picture.
        """
        frames, height, width = rgb.shape[:3]
        side = int(self._model.config.image_size)
        import torch
        import transformers

        points, labels = prompt.coordinates(height, width, side)
        generation = self._generation
        session: Any = getattr(transformers, generation.session)(
            video=_prepared(rgb, side, generation.mean, generation.std), video_height=height, video_width=width,
            inference_device=self._device, dtype=torch.float32,
        )  # fmt: skip
        prompts = {"point_coords": torch.from_numpy(points)[None, None],
                   "point_labels": torch.from_numpy(labels)[None, None]}  # fmt: skip
        session.add_point_inputs(session.obj_id_to_idx(_ROBOT), 0, prompts)
        session.obj_with_new_inputs = [_ROBOT]
        mask = np.zeros((frames, height, width), np.bool_)
        with torch.inference_mode():
            for output in self._model.propagate_in_video_iterator(session, start_frame_idx=0):
                mask[output.frame_idx] = _at_size(output.pred_masks, height, width)
        return mask

    @cached_property
    def _model(self) -> Any:
        name = self._generation.name
        try:
            import transformers
            from huggingface_hub.errors import StrictDataclassError

            loader: Any = getattr(transformers, self._generation.model)
        except (ImportError, AttributeError) as error:
            raise AnnotationError(f"{name} needs the packages transformers and torch: {error}") from error
        try:
            model, report = loader.from_pretrained(
                str(self._model_folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
            raise AnnotationError(f"{self._model_folder} holds no video model of {name}: {error}") from error
        # transformers only warns of these, and leaves the weights random.
        missing = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
        if missing:
            raise AnnotationError(
                f"{self._model_folder} lacks {len(missing)} weights of a video model of {name}, {missing[0]} first"
            )
        try:
            return model.eval().to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise AnnotationError(f"device {self._device!r} cannot be used: {error}") from error


def _generation(model_folder: Path) -> _Generation:
    try:
        kind = json.loads((model_folder / "config.json").read_text())["model_type"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AnnotationError(
            f"{model_folder} must be a folder with config.json and safetensors of a SAM 2 or SAM 3: {error!r}"
        ) from error
    if kind not in _GENERATIONS:
        raise AnnotationError(f"{model_folder} must hold one of {', '.join(_GENERATIONS)}, got {kind!r}")
    return _GENERATIONS[kind]


def _prepared(
    rgb: NDArray[np.uint8], side: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> "torch.Tensor":
    """Pictures (T, H, W, 3) as the model takes them: (T, 3, side, side) float32, squeezed to a square, normalised."""
    import torch
    from einops import rearrange

    shift, scale = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    prepared = torch.empty((len(rgb), 3, side, side))
    for index, picture in enumerate(rgb):
        values = rearrange(torch.from_numpy(picture).float() / 255.0, "h w c -> 1 c h w")
        resized = torch.nn.functional.interpolate(values, (side, side), mode="bilinear", antialias=True)
        prepared[index] = (resized[0] - shift) / scale
    return prepared


def _at_size(logits: "torch.Tensor", height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of logits (1, 1, h, w) at the model's resolution."""
    import torch

    resized = torch.nn.functional.interpolate(logits.float(), (height, width), mode="bilinear", align_corners=False)
    return np.asarray((resized[0, 0] > 0.0).cpu().numpy())
