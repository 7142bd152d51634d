"""Measure how fast the suite trains, beside a plain loop and beside the rate at which the machine multiplies matrices."""
