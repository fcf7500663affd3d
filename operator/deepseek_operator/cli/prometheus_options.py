"""Options of ``deepseek-operator run`` that say where Prometheus is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from deepseek_operator.prometheus_api import PrometheusSettings


def prometheus_settings(
    url: str | None,
    *,
    ca_file: str | None,
    token_file: str | None,
    labels: Sequence[str],
    scrape_seconds: float,
    rate_seconds: float,
) -> PrometheusSettings | None:
    """Return where Prometheus is and how it is asked; None without a URL.

    Raises:
        typer.BadParameter: something cannot be obeyed; the text says what instead. Files may appear later, because a
            mounted one does, but a folder is none.
    """
    if url is None:
        given = {"--prometheus-ca-file": ca_file, "--prometheus-token-file": token_file, "--prometheus-label": labels}
        useless = next((name for name, value in given.items() if value), None)
        if useless is not None:
            raise typer.BadParameter(f"{useless} says how Prometheus is asked; --prometheus-url says where it is")
        return None

    from deepseek_operator.errors import DeepSeekOperatorError
    from deepseek_operator.prometheus_api import PrometheusSettings, checked_url
    from deepseek_operator.scaling.promql import QueryRules, matchers

    try:
        address = checked_url(url, token=bool(token_file))
        rules = QueryRules(scrape_seconds=scrape_seconds, rate_seconds=rate_seconds, matchers=matchers(labels))
    except DeepSeekOperatorError as error:
        raise typer.BadParameter(str(error)) from error
    if ca_file and address.startswith("http:"):
        raise typer.BadParameter("--prometheus-ca-file checks a certificate; give Prometheus' https URL")
    for path in (ca_file, token_file):
        if path and Path(path).is_dir():
            raise typer.BadParameter(f"{path} is a folder; name the file in it")
    return PrometheusSettings(url=address, ca_file=ca_file or "", token_file=token_file or "", rules=rules)
