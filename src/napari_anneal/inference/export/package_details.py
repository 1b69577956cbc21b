"""What a model package says of the people behind it, which no model card knows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PackageDetails"]


class PackageDetails(BaseModel):
    """Authors, licence and citations of a BioImage.IO package; the zoo asks for all three, a private one for none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authors: tuple[str, ...] = Field((), description="Who made the model, a name each.")
    license: str | None = Field(None, description="SPDX identifier of the licence, such as CC-BY-4.0 or BSD-3-Clause.")
    cite: tuple[str, ...] = Field(
        (), description="What users should cite, a text each; a DOI or an address in it is recognised."
    )
