"""The Python API: data, training, policies, results. `import bench` offers its names."""
