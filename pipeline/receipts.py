"""The receipt of an erasure as JSON: what the command line prints and what a server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records import to_s

if TYPE_CHECKING:
    from ..memory.forget import Receipt

COUNTS = ("percepts", "events", "thumbnails", "prototypes", "gists", "links", "places")
"""What a receipt counts, in the order in which it is told."""


def plain_receipt(receipt: Receipt) -> dict[str, Any]:
    """A receipt as JSON, times in seconds; a span without an end has none."""
    return {
        "asked": _in_seconds(dict(receipt.asked)),
        "spans": [_in_seconds(span.plain()) for span in receipt.spans],
        **{name: getattr(receipt, name) for name in COUNTS},
        "commit": receipt.commit,
        "ledger_sha256": receipt.ledger_sha256,
        "verified": receipt.verified,
        "searched": {
            "files": receipt.searched.files,
            "versions": receipt.searched.versions,
            "rows": receipt.searched.rows,
            "found": list(receipt.searched.found),
        },
    }


def _in_seconds(times: dict[str, Any]) -> dict[str, Any]:
    from ..memory.erased import FOREVER

    for name in ("t0", "t1"):
        if f"{name}_ns" in times:
            t_ns = times.pop(f"{name}_ns")
            times[f"{name}_s"] = None if t_ns >= FOREVER else to_s(t_ns)
    return times
