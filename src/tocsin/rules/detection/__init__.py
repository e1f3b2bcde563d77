"""Sigma detections: selections, modifiers, values and conditions to one predicate."""
