"""What several folders of tests use: a headless Chromium, driven by its own protocol, and SAM 2 with random weights."""

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

# A loaded machine that renders in software needs its time; nothing waits longer than it has to.
PATIENCE = 120.0
MODEL_SIDE = 64


class Tab:
    """One page in a browser: what went wrong in it, and every address that it asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids = socket, itertools.count(1)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._is_loaded = False

    def open(self, address: str) -> None:
        """Loads a page to its end; before, there is nothing that a screenshot could show."""
        for part in ("Runtime", "Page", "Network"):
            self.call(f"{part}.enable")
        self._is_loaded = False
        self.call("Page.navigate", url=address)
        # The news comes in while something else is asked for.
        _wait_for(lambda: self.call("Browser.getVersion") and self._is_loaded, "loaded page")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a command of the DevTools protocol gives back."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]))
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            self._is_loaded |= message.get("method") == "Page.loadEventFired"
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self) -> np.ndarray:
        """A screenshot (H, W, 3)."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def press(self, key: str) -> None:
        """Presses and releases a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def _wait_for(condition: Callable[[], object], what: str) -> None:
    """Returns once ``condition`` holds; fails the test saying ``what`` did not come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"within {PATIENCE} s there was no {what}"
        time.sleep(0.5)


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object], str], None]:
    return _wait_for


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    """An empty page of a headless Chromium without a graphics card."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed (Debian package chromium)")
    profile = tmp_path / "profile"
    words = [
        program, "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader", "--no-first-run", "--disable-extensions", "--disable-background-networking",
        "--window-size=1200,900", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            active = profile / "DevToolsActivePort"
            _wait_for(lambda: active.exists() and active.read_text().count("\n"), "browser")
            port = active.read_text().split("\n")[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE) as answer:
                (page,) = [item for item in json.load(answer) if item["type"] == "page"]
            with connect(page["webSocketDebuggerUrl"], max_size=None, open_timeout=PATIENCE, proxy=None) as socket:
                yield Tab(socket)
        finally:
            browser.terminate()
            try:
                browser.wait(20)
            except subprocess.TimeoutExpired:
                browser.kill()


@pytest.fixture(scope="session")
def sam2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real SAM 2 video classes with small numbers and random weights, saved as transformers does."""
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

    sizes = [[MODEL_SIDE // stride] * 2 for stride in (4, 8, 16)]
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[MODEL_SIDE, MODEL_SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 2, 2], global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], backbone_feature_sizes=sizes,
        fpn_hidden_size=128,
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": MODEL_SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=MODEL_SIDE, num_maskmem=3, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=sizes[-1],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Sam2VideoModel(config)
    with torch.no_grad():
        # Random weights say half of the time that there is no object at all; these always see one.
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5.0)
    folder = tmp_path_factory.mktemp("sam2") / "tiny"
    model.save_pretrained(folder)
    return folder
