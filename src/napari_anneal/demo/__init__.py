"""The demo: the whole line on real data that the package ships, offline, on a laptop, in minutes."""

from napari_anneal.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
