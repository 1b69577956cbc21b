"""What a run's validation images are worth as its judge: are they of other specimens, and do they suffice?"""

from __future__ import annotations

from collections.abc import Sequence

from napari_anneal.training.run_facts import Finding, RunFacts

__all__ = ["doubts_about_validation"]

# Neighbouring pixels are alike, so 300 painted ones are worth a few independent looks at a class, not more.
FEW_PIXELS = 300
# The mean over n patches scatters by 1/√n of what single patches do; below four it is half of that or more.
FEW_PATCHES = 4


def doubts_about_validation(facts: RunFacts) -> list[Finding]:
    """What is wrong with the images that judge a run: is it another specimen, and enough of it?"""
    if facts.judged_by == "synthetic stream":
        return []
    found = []
    shared = sorted({used.group for used in facts.train} & {used.group for used in facts.validation})
    if facts.judged_by == "training paint":
        found.append(_judged_by_training("by the very paint that it learned from"))
    elif facts.judged_by == "held-out paint":
        found.append(_judged_by_training("on paint held out from the training specimen itself"))
    elif shared:
        found.append(_judged_by_training(f"on images of specimens that it trained on ({_listed(shared)})"))
    groups = {used.group for used in (*facts.train, *facts.validation)}
    if len(facts.train) > 1 and len(groups) == 1:
        found.append(
            Finding(
                "one group only",
                f"All {len(facts.train)} images are of one group ({next(iter(groups))}), so nothing says how the model "
                "does on another specimen. Give every image the group of its specimen, or paint a second specimen.",
                "warning",
            )
        )
    few = [n for n, count in zip(facts.classes, facts.validation_painted, strict=False) if 0 < count < FEW_PIXELS]
    none = [n for n, count in zip(facts.classes, facts.validation_painted, strict=False) if count == 0]
    if facts.validation_patches < FEW_PATCHES or few or none:
        patches = f"{facts.validation_patches} patch{'es' if facts.validation_patches != 1 else ''}"
        why = [f"only {patches}"] if facts.validation_patches < FEW_PATCHES else []
        why += [f"fewer than {FEW_PIXELS} painted pixels of {_listed(few)}"] if few else []
        why += [f"no paint of {_listed(none)}"] if none else []
        found.append(
            Finding(
                "validation too small",
                f"The validation images hold {' and '.join(why)}, so the figures and the choice of the best epoch "
                "are uncertain. Paint more on the validation images.",
                "warning",
            )
        )
    return found


def _judged_by_training(how: str) -> Finding:
    return Finding(
        "validation on the training specimen",
        f"Validated {how}, so the score flatters; paint a second specimen to know better.",
        "warning",
    )


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
