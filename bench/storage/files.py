"""The suite's atomic writer (`envs.files`), for the runner's own files."""

from envs.files import SCRATCH, remove_scratch, write_atomic, write_json

__all__ = ["SCRATCH", "remove_scratch", "write_atomic", "write_json"]
