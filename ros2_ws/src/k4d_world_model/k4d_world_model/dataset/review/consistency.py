"""Whether manifest, lists and samples of a data set say the same."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict

from k4d_world_model.dataset.building.manifest import Manifest, ManifestSample, manifest_sample
from k4d_world_model.dataset.building.split import Part, scene_group
from k4d_world_model.dataset.building.split_lists import read_split
from k4d_world_model.dataset.episode import EpisodeInfo
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.dataset.storage.native_sample import read_sample_record
from k4d_world_model.errors import DatasetError, SampleError

PARTS: tuple[Part, ...] = ("train", "val")


def manifest_problems(layout: NativeLayout, manifest: Manifest, present: Iterable[str]) -> list[str]:
    """What is wrong between the manifest and the samples that are ``present``, each naming a file."""
    listed = Counter(sample.episode_id for sample in manifest.samples)
    there = set(present)
    problems = [] if manifest.complete else [f"{layout.manifest}: the build did not finish; run it again"]
    problems += [f"{layout.manifest}: lists {name} {n} times" for name, n in sorted(listed.items()) if n > 1]
    problems += [f"{layout.sample_folder(name)}: the sample is missing" for name in sorted(listed.keys() - there)]
    problems += [f"{layout.sample_folder(name)}: is not in the manifest" for name in sorted(there - listed.keys())]
    return problems


def split_problems(layout: NativeLayout, manifest: Manifest) -> list[str]:
    """What is wrong with the lists of training and validation samples: read, complete, known, apart, without leak."""
    problems: list[str] = []
    expected = {sample.episode_id: sample for sample in manifest.samples}
    lists: dict[Part, set[str]] = {}
    for part in PARTS:
        path = layout.train_list if part == "train" else layout.val_list
        try:
            lists[part] = set(read_split(layout, part))
        except DatasetError as error:
            problems.append(str(error))
            continue
        problems += [f"{path}: {name} is no sample" for name in sorted(lists[part] - expected.keys())]
        missing = sorted(name for name in expected.keys() - lists[part] if expected[name].part == part)
        problems += [f"{path}: {name} is missing, the manifest has it there" for name in missing]
        moved = sorted(name for name in lists[part] & expected.keys() if expected[name].part != part)
        problems += [f"{path}: {name} is in the other part by the manifest" for name in moved]
    both = sorted(lists.get("train", set()) & lists.get("val", set()))
    problems += [f"{layout.val_list}: {name} is in {layout.train_list.name} too" for name in both]
    return problems + _leaks(layout, manifest)


def record_problems(layout: NativeLayout, expected: ManifestSample) -> list[str]:
    """How a sample's meta file and checksums differ from the manifest's line for it."""
    try:
        record = read_sample_record(layout, expected.episode_id)
    except SampleError as error:
        return [str(error)]
    found = asdict(manifest_sample(record, expected.group, expected.part))
    return [
        f"{layout.sample_folder(expected.episode_id)}: {field} is {found[field]!r}, the manifest has {value!r}"
        for field, value in asdict(expected).items()
        if found[field] != value
    ]


def group_problems(layout: NativeLayout, expected: ManifestSample, info: EpisodeInfo) -> list[str]:
    """Whether a sample belongs to another scene than the manifest's line for it says, which would hide a leak."""
    group = scene_group(info)
    if group == expected.group:
        return []
    return [f"{layout.sample_folder(info.episode_id)}: shows scene {group!r}, the manifest has {expected.group!r}"]


def _leaks(layout: NativeLayout, manifest: Manifest) -> list[str]:
    """Groups of samples that show one scene but are in both parts, each with two samples that prove it."""
    groups: dict[str, dict[Part, str]] = defaultdict(dict)
    for sample in manifest.samples:
        groups[sample.group].setdefault(sample.part, sample.episode_id)
    return [
        f"{layout.manifest}: scene {group} is in both parts: {parts['train']} trains and {parts['val']} validates"
        for group, parts in sorted(groups.items())
        if len(parts) > 1
    ]
