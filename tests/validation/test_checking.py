"""Claims about ``check``: each thing that is wrong with a data set is named in a sentence, and all of them at once."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_anneal.errors import InputError
from napari_anneal.samples import Sample, read_samples
from napari_anneal.samples.gold_folder import lock_folder
from napari_anneal.validation.checking import check_folder, check_samples


def picture(seed, side=48):
    return np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)


def painted(*classes, side=48):
    labels = np.zeros((side, side), np.uint8)
    for row, k in enumerate(classes):
        labels[4 * row : 4 * row + 3] = k
    return labels


def make(root, images, groups=None):
    """Write ``{name: (image, labels or None)}`` and the lines of groups.csv."""
    (root / "images").mkdir()
    (root / "labels").mkdir()
    for name, (image, labels) in images.items():
        iio.imwrite(root / "images" / f"{name}.png", image)
        if labels is not None:
            iio.imwrite(root / "labels" / f"{name}.png", labels)
    if groups is not None:
        (root / "groups.csv").write_text("\n".join(["image,group", *groups]) + "\n")
    return root


def good(count=4):
    return {f"s{i}": (picture(i), painted(1, 2)) for i in range(count)}


def kinds(found):
    return [problem.kind for problem in found]


def test_a_good_folder_has_nothing_wrong_and_says_what_is_good_to_know(tmp_path):
    found = check_folder(make(tmp_path, good(), [f"s{i},g{i // 2}" for i in range(4)]))
    assert found.problems == ()
    assert kinds(found.notes) == ["no spacing"]
    assert found.copies == ()
    assert str(found).endswith("4 images read; nothing is wrong.")
    assert found.to_dict()["painted"] == 4


def test_copies_are_listed_with_their_kind_and_told_apart_by_group(tmp_path):
    images = good()
    images |= {"same": images["s0"], "turned": (np.rot90(images["s1"][0]), painted(1, 2))}
    found = check_folder(make(tmp_path, images, [*(f"s{i},g{i}" for i in range(4)), "same,g0", "turned,g2"]))
    assert found.to_dict()["copies"] == [["s0", "same", "exact"], ["s1", "turned", "symmetric"]] or found.to_dict()[
        "copies"
    ] == [["same", "s0", "exact"], ["s1", "turned", "symmetric"]]
    assert found.to_dict()["leaks"] == [["s1", "turned", "symmetric"]]
    assert kinds(found.problems) == ["copy across groups"]
    assert "copies within groups" in kinds(found.notes)
    gold = check_folder(tmp_path, gold=["g2"])
    assert kinds(gold.problems) == ["gold overlaps training"]
    assert "gold and training share an image: 'turned' is a copy of 's1', turned by 90°." in gold.problems[0].sentence
    lock_folder(tmp_path, gold.samples, [2])
    assert kinds(check_folder(tmp_path).problems) == ["gold overlaps training"]


def test_everything_wrong_with_groups_csv_is_said_at_once(tmp_path):
    rows = ["s0,a", "s1,", ",b", "nobody,c", "s0.png,a"]
    found = check_folder(make(tmp_path, good(), rows))
    sentences = "\n".join(p.sentence for p in found.problems)
    assert "line 3: the group is empty" in sentences
    assert "line 4: the image is empty" in sentences
    assert "there is no image 'nobody'" in sentences
    assert "line 6: 's0.png' is listed twice" in sentences
    assert "gives no group for s1 (and 2 more)" in sentences
    assert {"empty row", "group without image", "duplicate name", "image without group"} <= set(kinds(found.problems))
    with pytest.raises(InputError, match="line 3: the group is empty"):
        read_samples(tmp_path)


def test_files_that_do_not_go_together_are_said_and_the_rest_is_still_checked(tmp_path):
    root = make(tmp_path, good())
    tifffile.imwrite(root / "images" / "s0.tif", picture(9))
    (root / "images" / "notes.txt").write_text("x")
    iio.imwrite(root / "labels" / "ghost.png", painted(1))
    iio.imwrite(root / "labels" / "s1.png", painted(1, 2, side=40))
    (root / "images" / "s2.png").write_bytes(b"not a picture")
    found = check_folder(root)
    files = ["unknown type", "duplicate name", "labels without image"]
    assert kinds(found.problems)[:5] == [*files, "unusable image or labels", "unusable image or labels"]
    assert any("differ in shape" in p.sentence for p in found.problems)
    assert [s.name for s in found.samples] == ["s0", "s3"]


@pytest.mark.parametrize(
    ("labels", "kind", "words"),
    [
        ([(), (), (), ()], "unpainted", "no image is painted at all"),
        ([(1, 2), (), (1, 2), (1, 2)], "unpainted", "the labels of s1 are empty"),
        ([(1, 3)] * 4, "label gap", "label 2 is painted nowhere"),
        ([(1, 90)] * 4, "instances", "labels go up to 90"),
        ([(2,), (2,), (2,), (2,)], "one class", "only label 2 is painted"),
        ([(1, 2), (1, 2), (1, 2, 3), (1, 2)], "class in one group", "label 3 is painted in 'g2' only"),
    ],
)
def test_labels_that_cannot_train_are_said(tmp_path, labels, kind, words):
    images = {f"s{i}": (picture(i), painted(*k)) for i, k in enumerate(labels)}
    found = check_folder(make(tmp_path, images, [f"s{i},g{i}" for i in range(4)]))
    assert any(p.kind == kind and words in p.sentence for p in found.problems), found.problems


def test_one_group_and_unknown_gold_are_said(tmp_path):
    found = check_folder(make(tmp_path, good(), [f"s{i},a" for i in range(4)]), gold=["b"])
    assert kinds(found.problems) == ["one group", "gold"]
    assert kinds(check_folder(tmp_path, gold=["a"]).problems) == ["one group", "gold"]


def test_groups_from_names_replace_those_of_the_file(tmp_path):
    root = make(tmp_path, good(), ["s0,"])
    found = check_folder(root, r"^s[01]|^s[23]")
    assert [s.group for s in found.samples] == ["s0", "s1", "s2", "s3"]
    assert found.problems == ()
    found = check_folder(root, "^(s)[01]")
    assert kinds(found.problems) == ["image without group"]
    with pytest.raises(InputError, match="not a regular expression"):
        check_folder(root, "(")


def test_images_without_labels_spacing_or_a_common_kind_of_pixels_are_said():
    samples = [
        Sample(picture(0), painted(1, 2), "a", (1, 1), "grey"),
        Sample(np.stack([picture(k) for k in (1, 2, 3)], axis=-1), painted(1, 2), "b", (0.5, 0.5), "colour"),
        Sample(picture(4), None, "c", None, "bare"),
        Sample(np.full((48, 48), 7, np.uint8), painted(1, 2), "", (1, 1), "constant"),
    ]
    found = check_samples(samples)
    assert kinds(found.problems) == ["pixels", "grey and colour"]
    assert "constant is constant" in found.problems[0].sentence
    assert kinds(found.notes) == ["unlabelled", "no groups", "no spacing", "several spacings"]
