"""Figures drawn from results: the only place that knows matplotlib.

``plots`` holds one function a figure, each taking a result and optional axes and returning the axes;
``figures`` writes all of them into a results directory.
"""
