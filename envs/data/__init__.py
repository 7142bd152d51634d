"""The data model: trajectories, spaces, `dataset=` selections, reference scores."""
