"""Where the robot is seen in pictures, by a SAM that is shown where it should be."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from k4d_kinematics import Renderer
from k4d_kinematics.errors import CalibrationError
from k4d_world_model.calibration.recorded_masks import RecordedMasks
from k4d_world_model.dataset.annotation.sam import SamAnnotator
from k4d_world_model.dataset.annotation.sam_prompt import SamPrompt, prompt_of_mask

Array = NDArray[np.float64]

# Points are where the robot is at least this much as thick as where it is thickest: the guess is off by some pixels.
_LEAST_THICKNESS = 0.5


def segmented_masks(
    annotator: SamAnnotator, pictures: NDArray[np.uint8], renderer: Renderer, T_guess: Array, T_parent_link: Array
) -> RecordedMasks:
    """The masks of pictures (N, H, W, 3), each segmented by itself.

    It is pointed at the thick parts of the robot as the camera sees them at the guess ``T_cam_parent`` (4, 4).
    Raises AnnotationError when the weights cannot be used, CalibrationError when the robot is nowhere at the guess.
    """
    masks = [
        annotator.track(picture[None], robot_prompt(renderer.render(T_guess @ T).mask))[0]
        for picture, T in zip(pictures, T_parent_link, strict=True)
    ]
    return RecordedMasks(np.stack(masks), np.ones(pictures.shape[:3], np.bool_), None)


def robot_prompt(mask: NDArray[np.bool_]) -> SamPrompt:
    """Points well inside the thick parts of an expected mask (H, W). Raises CalibrationError when it is empty."""
    if not mask.any():
        raise CalibrationError("the robot is in a picture nowhere at the camera's guessed pose, so SAM has no prompt")
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return prompt_of_mask(mask & (depth >= _LEAST_THICKNESS * depth.max()))
