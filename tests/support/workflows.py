"""Pieces of workflows for act."""

from __future__ import annotations

USE = """
      - id: cache
        uses: p2pcache/p2pcache@v1
        with:
          upstream: ${{ vars.UPSTREAM }}
          secret: ${{ secrets.CACHE_SECRET }}
"""
