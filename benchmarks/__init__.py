"""Measurements that others can run: each script states its question, its peers and the machine."""
