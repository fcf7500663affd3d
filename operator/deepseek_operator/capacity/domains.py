"""Labels by which nodes belong together, such as a rack or a fast link."""

from __future__ import annotations

from deepseek_operator.capacity.inventory import Inventory
from deepseek_operator.errors import InventoryError, near_matches, shortened

WORDS_OF_PLACES = ("topology", "clique", "rack", "block", "zone", "region", "domain", "fabric")
"""Parts of the names of such labels. Source: Kubernetes' well-known labels, NVIDIA GPU feature discovery, Topograph."""

MOST_NAMED = 5
"""Labels that a message names."""


def refuse_unknown_domain(inventory: Inventory, label: str) -> None:
    """Do nothing when a GPU node carries a label.

    Args:
        inventory: of the cluster.
        label: on which the nodes of a replica must agree; empty for none.

    Raises:
        InventoryError: no node carries it, so nothing over several nodes could ever be placed; the text names those
            that are meant, or that nodes carry instead.
    """
    known = sorted({each for node in inventory.nodes for each in node.labels})
    if not label or label in known:
        return
    near = near_matches(label, known)
    places = [each for each in known if any(word in each for word in WORDS_OF_PLACES)][:MOST_NAMED]
    if near:
        instead = f"did you mean {' or '.join(near)}?"
    else:
        instead = f"they carry {', '.join(map(shortened, places))}" if places else "they carry none that names a place"
    raise InventoryError(f"--group-domain {shortened(label)!r}: no GPU node carries this label; {instead}")
