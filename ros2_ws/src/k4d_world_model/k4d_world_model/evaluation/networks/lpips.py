"""LPIPS (Zhang et al. 2018, version 0.1): distances of AlexNet's or VGG-16's maps, channels weighed as was learnt."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError
from k4d_world_model.evaluation.networks.network_weights import NetworkWeights, fill
from k4d_world_model.evaluation.networks.perceptual import of_unit_length

# Layers of torchvision's ``features``: (channels, kernel, stride, padding), "pool", and "map" where LPIPS looks.
_ALEX = ((64, 11, 4, 2), "map", "pool", (192, 5, 1, 2), "map", "pool", (384, 3, 1, 1), "map", (256, 3, 1, 1), "map",
         (256, 3, 1, 1), "map")  # fmt: skip
_VGG: tuple[tuple[int, ...] | str, ...] = (
    *(((64, 3, 1, 1),) * 2), "map", "pool", *(((128, 3, 1, 1),) * 2), "map", "pool", *(((256, 3, 1, 1),) * 3), "map",
    "pool", *(((512, 3, 1, 1),) * 3), "map", "pool", *(((512, 3, 1, 1),) * 3), "map",
)  # fmt: skip
_BACKBONES = {
    "alex": (_ALEX, 3, (64, 192, 384, 256, 256)),
    "vgg": (_VGG, 2, (64, 128, 256, 512, 512)),
}  # layers, kernel of the pooling, channels of the maps
# ImageNet's mean and deviation, for pictures in [-1, 1].
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
FEWEST_PX = 63


class Lpips(nn.Module):
    """The distance of two pictures; ``name`` is "lpips_alex" or "lpips_vgg", as the weights are."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        layers, self._pool, channels = _BACKBONES[backbone]
        self.name = f"lpips_{backbone}"
        self._map_after: set[int] = set()
        self.features = nn.ModuleList()
        before = 3
        for layer in layers:
            if layer == "map":
                self._map_after.add(len(self.features) - 1)
            elif layer == "pool":
                self.features.append(nn.MaxPool2d(self._pool, 2))
            else:
                after, kernel, stride, pad = (int(n) for n in layer)
                self.features += [nn.Conv2d(before, after, kernel, stride, pad), nn.ReLU()]
                before = after
        self.lins = nn.ParameterList(nn.Parameter(torch.zeros(1, count, 1, 1)) for count in channels)

    @classmethod
    def of(cls, lin: NetworkWeights, backbone: NetworkWeights) -> "Lpips":
        """From LPIPS's own weights (lin0.model.1.weight ...) and torchvision's state dict of AlexNet or VGG-16.

        Raises CheckpointError where they do not fit.
        """
        names = [f"lin{k}.model.1.weight" for k in range(5)]
        shapes = tuple(lin.tensors[name].shape[1] for name in names if name in lin.tensors)
        kinds = [kind for kind, (_, _, channels) in _BACKBONES.items() if channels == shapes]
        if not kinds:
            raise CheckpointError(
                f"{lin.path}: must have {names[0]} to {names[-1]} for the channels of "
                f"{' or '.join(f'{kind} {channels}' for kind, (_, _, channels) in _BACKBONES.items())}, got {shapes}"
            )
        network = cls(kinds[0])
        own = {f"lins.{k}": lin.tensors[name] for k, name in enumerate(names)}
        fill(network, NetworkWeights({**backbone.tensors, **own}, "", backbone.path), unused=("classifier.",))
        return network

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The five maps (b, c, h, w) of unit length of pictures (b, 3, H, W) in [0, 255].

        AlexNet needs FEWEST_PX a side; smaller pictures are enlarged first, by one factor for both sides.
        """
        shorter = min(pictures.shape[-2:])
        if shorter < FEWEST_PX:
            pictures = F.interpolate(pictures, scale_factor=FEWEST_PX / shorter, mode="bilinear")
        mean, deviation = (pictures.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        x = (pictures / 127.5 - 1.0 - mean) / deviation
        maps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._map_after:
                maps.append(of_unit_length(x))
        return maps
