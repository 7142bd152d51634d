"""Estimators of a policy's return from logged data alone, many policies at once, one file each.

The first dimension is the policy. Every file has the equation and its source. An estimator takes tensors: log-ratios, values, rewards.
"""
