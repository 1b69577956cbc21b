"""The six forms of the plugin and what they share: the only folder that imports Qt or napari.

A form holds fields and their wiring; what it computes is computed by the core, on a worker thread. Nothing here
imports torch when it is imported: the first job that needs it does so on its own thread.
"""
