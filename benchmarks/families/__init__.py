"""Families of small trained models: bases, some of the same shapes, each with derivatives of every kind."""

from __future__ import annotations
