"""Programs that others use, each in a process of its own where it needs one."""
