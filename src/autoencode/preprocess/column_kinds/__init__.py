"""One class for each kind of column: how it becomes numbers, and comes back.

A new kind is a file here with a subclass of `block.Block`, a line in the dictionary
below and its name in ``kinds.py``.
"""

from __future__ import annotations

from autoencode.preprocess.column_kinds.binary import Binary
from autoencode.preprocess.column_kinds.block import Block
from autoencode.preprocess.column_kinds.categorical import Categorical
from autoencode.preprocess.column_kinds.constant import Constant
from autoencode.preprocess.column_kinds.count import Count
from autoencode.preprocess.column_kinds.cyclic import Cyclic
from autoencode.preprocess.column_kinds.datetime import Datetime
from autoencode.preprocess.column_kinds.identifier import Identifier
from autoencode.preprocess.column_kinds.numeric import Numeric
from autoencode.preprocess.column_kinds.ordered import Ordered

__all__ = ["COLUMN_KINDS", "Block"]

# Each column gets the first kind that suits it.
COLUMN_KINDS: dict[str, type[Block]] = {
    "constant": Constant,
    "binary": Binary,
    "ordered": Ordered,
    "datetime": Datetime,
    "identifier": Identifier,
    "count": Count,
    "numeric": Numeric,
    "categorical": Categorical,
    "cyclic": Cyclic,
}
