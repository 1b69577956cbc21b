"""Pairs a minute of the torch backend: labels, boundary and image to rung 4 of distinct 256² fields of 120 grains.

    python benchmarks/bench_on_device.py               # CUDA, where there is one: the target is 10⁶ pairs a minute
    python benchmarks/bench_on_device.py --device cpu  # beside one core of the compiled CPU path, in the same run

