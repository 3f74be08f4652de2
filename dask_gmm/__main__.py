"""``python -m dask_gmm``: the command line."""

import sys

from dask_gmm.run.cli import main

if __name__ == "__main__":
    sys.exit(main())
