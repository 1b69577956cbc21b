"""A trained network with its card: what a user loads and segments with."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_anneal.cancelling import CancelSignal
from napari_anneal.errors import InputError
from napari_anneal.inference.layout import MODES, plan_layout
from napari_anneal.inference.map_output import open_all_maps
from napari_anneal.inference.members import MeanOfLooks
from napari_anneal.inference.one_slice import OneSlice
from napari_anneal.inference.output import LabelSink, LabelVolume, open_sink
from napari_anneal.inference.planes import open_planes
from napari_anneal.inference.predictor import Predictor
from napari_anneal.inference.resuming import earlier_layout, run_header
from napari_anneal.inference.run import OnBlock, SegmentationRun
from napari_anneal.inference.segmentation import Segmentation, label_dtype
from napari_anneal.inference.units import unit_symbol
from napari_anneal.inference.views import views_of
from napari_anneal.models import BundleCard, is_bundle, load_bundle, save_bundle

if TYPE_CHECKING:
    from napari_anneal.inference.export import Export, PackageDetails

__all__ = ["MODES", "Model", "load_model", "shipped_models"]

_SHIPPED = Path(__file__).parents[1] / "data" / "models"


class Model:
    """A network and its card.

    Parameters
    ----------
    network
        Maps standardised float32 ``(N, C, Y, X)`` to logits ``(N, K, Y, X)``.
    card
        Its architecture, classes and colours.
    device
        ``None``: CUDA or MPS where there is one, else the CPU; or a torch device.
    precision
        ``"float32"``: tiles equal the whole image to 1e-5. ``"auto"``: bfloat16 where the processor has it,
        about twice as fast, probabilities good to about 0.01. ``"bfloat16"``: everywhere. ``"float16"``: on a GPU, else
        float32.

    Attributes
    ----------
    bundle
        Where it was loaded from; ``None`` for a model made in this session.
    """

    def __init__(
        self,
        network: nn.Module,
        card: BundleCard,
        device: str | torch.device | None = None,
        precision: str = "float32",
    ) -> None:
        self.network, self.card = network, card
        self.bundle: Path | None = None
        self._device, self._precision = device, precision

    def __repr__(self) -> str:
        return f"Model({self.card.name or 'unnamed'}: {', '.join(self.classes)})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order: label k is ``classes[k - 1]``."""
        return self.card.classes

    @property
    def colours(self) -> tuple[str, ...]:
        """Class colours in order, ``#rrggbb``."""
        return self.card.colours

    @cached_property
    def predictor(self) -> Predictor:
        """The network at work (device and precision are checked when this is first needed)."""
        spec = self.card.architecture
        return Predictor(
            self.network,
            spec.in_channels,
            spec.n_classes,
            spec.stride,
            device=self._device,
            precision=self._precision,
        )

    @cached_property
    def turned(self) -> Model:
        """The same network, its probabilities the mean over every flip and turn legal for its kind of sample.

        The model itself where none is legal.
        """
        views = views_of(self.card)
        if len(views) == 1:
            return self
        network = MeanOfLooks([self.network], [self.card.temperature], views)
        card = self.card.model_copy(update={"temperature": 1.0})
        return Model(network, card, device=self._device, precision=self._precision)

    def calibrated(self, temperature: float, figures: Mapping[str, Any] | None = None) -> Model:
        """The same network with a temperature, which its probabilities and its bundle carry from then on.

        Parameters
        ----------
        temperature
            What logits are divided by, on top of the temperature the model has: what ``calibrate(…)`` of this very
            model found. Labels do not change.
        figures
            What was measured on the way, to be kept in the card's ``metrics["calibration"]``.

        Raises
        ------
        InputError
            The temperature is not positive and finite.
        """
        if not (math.isfinite(temperature) and temperature > 0):
            raise InputError(f"a temperature of {temperature:g} cannot be used; give a number above 0.")
        metrics = {**self.card.metrics, **({} if figures is None else {"calibration": dict(figures)})}
        changes = {"temperature": self.card.temperature * float(temperature), "metrics": metrics}
        card = self.card.model_copy(update=changes)
        return Model(self.network, card, device=self._device, precision=self._precision)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the model as a bundle (a folder, or one ``.zip``); see ``models.save_bundle``."""
        return save_bundle(self.network, self.card, path, overwrite=overwrite)

    def export(
        self,
        path: str | os.PathLike[str],
        format: str = "onnx",
        raw: bool = False,
        softmax: bool = True,
        about: PackageDetails | None = None,
    ) -> Export:
        """Write the model for other programs; see ``inference.export.export_model``."""
        from napari_anneal.inference.export import export_model

        return export_model(self, path, format, raw=raw, softmax=softmax, about=about)

    def segment(
        self,
        image: Any,
        axes: str | None = None,
        tile: int | str | None = "auto",
        out: str | os.PathLike[str] | None = None,
        mode: str = "slices",
        probabilities: bool | None = None,
        uncertainty: bool | str = False,
        progress: Callable[[int, int], None] | None = None,
        cancel: CancelSignal | None = None,
        spacing: Sequence[float] | None = None,
        overwrite: bool = False,
        unit: str | None = None,
        *,
        axis: str = "Z",
        combine: str = "mean",
        resample: bool = False,
        resume: bool = False,
        on_block: OnBlock | None = None,
        first: int | None = None,
        only: int | None = None,
        level: int = 0,
        channel: int | None = None,
        dataset: str = "",
        probabilities_out: str | os.PathLike[str] | None = None,
        uncertainty_out: str | os.PathLike[str] | None = None,
        half: bool = False,
        scheduler: str | None = None,
        workers: int | None = None,
    ) -> Segmentation:
        """Segment an image, or a stack of any size.

        Parameters
        ----------
        image
            ``(Y, X)`` or ``(Z, Y, X)``, with or without a colour axis; bool, integer or float. An array
            (NumPy, dask, Zarr …), a pyramid of arrays (level 0 is used), or the path of an image file or
            OME-Zarr. Alpha is dropped; equal colours are taken as grey by a grey model. Grey limits are found
            once for the image or volume.
        axes
            Names of the axes such as ``"ZYX"`` or ``"YXC"``; ``None``: guessed (a last axis of 3 or 4 is
            colour).
        tile
            ``"auto"``: the whole image at once where its activations fit 1 GiB (on a GPU half the free
            memory), else the cheapest tiles that do. A number: side of the tiles' cores in pixels. ``None``:
            whole. The result is the same to 1e-5 for networks of finite receptive field; others are blended
            where tiles overlap.
        out
            Write the labels here block by block: ``.ome.zarr``/``.zarr`` (OME-Zarr 0.5 with pyramid, class
            names and colours) or ``.tif``/``.tiff``. The file appears under this name when it is complete;
            until then, and after a cancelled run, it is ``….partial.…`` beside it.
        mode
            ``"slices"``: every slice for itself. ``"triplanar"``: the slices along all three axes, their probabilities
            averaged. ``"twelve"``: four views of each of these (turned along Z, mirrored along Y and X): turning the
            volume by a quarter about Z turns the result. ``"context"``: every slice with its neighbours as channels,
            for models trained that way. Modes along several axes keep what is in between on the disk, about
            ``2 · K`` bytes a voxel for each axis.
        probabilities
            Keep the probabilities in memory; ``None``: for 2D images only.
        uncertainty
            Also compute the entropy of the probabilities over its maximum, 0…1, kept in memory. ``"tta"`` (or
            ``True``): of the mean over every flip and turn that is legal for the kind of sample the model was
            trained for, which labels and probabilities then are of as well (8 times the work for an isotropic
            sample). ``"ensemble"``: of the mean over an ensemble's members (see ``ensemble``). ``"entropy"``: of the
            probabilities as they are.
        progress
            Called as ``progress(done, total)``, counted in tiles, from the computing thread.
        cancel
            Anything with ``is_set()``; a set one ends the run within a layer. The result then has
            ``complete=False`` and keeps the slices done.
        spacing
            Pixel size along the axes of the labels; ``None``: from the file, if it says.
        overwrite
            Replace an earlier result at ``out`` once the new one is complete.
        unit
            Unit of ``spacing`` such as ``"µm"``, kept in files; ``None``: none is named (TIFF files tell their own).
        axis
            ``"Z"``, ``"Y"`` or ``"X"``: along which a volume is sliced in the modes "slices" and "context".
        combine
            ``"mean"`` or ``"max"`` of the probabilities of several views.
        resample
            Bring planes to the pixel size the model was trained at, and what it finds back: for volumes whose voxels
            are longer along one axis, and for other magnifications. Needs ``spacing``, in the model's unit.
        resume
            Go on with a run to ``out`` that was cancelled, failed or killed: finished blocks are compared with their
            digests and not computed again; the result is that of an uninterrupted run, byte for byte. Where nothing
            was begun, it begins.
        on_block
            Called as ``on_block(block, labels, probabilities)`` from the computing thread for every finished block:
            where it is, its labels ``(z, y, x)``, and its probabilities ``(K, z, y, x)`` if they are kept.
        first
            Slice to begin with; its neighbours come next.
        only
            Segment this slice of a stack alone, in the grey limits of all of it; the result is that of a 2D image.
        level, channel, dataset
            Of a file: level of an OME-Zarr pyramid (0 is the finest), one of several channels, path in an HDF5 file.
        probabilities_out, uncertainty_out
            Write these here block by block as OME-Zarr (``.ome.zarr``, ``.zarr``): probabilities with a channel for
            each class, by its name and colour. The result then has arrays that read from disk in their place. The
            uncertainty is the one ``uncertainty`` names, without it the entropy of the probabilities as they are.
        half
            Keep these files in float16: half the room, good to 5e-4.
        scheduler, workers
            Compute on a ``dask.distributed`` cluster: the address of its scheduler (``"tcp://host:8786"``), or so many
            processes of this machine. The result is that of a run without, byte for byte; see ``distributed``.

        Returns
        -------
        Segmentation
            Labels uint8 1…K (uint16 above 255 classes), and what was asked for.

        Raises
        ------
        InputError
            The image cannot be used: unreadable, constant, NaN or infinite pixels (the slice is named),
            colour given to a grey model or the other way round; or a setting is unknown.
        OutputError
            ``out`` exists, cannot be written, or the disk is full; or what is to be gone on with was begun with
            another model, image or settings.
        """
        cluster = None
        if scheduler is not None or workers is not None:
            from napari_anneal.inference.distributed import Cluster

            cluster = Cluster(scheduler, workers)
            maps_asked = bool(probabilities or uncertainty or probabilities_out or uncertainty_out)
            cluster.check(self.network, image, out, maps_asked, on_block is not None, only is not None)
        model = self._estimating(uncertainty)
        card, predictor = model.card, model.predictor
        spec = card.architecture
        channels = spec.in_channels // card.context
        planes, source = open_planes(image, axes, spacing, channels, unit_symbol(unit), level, channel, dataset)
        if only is not None:
            planes = OneSlice(planes, only)
        # Limits come first: an image that cannot be used is refused before anything is created.
        limits = planes.intensity_limits()
        model_spacing = model._spacing_to_resample_to() if resample else None
        grey = limits.low, limits.high
        layout = plan_layout(predictor, planes, grey, tile, mode, axis, combine, card.context, model_spacing)
        dtype = label_dtype(spec.n_classes)
        sink: LabelSink | None = None
        header: dict[str, Any] | None = None
        step = layout.steps[-1]
        block = None if step.size[1:] == step.shape[1:] else step.size[1:]
        volume = LabelVolume(planes.shape, dtype, planes.spacing, card.classes, card.colours, planes.unit, block)
        wanted = {"probabilities": probabilities_out, "uncertainty": uncertainty_out}
        maps = open_all_maps(volume, wanted, half, overwrite, source, out)
        if out is not None:
            sink = open_sink(Path(out), volume, overwrite, source)
            asked = {"tile": tile, "mode": mode, "axis": axis, "combine": combine, "resample": model_spacing}
            header = run_header(predictor, planes, layout, dtype.name, asked)
        elif resume:
            raise InputError("only a run that writes to a file can be gone on with; pass out=.")
        earlier = earlier_layout(sink, header) if resume and sink is not None and header is not None else None
        keep = probabilities if probabilities is not None else len(planes.shape) == 2
        keep = keep and probabilities_out is None and cluster is None
        kind: Callable[..., SegmentationRun] = SegmentationRun
        if cluster is not None:
            chosen = {"axes": axes, "spacing": spacing, "level": level, "channel": channel, "dataset": dataset}
            kind = cluster.run(card, volume, chosen)
        run = kind(
            predictor,
            planes,
            earlier or layout,
            dtype,
            sink,
            keep,
            bool(uncertainty) and uncertainty_out is None,
            card.temperature,
            header,
            resume=earlier is not None,
            maps=maps,
        )
        done = run.execute(progress, cancel, on_block, first)
        return Segmentation(
            labels=run.labels,
            probabilities=run.probabilities,
            uncertainty=run.uncertainty,
            classes=card.classes,
            colours=card.colours,
            spacing=planes.spacing,
            path=run.path,
            done=done,
            total=len(planes),
            unit=planes.unit,
        )

    def _estimating(self, uncertainty: bool | str) -> Model:
        """The model whose entropy is the uncertainty asked for."""
        if uncertainty is True or uncertainty == "tta":
            return self.turned
        if uncertainty == "ensemble":
            raise InputError("uncertainty 'ensemble' needs several models; make one of them with ensemble([…]).")
        if uncertainty not in (False, "entropy"):
            raise InputError(f"uncertainty {uncertainty!r} is not known; use 'tta', 'entropy' or 'ensemble'.")
        return self

    def _spacing_to_resample_to(self) -> tuple[float, ...]:
        if self.card.spacing is None:
            raise InputError(
                "the card of this model does not say at which pixel size it was trained, so nothing can be resampled "
                "to it; leave resample out."
            )
        return self.card.spacing


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    if not _SHIPPED.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in _SHIPPED.iterdir() if is_bundle(folder)))


def load_model(
    path: str | os.PathLike[str], device: str | torch.device | None = None, precision: str = "float32"
) -> Model:
    """Open a model bundle, or a model that comes with the package by its name.

    Parameters
    ----------
    path
        Bundle folder or ``.zip``, or a shipped name.
    device, precision
        As for ``Model``.

    Raises
    ------
    InputError
        Neither a path nor a shipped name.
    BundleError
        The bundle is damaged, unsafe or too new.
    """
    place, name = Path(path), os.fspath(path)
    if not place.exists():
        shipped = shipped_models()
        if name not in shipped:
            known = f"the shipped models are {', '.join(shipped)}" if shipped else "no models are shipped"
            raise InputError(f"there is no model bundle at {name!r}, and {known}; check the path or the name.")
        place = _SHIPPED / name
    network, card = load_bundle(place)
    model = Model(network, card, device=device, precision=precision)
    model.bundle = place
    return model
