"""What the GUI tests share: a tiny model, a small painted image, and waiting for a form's job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from painted import quick

from napari_anneal.widgets._session_augmentation import session_augmentation
from napari_anneal.widgets._session_models import session_models
from napari_anneal.widgets._torch_beside_gl import load_triton_apart


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> Iterator[None]:
    session_models().clear()
    session_augmentation().reset()
    yield
    session_models().clear()
    session_augmentation().reset()


@pytest.fixture
def viewer(qtbot) -> Any:
    """The viewer's model without its window: all that a form needs, and fifty times faster to make."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def wait_for(qtbot) -> Callable[[Any], None]:
    """Wait until a form's job has ended (and what it showed is shown)."""

    def wait(form: Any, timeout: int = 60_000) -> None:
        qtbot.waitUntil(lambda: not form.job.running, timeout=timeout)

    return wait


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """A network with random weights: two classes, grey, a second's work for nothing."""
    load_triton_apart()
    from napari_anneal.inference import Model
    from napari_anneal.models import ArchitectureSpec, BundleCard
    from napari_anneal.models.starts import start_from_scratch

    spec = ArchitectureSpec(encoder="resnet18", encoder_depth=3, decoder_channels=(32, 16, 8), n_classes=2)
    card = BundleCard(name="tiny", architecture=spec, classes=("fibre", "matrix"), colours=("#ff0000", "#00ff00"))
    return Model(start_from_scratch(spec, seed=0).network, card)


@pytest.fixture
def form(viewer, tmp_path, tiny_model, wait_for) -> Iterator[Any]:
    """*Fine-tune*, set to the smallest run."""
    from napari_anneal.widgets.finetune import FineTuneWidget

    made = FineTuneWidget(viewer)
    wait_for(made)
    yield quick(made, tmp_path, tiny_model)
    made.planning.stop()
    made.job.stop()
