"""Write a swap into the site's `oncall.yaml`, once it is known to be good; comments stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from cdm_assets.catalog.oncall import OnCall, Swap
from cdm_assets.catalog.pipeline_consistency import oncall_faults
from cdm_assets.operations.rota import Rota, RotaError

_FIRST_LINE: Final = "On-call of this site: what stands here is laid over what ships."


def swapped_days(oncall: OnCall, swap: Swap) -> list[date]:
    """The days that `swap` gives from one to the other.

    Raises RotaError if it names what does not exist, if `gives` is primary on none of its days, or if `takes` is on
    leave on one of them.
    """
    faults = [message for _, message in oncall_faults(OnCall(swaps=(swap,)), oncall)]
    if faults:
        raise RotaError("; ".join(fault.removeprefix("swaps.0.") for fault in faults))
    days = [
        shift.day for shift in Rota(oncall, swap.group).shifts(swap.first, swap.last) if shift.primary == swap.gives
    ]
    if not days:
        raise RotaError(
            f"{swap.gives} is not primary of {swap.group} on a day from {swap.first} to {swap.last}; "
            f"see `cdm oncall show --group {swap.group}`"
        )
    after = Rota(with_swaps(oncall, [swap]), swap.group)
    kept = [
        shift.day for shift in after.shifts(swap.first, swap.last) if shift.day in days and shift.primary != swap.takes
    ]
    if kept:
        raise RotaError(
            f"{swap.takes} cannot take {', '.join(map(str, kept))}: on leave, or not in the group; swap other days, "
            "or with somebody else"
        )
    return days


def with_swaps(oncall: OnCall, swaps: Sequence[Swap]) -> OnCall:
    """`oncall` with `swaps` added."""
    return oncall.model_copy(update={"swaps": (*oncall.swaps, *swaps)})


def write_swaps(path: Path, swaps: Sequence[Swap]) -> None:
    """Add `swaps` to the file at `path`, which is made if it is not there. All of it is written, or nothing."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(path.read_text(encoding="utf-8")) if path.exists() else None
    if content is None:
        content = CommentedMap()
        content.yaml_set_start_comment(_FIRST_LINE)
    entries: Any = content.get("swaps")
    if not entries:
        entries = CommentedSeq()
        content["swaps"] = entries
    for swap in swaps:
        entry = CommentedMap(swap.model_dump(exclude_defaults=True))
        entry.fa.set_flow_style()
        entries.append(entry)
    text = StringIO()
    yaml.dump(content, text)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text.getvalue(), encoding="utf-8")
    draft.replace(path)
