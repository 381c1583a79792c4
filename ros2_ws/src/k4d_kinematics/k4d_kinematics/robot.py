"""A robot from its URDF: links, joints, limits, shapes, and forward kinematics of all links. Metres, radians."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import resources, se3
from k4d_kinematics.description import LinkGeometry
from k4d_kinematics.errors import JointStateError, TransformError
from k4d_kinematics.forward_kinematics import link_poses
from k4d_kinematics.kinematic_chain import KinematicChain, extract_chain
from k4d_kinematics.kinematic_tree import KinematicTree, build_tree
from k4d_kinematics.urdf import parse_urdf, read_description


@dataclass(frozen=True, eq=False)
class Robot:
    """A checked robot model with L links and J independent movable joints.

    ``urdf`` is the expanded URDF text and ``sha256`` its hex digest; ``base_folder`` and ``package_paths`` are where
    its mesh and texture URIs are looked up. ``file_folders`` are the only folders that file:// URIs and paths may lead
    to, None for any.
    """

    name: str
    tree: KinematicTree
    visuals: tuple[LinkGeometry, ...]
    collisions: tuple[LinkGeometry, ...]
    urdf: str
    sha256: str
    base_folder: Path | None = None
    package_paths: tuple[Path, ...] = ()
    file_folders: tuple[Path, ...] | None = None

    @classmethod
    def from_urdf(
        cls,
        text: str,
        *,
        package_paths: Sequence[Path] = (),
        base_folder: Path | None = None,
        file_folders: Sequence[Path] | None = None,
    ) -> "Robot":
        """The robot that a URDF text describes; meshes are not opened yet.

        ``base_folder`` is where relative URIs start. Raises RobotModelError naming what is wrong and what is valid.
        """
        description = parse_urdf(text)
        return cls(
            name=description.name,
            tree=build_tree(description),
            visuals=description.visuals,
            collisions=description.collisions,
            urdf=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            base_folder=base_folder,
            package_paths=tuple(Path(path) for path in package_paths),
            file_folders=None if file_folders is None else tuple(Path(folder) for folder in file_folders),
        )

    @classmethod
    def from_file(cls, path: str | Path, *, package_paths: Sequence[Path] = ()) -> "Robot":
        """The robot that a URDF or ``.xacro`` file describes; its folder is where relative URIs start.

        ``path`` is a path, or as text a ``package://`` or ``file://`` URI. Raises RobotModelError.
        """
        file = resources.resolve(str(path), None, package_paths) if "://" in str(path) else Path(path)
        return cls.from_urdf(read_description(file), package_paths=package_paths, base_folder=file.parent)

    @property
    def link_names(self) -> tuple[str, ...]:
        """The L link names, parents before children, the root link first."""
        return self.tree.link_names

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The J independent movable joints: revolute, continuous and prismatic ones that mimic no other."""
        return self.tree.joint_names

    @property
    def lower(self) -> se3.Array:
        """Lower limits (J,), -inf where there is none."""
        return self.tree.lower

    @property
    def upper(self) -> se3.Array:
        """Upper limits (J,), inf where there is none."""
        return self.tree.upper

    @property
    def velocity_limits(self) -> se3.Array:
        """Largest speeds (J,) in rad/s or m/s, inf where there is none."""
        return self.tree.velocity_limits

    @property
    def is_revolute(self) -> NDArray[np.bool_]:
        """Which joints turn (J,); the others slide."""
        return self.tree.is_revolute

    @property
    def is_continuous(self) -> NDArray[np.bool_]:
        """Which joints turn without limits (J,): their drivers may report any of the positions a whole turn apart."""
        return np.asarray(self.is_revolute & np.isneginf(self.lower) & np.isposinf(self.upper))

    def link_index(self, name: str) -> int:
        """The index of a link in ``link_names``. Raises RobotModelError naming the valid links."""
        return self.tree.link_index(name)

    def chain(self, tip: str, base: str | None = None) -> KinematicChain:
        """The movable joints from ``base``, by default the root link, to ``tip``.

        Raises RobotModelError for unknown links, where ``base`` is not above ``tip``, where nothing between them
        moves, and for mimic joints between them.
        """
        return extract_chain(self.tree, tip, self.link_names[0] if base is None else base)

    def order_positions(self, names: Sequence[str], positions: ArrayLike) -> se3.Array:
        """Positions (J,) or (T, J) in the order of ``joint_names`` from (J',) or (T, J') in the order of ``names``.

        Names that are not independent joints of this robot are left out. Raises JointStateError where an independent
        joint is missing, a name comes twice, the sizes differ or a number of this robot is not finite.
        """
        values = _as_numbers(positions)
        if values.ndim not in (1, 2) or values.shape[-1] != len(names):
            raise JointStateError(
                f"positions must have shape ({len(names)},) or (T, {len(names)}), one per name, got {values.shape}"
            )
        column = {name: k for k, name in enumerate(names)}
        missing = [name for name in self.joint_names if name not in column]
        if missing:
            raise JointStateError(f"joint positions lack {', '.join(missing)}; got names {list(names)}")
        repeated = [name for name in self.joint_names if list(names).count(name) > 1]
        if repeated:
            raise JointStateError(f"joint names must come once, repeated: {', '.join(repeated)}")
        return self.check_positions(values[..., [column[name] for name in self.joint_names]])

    def check_positions(self, positions: ArrayLike) -> se3.Array:
        """Positions (J,) or (T, J) as float64. Raises JointStateError for another shape or non-finite numbers."""
        values = _as_numbers(positions)
        count = len(self.joint_names)
        if values.ndim not in (1, 2) or values.shape[-1] != count:
            raise JointStateError(
                f"positions must have shape ({count},) or (T, {count}) for joints {', '.join(self.joint_names)}, "
                f"got {values.shape}"
            )
        bad = ~np.isfinite(values)
        if bad.any():
            where = tuple(np.argwhere(bad)[0])
            raise JointStateError(
                f"joint positions must be finite, got {values[where]} for {self.joint_names[where[-1]]!r}"
                + (f" in row {where[0]}" if values.ndim == 2 else "")
            )
        return values

    def forward_kinematics(self, positions: ArrayLike, T_base_root: ArrayLike | None = None) -> se3.Array:
        """``T_base_link`` (L, 4, 4) for positions (J,), or (T, L, 4, 4) for (T, J).

        The base frame is the root link unless ``T_base_root`` (4, 4) or (T, 4, 4), the pose of a floating base, is
        given. Raises JointStateError for positions and TransformError for a pose of another shape or not rigid.
        """
        values = self.check_positions(positions)
        rows = np.atleast_2d(values)
        T_root = np.eye(4) if T_base_root is None else se3.check_transform(T_base_root, "T_base_root")
        if T_root.shape not in ((4, 4), (*values.shape[:-1], 4, 4)):
            raise TransformError(
                f"T_base_root must have shape (4, 4) or {(*values.shape[:-1], 4, 4)}, got {T_root.shape}"
            )
        T_base_link = link_poses(self.tree, rows, np.broadcast_to(T_root, (len(rows), 4, 4)))
        return T_base_link if values.ndim == 2 else T_base_link[0]


def _as_numbers(positions: ArrayLike) -> se3.Array:
    try:
        values = np.asarray(positions)
    except ValueError as error:
        raise JointStateError(f"joint positions must be numbers in rows of one length: {error}") from error
    if values.dtype.kind not in "fiu":
        raise JointStateError(f"joint positions must be real numbers, got {positions!r}")
    return values.astype(np.float64, copy=False)
