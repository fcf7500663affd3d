"""A command that refuses a file option that is given twice: the last would win without a word."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

READ_ONCE = frozenset({"filename", "cluster", "trace", "prices"})
"""Parameters that name what a verb reads; of other options the last counts, as everywhere."""


class OnceCommand(TyperCommand):
    """Reads its options as typer does, after it has looked for files that would be passed over."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps the class to itself
        """Fill ``ctx.params``.

        Raises:
            BadParameter: an option of ``READ_ONCE`` is there twice.
        """
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for param in order:
                if param.name in READ_ONCE and not param.multiple and order.count(param) > 1:
                    raise typer.BadParameter(_sentence(param))
        return super().parse_args(ctx, args)


def _sentence(param: Any) -> str:  # noqa: ANN401 - as above
    option = max(param.opts, key=len)
    if param.name != "filename":
        return f"{option} is given twice; give it once"
    return f"{option} is given twice and one file is read; run once for each, or join them with --- lines between"
