"""The Python API, one file an idea; `import bench` offers its names."""
