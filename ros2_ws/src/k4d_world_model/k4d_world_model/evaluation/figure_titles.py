"""What reports call the figures, in the order of their tables."""

from dataclasses import dataclass

from k4d_world_model.evaluation.cloud_metrics import sampled_name


@dataclass(frozen=True)
class FigureTitle:
    """A figure's name, what a table calls it, and its digits there."""

    name: str
    title: str
    digits: int


def _titles(*rows: tuple[str, str, int]) -> tuple[FigureTitle, ...]:
    return tuple(FigureTitle(*row) for row in rows)


MAIN = _titles(
    ("psnr_changed", "RGB PSNR, changed region (dB)", 2),
    ("xyz_psnr_changed", "XYZ PSNR, changed region (dB)", 2),
    ("psnr_objects", "RGB PSNR, moved objects (dB)", 2),
    ("xyz_psnr_objects", "XYZ PSNR, moved objects (dB)", 2),
    ("moved_iou", "moved region, intersection over union", 3),
    ("psnr", "RGB PSNR, whole picture (dB)", 2),
    ("xyz_psnr", "XYZ PSNR, whole picture (dB)", 2),
    ("robot_error_mm", "robot points, median error (mm)", 2),
    ("environment_error_mm", "environment, median error (mm)", 2),
    ("environment_error_p95_mm", "environment, 95th percentile of the error (mm)", 1),
)
PICTURES = _titles(
    ("psnr_robot", "RGB PSNR, robot's pixels (dB)", 2),
    ("psnr_environment", "RGB PSNR, environment's pixels (dB)", 2),
    ("ssim", "SSIM, whole picture", 4),
    ("ssim_changed", "SSIM, changed region", 4),
    ("ssim_robot", "SSIM, robot's pixels", 4),
    ("ssim_environment", "SSIM, environment's pixels", 4),
    ("latent_l2_pixels", "latent L2, pixel codec", 4),
    ("latent_l2_wan_vae", "latent L2, Wan VAE", 4),
    ("lpips_alex", "LPIPS (AlexNet)", 4),
    ("lpips_vgg", "LPIPS (VGG-16)", 4),
    ("perceptual_efficientnet_lite0", "perceptual distance on EfficientNet-Lite0", 4),
    ("psnr_temp", "RGB PSNR (temp), dB", 2),
)
_KINDS = (("chamfer_l1", "CD-L1 (m)", 5), ("chamfer_l2", "CD-L2 (m²)", 6), ("f_score", "F-score@0.01 m", 4))
_NORMALISED_KINDS = (("chamfer_l1", "CD-L1", 5), ("chamfer_l2", "CD-L2", 6), ("f_score", "F-score@0.01", 4))
_PLACES = (
    ("", "", _KINDS), ("_changed", ", changed region", _KINDS), ("_robot", ", robot's pixels", _KINDS),
    ("_environment", ", environment's pixels", _KINDS), ("_temp", " (temp)", _KINDS),
    ("_normalised", ", normalised", _NORMALISED_KINDS), ("_temp_normalised", " (temp), normalised", _NORMALISED_KINDS),
)  # fmt: skip


def cloud_titles(sample: int | None) -> tuple[FigureTitle, ...]:
    """Of the clouds' figures; with a sample, their names and titles say its size."""
    asked = "" if sample is None else f", {sample} points"
    rows = [
        FigureTitle(sampled_name(f"{kind}{suffix}", sample), f"{title}{place}{asked}", digits)
        for suffix, place, kinds in _PLACES
        for kind, title, digits in kinds
    ]
    dropped = ("dropped_points", "points that the prediction lacks", 0), ("missing_points", "of them, the truth has", 0)
    return (*rows, *_titles(*dropped))
