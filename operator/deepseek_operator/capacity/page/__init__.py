"""The capacity answer as one self-contained HTML page."""

from deepseek_operator.capacity.page.document import capacity_page

__all__ = ["capacity_page"]
