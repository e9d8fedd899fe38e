"""Tests of mergeguard_hub.architecture."""
