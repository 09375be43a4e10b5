//! Cloud region names to coordinates.
