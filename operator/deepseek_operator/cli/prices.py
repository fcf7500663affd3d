"""The prices file of the command line: what one GPU costs per hour, by catalogue id."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

MAX_PRICES_BYTES = 64 * 1024
"""A line per product of the catalogue is some 3 kB; a larger file is a mistake."""

PricesFile = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        help="YAML or JSON with GPU ids and USD per GPU and hour, such as `h100-sxm5-80gb: 2.10`; "
        "replaces the prices of node labels and of the catalogue.",
    ),
]


def read_prices(path: Path | None) -> dict[str, Decimal]:
    """Return USD per hour of one GPU by catalogue id; empty without a file.

    Raises:
        InvalidSpecError: the file is too large or no mapping, names an unknown GPU, or an amount is no number from 0
            to 1,000; the text names the file and the line's key.
        OSError: the file cannot be read.
    """
    from deepseek_operator.api.yaml_text import yaml_documents
    from deepseek_operator.errors import InvalidSpecError

    if path is None:
        return {}
    with path.open("rb") as file:
        content = file.read(MAX_PRICES_BYTES + 1)
    if len(content) > MAX_PRICES_BYTES:
        raise InvalidSpecError("", f"{path} is larger than 64 KiB; write one line per GPU, such as l40s: 0.90")
    try:
        documents = [value for _, value in yaml_documents(content.decode())]
    except UnicodeDecodeError as error:
        raise InvalidSpecError("", f"{path} is no UTF-8 text; write the prices as YAML or JSON") from error
    except InvalidSpecError as error:
        raise InvalidSpecError("", f"{path}: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0], Mapping):
        raise InvalidSpecError("", f"{path} holds no mapping of GPU ids to prices; write lines such as l40s: 0.90")
    return {str(gpu_id): _price(path, str(gpu_id), value) for gpu_id, value in documents[0].items()}


def _price(path: Path, gpu_id: str, value: object) -> Decimal:
    from deepseek_operator.capacity.node_price import MOST_USD_PER_GPU_HOUR, read_price
    from deepseek_operator.catalog.gpus import gpu
    from deepseek_operator.errors import CatalogError, InvalidSpecError, shortened

    try:
        gpu(gpu_id)
    except CatalogError as error:
        raise InvalidSpecError("", f"{path}: {error}") from error
    price = read_price(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    if price is None:
        shown = shortened(repr(value))
        raise InvalidSpecError(
            "", f"{path}: {gpu_id} costs {shown}; write USD per hour from 0 to {MOST_USD_PER_GPU_HOUR}, such as 2.10"
        )
    return price
