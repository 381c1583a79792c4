"""Whatever a CameraInfo holds, it becomes a usable camera or a CameraError."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from k4d_kinematics.camera import Camera, RegionOfInterest
from k4d_kinematics.errors import CameraError

numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, 1.0, 600.0, -1.0, 1e308, 5e-324]),
)
sizes = st.one_of(st.integers(-2, 80), st.sampled_from([0, 1, 2**32 - 1, 1.5, None, "640", True]))
offsets = st.integers(-1, 40)
focal_lengths = st.floats(1.0, 1e4)


def matrices(size: int) -> st.SearchStrategy:
    calibrated = st.tuples(focal_lengths, numbers, focal_lengths, numbers).map(
        lambda f: [f[0], 0.0, f[1], 0.0, f[2], f[3], 0.0, 0.0, 1.0]
    )
    arbitrary = st.lists(numbers, min_size=size - 1, max_size=size + 1)
    return st.one_of(arbitrary, calibrated if size == 9 else arbitrary, st.none(), st.just("K"))


@settings(deadline=None, max_examples=300)
@given(
    sizes, sizes, matrices(9), st.lists(numbers, max_size=15),
    st.sampled_from(["", "plumb_bob", "rational_polynomial", "equidistant", "fisheye", "Plumb_bob", None, 3]),
    st.tuples(sizes, sizes), st.tuples(offsets, offsets, offsets, offsets), matrices(12),
)  # fmt: skip
def test_any_fields_give_a_camera_or_a_camera_error(height, width, K, D, model, binning, roi, P) -> None:
    try:
        fields = {"binning_x": binning[0], "binning_y": binning[1], "roi": RegionOfInterest(*roi)}
        camera = Camera(height, width, K, D, model, **fields, **({} if P is None else {"P": P}))
    except CameraError:
        return
    check_usable(camera)


coefficients = st.floats(-2.0, 2.0)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 40), st.integers(1, 50), st.tuples(focal_lengths, focal_lengths), st.tuples(numbers, numbers),
    st.one_of(
        st.tuples(st.just("plumb_bob"), st.lists(coefficients, min_size=5, max_size=5)),
        st.tuples(st.just("rational_polynomial"), st.lists(coefficients, min_size=8, max_size=8)),
        st.tuples(st.just("equidistant"), st.lists(coefficients, min_size=4, max_size=4)),
    ),
)  # fmt: skip
@example(1, 1, (1.0, 1.0), (0.0, 0.0), ("plumb_bob", [0.0, 0.0, 0.0, 0.0, 5e-324]))
def test_any_lens_maps_its_rays_back_to_their_pixels(height, width, f, c, lens) -> None:
    try:
        camera = Camera(height, width, [f[0], 0, c[0], 0, f[1], c[1], 0, 0, 1], lens[1], lens[0])
    except CameraError:
        return
    check_usable(camera)


def check_usable(camera: Camera) -> None:
    rays = camera.rays()
    assert rays.shape == (camera.image_height, camera.image_width, 2)
    u, v = np.meshgrid(np.arange(camera.image_width), np.arange(camera.image_height))
    pixels = np.stack([u, v], axis=-1)
    known = np.isfinite(rays).all(axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        back = camera.project(np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1))
    scale = np.abs(camera.matrix).max()
    assert (np.abs(back - pixels)[known] <= 1e-6 + 1e-9 * scale).all()
