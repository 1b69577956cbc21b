"""An interrupted run is offered to be gone on with, and only then; changed paint is said."""

from __future__ import annotations

from painted import add_pair

from napari_anneal.widgets._session_models import session_models


def test_a_cancelled_run_is_offered_and_goes_on_to_its_end(viewer, form, wait_for, qtbot, tmp_path) -> None:
    _, labels = add_pair(viewer)
    form.epochs.setValue(40)
    form.bar.start.click()
    qtbot.waitUntil(lambda: len(form.view.curves._epochs) >= 1, timeout=30_000)
    assert form.resume.isHidden()
    form.bar.cancel.click()
    wait_for(form)
    qtbot.waitUntil(lambda: not form.resume.isHidden(), timeout=20_000)
    assert form.resume.text() == "Go on with “fibres”, which was cancelled"
    done = form.view.curves._steps[-1]
    # Other paint than it began with is said, and nothing is lost.
    before = labels.data.copy()
    labels.data[40:44] = 1
    form.resume.click()
    wait_for(form)
    assert "began with other images or labels" in form.bar.text, form.bar.text
    qtbot.waitUntil(lambda: not form.resume.isHidden(), timeout=20_000)
    labels.data[:] = before
    # Settings changed in the form meanwhile are not those of the run.
    form.epochs.setValue(1)
    form.resume.click()
    qtbot.waitUntil(lambda: form.view.curves._steps[:1] > [done], timeout=30_000)
    form.view.buttons.finish.click()
    wait_for(form)
    assert session_models().names()[0].startswith("fibres")
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / "runs" / "fibres"]
    qtbot.waitUntil(lambda: not form.resume._job.running, timeout=20_000)
    assert form.resume.isHidden()
