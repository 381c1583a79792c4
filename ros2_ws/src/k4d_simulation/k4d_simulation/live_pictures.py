"""Pictures of a scene while it moves, drawn in a thread of their own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from k4d_kinematics.se3 import Array
from k4d_simulation.rendering import RenderingSettings, SceneImage, SceneRenderer
from k4d_simulation.scene import Scene


class LivePictures:
    """Draws one picture at a time in the thread that owns the OpenGL context; while it draws, others are declined.

    Raises RenderingError as SceneRenderer does.
    """

    def __init__(self, scene: Scene, height: int, width: int, settings: RenderingSettings | None = None) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._drawing: Future[None] | None = None
        try:
            self._renderer = self._worker.submit(SceneRenderer, scene, height, width, settings).result()
        except BaseException:
            self._worker.shutdown()
            raise

    @property
    def is_busy(self) -> bool:
        """Whether a picture is being drawn."""
        return self._drawing is not None and not self._drawing.done()

    def draw(self, qpos: Array, deliver: Callable[[SceneImage], None]) -> bool:
        """Draws the state ``qpos`` (nq,), which must stay as it is, and calls ``deliver`` from the drawing thread.

        False when a picture is being drawn. Raises what drawing or delivering the one before raised.
        """
        if self.is_busy:
            return False
        last, self._drawing = self._drawing, None
        if last is not None:
            last.result()
        self._drawing = self._worker.submit(lambda: deliver(self._renderer.render(qpos)))
        return True

    def close(self) -> None:
        """Waits for the picture that is being drawn and frees what OpenGL holds; may be called again."""
        try:
            self._worker.submit(self._renderer.close).result()
        except RuntimeError:  # closed before
            return
        self._worker.shutdown()
