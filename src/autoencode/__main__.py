"""``python -m autoencode`` is ``autoencode``."""

from __future__ import annotations

from autoencode.cli import main

if __name__ == "__main__":
    main()
