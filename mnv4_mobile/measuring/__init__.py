"""Measuring bundles on devices, keeping what was measured, and deciding from it."""
