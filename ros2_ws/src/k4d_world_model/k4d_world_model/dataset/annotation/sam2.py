"""Robot masks by SAM 2 video segmentation with the user's weights."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from k4d_world_model.dataset.annotation.annotator import Annotations
from k4d_world_model.dataset.annotation.sam2_prompt import Sam2Prompt, prompt_of_mask
from k4d_world_model.dataset.episode import Episode
from k4d_world_model.errors import AnnotationError

if TYPE_CHECKING:
    import torch

# ImageNet's statistics, with which all SAM 2 weights were trained (facebookresearch/sam2, utils/misc.py).
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_ROBOT = 1


class Sam2Annotator:
    """Follows the robot through an episode from where the first picture shows it.

    ``model_folder`` is a local folder as transformers saves it: config.json of a sam2_video model and its safetensors;
    nothing is downloaded. Without a ``prompt``, points inside the episode's own robot mask in the first picture are
    taken. ``device`` is one of torch's, such as "cpu" or "cuda:0".
    """

    def __init__(self, model_folder: Path, prompt: Sam2Prompt | None = None, device: str = "cpu") -> None:
        """Raises AnnotationError when there is no such model in the folder; its weights are read at first use."""
        if not (model_folder / "config.json").is_file():
            raise AnnotationError(f"{model_folder} must be a folder with config.json and safetensors of a SAM 2 model")
        self._model_folder, self._prompt, self._device = model_folder, prompt, device

    @property
    def tool(self) -> str:
        """The kind of model, its folder's name, and what it was shown."""
        shown = "the robot mask" if self._prompt is None else str(self._prompt)
        return f"SAM 2 {self._model_folder.resolve().name} from {shown}"

    def annotate(self, episode: Episode) -> Annotations:
        """The robot mask. Raises AnnotationError without a prompt or mask, and when the weights do not fit."""
        prompt = self._prompt
        if prompt is None:
            if episode.robot_mask is None:
                raise AnnotationError("SAM 2 needs points or a box, since the episode has no robot mask to start from")
            prompt = prompt_of_mask(episode.robot_mask[0])
        return Annotations(self.tool, robot_mask=self.track(episode.rgb, prompt))

    def track(self, rgb: NDArray[np.uint8], prompt: Sam2Prompt) -> NDArray[np.bool_]:
        """The mask (T, H, W) of the object that ``prompt`` points at in the first of the pictures (T, H, W, 3).

        Raises AnnotationError when the weights do not fit or a prompt lies outside the picture.
        """
        frames, height, width = rgb.shape[:3]
        side = int(self._model.config.image_size)
        import torch
        from transformers import Sam2VideoInferenceSession

        points, labels = prompt.coordinates(height, width, side)
        session = Sam2VideoInferenceSession(
            video=_prepared(rgb, side), video_height=height, video_width=width, inference_device=self._device,
            dtype=torch.float32,
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
        try:
            from huggingface_hub.errors import StrictDataclassError
            from transformers import Sam2VideoModel
        except ImportError as error:
            raise AnnotationError(f"SAM 2 needs the packages transformers and torch: {error}") from error
        loader: Any = Sam2VideoModel
        try:
            model, report = loader.from_pretrained(
                str(self._model_folder), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
            raise AnnotationError(f"{self._model_folder} holds no SAM 2 video model: {error}") from error
        # transformers only warns of these, and leaves the weights random.
        missing = sorted(map(str, (*report["missing_keys"], *report["mismatched_keys"])))
        if missing:
            raise AnnotationError(
                f"{self._model_folder} lacks {len(missing)} weights of a SAM 2 video model, {missing[0]} first"
            )
        try:
            return model.eval().to(self._device)
        except (RuntimeError, AssertionError) as error:
            raise AnnotationError(f"device {self._device!r} cannot be used: {error}") from error


def _prepared(rgb: NDArray[np.uint8], side: int) -> "torch.Tensor":
    """Pictures (T, H, W, 3) as the model takes them: (T, 3, side, side) float32, squeezed to a square, normalised."""
    import torch
    from einops import rearrange

    mean, std = torch.tensor(_MEAN)[:, None, None], torch.tensor(_STD)[:, None, None]
    prepared = torch.empty((len(rgb), 3, side, side))
    for index, picture in enumerate(rgb):
        values = rearrange(torch.from_numpy(picture).float() / 255.0, "h w c -> 1 c h w")
        resized = torch.nn.functional.interpolate(values, (side, side), mode="bilinear", antialias=True)
        prepared[index] = (resized[0] - mean) / std
    return prepared


def _at_size(logits: "torch.Tensor", height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of logits (1, 1, h, w) at the model's resolution."""
    import torch

    resized = torch.nn.functional.interpolate(logits.float(), (height, width), mode="bilinear", align_corners=False)
    return np.asarray((resized[0, 0] > 0.0).cpu().numpy())
