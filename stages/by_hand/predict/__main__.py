"""`python -m stages.by_hand.predict classify PICTURE...`, and the same of `detect` and `explain`."""

import sys

from stages.by_hand.predict.commands import main

sys.exit(main())
